"""Everything of ours goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.device.device import NEW, NEXT, OLD, Device, a_release
from tests.device.test_power_cut import Plug, PowerCut, plugged_in
from visionfleet_device import links
from visionfleet_device.errors import Busy
from visionfleet_device.locks import held
from visionfleet_device.remove import remove

UNITS = Path(__file__).parents[2] / "playbooks/device/units"


@pytest.fixture
def provisioned(device: Device) -> Device:
    """As the roles leave it."""
    device.released(OLD, NEW)
    device.fetch(a_release(NEXT))
    for unit in UNITS.iterdir():
        (device.paths.units / unit.name).write_bytes(unit.read_bytes())
    wants = device.paths.units / "timers.target.wants"
    wants.mkdir()
    (wants / "visionfleet-report.timer").symlink_to(device.paths.units / "visionfleet-report.timer")
    (device.paths.units / "visionfleet-report.timer.d").mkdir()
    (device.paths.units / "visionfleet-report.timer.d/interval.conf").touch()
    for file in (device.paths.device, device.paths.key, device.paths.server_env, device.paths.client_keys):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    (device.paths.units / "ssh.service").touch()
    return device


def left(device: Device) -> list[str]:
    files = [path for path in device.paths.root.rglob("*") if path.is_symlink() or path.is_file()]
    return sorted(str(path.relative_to(device.paths.root)) for path in files if "proc" not in path.parts)


def test_nothing_is_left_but_what_is_somebody_elses(provisioned: Device) -> None:
    assert remove(provisioned.paths, provisioned.machine) is True
    assert left(provisioned) == ["etc/systemd/system/ssh.service"]
    assert provisioned.running is None
    assert provisioned.images == set()


def test_every_unit_of_ours_is_stopped(provisioned: Device) -> None:
    remove(provisioned.paths, provisioned.machine)
    ours = {unit.name for unit in UNITS.iterdir() if "@" not in unit.name} | {"visionfleet-inference.service"}
    assert set(provisioned.systemd.stopped) == ours


def test_a_second_time_changes_nothing(provisioned: Device) -> None:
    remove(provisioned.paths, provisioned.machine)
    assert remove(provisioned.paths, provisioned.machine) is False
    assert not provisioned.paths.home.exists()


@pytest.mark.parametrize("lock", ["lock", "fetch_lock"])
def test_nothing_goes_while_somebody_is_at_it(provisioned: Device, lock: str) -> None:
    before = left(provisioned)
    with held(getattr(provisioned.paths, lock), "it"), pytest.raises(Busy):
        remove(provisioned.paths, provisioned.machine)
    assert left(provisioned) == sorted({*before, f"opt/visionfleet/{getattr(provisioned.paths, lock).name}"})


def test_what_was_found_stays_for_the_reset(provisioned: Device) -> None:
    provisioned.paths.found.write_text(json.dumps({"docker": False}))
    remove(provisioned.paths, provisioned.machine)
    assert left(provisioned) == ["etc/systemd/system/ssh.service", "var/lib/visionfleet/found.json"]


def test_the_program_goes_before_what_it_is_made_of_and_after_all_that_it_is_to_remove(
    provisioned: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So whoever finds it can run it, and whoever does not has files alone to remove."""
    links.write(provisioned.paths.program, b"")
    seen: list[bool] = []

    def remove_folder(folder: Path) -> None:
        if folder == provisioned.paths.home:
            seen.append(provisioned.paths.program.exists())
            assert {path.split("/")[0] for path in left(provisioned)} == {"etc", "opt"}
            assert left(provisioned)[0] == "etc/systemd/system/ssh.service"
        real(folder)

    real = links.remove_folder
    monkeypatch.setattr(links, "remove_folder", remove_folder)
    remove(provisioned.paths, provisioned.machine)
    assert seen == [False]


def test_cut_off_at_any_step_it_can_be_done_again(provisioned: Device) -> None:
    at = 0
    while True:
        at += 1
        try:
            with plugged_in(provisioned, Plug(at)):
                remove(provisioned.paths, provisioned.machine)
        except PowerCut:
            continue
        break
    assert at > 10
    assert left(provisioned) == ["etc/systemd/system/ssh.service"]
