"""What a fleet, and the program itself, cost `pulumi preview`.

Devices are not resources: Ansible sees to them. So a preview of a file with 10,000 of them is to take as long as one of
a file with 10. Both are previews of a stack that is still empty, by the real engine, of examples/acme with another
fleet. The provider plugin is the tests' stand-in, whose part is the same in both.

And little that the program imports is to be felt beside `import pulumi, pulumi_aws`, which every program pays. All its
components count, wherever the import stands. What a run imports besides, to read the file, is printed too; the bulk of
a run, pulumi_aws' services as they are first used, is the same for every program that uses them.

All take turns, and medians are compared: of processor seconds, of all processes of a run together. A run waits for
nothing else, and other work on the machine stretches the clock's seconds many times further than the difference that
is looked for; they are printed too.

    python benchmarks/pulumi_preview.py
"""

import pkgutil
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engines.build import locate

from tests.engines.moto import Aws, serving
from tests.engines.pulumi import NEEDED, Stack, engine
from visionfleet.config import load
from visionfleet.projections.cloud import cloud_plan

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "acme"
AMI = "ami-12c6146b"  # said, since moto does not know which image is AWS's newest
FEW, MANY = 10, 10_000
DEVICES_A_GROUP = 500
PREVIEWS = 9
PREVIEW_GOAL = 1.05
IMPORTS = 15
IMPORT_GOAL = 1.3

PEER = "import pulumi, pulumi_aws"
COMPONENTS = [module.name for module in pkgutil.iter_modules([str(ROOT / "infra" / "components")])]
PROGRAM = f"import infra.__main__, {', '.join(f'infra.components.{name}' for name in COMPONENTS)}"
READING = "from visionfleet import config; config"
READER = f"{PROGRAM}, visionfleet.projections.cloud"


class Seconds(NamedTuple):
    """How long a run takes. Compare the processor's."""

    processor: float
    clock: float

    def __str__(self) -> str:
        return f"{self.processor:.3f} s ({self.clock:.3f} s by the clock)"


def main() -> int:
    """Print the ratios; the exit code is 0 where both goals are met."""
    if missing := [name for name in NEEDED if locate(name) is None]:
        print(f"{', '.join(missing)} is not there: python engines/build.py {' '.join(missing)}", file=sys.stderr)
        return 2
    importing = measure_imports()
    fleet = measure_previews()
    print(f"program_import: {importing:.2f} (goal <= {IMPORT_GOAL})")
    print(f"pulumi_preview: {fleet:.3f} (goal <= {PREVIEW_GOAL})")
    return 0 if importing <= IMPORT_GOAL and fleet <= PREVIEW_GOAL else 1


def measure_imports() -> float:
    """How many times as long as Pulumi alone the program takes to import, each in an interpreter of its own."""
    peer, program, reader = measure(IMPORTS, [lambda code=code: run_python(code) for code in (PEER, PROGRAM, READER)])
    print(f"medians of {IMPORTS} rounds, in processor seconds")
    print(f"  {PEER}: {peer}")
    print(f"  the program: {program}")
    print(f"  and what reads the file: {reader}")
    return program.processor / peer.processor


def measure_previews() -> float:
    """How many times as long a preview takes with many devices as with few."""
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as aws:
        prepare(aws)
        pulumi = engine(Path(name) / "pulumi", aws)
        files = {devices: make_deployment(Path(name) / str(devices), devices) for devices in (FEW, MANY)}
        stacks = [pulumi.stack(ROOT, {"visionfleet:file": str(file)}, f"of-{n}") for n, file in files.items()]
        changes = [preview(stack) for stack in stacks]  # also compiles what is not compiled yet
        assert changes[0] == changes[1] > 0, f"devices became resources: {changes}"
        few, many = measure(PREVIEWS, [lambda stack=stack: preview(stack) for stack in stacks])
        loads = [seconds(lambda file=file: run_python(f"{READING}.load({str(file)!r})")) for file in files.values()]
    print(f"medians of {PREVIEWS} previews of {changes[0]} resources")
    print(f"  {FEW} devices: {few}, of which reading the file in a process of its own {loads[0]}")
    print(f"  {MANY} devices: {many}, of which reading the file in a process of its own {loads[1]}")
    return many.processor / few.processor


def prepare(aws: Aws) -> None:
    """What the example's account holds before its stack: the zone, and the secrets that the file names."""
    plan = cloud_plan(load(EXAMPLE / "visionfleet.yaml"))
    secrets = {endpoint.api_key_secret for endpoint in plan.endpoints}
    secrets.add(plan.mirror.credentials_secret if plan.mirror else None)
    for zone in {endpoint.zone for endpoint in plan.endpoints}:
        aws.client("route53").create_hosted_zone(Name=zone, CallerReference=str(zone))
    for secret in secrets - {None}:
        aws.client("secretsmanager").create_secret(Name=secret, SecretString="a stand-in for a secret")


def make_deployment(folder: Path, devices: int) -> Path:
    """The example with a fleet of so many devices."""
    shutil.copytree(EXAMPLE, folder)
    file = folder / "visionfleet.yaml"
    deployment = yaml.safe_load(file.read_text(encoding="utf-8"))
    for endpoint in deployment["dedicated"]:
        endpoint.setdefault("ami", AMI)
    numbers = range(devices)
    groups = [numbers[start : start + DEVICES_A_GROUP] for start in range(0, devices, DEVICES_A_GROUP)]
    deployment["edge"] = {"groups": [make_group(index, group) for index, group in enumerate(groups)]}
    file.write_text(yaml.safe_dump(deployment, sort_keys=False), encoding="utf-8")
    return file


def make_group(index: int, numbers: Sequence[int]) -> dict[str, object]:
    """A group of edge devices."""
    devices = [{"name": f"device-{n}", "address": f"10.{100 + n // 65536}.{n // 256 % 256}.{n % 256}"} for n in numbers]
    return {"name": f"site-{index}", "hardware": "jetson-orin-nano", "jetpack": "6.2", "devices": devices}


def preview(stack: Stack) -> int:
    """Preview a stack; returns how many resources it would create."""
    return stack.preview().changes["create"]


def run_python(code: str) -> None:
    """Run code in an interpreter of its own."""
    subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, cwd=ROOT, check=True)


def measure(rounds: int, runs: Sequence[Callable[[], object]]) -> list[Seconds]:
    """The median seconds of each, taken in turns."""
    taken: list[list[Seconds]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, of_run in zip(runs, taken, strict=True):
            of_run.append(seconds(run))
    return [Seconds(*map(statistics.median, zip(*of_run, strict=True))) for of_run in taken]


def seconds(run: Callable[[], object]) -> Seconds:
    """What a run in processes of its own takes."""
    before, start = processor_seconds(), time.perf_counter()
    run()
    return Seconds(processor_seconds() - before, time.perf_counter() - start)


def processor_seconds() -> float:
    """Of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
