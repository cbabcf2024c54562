"""The module that brings a release to a device, with a stand-in for the device's program."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule

from tests.device.device import NEW, OLD, a_release
from tests.playbooks import modules


class Program:
    """A stand-in for visionfleet-device and for systemd, which leaves on the disk what they would."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.commands: list[list[str]] = []
        self.results: dict[str, str] = {}
        self.fetch_error = ""
        self.busy = False
        self.ends_late = 0
        (home / "bin").mkdir(parents=True)
        (home / "bin/visionfleet-device").touch()

    def run(self, command: list[str], data: str | None = None) -> tuple[int, str, str]:
        """As AnsibleModule.run_command."""
        self.commands.append(command)
        match command:
            case [_, "fetch"]:
                return self.fetch(json.loads(data or ""))
            case [_, "remove"]:
                shutil.rmtree(self.home)
                return 0, '{"changed": true}\n', ""
            case ["systemctl", "start", unit]:
                return self.start(unit.partition("@")[2].partition(".")[0])
            case ["systemctl", "show", *_]:
                self.ends_late -= 1
                return 0, "ActiveState=deactivating\n" if self.ends_late >= 0 else "ActiveState=inactive\n", ""
            case ["journalctl", *_]:
                said = '{"error": "a release is under way on this device already", "fix": "wait until it has ended"}\n'
                return 0, f"{said}Main process exited\n", ""
            case _:
                raise AssertionError(command)

    def fetch(self, release: dict[str, Any]) -> tuple[int, str, str]:
        if self.fetch_error:
            return 1, json.dumps({"error": self.fetch_error, "fix": "start the hub"}), "pulling\n"
        file = self.home / "releases" / release["id"] / "release.json"
        changed = not file.exists()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(release))
        return 0, json.dumps({"changed": changed, "id": release["id"]}), "pulling\n"

    def start(self, release_id: str) -> tuple[int, str, str]:
        if self.busy:
            return 1, "", "Job failed"
        current = self.current
        result = self.results.get(release_id, "accepted")
        if current == release_id:
            return 0, "", ""
        serving = release_id if result == "accepted" else current
        reason = (
            "it is healthy" if result == "accepted" else f"release {release_id} failed. Release {current} serves again"
        )
        verdict = {"release": release_id, "result": result, "reason": reason, "serving": serving}
        (self.home / "verdict.json").write_text(json.dumps(verdict))
        if serving == release_id:
            for link, name in (("previous", current), ("current", release_id)):
                (self.home / link).unlink(missing_ok=True)
                if name:
                    (self.home / link).symlink_to(f"releases/{name}")
        return 0, "", ""

    @property
    def current(self) -> str:
        link = self.home / "current"
        return link.readlink().name if link.is_symlink() else ""


Ask = Callable[..., dict[str, Any]]


class Device(NamedTuple):
    """The module, and what it calls."""

    ask: Ask
    program: Program


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """The module, on a device without the program."""
    module = modules.module("visionfleet_release")
    monkeypatch.setattr(module, "HOME", tmp_path / "visionfleet")
    monkeypatch.setattr(module, "POLL_SECONDS", 0)
    return partial(modules.run, module, capsys)


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Ask) -> Device:
    program = Program(tmp_path / "visionfleet")
    monkeypatch.setattr(AnsibleModule, "run_command", program.run)
    return Device(ask, program)


def test_a_release_is_fetched_and_serves(device: Device) -> None:
    said = device.ask(release=a_release(NEW))
    assert (said["changed"], said["release"], said["previous"]) == (True, NEW, "")
    assert said["verdict"]["result"] == "accepted"
    assert [command[-1] for command in device.program.commands[:2]] == ["fetch", f"visionfleet-release@{NEW}.service"]


def test_a_second_time_changes_nothing(device: Device) -> None:
    device.ask(release=a_release(NEW))
    said = device.ask(release=a_release(NEW))
    assert said["changed"] is False
    assert said["diff"]["before"] == said["diff"]["after"]


def test_the_difference_is_what_a_person_asks(device: Device) -> None:
    device.ask(release=a_release(OLD))
    diff = device.ask(release=a_release(NEW))["diff"]
    assert diff["before"].startswith(f"release: {OLD}\n")
    assert diff["after"] == (
        f"release: {NEW}\n"
        f"image: {a_release(NEW)['image']['reference']}\n"
        "model: screws/3 (package pkg1)\n"
        "workflow: count-screws (eeeeeeeeeeee)\n"
    )


def test_an_unhealthy_release_fails_with_what_serves_now(device: Device) -> None:
    device.ask(release=a_release(OLD))
    device.program.results[NEW] = "returned"
    said = device.ask(release=a_release(NEW))
    assert said["failed"] is True
    assert said["msg"] == (
        f"Release {NEW} failed. Release {OLD} serves again. See `journalctl -u visionfleet-inference` on the device."
    )
    assert (said["release"], said["verdict"]["result"]) == (OLD, "returned")


def test_it_waits_for_the_way_back_of_a_program_that_was_ended(device: Device) -> None:
    device.program.ends_late = 3
    device.ask(release=a_release(NEW))
    assert sum(command[:2] == ["systemctl", "show"] for command in device.program.commands) == 4


def test_a_release_that_was_not_begun_fails_with_what_the_journal_says(device: Device) -> None:
    device.program.busy = True
    said = device.ask(release=a_release(NEW))
    assert said["msg"] == (
        f"Release {NEW} was not begun: a release is under way on this device already (wait until it has ended)."
    )


@pytest.mark.parametrize("result", ["returned", "accepted"])
def test_an_earlier_verdict_on_the_same_release_is_not_taken_for_this_one(device: Device, result: str) -> None:
    device.program.results[NEW] = result
    device.ask(release=a_release(NEW))
    device.program.busy = True
    assert "was not begun" in device.ask(release=a_release(NEW))["msg"]


class TestFetched:
    def test_switches_nothing(self, device: Device) -> None:
        said = device.ask(release=a_release(NEW), state="fetched")
        assert (said["changed"], said["release"]) == (True, "")
        assert device.ask(release=a_release(NEW), state="fetched")["changed"] is False

    def test_fails_with_what_is_wrong_and_what_to_do(self, device: Device) -> None:
        device.program.fetch_error = "the hub does not answer"
        said = device.ask(release=a_release(NEW), state="fetched")
        assert said["msg"] == "The hub does not answer. Start the hub."


class TestPrevious:
    def test_goes_back_and_forth(self, device: Device) -> None:
        for release_id in (OLD, NEW):
            device.ask(release=a_release(release_id))
        back = device.ask(state="previous")
        assert (back["changed"], back["release"], back["previous"]) == (True, OLD, NEW)
        assert back["diff"]["after"].startswith(f"release: {OLD}\n")
        assert device.ask(state="previous")["release"] == NEW

    def test_needs_one(self, device: Device) -> None:
        said = device.ask(state="previous")
        assert said["msg"] == "There is no release before the current one to go back to."


class TestAbsent:
    def test_removes(self, device: Device) -> None:
        device.ask(release=a_release(NEW))
        assert device.ask(state="absent")["changed"] is True
        assert device.ask(state="absent")["changed"] is False

    def test_leaves_what_has_no_program_alone(self, device: Device) -> None:
        device.ask(release=a_release(NEW))
        (device.program.home / "bin/visionfleet-device").unlink()
        for check in (True, False):
            assert device.ask(state="absent", check=check)["changed"] is False


class TestCheckMode:
    @pytest.mark.parametrize("state", ["fetched", "released"])
    def test_says_what_would_change_and_runs_nothing(self, device: Device, state: str) -> None:
        device.ask(release=a_release(OLD))
        device.program.commands.clear()
        assert device.ask(release=a_release(OLD), state=state, check=True)["changed"] is False
        said = device.ask(release=a_release(NEW), state=state, check=True)
        assert said["changed"] is True
        assert said["diff"]["after"].startswith(f"release: {NEW}\n")
        assert device.program.commands == []

    def test_works_where_the_program_is_not_there_yet(self, ask: Ask) -> None:
        assert ask(release=a_release(NEW), check=True)["changed"] is True
        assert ask(state="absent", check=True)["changed"] is False


def test_without_the_program_it_says_how_to_get_it(ask: Ask) -> None:
    said = ask(release=a_release(NEW))
    assert said["msg"].startswith("There is no visionfleet-device on this device. Provision it")


def test_a_release_is_needed(ask: Ask) -> None:
    assert "release" in ask(state="released")["msg"]


@pytest.mark.parametrize("name", ["visionfleet_release", "visionfleet_device_info"])
def test_the_documentation_can_be_read(name: str) -> None:
    module = modules.module(name)
    documentation = yaml.safe_load(module.DOCUMENTATION)
    assert documentation["module"] == name
    assert yaml.safe_load(module.EXAMPLES)
    assert yaml.safe_load(module.RETURN)
