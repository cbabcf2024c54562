"""Everything of ours off the device again; Docker stays, and what other software has in it."""

from __future__ import annotations

from contextlib import suppress

from visionfleet_device import links
from visionfleet_device.errors import DeviceError
from visionfleet_device.locks import held
from visionfleet_device.machine import Machine, this_machine
from visionfleet_device.paths import (
    INFERENCE,
    INFERENCE_UNIT,
    PLATFORM_UNIT,
    RECOVER_UNIT,
    RELEASE_UNIT,
    REPORT_TIMER,
    REPORT_UNIT,
    Paths,
)
from visionfleet_device.prune import remove_but

_UNITS = (REPORT_TIMER, REPORT_UNIT, INFERENCE_UNIT, PLATFORM_UNIT, RECOVER_UNIT)


def remove(paths: Paths, machine: Machine | None = None) -> bool:
    """Stop, then remove. True where there was something. It may be cut off and done again.

    Raises Busy while a release is fetched, or switched to.

    `found.json` stays, where it is: it says what of Docker was there before, which whoever resets the host needs still.
    """
    machine = machine or this_machine(paths)
    if not any(folder.exists() for folder in (paths.home, paths.etc, paths.run)):
        return False
    with held(paths.lock, "a release"), held(paths.fetch_lock, "a fetch"):
        for unit in _UNITS:
            machine.systemd.stop(unit)
        _remove_from_docker(paths, machine)
        _remove_units(paths)
        machine.systemd.reload()
        _remove_state(paths)
        for folder in (paths.run, paths.etc):
            links.remove_folder(folder)
        links.remove(paths.program)  # before what it is made of: where it is gone, what is left is only to be removed
        links.remove_folder(paths.home)
    return True


def _remove_from_docker(paths: Paths, machine: Machine) -> None:
    with suppress(DeviceError):  # where Docker is gone already, so is what it had
        machine.docker.remove_container(INFERENCE)
    for link in (paths.trial, paths.current, paths.previous):
        links.remove(link)
    with suppress(DeviceError):
        remove_but(paths, machine.docker, set())  # every image, too


def _remove_units(paths: Paths) -> None:
    for unit in (*_UNITS, RELEASE_UNIT):
        links.remove(paths.units / unit)
        folder = paths.units / f"{unit}.d"
        links.remove_folder(folder)
        for wants in paths.units.glob("*.wants"):
            links.remove(wants / unit)


def _remove_state(paths: Paths) -> None:
    if not paths.found.exists():
        links.remove_folder(paths.state)
        return
    for entry in paths.state.iterdir():
        if entry == paths.found:
            continue
        links.remove_all(entry)
