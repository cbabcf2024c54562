"""What runs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tests.device.device import DIGEST, NEW, OLD, Device, image_of
from visionfleet_device.__main__ import main
from visionfleet_device.errors import DeviceError
from visionfleet_device.info import info, listening
from visionfleet_device.paths import PLATFORM_UNIT

# lines of a kernel's /proc/net: sshd on every address, a server on the loopback, a client's connection to it
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:2329 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0200A8C0:2329 0500A8C0:D431 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000000000000:2329 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: 00000000000000000000000001000000:2329 00000000000000000000000000000000:0000 0A 00000000:00000000
"""


@pytest.fixture
def running(device: Device) -> Device:
    device.released(OLD, NEW)
    (device.paths.proc / "net").mkdir(parents=True)
    (device.paths.proc / "net/tcp").write_text(TCP)
    return device


def test_says_what_runs(running: Device) -> None:
    said = info(running.paths, running.machine)
    assert (said["current"], said["previous"], said["trial"]) == (NEW, OLD, None)
    assert said["verdict"]["result"] == "accepted"
    assert said["release"]["version"] == "1.8.11"
    assert said["unit"] == {
        "state": "active",
        "detail": "running",
        "restarts": 0,
        "enabled": True,
        "stale": False,
        "loaded": True,
    }
    assert said["readiness"] is True
    assert said["listening"] == ["127.0.0.1"]
    assert said["packages"] == [{"model": "screws/3", "package": "pkg1", "problem": None}]
    json.dumps(said)


def test_says_whether_the_platform_runs_another_program_than_is_installed(running: Device) -> None:
    assert info(running.paths, running.machine)["platform"] == {"state": "active", "stale": False}
    for said in ("", "program 0c5d2e77a1f4"):  # one that was never heard of, as of a program that did not tell
        running.platform_status = said
        assert info(running.paths, running.machine)["platform"]["stale"] is True


def test_a_unit_that_is_new_makes_the_platform_stale_too(running: Device) -> None:
    (running.paths.units / PLATFORM_UNIT).write_text("[Service]\n")
    assert info(running.paths, running.machine)["platform"]["stale"] is True


def test_says_which_image_runs_and_which_was_asked_for(running: Device) -> None:
    assert info(running.paths, running.machine)["image"] == {
        "id": image_of(NEW),
        "digests": [DIGEST],
        "asked": f"registry.acme.example/server@{DIGEST}",
        "asked_digest": DIGEST,
    }


def test_names_variables_but_not_their_values(running: Device) -> None:
    container = info(running.paths, running.machine)["container"]
    assert container["variables"] == ["HOST", "PATH"]
    assert "0.0.0.0" not in json.dumps(container)


def test_mounts_are_in_one_order_whatever_dockers(running: Device) -> None:
    container = info(running.paths, running.machine)["container"]
    assert container["mounts"] == [
        "/run/visionfleet/server.env:/app/.env:ro",
        "/var/lib/visionfleet/cache:/cache:rw",
    ]


def test_reads_ipv6_too(running: Device) -> None:
    (running.paths.proc / "net/tcp6").write_text(TCP6)
    assert listening(running.paths, 9001) == ["127.0.0.1", "::", "::1"]
    assert listening(running.paths, 9002) == []


def test_says_little_of_a_device_with_nothing(device: Device) -> None:
    said = info(device.paths, device.machine)
    assert (said["current"], said["release"], said["container"], said["image"]) == (None, None, None, None)
    assert (said["readiness"], said["listening"], said["packages"]) == (False, [], [])


def test_says_so_where_docker_does_not_answer(running: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_: str) -> None:
        raise DeviceError("docker did not answer")

    monkeypatch.setattr(running.docker, "container", silent)
    said = info(running.paths, running.machine)
    assert said["container"] == {"error": "docker did not answer"}
    assert said["image"] is None


def test_the_command_answers_errors_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["release", "nonsense"], root=str(tmp_path)) == 1
    said = json.loads(capsys.readouterr().out)
    assert said == {"error": "'nonsense' is no release id", "fix": "give the 12 hexadecimal digits of a release"}


def test_the_command_takes_only_a_release(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("", "[]", '{"id": 3}'):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        assert main(["fetch"], root=str(tmp_path)) == 1
        assert "standard input is no" in json.loads(capsys.readouterr().out)["error"]
