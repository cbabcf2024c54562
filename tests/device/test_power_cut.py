"""The plug is pulled at each step of a release, once at every single one.

A step is a call that changes a file system, or asks systemd for something. Afterwards the device boots. However far it
had come, `current` is the old release or the new one, it serves, and there is a verdict.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.device.device import NEW, NEXT, OLD, Device, a_release
from visionfleet_device import bundle, links
from visionfleet_device.errors import DeviceError

# what links.py and locks.py are made of
_CALLS = ("open", "write", "fsync", "replace", "symlink", "unlink", "mkdir", "fchmod", "rmdir")


class PowerCut(BaseException):
    """The machine is off: no code of the program runs any more."""


class Plug:
    """Counts the steps, and pulls the plug, or fills the disk, at one."""

    def __init__(self, at: int, failure: BaseException | None = None) -> None:
        self.at = at
        self.failure = failure
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps < self.at:
            return
        if self.failure is None:
            raise PowerCut  # again and again: what is in `finally` does not happen either
        if self.steps == self.at:
            raise self.failure


@contextmanager
def plugged_in(device: Device, plug: Plug) -> Iterator[None]:
    """Every step goes through the plug."""
    with pytest.MonkeyPatch.context() as patched:
        for name in _CALLS:
            patched.setattr(os, name, _counted(getattr(os, name), plug, device.paths.root))
        for name in ("reload", "restart", "stop"):
            patched.setattr(device.systemd, name, _counted(getattr(device.systemd, name), plug, None))
        yield


def _counted(call: Callable[..., Any], plug: Plug, root: Path | None) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        is_path = bool(arguments) and isinstance(arguments[0], (str, os.PathLike))
        if root is None or not is_path or str(root) in str(arguments[0]) or str(root) in str(arguments[-1]):
            plug.step()
        return call(*arguments, **options)

    return counted


def steps_of(tmp_path: Path, prepare: Callable[[Device], None], run: Callable[[Device], object]) -> int:
    """How many steps it takes when nothing happens."""
    device = Device(tmp_path / "counted")
    prepare(device)
    plug = Plug(at=10**9)
    with plugged_in(device, plug), suppress(DeviceError):
        run(device)
    return plug.steps


def assert_whole(device: Device, *allowed: str | None) -> None:
    """Old or new, never neither; it serves, and the verdict says so."""
    assert device.current in allowed
    assert device.running == device.current
    assert device.previous != device.current or device.current is None
    assert device.previous is None or bundle.is_whole(device.paths, device.previous)
    assert not device.paths.trial.exists()
    if device.current is not None:
        assert bundle.is_whole(device.paths, device.current)
        assert device.paths.inference_unit.resolve() == device.paths.bundle(device.current).unit.resolve()
        assert links.exists(device.paths.inference_wanted)
    assert device.verdict.get("serving") == device.current
    if device.verdict:
        assert (device.verdict["result"] == "accepted") == (device.verdict["release"] == device.current)


def assert_stays(device: Device) -> None:
    """A second recover changes nothing."""
    before = _content(device.paths.home), device.starts
    assert device.switch.recover() == {"changed": False}
    assert (_content(device.paths.home), device.starts) == before


def _content(folder: Path) -> dict[str, str | bytes]:
    return {
        str(path): links.target_of(path) or path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def first_release(device: Device) -> None:
    device.fetch(a_release(NEW))


def second_release(device: Device) -> None:
    device.released(OLD)
    device.fetch(a_release(NEW))


def third_release(device: Device) -> None:
    device.released(NEXT, OLD)
    device.fetch(a_release(NEW))


def bad_release(device: Device) -> None:
    third_release(device)
    device.server_of(NEW).status = 500


def bad_first_release(device: Device) -> None:
    first_release(device)
    device.server_of(NEW).status = 500


RELEASES = {
    "first": (first_release, (None, NEW)),
    "second": (second_release, (OLD, NEW)),
    "third": (third_release, (OLD, NEW)),
    "bad": (bad_release, (OLD,)),
    "bad first": (bad_first_release, (None,)),
}


@pytest.mark.parametrize("kind", RELEASES)
def test_a_power_cut_at_each_step_leaves_old_or_new(tmp_path: Path, kind: str) -> None:
    prepare, allowed = RELEASES[kind]
    steps = steps_of(tmp_path, prepare, lambda device: device.switch.release(NEW))
    assert steps >= 30
    ends: set[str | None] = set()
    for at in range(1, steps + 1):
        device = Device(tmp_path / str(at))
        prepare(device)
        with plugged_in(device, Plug(at)), suppress(PowerCut):
            device.switch.release(NEW)
        device.cut_power()
        device.boot()
        assert_whole(device, *allowed)
        assert_stays(device)
        ends.add(device.current)
    assert ends == set(allowed), "each end is reached by some cut"


@pytest.mark.parametrize("kind", RELEASES)
def test_so_does_one_in_the_middle_of_going_back(tmp_path: Path, kind: str) -> None:
    prepare, allowed = RELEASES[kind]

    def interrupted(device: Device) -> None:
        prepare(device)
        device.clock.events.append((device.clock.now() + 1, _cut))
        with suppress(PowerCut):
            device.switch.release(NEW)
        device.cut_power()

    steps = steps_of(tmp_path, interrupted, lambda device: device.switch.recover())
    for at in range(1, steps + 1):
        device = Device(tmp_path / str(at))
        interrupted(device)
        with plugged_in(device, Plug(at)), suppress(PowerCut):
            device.boot()
        device.cut_power()
        device.boot()
        assert_whole(device, *allowed)
        assert device.current == allowed[0], "a release that was not judged to the end does not stay"
        assert_stays(device)


@pytest.mark.parametrize("kind", RELEASES)
def test_a_full_disk_at_each_step_leaves_old_or_new(tmp_path: Path, kind: str) -> None:
    prepare, allowed = RELEASES[kind]
    steps = steps_of(tmp_path, prepare, lambda device: device.switch.release(NEW))
    for at in range(1, steps + 1):
        device = Device(tmp_path / str(at))
        prepare(device)
        full = OSError(errno.ENOSPC, "No space left on device")
        with plugged_in(device, Plug(at, full)), suppress(DeviceError, OSError):
            device.switch.release(NEW)
        device.switch.recover()  # as the unit does when the program ends
        assert_whole(device, *allowed)
        assert_stays(device)


def test_the_reason_tells_a_restart_from_a_program_that_was_ended(device: Device) -> None:
    second_release(device)
    device.clock.events.append((1, _cut))
    with suppress(PowerCut):
        device.switch.release(NEW)
    device.switch.recover()
    assert device.verdict["result"] == "recovered"
    assert device.verdict["reason"] == (
        f"release {NEW} was not judged to the end: it was stopped in the middle, by somebody or by a reboot. "
        f"Release {OLD} was started again"
    )
    device.clock.events.append((device.clock.now() + 1, _cut))
    with suppress(PowerCut):
        device.switch.release(NEW)
    device.cut_power()
    device.boot()
    assert "the device was restarted in the middle, by a power cut or a reboot" in device.verdict["reason"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"number": "1", "to": 5}', "\x00" * 200])
@pytest.mark.parametrize("at", ["before the switch", "after the switch"])
def test_a_trial_that_cannot_be_read_leads_to_what_served(device: Device, content: str, at: str) -> None:
    device.released(NEXT, OLD)
    device.fetch(a_release(NEW))
    if at == "after the switch":
        links.point(device.paths.previous, f"releases/{OLD}")
        links.point(device.paths.current, f"releases/{NEW}")
    device.paths.trial.write_text(content)
    device.cut_power()
    device.boot()
    assert_whole(device, OLD)
    assert ("trial.json cannot be read" in device.verdict["reason"]) == (at == "after the switch")
    assert_stays(device)


def test_a_link_that_leads_nowhere_is_mended_with_the_release_before(device: Device) -> None:
    device.released(OLD, NEW)
    links.remove_folder(device.paths.bundle(NEW).folder)
    device.cut_power()
    device.boot()
    assert_whole(device, OLD)
    assert (
        device.verdict["reason"]
        == f"release {NEW} is not whole on the disk any more. Release {OLD} was started in its place"
    )
    assert_stays(device)


def test_where_nothing_is_whole_nothing_serves(device: Device) -> None:
    device.released(OLD, NEW)
    links.remove_folder(device.paths.releases)
    device.cut_power()
    device.boot()
    assert (device.current, device.previous, device.running) == (None, None, None)
    assert_stays(device)


def test_a_previous_that_leads_nowhere_is_forgotten(device: Device) -> None:
    device.released(OLD, NEW)
    links.remove_folder(device.paths.bundle(OLD).folder)
    assert device.switch.recover() == {"changed": True}
    assert (device.current, device.previous) == (NEW, None)


def test_what_is_renamed_is_on_the_disk_before_and_its_folder_after(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its folder after. Without it, a power cut may leave an empty file under the right name."""
    second_release(device)
    log: list[tuple[str, str]] = []
    opened: dict[int, str] = {}
    real = {name: getattr(os, name) for name in ("open", "fsync", "replace")}

    def open_(path: Any, *arguments: Any, **options: Any) -> int:
        descriptor = int(real["open"](path, *arguments, **options))
        opened[descriptor] = str(path)
        return descriptor

    def fsync(descriptor: int) -> None:
        log.append(("fsync", opened[descriptor]))
        real["fsync"](descriptor)

    def replace(source: Any, target: Any, **options: Any) -> None:
        log.append(("replace", str(source)))
        real["replace"](source, target, **options)

    for name, patch in {"open": open_, "fsync": fsync, "replace": replace}.items():
        monkeypatch.setattr(os, name, patch)
    device.switch.release(NEW)
    renamed = [index for index, (call, _) in enumerate(log) if call == "replace"]
    assert len(renamed) == 4, "trial, previous, current, verdict"
    for index in renamed:
        path = log[index][1]
        assert log[index + 1] == ("fsync", str(Path(path).parent))
        assert path.endswith(("current.new", "previous.new")) or log[index - 1] == ("fsync", path)


class Releases(RuleBasedStateMachine):
    """Any order of releases, rollbacks, cuts at any step, boots and broken servers."""

    folder: Path
    count = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).count += 1
        self.device = Device(self.folder / str(self.count))
        self.device.released(OLD)

    @rule(release_id=st.sampled_from([OLD, NEW, NEXT]), at=st.integers(1, 120), is_bad=st.booleans())
    def release(self, release_id: str, at: int, *, is_bad: bool) -> None:
        self.device.fetch(a_release(release_id))
        self.device.server_of(release_id).status = 500 if is_bad else 200
        self._run(at, lambda: self.device.switch.release(release_id))
        self.device.server_of(release_id).status = 200

    @rule(at=st.integers(1, 120))
    def rollback(self, at: int) -> None:
        self._run(at, self.device.switch.rollback)

    @rule(at=st.integers(1, 30))
    def recover(self, at: int) -> None:
        self._run(at, self.device.switch.recover)

    @invariant()
    def something_serves(self) -> None:
        assert_whole(self.device, OLD, NEW, NEXT)

    def _run(self, at: int, run: Callable[[], object]) -> None:
        try:
            with plugged_in(self.device, Plug(at)), suppress(DeviceError):
                run()
        except PowerCut:
            self.device.cut_power()
            self.device.boot()


def test_in_any_order(tmp_path: Path) -> None:
    machine = type("Releases", (Releases,), {"folder": tmp_path})
    run_state_machine_as_test(machine, settings=settings(stateful_step_count=8))


def _cut() -> None:
    raise PowerCut
