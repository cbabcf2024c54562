"""What an inventory of 10,000 devices costs `ansible-inventory --list`, against a static YAML inventory of the same.

Ours starts from the deployment's file, with the devices in CSV: it is checked, with every package that it names, and
each device gets its release. The static one is what `ansible-inventory --list --yaml --export` makes of ours, so each
variable stands in it once, at the same group; that both lists are the same is checked. It is read by Ansible's plugin
`yaml` alone: with its usual list of plugins, `auto` reads the whole file before.

Part of both is what Ansible does in any case: it starts, puts the variables of each host together and writes them. They
take turns, and medians of processor seconds are compared. `--graph`, which leaves out most of that part, and ours where
it was kept from the run before are printed, too.

    python benchmarks/inventory.py
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from config_load import make_package

ROOT = Path(__file__).resolve().parents[1]
COMMAND = Path(sys.executable).with_name("ansible-inventory")
GROUPS, DEVICES_A_GROUP = 20, 500
DEVICES_A_SITE = 100
MODELS = 4
ROUNDS = 5
GOAL = 0.5


def main() -> int:
    """Print the ratio; the exit code is 0 where the goal is met."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = {"VISIONFLEET_FILE": str(make_deployment(folder))}
        kept = {
            **ours,
            "ANSIBLE_INVENTORY_CACHE": "true",
            "ANSIBLE_INVENTORY_CACHE_PLUGIN": "ansible.builtin.jsonfile",
            "ANSIBLE_INVENTORY_CACHE_CONNECTION": str(folder / "cache"),
        }
        static = {"ANSIBLE_INVENTORY": str(folder / "static.yml"), "ANSIBLE_INVENTORY_ENABLED": "ansible.builtin.yaml"}
        run(ours, "--list", "--yaml", "--export", "--output", static["ANSIBLE_INVENTORY"])
        check_same(folder, ours, static, kept)
        ways = (ours, static, kept)
        listing = measure([partial(run, way, "--list", "--output", os.devnull) for way in ways])
        graph = measure([partial(run, way, "--graph") for way in ways])
    print(f"{GROUPS * DEVICES_A_GROUP} devices, medians of {ROUNDS} rounds, in processor seconds")
    for title, (of_ours, of_static, of_kept) in (("--list", listing), ("--graph", graph)):
        print(f"  {title}: ours {of_ours:.2f}, kept {of_kept:.2f}, static YAML {of_static:.2f}")
    ratio = listing[0] / listing[1]
    print(f"inventory_graph: {graph[0] / graph[1]:.2f}")
    print(f"inventory: {ratio:.2f} (goal <= {GOAL})")
    return 0 if ratio <= GOAL else 1


def make_deployment(folder: Path) -> Path:
    """Groups of a class each, with their devices in CSV; each serves one of the models."""
    for number in range(MODELS):
        make_package(folder / f"models/detector-{number}")
    models = [
        {"id": f"line-{number}/1", "architecture": "yolov8", "package": f"./models/detector-{number}"}
        for number in range(MODELS)
    ]
    groups = [make_group(folder, number) for number in range(GROUPS)]
    file = folder / "visionfleet.yaml"
    deployment = {"name": "acme-vision", "workspace": "acme", "models": models, "edge": {"groups": groups}}
    file.write_text(json.dumps(deployment, indent=2), encoding="utf-8")
    return file


def make_group(folder: Path, number: int) -> dict[str, object]:
    """A group, whose devices are in a file of its own."""
    rows = ["name,address,site,label:ring"]
    for device in range(number * DEVICES_A_GROUP, (number + 1) * DEVICES_A_GROUP):
        address = f"10.{100 + device // 65536}.{device // 256 % 256}.{device % 256}"
        rows.append(
            f"device-{device},{address},site-{device // DEVICES_A_SITE},{'canary' if device % 10 == 0 else 'all'}"
        )
    (folder / f"group-{number}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return {
        "name": f"group-{number}",
        "hardware": "jetson-orin-nano",
        "jetpack": "6.2",
        "models": [f"line-{number % MODELS}/1"],
        "devices_from": f"./group-{number}.csv",
    }


def check_same(folder: Path, *ways: dict[str, str]) -> None:
    """All ways give the same inventory; only the order of groups and hosts in a group may differ."""
    contents = [listed(folder / "list.json", way) for way in ways]
    assert len(contents[0]["_meta"]["hostvars"]) == GROUPS * DEVICES_A_GROUP
    assert all(content == contents[0] for content in contents), "the inventories differ"


def listed(output: Path, way: dict[str, str]) -> dict[str, Any]:
    """What `--list` shows."""
    run(way, "--list", "--output", str(output))
    content: dict[str, Any] = json.loads(output.read_bytes())
    for name, group in content.items():
        if name != "_meta":
            content[name] = {key: sorted(names) for key, names in group.items()}
    return content


def run(way: dict[str, str], *arguments: str) -> None:
    """Run `ansible-inventory` with the checkout's settings, as far as `way` has no others."""
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **way}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is measured is no compilation of Python
    subprocess.run(
        [COMMAND, *arguments], stdin=subprocess.DEVNULL, env=environment, check=True, stdout=subprocess.DEVNULL
    )


def measure(runs: Sequence[Callable[[], object]]) -> list[float]:
    """The median processor seconds of each, taken in turns."""
    taken: list[list[float]] = [[] for _ in runs]
    for _ in range(ROUNDS):
        for one, of_one in zip(runs, taken, strict=True):
            before = processor_seconds()
            one()
            of_one.append(processor_seconds() - before)
    return list(map(statistics.median, taken))


def processor_seconds() -> float:
    """Of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
