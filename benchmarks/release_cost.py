"""What a release costs the controller for each device: playbooks/release.yml against the same work as plain tasks.

Counted are processor seconds, of ansible-playbook and all that it starts, ssh and its masters too; what devices do does
not count. The hosts are real sshds, each with a root folder of its own, and get real releases: of a copy of
examples/acme, from the real hub, with real package files, judged by the real device program. Docker and systemd are
stand-ins there (release_cost/standins), and one stub of the inference server answers for all.

Both run with the repository's ansible.cfg, so with the same forks, ssh options and pipelining. Ours has its inventory
from the plugin. The plain tasks (release_cost/plain.yml) have theirs from a static file; they are written to be cheap,
and for a release that is current already they only look, as ours does. Two runs of each are measured on the same hosts:
one that changes nothing, and one to a new version with one model more.

The start of ansible-playbook is shared by all hosts, so the ratio holds for about as many as are measured.

    python benchmarks/release_cost.py               50 hosts, about 10 minutes; needs root and mmdebstrap
    python benchmarks/release_cost.py --hosts 2     to try a change; the goal is for 50
"""

import argparse
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.engines.debian import EDGE, root_folder
from tests.engines.edge_image import GOOD, STUB
from tests.engines.engine import free_port, running, wait_until
from tests.engines.sshd import SshHost, inventory_lines, ssh_hosts
from visionfleet.config import DeploymentConfig, load
from visionfleet.hub.keys import create_key
from visionfleet.projections.inventory import RELEASE_VARIABLE, inventory_plan
from visionfleet.projections.release import release_of

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).with_suffix("")
EXAMPLE = ROOT / "examples" / "acme"
DEVICE = ROOT / "playbooks" / "device"
COMMAND = ROOT / "playbooks" / "roles" / "device_agent" / "files" / "visionfleet-device"
HOSTS = 50
GOAL = 0.25
SOAK_SECONDS = 1
READY_SECONDS = 60
OLD: dict[str, Any] = {"version": "1.8.3", "models": ["screws/3"]}
NEW: dict[str, Any] = {"version": "1.8.4", "models": ["screws/3", "pallets/1"]}
WORKFLOW = "count-screws"


class Run(NamedTuple):
    """What a run takes, of the controller's processor for each host, and of the clock in all; and on how many hosts it
    changed something."""

    processor: float
    clock: float
    changed: int

    def __str__(self) -> str:
        return f"{self.processor:.3f} s a host ({self.clock:.0f} s by the clock)"


class Costs(NamedTuple):
    """A run that changes nothing, and one to a new release."""

    unchanged: Run
    new: Run


class Side(NamedTuple):
    """A playbook, and where its inventory is, by the folder for files of its own and the deployment's file."""

    playbook: Path
    inventory: Callable[[Path, Path], Path]


@dataclass(frozen=True)
class Site:
    """The same devices with the old release and with the new one, and the hub that serves both."""

    folder: Path
    old: Path
    new: Path
    hub_url: str
    fleet_key: str
    server_key: str


def main() -> int:
    """Print the costs and the ratio; the exit code is 0 where the goal is met."""
    parser = argparse.ArgumentParser(description="What a release costs the controller.")
    parser.add_argument("--hosts", type=int, default=HOSTS)
    count: int = parser.parse_args().hosts
    try:
        with tempfile.TemporaryDirectory(prefix="release-cost-") as name, serving(Path(name), count) as site:
            ours, plain = (measure(site, count, side) for side in (OURS, PLAIN))
    except pytest.skip.Exception as reason:
        print(reason, file=sys.stderr)
        return 2
    print(f"{count} hosts, processor seconds of the controller")
    ratios = [mine.processor / theirs.processor for mine, theirs in zip(ours, plain, strict=True)]
    for kind, mine, theirs, ratio in zip(Costs._fields, ours, plain, ratios, strict=True):
        print(f"  {kind} release: {mine}; as plain tasks {theirs}; {ratio:.3f} of it")
    print(f"release_cost: {max(ratios):.3f} (goal <= {GOAL})")
    return 0 if max(ratios) <= GOAL else 1


def measure(site: Site, count: int, side: Side) -> Costs:
    """The costs of one side, on hosts of its own that have the old release."""
    folder = site.folder / side.playbook.stem
    folder.mkdir()
    with ssh_hosts(root_folder(EDGE), folder, count) as hosts:
        provision(site, hosts)
        release(side, folder, site.old, hosts[:1])
        copy_release(hosts[0], hosts[1:])
        costs = Costs(*(release(side, folder, file, hosts) for file in (site.old, site.new)))
    assert costs.unchanged.changed == 0, f"{side.playbook.name} changed what was as it should be"
    assert costs.new.changed == count, f"{side.playbook.name} changed {costs.new.changed} of {count} hosts"
    return costs


def release(side: Side, folder: Path, file: Path, hosts: Sequence[SshHost]) -> Run:
    """Run the playbook, and see that each host has its release."""
    (folder / "hosts.ini").write_text(inventory_lines(hosts))
    command = [sys.executable, str(HERE / "measure.py"), str(folder / "seconds")]
    command += [str(Path(sys.executable).with_name("ansible-playbook")), str(side.playbook)]
    # the second says where the hosts really are
    command += ["-i", str(side.inventory(folder, file)), "-i", str(folder / "hosts.ini")]
    command += ["--limit", ",".join(host.name for host in hosts)]
    environment = {
        **os.environ,
        "VISIONFLEET_FILE": str(file),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "cp"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is measured is no compilation of Python
    start = time.perf_counter()
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    clock = time.perf_counter() - start
    assert done.returncode == 0, f"{side.playbook.name} failed:\n{(done.stdout + done.stderr)[-5000:]}"
    check_hosts(hosts, load(file))
    changed = len(re.findall(r"^host-\d+ .* changed=[1-9]", done.stdout, re.MULTILINE))
    return Run(float((folder / "seconds").read_text()) / len(hosts), clock, changed)


def plugin_inventory(_folder: Path, _file: Path) -> Path:
    """The repository's own, which reads VISIONFLEET_FILE."""
    return ROOT / "inventory" / "visionfleet.yml"


def static_inventory(folder: Path, file: Path) -> Path:
    """The same variables in a file, the release as plain data."""
    config = load(file)
    [group] = config.edge.groups
    variables: dict[str, object] = {"release": release_of(config, group, group.devices[0]).as_dict()}
    for plan in inventory_plan(config).groups.values():
        variables |= {name: value for name, value in plan.vars.items() if name != RELEASE_VARIABLE}
    content = {"edge": {"vars": variables, "hosts": {device.name: {} for device in group.devices}}}
    (folder / "static.yaml").write_text(yaml.safe_dump(content))
    return folder / "static.yaml"


def check_hosts(hosts: Sequence[SshHost], config: DeploymentConfig) -> None:
    """Each host has accepted its release, and runs its image."""
    [group] = config.edge.groups
    asked = release_of(config, group, group.devices[0])
    for host in hosts:
        root = host.folder / "upper"
        current = (root / "opt/visionfleet/current").readlink().name
        verdict = json.loads((root / "opt/visionfleet/verdict.json").read_text())
        docker = json.loads((root / "var/lib/standins/docker.json").read_text())
        image = docker["images"][asked.image.reference]["Id"]
        assert current == asked.id, f"{host.name}: {current} instead of {asked.id}"
        assert (verdict["release"], verdict["result"]) == (asked.id, "accepted"), f"{host.name}: {verdict}"
        assert docker["containers"]["visionfleet-inference"]["Image"] == image, f"{host.name}: {docker}"


OURS = Side(ROOT / "playbooks" / "release.yml", plugin_inventory)
PLAIN = Side(HERE / "plain.yml", static_inventory)


# the hosts, as they are before


def provision(site: Site, hosts: Sequence[SshHost]) -> None:
    """What the roles before the release leave on each host, and the stand-ins."""
    for host in hosts:
        key = enrol(site, host.name)
        files = {**program_files(), **device_files(site, host.name, key)}
        unpack(host, tar_of(files))


def copy_release(source: SshHost, hosts: Sequence[SshHost]) -> None:
    """Give hosts what a release has left on another one: they need not go through it themselves."""
    parts = ("opt/visionfleet", "etc/systemd", "var/lib/visionfleet", "var/lib/standins", "run/standins")
    tar = ["tar", "-c", "-C", str(source.folder / "upper"), *parts]
    archive = subprocess.run(tar, stdin=subprocess.DEVNULL, check=True, capture_output=True, timeout=180).stdout
    for host in hosts:
        unpack(host, archive)


def unpack(host: SshHost, archive: bytes) -> None:
    """Put the files of a tar archive on a host."""
    ssh = ["ssh", "-i", str(host.key), "-p", str(host.port), "-o", f"UserKnownHostsFile={host.known_hosts}"]
    subprocess.run(
        [*ssh, "-o", "BatchMode=yes", "root@127.0.0.1", "tar -x -C /"], input=archive, check=True, timeout=180
    )


def enrol(site: Site, name: str) -> str:
    """A key of the hub's for the device."""
    headers = {"Authorization": f"Bearer {site.fleet_key}"}
    answer = httpx.post(f"{site.hub_url}/fleet/v1/devices/{name}/key", headers=headers)
    return answer.raise_for_status().json()["key"]


def program_files() -> dict[str, tuple[bytes, int]]:
    """The device's program, and the stand-ins; path -> content and mode."""
    sources = sorted((DEVICE / "visionfleet_device").glob("*.py"))
    files = {f"opt/visionfleet/lib/visionfleet_device/{path.name}": (path.read_bytes(), 0o644) for path in sources}
    files |= {f"usr/local/bin/{path.name}": (path.read_bytes(), 0o755) for path in (HERE / "standins").iterdir()}
    unit = DEVICE / "units" / "visionfleet-release@.service"
    files[f"etc/systemd/system/{unit.name}"] = (unit.read_bytes(), 0o644)
    files["opt/visionfleet/bin/visionfleet-device"] = (COMMAND.read_bytes(), 0o755)
    return files


def device_files(site: Site, name: str, key: str) -> dict[str, tuple[bytes, int]]:
    """What is the device's own. Its server's key is one that the hub knows: no platform stands between them here."""
    device = {"name": name, "group": "docks", "workspace": "acme", "hub_url": site.hub_url}
    return {
        "etc/visionfleet/device.json": (json.dumps(device).encode(), 0o644),
        "etc/visionfleet/key": (key.encode(), 0o600),
        "run/visionfleet/server.env": (f"ROBOFLOW_API_KEY={site.server_key}\n".encode(), 0o600),
    }


def tar_of(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    """The files in an archive."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, (content, mode) in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


# the hub and the server, for all hosts


@contextmanager
def serving(folder: Path, count: int) -> Generator[Site]:
    """The hub, which has the models of both releases, and the stub, which has loaded them."""
    stub = folder / "stub"
    stub.mkdir()
    shutil.copy(STUB, stub)
    (stub / "settings.json").write_text(json.dumps({"version": OLD["version"], **asdict(GOOD)}))
    old, new = make_files(folder, stub / STUB.name, count)
    config = load(new)
    hub_url = config.hub.public_url
    fleet_key, server_key = (create_key(config, name=role, role=role)[1] for role in ("fleet", "server"))
    environment = {
        "HOST": "127.0.0.1",
        "PORT": str(config.inference.port),
        "API_BASE_URL": hub_url,
        "ROBOFLOW_API_KEY": server_key,
        "PRELOAD_MODELS": ",".join(NEW["models"]),
        "MODEL_CACHE_DIR": str(stub / "cache"),
    }
    hub = [sys.executable, "-m", "visionfleet", "hub", "serve", "--file", str(new)]
    with running(hub, folder / "hub.log"):
        wait_until(lambda: answers(f"{hub_url}/readyz"), "the hub is ready", READY_SECONDS)
        with running([sys.executable, str(stub / STUB.name)], stub / "log", environment):
            server = f"http://127.0.0.1:{config.inference.port}/readiness"
            wait_until(lambda: answers(server), "the stub is ready", READY_SECONDS)
            yield Site(folder, old, new, hub_url, fleet_key, server_key)


def answers(url: str) -> bool:
    """Whether there is a 200."""
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def make_files(folder: Path, stub: Path, count: int) -> tuple[Path, Path]:
    """The example's models, workflows and goldens for devices like ours, with the old release and with the new one."""
    site = folder / "site"
    shutil.copytree(EXAMPLE, site)
    write_goldens(site, stub)
    document: dict[str, Any] = yaml.safe_load((site / "visionfleet.yaml").read_text())
    document = {key: document[key] for key in ("apiVersion", "name", "workspace", "models", "workflows", "edge")}
    edge = document["edge"]
    devices = [{"name": f"host-{number:02}", "address": f"10.0.0.{number}"} for number in range(1, count + 1)]
    group = {"name": "docks", "hardware": "generic-x86_64", "workflows": [WORKFLOW], "devices": devices}
    document |= {"inference": {"port": free_port()}, "hub": {"port": free_port()}}
    document["edge"] = {"goldens": edge["goldens"], "health": {"soak_seconds": SOAK_SECONDS}}
    files = []
    for name, settings in (("old", OLD), ("new", NEW)):
        document["edge"]["groups"] = [{**group, **settings}]
        files.append(site / f"{name}.yaml")
        files[-1].write_text(yaml.safe_dump(document))
    return files[0], files[1]


def write_goldens(site: Path, stub: Path) -> None:
    """What the stub answers, as what is expected."""
    spec = importlib.util.spec_from_file_location("stub", stub)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    package = site / "models" / "screws-3"
    parts = [path.read_bytes() for path in sorted(package.iterdir())]
    classes = (package / "class_names.txt").read_text().splitlines()
    workflow = json.dumps(json.loads((site / "workflows" / f"{WORKFLOW}.json").read_text()), sort_keys=True).encode()
    image = (site / "golden" / "screw.png").read_bytes()
    seen, counted = (module.detect(all_parts, classes, image) for all_parts in (parts, [workflow, *parts]))
    outputs = [{"predictions": {"predictions": [counted]}}]
    (site / "golden" / "screw.json").write_text(json.dumps({"predictions": [seen]}))
    (site / "golden" / "counted.json").write_text(json.dumps({"outputs": outputs}))


if __name__ == "__main__":
    sys.exit(main())
