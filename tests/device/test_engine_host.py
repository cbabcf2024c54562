"""The program on a real host: real systemd, Docker and power cuts. The server in the image is a stub, named as one.

The releases have no models: what the gate asks the server is in test_engine_server.py, what it does with a hub in
tests/edge.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.device.device import a_release
from tests.engines.debian import EDGE_DOCKER
from tests.engines.edge import EdgeHost, Fleet, edge_fleet
from tests.engines.edge_image import CRASHES_AT_START, GOOD, NEVER_READY, Behaviour, crashes_after, push_image
from tests.engines.engine import wait_until

pytestmark = pytest.mark.engine

PLAYBOOKS = Path(__file__).parents[2] / "playbooks/device"
REPOSITORY = "roboflow/roboflow-inference-server-cpu"
LIBRARY = "/opt/visionfleet/lib"
PROGRAM = "/opt/visionfleet/bin/visionfleet-device"
COMMAND = '#!/bin/sh\nPYTHONPATH=/opt/visionfleet/lib exec /usr/bin/python3 -m visionfleet_device "$@"\n'
FIRST, NEXT, SILENT, CRASHING, FAINT, SLOW = (f"{number:012x}" for number in range(1, 7))
WRITE = """
import json, sys
sys.path.insert(0, "/opt/visionfleet/lib")
from visionfleet_device import bundle, images
from visionfleet_device.docker import Docker
from visionfleet_device.paths import Paths
release = json.loads(sys.argv[1])
bundle.write(Paths(), release, images.fetch(Docker(), release["image"]))
"""
BEHAVIOURS: dict[str, tuple[Behaviour, dict[str, float]]] = {
    FIRST: (GOOD, {"ready_seconds": 60, "soak_seconds": 1}),
    NEXT: (GOOD, {"ready_seconds": 60, "soak_seconds": 1}),
    SILENT: (NEVER_READY, {"ready_seconds": 5, "soak_seconds": 1}),
    CRASHING: (CRASHES_AT_START, {"ready_seconds": 60, "soak_seconds": 1}),
    FAINT: (crashes_after(8), {"ready_seconds": 60, "soak_seconds": 60}),
    SLOW: (GOOD, {"ready_seconds": 60, "soak_seconds": 600}),
}


class Device(NamedTuple):
    """A host with the program, and where its images are from."""

    host: EdgeHost
    fleet: Fleet

    def fetch(self, release_id: str) -> None:
        """As the program does it, without a hub."""
        behaviour, health = BEHAVIOURS[release_id]
        digest = push_image(self.fleet.registry, REPOSITORY, release_id, behaviour)
        image = {"reference": f"{self.fleet.registry.host}/{REPOSITORY}@{digest}", "digest": digest}
        content = a_release(release_id, image=image, health=health, models=[], goldens=[], workflows=[])
        self.host.check("python3", "-c", WRITE, json.dumps(content), seconds=360)

    def release(self, release_id: str) -> dict[str, Any]:
        """As the module does it; gives the verdict."""
        self.fetch(release_id)
        self.host.run("systemctl", "start", f"visionfleet-release@{release_id}.service", seconds=540)
        return self.verdict

    def begin(self, release_id: str) -> None:
        """Release, and wait until it serves on trial."""
        self.fetch(release_id)
        self.host.check("systemctl", "start", "--no-block", f"visionfleet-release@{release_id}.service")
        self.wait_for(release_id)

    def wait_for(self, release_id: str) -> None:
        """Until it serves."""
        wait_until(lambda: self._serves(release_id), f"{release_id} serves", 360)

    @property
    def verdict(self) -> dict[str, Any]:
        return json.loads(self.host.check("cat", "/opt/visionfleet/verdict.json"))

    @property
    def info(self) -> dict[str, Any]:
        return json.loads(self.host.check(PROGRAM, "info"))

    def _serves(self, release_id: str) -> bool:
        done = self.host.run(PROGRAM, "info")
        said = json.loads(done.stdout)
        return done.returncode == 0 and said["current"] == release_id and said["readiness"]


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """The first release serves."""
    with edge_fleet(tmp_path_factory.mktemp("fleet"), count=1, root=EDGE_DOCKER) as fleet:
        device = Device(fleet.hosts[0], fleet)
        device.host.stop()
        _install(device.host, fleet)
        device.host.start()
        device.host.check("systemctl", "enable", "visionfleet-recover.service")
        device.release(FIRST)
        yield device


def test_a_release_serves_hardened_and_on_the_loopback(device: Device) -> None:
    said = device.info
    assert (said["current"], said["readiness"], said["listening"]) == (FIRST, True, ["127.0.0.1"])
    unit = {"state": "active", "detail": "running", "restarts": 0, "enabled": True, "stale": False, "loaded": True}
    assert said["unit"] == unit
    container = said["container"]
    assert (container["read_only"], container["privileged"]) == (True, False)
    assert container["capabilities_dropped"] == ["ALL"]
    assert "no-new-privileges" in container["security_options"]
    assert not [name for name in container["variables"] if "KEY" in name]
    assert "/run/visionfleet/server.env:/app/.env:ro" in container["mounts"]
    assert said["image"]["asked_digest"] in said["image"]["digests"]


def test_the_platform_tells_that_it_runs_another_program_than_is_installed(device: Device) -> None:
    assert device.info["platform"] == {"state": "active", "stale": False}
    module = f"{LIBRARY}/visionfleet_device/platform_server.py"
    device.host.check("sh", "-c", f"echo '# newer' >>{module}")
    assert device.info["platform"] == {"state": "active", "stale": True}
    device.host.check("systemctl", "restart", "visionfleet-platform")
    assert device.info["platform"] == {"state": "active", "stale": False}


def test_the_next_one_takes_over_and_a_second_time_changes_nothing(device: Device) -> None:
    assert device.release(NEXT)["result"] == "accepted"
    container = device.info["container"]["id"]
    device.release(NEXT)
    said = device.info
    assert (said["current"], said["previous"], said["container"]["id"]) == (NEXT, FIRST, container)


@pytest.mark.parametrize(
    ("release_id", "reason"),
    [
        (SILENT, "the server was not ready within 5 s: it answers 503"),
        (CRASHING, "it said last: .*a fault that was asked for: the server crashes at its start"),
        (FAINT, "the server has ended by itself|container has ended|not any more"),
    ],
)
def test_a_broken_one_goes_back_by_itself_and_says_why(device: Device, release_id: str, reason: str) -> None:
    verdict = device.release(release_id)
    assert (verdict["result"], verdict["serving"]) == ("returned", NEXT)
    assert re.search(reason, verdict["reason"]), verdict["reason"]
    assert verdict["reason"].endswith(f"Release {NEXT} (version 1.8.2) serves again")
    assert device.info["readiness"] is True
    assert device.host.run("systemctl", "is-system-running").stdout.strip() == "running"


def test_a_program_that_is_killed_goes_back_too(device: Device) -> None:
    device.begin(SLOW)
    device.host.check("systemctl", "kill", "--signal=KILL", f"visionfleet-release@{SLOW}.service")
    wait_until(lambda: device.verdict["release"] == SLOW, "the way back", 360)
    assert device.verdict["result"] == "recovered"
    assert "it was stopped in the middle, by somebody or by a reboot" in device.verdict["reason"]
    device.wait_for(NEXT)


def test_a_power_cut_on_trial_leads_back_at_the_next_boot(device: Device) -> None:
    device.begin(SLOW)
    device.host.kill()
    device.host.start()
    device.wait_for(NEXT)
    assert "the device was restarted in the middle" in device.verdict["reason"]
    assert (device.info["trial"], device.info["previous"]) == (None, FIRST)


def test_it_starts_at_boot_without_a_network(device: Device, request: pytest.FixtureRequest) -> None:
    device.host.kill()
    device.host.start()
    device.host.cut_network()
    request.addfinalizer(device.host.restore_network)
    device.host.check("systemctl", "restart", "docker")
    device.wait_for(NEXT)


def test_a_server_that_dies_is_started_again(device: Device) -> None:
    before = device.info["container"]["id"]
    device.host.check("docker", "kill", "visionfleet-inference")
    wait_until(lambda: (device.info["container"] or {}).get("id", before) != before, "it is started again", 360)
    device.wait_for(NEXT)


def test_rollback_leads_to_the_one_before(device: Device) -> None:
    verdict = json.loads(device.host.check(PROGRAM, "rollback", seconds=360))["verdict"]
    assert (verdict["release"], verdict["result"]) == (FIRST, "accepted")
    assert (device.info["current"], device.info["previous"]) == (FIRST, NEXT)


def test_everything_goes(device: Device) -> None:
    device.host.check(PROGRAM, "remove", seconds=360)
    ours = ("/opt/visionfleet", "/var/lib/visionfleet", "/etc/visionfleet", "/run/visionfleet")
    assert [folder for folder in ours if device.host.testinfra.file(folder).exists] == []
    assert device.host.check("docker", "ps", "--all", "--quiet") == ""
    assert device.host.check("docker", "images", "--quiet", "--all") == ""
    assert "visionfleet" not in device.host.check("systemctl", "list-unit-files", "--no-legend")
    assert device.host.run("systemctl", "is-system-running").stdout.strip() == "running"


def _install(host: EdgeHost, fleet: Fleet) -> None:
    """As the role device_agent does it."""
    for file in (PLAYBOOKS / "visionfleet_device").glob("*.py"):
        host.write(f"{LIBRARY}/visionfleet_device/{file.name}", file.read_bytes())
    for unit in (PLAYBOOKS / "units").iterdir():
        host.write(f"/etc/systemd/system/{unit.name}", unit.read_bytes())
    host.write(PROGRAM, COMMAND, 0o755)
    host.write(f"/etc/docker/certs.d/{fleet.registry.host}/ca.crt", fleet.registry_ca.read_text())
