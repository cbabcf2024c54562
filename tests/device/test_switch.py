"""Releases on a device, as long as nobody pulls the plug (test_power_cut.py)."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from tests.device.device import NEW, NEXT, OLD, Device, a_release, image_of
from visionfleet_device import links, trial
from visionfleet_device.errors import Busy, DeviceError
from visionfleet_device.locks import held


def test_the_first_release_serves(device: Device) -> None:
    device.fetch(a_release(NEW))
    answer = device.switch.release(NEW)
    assert answer["changed"] is True
    assert (device.current, device.previous, device.running) == (NEW, None, NEW)
    assert device.verdict == {
        "trial": device.verdict["trial"],
        "release": NEW,
        "result": "accepted",
        "reason": "it is healthy",
        "serving": NEW,
        "at": device.verdict["at"],
    }
    assert not device.paths.trial.exists()


def test_the_next_one_keeps_the_one_before(device: Device) -> None:
    device.released(OLD, NEW)
    assert (device.current, device.previous, device.running) == (NEW, OLD, NEW)


def test_links_lead_where_systemd_and_people_look(device: Device) -> None:
    device.released(NEW)
    assert links.target_of(device.paths.current) == f"releases/{NEW}"
    assert device.paths.inference_unit.resolve() == device.paths.bundle(NEW).unit.resolve()
    assert device.paths.inference_wanted.resolve() == device.paths.bundle(NEW).unit.resolve()


def test_an_unhealthy_release_goes_back_and_says_what_failed_and_what_serves(device: Device) -> None:
    device.released(OLD)
    device.fetch(a_release(NEW))
    device.server_of(NEW).answer = {"predictions": []}
    with pytest.raises(DeviceError, match=f"release {NEW} failed: golden 'screw'"):
        device.switch.release(NEW)
    assert (device.current, device.previous, device.running) == (OLD, None, OLD)
    assert device.verdict["result"] == "returned"
    assert device.verdict["serving"] == OLD
    assert device.verdict["reason"] == (
        f"release {NEW} failed: golden 'screw' is answered otherwise than expected: "
        f"the answer.predictions has 0 entries, expected 1. Release {OLD} (version 1.8.10) serves again"
    )
    assert not device.paths.trial.exists()


def test_going_back_restores_what_was_previous(device: Device) -> None:
    device.released(OLD, NEW)
    device.fetch(a_release(NEXT))
    device.server_of(NEXT).starts = False
    with pytest.raises(DeviceError, match="cannot be started"):
        device.switch.release(NEXT)
    assert (device.current, device.previous, device.running) == (NEW, OLD, NEW)


def test_a_first_release_that_fails_leaves_nothing(device: Device) -> None:
    device.fetch(a_release(NEW))
    device.server_of(NEW).status = 500
    with pytest.raises(DeviceError, match=r"Nothing serves now: there was no release before it"):
        device.switch.release(NEW)
    assert (device.current, device.previous, device.running) == (None, None, None)
    assert (device.verdict["result"], device.verdict["serving"]) == ("returned", None)
    assert not links.exists(device.paths.inference_unit)
    assert not links.exists(device.paths.inference_wanted)


def test_it_says_so_where_the_old_one_does_not_serve_either(device: Device) -> None:
    device.released(OLD)
    device.fetch(a_release(NEW))
    device.server_of(NEW).status = 500
    device.server_of(OLD).ready_after = 1000
    with pytest.raises(DeviceError, match=f"Release {OLD} was started again, but does not serve either: .* 60 s"):
        device.switch.release(NEW)
    assert device.current == OLD


def test_a_gate_that_breaks_leads_back(device: Device) -> None:
    device.released(OLD)
    broken = a_release(NEW)
    del broken["health"]["soak_seconds"]
    device.fetch(broken)
    with pytest.raises(DeviceError, match="could not be judged: KeyError"):
        device.switch.release(NEW)
    assert (device.current, device.running) == (OLD, OLD)


class TestWhatIsCurrentAlready:
    def test_changes_nothing(self, device: Device) -> None:
        device.released(NEW)
        before = (device.verdict, device.starts)
        device.clock.seconds += 100
        assert device.switch.release(NEW)["changed"] is False
        assert (device.verdict, device.starts) == before

    def test_is_started_where_it_is_down(self, device: Device) -> None:
        device.released(NEW)
        device.running = None
        assert device.switch.release(NEW)["changed"] is True
        assert device.running == NEW
        assert device.verdict["reason"] == "it was current, but did not serve: it was started anew"

    def test_is_waited_for_where_it_is_not_ready_yet(self, device: Device) -> None:
        device.released(NEW)
        device.cut_power()
        device.boot()
        starts = device.starts
        assert device.switch.release(NEW)["changed"] is False
        assert device.starts == starts

    def test_is_started_anew_where_its_unit_was_written_anew(self, device: Device) -> None:
        device.released(NEW)
        device.systemd.needs_reload = True
        device.switch.release(NEW)
        assert device.starts == 2

    @pytest.mark.parametrize("fault", [{"starts": False}, {"status": 500}])
    def test_makes_room_for_the_one_before_where_it_cannot_be_brought_up(
        self, device: Device, fault: dict[str, Any]
    ) -> None:
        device.released(OLD, NEW)
        device.running = None
        vars(device.server_of(NEW)).update(fault)
        with pytest.raises(DeviceError, match=f"release {NEW} is current already, but does not serve: .* serves again"):
            device.switch.release(NEW)
        assert (device.current, device.previous, device.running) == (OLD, None, OLD)
        assert (device.verdict["result"], device.verdict["serving"]) == ("returned", OLD)
        assert not device.paths.trial.exists()

    def test_is_no_success_where_there_is_none_before(self, device: Device) -> None:
        device.released(NEW)
        device.running = None
        device.server_of(NEW).starts = False
        with pytest.raises(DeviceError, match=f"release {NEW} is current already, but does not serve"):
            device.switch.release(NEW)
        assert (device.verdict["result"], device.verdict["serving"], device.current) == ("refused", None, NEW)

    def test_is_left_alone_where_nobody_can_tell(self, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
        device.released(OLD, NEW)

        def away(_: str) -> None:
            raise DeviceError("Docker does not answer")

        monkeypatch.setattr(device.docker, "container", away)
        with pytest.raises(DeviceError, match=r"nobody can tell whether .* Docker does not answer"):
            device.switch.release(NEW)
        assert (device.current, device.running) == (NEW, NEW)
        assert (device.verdict["result"], device.verdict["serving"]) == ("refused", NEW)

    def test_is_put_into_its_place_again(self, device: Device) -> None:
        device.released(NEW)
        device.paths.inference_wanted.unlink()
        device.switch.release(NEW)
        assert links.exists(device.paths.inference_wanted)


class TestRollback:
    def test_leads_to_the_one_before_through_the_same_gate(self, device: Device) -> None:
        device.released(OLD, NEW)
        assert device.switch.rollback()["verdict"]["release"] == OLD
        assert (device.current, device.previous, device.running) == (OLD, NEW, OLD)
        assert device.systemd.started == [f"visionfleet-release@{OLD}.service"]

    def test_twice_leads_forth_again(self, device: Device) -> None:
        device.released(OLD, NEW)
        device.switch.rollback()
        device.switch.rollback()
        assert (device.current, device.previous, device.running) == (NEW, OLD, NEW)

    def test_fails_where_the_one_before_is_not_healthy_any_more(self, device: Device) -> None:
        device.released(OLD, NEW)
        device.server_of(OLD).status = 500
        with pytest.raises(DeviceError, match=f"release {OLD} failed"):
            device.switch.rollback()
        assert (device.current, device.previous, device.running) == (NEW, OLD, NEW)

    def test_needs_one(self, device: Device) -> None:
        device.released(NEW)
        with pytest.raises(DeviceError, match="no release before the current one"):
            device.switch.rollback()


@pytest.mark.parametrize("part", ["release.json", "image.json", "inference.service", "inference.env"])
def test_a_release_that_is_not_whole_is_refused(device: Device, part: str) -> None:
    device.released(OLD)
    device.fetch(a_release(NEW))
    (device.paths.bundle(NEW).folder / part).unlink()
    with pytest.raises(DeviceError, match=f"release {NEW} is not on this device.* Release {OLD} serves on"):
        device.switch.release(NEW)
    assert (device.current, device.running, device.verdict["result"]) == (OLD, OLD, "refused")


def test_a_way_back_that_was_not_begun_is_not_told_by_an_earlier_verdict(device: Device) -> None:
    device.released(OLD, NEW)
    with held(device.paths.lock, "a release"), pytest.raises(DeviceError, match=f"release {OLD} was not begun"):
        device.switch.rollback()
    assert device.current == NEW


@pytest.mark.parametrize("name", ["", "..", "../../etc", "0" * 11, "ABCDEFABCDEF"])
def test_what_is_no_release_id_never_becomes_a_path(device: Device, name: str) -> None:
    with pytest.raises(DeviceError, match="no release id"):
        device.switch.release(name)


def test_two_at_once_are_one(device: Device) -> None:
    device.released(OLD)
    device.fetch(a_release(NEW))
    with held(device.paths.lock, "a release"):
        with pytest.raises(Busy, match="a release is under way"):
            device.switch.release(NEW)
        assert device.switch.recover() == {"changed": False}
    assert device.current == OLD


def test_the_one_that_ends_does_not_undo_the_other_ones_trial(device: Device) -> None:
    device.released(OLD)
    device.fetch(a_release(NEW))
    device.fetch(a_release(NEXT))

    def meanwhile() -> None:
        with pytest.raises(Busy):
            device.switch.release(NEXT)
        device.switch.recover()  # as its unit does when it ends

    device.clock.events.append((1, meanwhile))
    device.switch.release(NEW)
    assert (device.current, device.running) == (NEW, NEW)
    assert not device.clock.events


def test_a_full_disk_before_the_switch_changes_nothing(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    device.released(OLD)
    device.fetch(a_release(NEW))

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.write", full)
        with pytest.raises(OSError, match="No space left"):
            device.switch.release(NEW)
    device.switch.recover()
    assert (device.current, device.previous, device.running, device.verdict["release"]) == (OLD, None, OLD, OLD)


class TestADiskThatIsFullFromTheGateOn:
    """All writing fails, but for what the reserve has room for."""

    @pytest.fixture
    def judged(self, device: Device, monkeypatch: pytest.MonkeyPatch) -> Device:
        device.released(OLD)
        device.fetch(a_release(NEW))
        write = os.write

        def full(descriptor: int, content: bytes) -> int:
            if links.exists(device.paths.reserve):
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(descriptor, content)

        device.clock.events.append((device.clock.now() + 1, lambda: monkeypatch.setattr(os, "write", full)))
        return device

    def test_takes_the_verdict_on_a_healthy_release(self, judged: Device) -> None:
        judged.switch.release(NEW)
        assert (judged.current, judged.running, judged.verdict["result"]) == (NEW, NEW, "accepted")
        assert not judged.paths.trial.exists()

    def test_takes_that_on_a_broken_one(self, judged: Device) -> None:
        judged.server_of(NEW).status = 500
        with pytest.raises(DeviceError, match=f"Release {OLD} .* serves again"):
            judged.switch.release(NEW)
        assert (judged.current, judged.running, judged.verdict["result"]) == (OLD, OLD, "returned")
        starts = judged.starts
        assert judged.switch.recover() == {"changed": False}
        assert judged.starts == starts

    def test_has_a_reserve_again_when_there_is_room(self, judged: Device, monkeypatch: pytest.MonkeyPatch) -> None:
        judged.switch.release(NEW)
        assert not judged.paths.reserve.exists()
        monkeypatch.undo()
        judged.released(NEXT)
        assert judged.paths.reserve.stat().st_size == 64 * 1024


def test_going_back_does_not_start_anew_what_runs_already(device: Device) -> None:
    device.released(OLD)
    trial.begin(device.paths, NEW, 0)
    starts = device.starts
    device.switch.recover()
    assert device.starts == starts
    assert device.verdict["reason"].endswith(f"Release {OLD} runs on")


def test_what_is_not_needed_any_more_goes(device: Device) -> None:
    device.released(OLD, NEW, NEXT)
    assert sorted(folder.name for folder in device.paths.releases.iterdir()) == [NEW, NEXT]
    assert device.images == {image_of(NEW), image_of(NEXT)}


def test_the_server_does_not_keep_to_the_package_that_the_release_before_had(device: Device) -> None:
    """Server 1.8.3 remembers for a day which package of a model it chose."""
    choices = device.paths.cache / "auto-resolution-cache"
    for run in (lambda: device.released(OLD), device.switch.recover):
        links.write(choices / "choice.json", b"{}")
        links.write(device.paths.trial, b"{")
        device.cut_power()
        run()
        assert not choices.exists()


def test_what_the_server_writes_while_it_ends_is_forgotten_too(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    device.released(OLD)
    device.fetch(a_release(NEW))
    choices, stop = device.paths.cache / "auto-resolution-cache", device.systemd.stop

    def stops(unit: str) -> None:
        links.write(choices / "choice.json", b"{}")
        stop(unit)

    monkeypatch.setattr(device.systemd, "stop", stops)
    device.switch.release(NEW)
    assert device.systemd.stopped == ["visionfleet-inference.service"]
    assert not choices.exists()
