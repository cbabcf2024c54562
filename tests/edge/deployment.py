"""A deployment of devices, whole: real hosts, a registry with images, the hub, and playbooks run as a user runs them.

    with deployed(folder, count=2, jetsons=1) as site:
        site.playbook("site.yml")               # from the repository's root; gives what Ansible says at its end
        site.write(version="1.8.4")             # the file, changed
        site.begin("release.yml").kill()        # a playbook, and its controller gone
        site.hub.stop(); site.hub.start()

The image is a stub of the inference server, and a Jetson's tools are stand-ins: tests/engines/edge.py names them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import yaml

from tests.engines.debian import EDGE, Root
from tests.engines.edge import USER, EdgeHost, Fleet, edge_fleet
from tests.engines.edge_image import GOOD, STUB, Behaviour, push_image
from tests.engines.engine import free_port, printed, running, wait_until
from tests.engines.registry import PASSWORD
from tests.engines.registry import USER as REGISTRY_USER
from visionfleet.config import load
from visionfleet.hub.keys import create_key
from visionfleet.projections.inventory import inventory_plan

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "acme"
CPU_IMAGE = "roboflow/roboflow-inference-server-cpu"
JETSON_IMAGE = "roboflow/roboflow-inference-server-jetson-6.2.0"
WORKFLOW = "count-screws"
PLAY_SECONDS = 2700
HUB_SECONDS = 360
_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
# what the stand-ins are not: of this architecture, and with a Jetson's disk
_STAND_INS = ("-e", "preflight_architecture=x86_64", "-e", "preflight_disk_mb=1000", "-e", "preflight_memory_mb=0")


class Counts(NamedTuple):
    """A device's line of the recap."""

    ok: int
    changed: int
    unreachable: int
    failed: int


class Run(NamedTuple):
    """A playbook that has ended."""

    code: int
    output: str

    @property
    def recap(self) -> dict[str, Counts]:
        """By device."""
        return {name: Counts(*map(int, counts)) for name, *counts in _RECAP.findall(self.output)}

    @property
    def changed(self) -> dict[str, int]:
        """How many tasks changed something, by device."""
        return {name: counts.changed for name, counts in self.recap.items()}


class Play:
    """A playbook that runs."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

    def end(self) -> Run:
        """Wait for its end."""
        try:
            code = self._process.wait(PLAY_SECONDS)
        finally:
            self.kill()
        return Run(code, self._log.read_text())

    def kill(self) -> None:
        """The controller is gone, with all that it has started. Its workers have sessions of their own."""
        for pid in descendants(self._process.pid) if self._process.poll() is None else []:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(PLAY_SECONDS)


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return [pid, *(one for child in children for one in descendants(int(child)))]


class Hub:
    """Its process, which may be ended and started again."""

    def __init__(self, file: Path, log: Path, url: str) -> None:
        self._command = [sys.executable, "-m", "visionfleet", "hub", "serve", "--file", str(file)]
        self._log, self.url = log, url
        self._process = ExitStack()

    def start(self) -> None:
        """Until it is ready."""
        self._process.enter_context(running(self._command, self._log))
        wait_until(lambda: _answers(f"{self.url}/readyz"), f"the hub is ready, see {self._log}", HUB_SECONDS)

    def stop(self) -> None:
        """Connections are refused from now on."""
        self._process.close()


class Site:
    """What `deployed` gives."""

    def __init__(self, folder: Path, fleet: Fleet, controls: Path) -> None:
        self.fleet = fleet
        self.folder = folder / "site"
        self.file = self.folder / "visionfleet.yaml"
        self._controls = controls
        shutil.copytree(EXAMPLE, self.folder)
        _write_goldens(self.folder)
        self._port = free_port()
        self.health = {"ready_seconds": 60, "soak_seconds": 2}
        self._plays: list[Play] = []
        self._own: Mapping[str, Mapping[str, Any]] = {}
        self.write()
        config = load(self.file)
        self.hub = Hub(self.file, folder / "hub.log", config.hub.public_url)
        self.secrets = {
            "VISIONFLEET_FLEET_KEY": create_key(config, name="fleet", role="fleet")[1],
            "REGISTRY_PASSWORD": PASSWORD,
        }

    @property
    def hosts(self) -> list[EdgeHost]:
        """The devices, Jetsons last."""
        return self.fleet.hosts

    def push(self, version: str, behaviour: Behaviour = GOOD) -> None:
        """Give the registry this version of each image that the devices run."""
        for repository in {JETSON_IMAGE if host.name.startswith("jet-") else CPU_IMAGE for host in self.hosts}:
            push_image(self.fleet.registry, repository, version, behaviour)

    def write(self, own: Mapping[str, Mapping[str, Any]] | None = None, **group: Any) -> None:
        """The file; `group` is set in every group, `own` is what devices have of their own."""
        self._own = own or {}
        self.file.write_text(json.dumps(self._document(group), indent=2))

    def release_of(self, host: EdgeHost) -> str:
        """The release that the file asks of a device."""
        plans = {plan.name: plan for plan in inventory_plan(load(self.file)).hosts}
        groups = plans[host.name].groups
        return next(group for group in groups if group.startswith("release_")).removeprefix("release_")

    def playbook(self, name: str, *options: str, **environment: str) -> Run:
        """Run one of the playbooks, as it is run from the repository's root."""
        return self.begin(name, *options, **environment).end()

    def begin(self, name: str, *options: str, **environment: str) -> Play:
        """Start one, and go on."""
        given = {
            **{name: os.environ[name] for name in ("PATH", "HOME")},
            "LANG": "C.UTF-8",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._controls),
            # hosts go, and others come at their addresses: what leads to one that is gone ends soon
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=10s "
            "-o ServerAliveInterval=2 -o ServerAliveCountMax=5",
            "VISIONFLEET_FILE": str(self.file),
            **self.secrets,
            **environment,
        }
        program = Path(sys.executable).with_name("ansible-playbook")
        log = self.folder.with_name(f"play-{len(self._plays)}.log")
        play = Play([str(program), f"playbooks/{name}", *_STAND_INS, *options], given, log)
        self._plays.append(play)
        return play

    def close(self) -> None:
        """No playbook runs on."""
        for play in self._plays:
            play.kill()

    def fleet_status(self) -> list[dict[str, Any]]:
        """What `visionfleet fleet status --json` shows."""
        command = [sys.executable, "-m", "visionfleet", "fleet", "status", "--json", "--file", str(self.file)]
        return json.loads(printed(command, self.secrets))

    def _document(self, group: Mapping[str, Any]) -> dict[str, Any]:
        example: dict[str, Any] = yaml.safe_load((EXAMPLE / "visionfleet.yaml").read_text())
        registry = {"ca": str(self.fleet.registry_ca)}
        if self.fleet.registry.login:
            registry |= {"user": REGISTRY_USER, "password": "env:REGISTRY_PASSWORD"}
        address = self.fleet.address
        return {
            **{key: example[key] for key in ("apiVersion", "name", "workspace", "models", "workflows")},
            "inference": {"version": "1.8.3", "registry": self.fleet.registry.host},
            "hub": {"host": address, "port": self._port, "url": f"http://{address}:{self._port}"},
            "edge": {
                "registry": registry,
                "report_seconds": 15,
                "health": self.health,
                "goldens": example["edge"]["goldens"],
                "groups": list(self._groups(group)),
            },
        }

    def _groups(self, settings: Mapping[str, Any]) -> Generator[dict[str, Any]]:
        ssh = {
            "user": USER,
            "private_key": f"file:{self.fleet.ssh_key}",
            "known_hosts": str(self.fleet.known_hosts),
        }
        common = {"ssh": ssh, "models": ["screws/3"], "workflows": [WORKFLOW], **settings}
        plain = [host for host in self.hosts if not host.name.startswith("jet-")]
        jetsons = [host for host in self.hosts if host.name.startswith("jet-")]
        if plain:
            yield {"name": "boxes", "hardware": "generic-x86_64", "os": "debian-12", **common, **self._devices(plain)}
        if jetsons:
            power = {"mode": 0, "clocks": True}
            jetson = {"name": "jetsons", "hardware": "jetson-orin-nano", "jetpack": "6.2", "power": power}
            yield {**jetson, **common, **self._devices(jetsons)}

    def _devices(self, hosts: list[EdgeHost]) -> dict[str, Any]:
        return {
            "devices": [{"name": host.name, "address": host.address, **self._own.get(host.name, {})} for host in hosts]
        }


@contextmanager
def deployed(folder: Path, *, count: int, jetsons: int = 0, root: Root = EDGE, login: bool = False) -> Generator[Site]:
    """Hosts as their makers hand them over, a registry with version 1.8.3, and the hub."""
    with ExitStack() as stack:
        fleet = stack.enter_context(edge_fleet(folder / "fleet", count, jetsons=jetsons, root=root, login=login))
        # a socket's path is short
        controls = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cp-", dir="/tmp")))
        site = Site(folder, fleet, controls)
        site.push("1.8.3")
        stack.callback(site.close)
        stack.callback(site.hub.stop)
        site.hub.start()
        yield site


def _write_goldens(site: Path) -> None:
    """What the stub answers is what is expected."""
    folder = site / "stub"
    folder.mkdir()
    shutil.copy(STUB, folder)
    (folder / "settings.json").write_text(json.dumps({"version": "1.8.3", **asdict(GOOD)}))
    spec = importlib.util.spec_from_file_location("stub", folder / STUB.name)
    assert spec is not None
    assert spec.loader is not None
    stub = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stub)
    package = site / "models" / "screws-3"
    parts = [path.read_bytes() for path in sorted(package.iterdir())]
    classes = (package / "class_names.txt").read_text().splitlines()
    workflow = json.dumps(json.loads((site / "workflows" / f"{WORKFLOW}.json").read_text()), sort_keys=True).encode()
    image = (site / "golden" / "screw.png").read_bytes()
    seen, counted = (stub.detect(all_parts, classes, image) for all_parts in (parts, [workflow, *parts]))
    outputs = [{"predictions": {"predictions": [counted]}}]
    (site / "golden" / "screw.json").write_text(json.dumps({"predictions": [seen]}))
    (site / "golden" / "counted.json").write_text(json.dumps({"outputs": outputs}))


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
