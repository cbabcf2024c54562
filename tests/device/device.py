"""A device in a folder: stand-ins for systemd, Docker, the inference server and the clock, that go by the files there.

The stand-in for systemd reads the unit where the real one would, through the links, and starts the image that it finds
in it. What the server of a release is like, a test says in `Device.servers`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionfleet_device import bundle, links, packages, program, trial
from visionfleet_device.docker import Docker
from visionfleet_device.errors import DeviceError
from visionfleet_device.machine import Clock, Machine
from visionfleet_device.paths import INFERENCE, INFERENCE_UNIT, PLATFORM_UNIT, Paths
from visionfleet_device.server import Reply, Server
from visionfleet_device.switch import Switch
from visionfleet_device.systemd import Systemd

OLD = "0" * 11 + "a"
NEW = "0" * 11 + "b"
NEXT = "0" * 11 + "c"
DIGEST = "sha256:" + "d" * 64
WEIGHTS = b"weights"
EXPECTED = {"predictions": [{"class": "screw", "confidence": 0.9}]}
ANSWER = {"time": 0.01, "predictions": [{"class": "screw", "confidence": 0.88, "x": 10.0}]}


def sha256(content: bytes) -> str:
    """As release.json has it."""
    return hashlib.sha256(content).hexdigest()


def a_release(release_id: str, **changes: Any) -> dict[str, Any]:
    """A release with one model and one golden."""
    model = {"id": "screws/3", "package_id": "pkg1", "files": [{"name": "weights.onnx", "sha256": sha256(WEIGHTS)}]}
    golden = {"name": "screw", "model": "screws/3", "workflow": None, "task": "object-detection", "tolerance": 0.05}
    expected = json.dumps(EXPECTED).encode()
    return {
        "id": release_id,
        "workspace": "acme",
        "version": f"1.8.{int(release_id, 16)}",
        "image": {"reference": f"registry.acme.example/server@{DIGEST}", "digest": DIGEST},
        "runtime": "cpu",
        "isolation": "strict",
        "bind": "127.0.0.1",
        "port": 9001,
        "environment": {"HOST": "0.0.0.0", "PORT": "9001"},
        "models": [model],
        "workflows": [{"id": "count-screws", "sha256": "e" * 64}],
        "goldens": [{**golden, "image": sha256(b"picture"), "expected": sha256(expected)}],
        "health": {"ready_seconds": 60, "soak_seconds": 10},
        **changes,
    }


def image_of(release_id: str) -> str:
    """The id of a release's image."""
    return f"sha256:{release_id * 5}"[:71]


class TestClock(Clock):
    """Time goes by when somebody waits."""

    __test__ = False

    def __init__(self) -> None:
        self.seconds = 0.0
        self.events: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return self.seconds

    def date(self) -> int:
        return 1_800_000_000 + int(self.seconds)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        due = [event for event in self.events if event[0] <= self.seconds]
        for event in due:
            self.events.remove(event)
            event[1]()


@dataclass
class ServerBehaviour:
    """What a release's server is like."""

    ready_after: float = 3
    answer: Any = field(default_factory=lambda: ANSWER)
    status: int = 200
    loaded: tuple[str, ...] = ("screws/3",)
    starts: bool = True
    weights: bytes | None = WEIGHTS
    log: tuple[str, ...] = ()


class Device:
    """The folder, and what runs."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root)
        self.clock = TestClock()
        self.docker = _Docker(self)
        self.systemd = _Systemd(self)
        self.machine = Machine(self.docker, self.systemd, self.clock, lambda _: _Server(self))
        self.servers: dict[str, ServerBehaviour] = {}
        self.boots = 0
        self.running: str | None = None
        self.started_at = 0.0
        self.starts = 0
        self.restarts = 0
        self.exit_code = 0
        self.platform_status = program.installed(self.paths)  # what the platform said when it started
        self.images: set[str] = set()
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.boot_id()

    def fetch(self, release: dict[str, Any]) -> None:
        """What a fetch leaves."""
        for content in (b"picture", json.dumps(EXPECTED).encode(), WEIGHTS):
            links.write(self.paths.object(sha256(content)), content)
        self.images.add(image_of(release["id"]))
        bundle.write(self.paths, release, {"id": image_of(release["id"]), "digest": DIGEST})

    def released(self, *release_ids: str) -> None:
        """Fetch and release, one after the other."""
        for release_id in release_ids:
            self.fetch(a_release(release_id))
            self.switch.release(release_id)

    @property
    def switch(self) -> Switch:
        """The state machine, as a new process has it."""
        return Switch(self.paths, self.machine)

    @property
    def current(self) -> str | None:
        return trial.current(self.paths)

    @property
    def previous(self) -> str | None:
        return trial.previous(self.paths)

    @property
    def verdict(self) -> dict[str, Any]:
        return trial.verdict(self.paths)

    def server_of(self, release_id: str) -> ServerBehaviour:
        return self.servers.setdefault(release_id, ServerBehaviour())

    def cut_power(self) -> None:
        """All is gone that is not on the disk."""
        self.running = None

    def boot(self) -> None:
        """As systemd does it: recover first, then what is wanted."""
        self.boot_id()
        self.switch.recover()
        if links.exists(self.paths.inference_wanted) and self.running is None:
            self.systemd.restart(INFERENCE_UNIT)

    def boot_id(self) -> None:
        self.boots += 1
        file = self.paths.proc / "sys/kernel/random/boot_id"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"boot-{self.boots}\n")

    def start(self) -> None:
        """What the unit on the disk says."""
        unit = self.paths.inference_unit.read_text()
        found = re.search(r"sha256:\w+", unit)
        assert found, unit
        release_id = found.group()[7:19]
        behaviour = self.server_of(release_id)
        self.running, self.restarts = None, 0
        if not behaviour.starts:
            raise DeviceError("`systemctl restart visionfleet-inference.service …` failed: Job failed")
        self.running, self.started_at = release_id, self.clock.now()
        self.starts += 1
        if behaviour.weights is not None:
            take_package(self.paths, behaviour.weights)

    def end(self, code: int) -> None:
        """The server ends by itself, and systemd starts it anew."""
        running = self.running
        self.start()
        self.running, self.exit_code, self.restarts = running, code, self.restarts + 1


def take_package(paths: Paths, weights: bytes) -> None:
    """What the server does with a package: a file by its MD5, and a link to it by the container's path."""
    md5 = hashlib.md5(weights, usedforsecurity=False).hexdigest()
    blob = paths.cache / packages.BLOBS / md5
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(weights)
    file = packages.folder_of(paths, "screws/3", "pkg1") / "weights.onnx"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.symlink_to(f"/cache/shared-blobs/{md5}")


class _Docker(Docker):
    def __init__(self, device: Device) -> None:
        self._device = device

    def image(self, reference: str) -> dict[str, Any] | None:
        if reference not in self._device.images:
            return None
        return {"Id": reference, "RepoDigests": [f"registry.acme.example/server@{DIGEST}"]}

    def container(self, name: str) -> dict[str, Any] | None:
        assert name == INFERENCE
        running = self._device.running
        if running is None:
            return None
        return {
            "Id": f"container-{self._device.starts}",
            "Image": image_of(running),
            "State": {"Running": True, "StartedAt": "2026-01-01T00:00:00Z"},
            "RestartCount": 0,
            "HostConfig": {
                "Runtime": "runc",
                "Privileged": False,
                "ReadonlyRootfs": True,
                "CapDrop": ["ALL"],
                "SecurityOpt": None,
                "PortBindings": {"9001/tcp": [{"HostIp": "127.0.0.1", "HostPort": "9001"}]},
            },
            "Mounts": [
                {"Source": "/var/lib/visionfleet/cache", "Destination": "/cache", "RW": True},
                {"Source": "/run/visionfleet/server.env", "Destination": "/app/.env", "RW": False},
            ],
            "Config": {"Env": ["HOST=0.0.0.0", "PATH=/bin"], "Labels": {"visionfleet.release": running}},
        }

    def remove_container(self, name: str) -> None:
        assert name == INFERENCE
        self._device.running = None

    def remove_image(self, reference: str) -> None:
        self._device.images.discard(reference)


class _Systemd(Systemd):
    def __init__(self, device: Device) -> None:
        self._device = device
        self.started: list[str] = []
        self.stopped: list[str] = []
        self.needs_reload = False

    def reload(self) -> None:
        self.needs_reload = False

    def start(self, unit: str) -> None:
        self.started.append(unit)
        release_id = unit.partition("@")[2].partition(".")[0]
        self._device.switch.release(release_id)

    def restart(self, unit: str, *, wait: bool = True) -> None:  # noqa: ARG002 - the base's signature
        assert unit == INFERENCE_UNIT
        self._device.start()

    def stop(self, unit: str) -> None:
        self.stopped.append(unit)
        if unit == INFERENCE_UNIT:
            self._device.running = None

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        device = self._device
        said = {
            "ActiveState": "active" if device.running else "inactive",
            "SubState": "running" if device.running else "dead",
            "NRestarts": str(device.restarts),
            "ExecMainStatus": str(device.exit_code),
            "NeedDaemonReload": "yes" if self.needs_reload else "no",
            "WantedBy": "multi-user.target" if links.exists(device.paths.inference_wanted) else "",
            "LoadState": "loaded",
            "StatusText": device.platform_status if unit == PLATFORM_UNIT else "",
        }
        return {name: said[name] for name in properties}

    def journal(self, unit: str, lines: int) -> list[str]:  # noqa: ARG002 - the base's signature
        release_id = self._device.running or ""
        return list(self._device.server_of(release_id).log)[-lines:]


class _Server(Server):
    """The inference server, a stub."""

    def __init__(self, device: Device) -> None:
        self._device = device

    @property
    def _behaviour(self) -> ServerBehaviour:
        return self._device.server_of(self._device.running or "")

    def readiness(self) -> Reply:
        device = self._device
        if device.running is None:
            return Reply(0, None, "it does not answer (connection refused)")
        if device.clock.now() - device.started_at < self._behaviour.ready_after:
            return Reply(503, None, "it answers 503: not ready")
        return Reply(200, {"status": "ready"}, "")

    def registry(self) -> Reply:
        models = [{"model_id": name, "request_aliases": []} for name in self._behaviour.loaded]
        return Reply(200, {"models": models}, "")

    def infer(self, path: str, body: dict[str, Any]) -> Reply:
        self._device.requests.append((path, body))
        return Reply(self._behaviour.status, self._behaviour.answer, f"it answers {self._behaviour.status}: no")
