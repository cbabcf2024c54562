"""How the device is, as far as it knows: what serves, temperature, disk, memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from visionfleet_device import links, trial
from visionfleet_device.docker import digests_of
from visionfleet_device.errors import DeviceError
from visionfleet_device.machine import Machine
from visionfleet_device.paths import INFERENCE, Paths

MEBIBYTE = 1024 * 1024
NO_SENSOR = "PMIC-Die"  # of Jetsons before Orin: it says 100 °C, always
SANE_CELSIUS = (-40.0, 130.0)  # a sensor that is switched off says -256 or 0.0 of something else

_VERDICT = ("release", "result", "reason", "at", "serving")


def read(paths: Paths, machine: Machine) -> dict[str, Any]:
    """A report's account of the device. What the device does not know is None."""
    current = trial.current(paths)
    release = links.read_json(paths.releases / current / "release.json") if current else None
    return {
        "release": current,
        "previous": trial.previous(paths),
        "version": release["version"] if release else None,
        **_serving(machine, release),
        "verdict": _verdict(paths),
        "temperature_celsius": temperature(paths),
        **_disk(paths),
        **_memory(paths),
        "uptime_seconds": _uptime(paths),
    }


def temperature(paths: Paths) -> float | None:
    """The highest of all sensors of the kernel that make sense, in °C."""
    zones = (paths.sys / "class/thermal").glob("thermal_zone*")
    found = [_celsius(zone / "temp") for zone in zones if _text(zone / "type").strip() != NO_SENSOR]
    lowest, highest = SANE_CELSIUS
    return max((one for one in found if one is not None and lowest < one < highest), default=None)


def _serving(machine: Machine, release: dict[str, Any] | None) -> dict[str, Any]:
    """The image and the health of what runs, whatever was asked for."""
    container, digests = _container(machine)
    image: dict[str, Any] = release["image"] if release else {}
    digest = image.get("digest") if image.get("digest") in digests else next(iter(digests), None)
    return {
        "health": _health(machine, release, is_running=container is not None),
        "image": image.get("reference") if container is not None else None,
        "digest": digest,
    }


def _health(machine: Machine, release: dict[str, Any] | None, *, is_running: bool) -> str:
    if release is None:
        return "none"
    if machine.server(release["port"]).readiness().status == 200:
        return "healthy"
    return "unready" if is_running else "stopped"


def _container(machine: Machine) -> tuple[dict[str, Any] | None, list[str]]:
    """The running container, and its image's digests. Docker itself may be down, which is no reason not to report."""
    try:
        container = machine.docker.container(INFERENCE)
        if container is None or not container["State"]["Running"]:
            return None, []
        image = machine.docker.image(container["Image"])
    except DeviceError:
        return None, []
    return container, digests_of(image) if image else []


def _verdict(paths: Paths) -> dict[str, Any] | None:
    verdict = links.read_json(paths.verdict)
    return {key: verdict[key] for key in _VERDICT if key in verdict} if verdict else None


def _celsius(file: Path) -> float | None:
    text = _text(file)  # some sensors cannot be read at all times
    try:
        return int(text) / 1000
    except ValueError:
        return None


def _disk(paths: Paths) -> dict[str, int | None]:
    try:
        status = os.statvfs(str(paths.home))
    except OSError:
        return {"disk_free_mb": None, "disk_total_mb": None}
    return {
        "disk_free_mb": status.f_bavail * status.f_frsize // MEBIBYTE,
        "disk_total_mb": status.f_blocks * status.f_frsize // MEBIBYTE,
    }


def _memory(paths: Paths) -> dict[str, int | None]:
    lines = (line.partition(":") for line in _text(paths.proc / "meminfo").splitlines())
    fields = {name: value for name, _, value in lines}
    return {
        "memory_available_mb": _from_kibibytes(fields.get("MemAvailable")),
        "memory_total_mb": _from_kibibytes(fields.get("MemTotal")),
    }


def _from_kibibytes(field: str | None) -> int | None:
    number = (field or "").split()[:1]
    return int(number[0]) // 1024 if number and number[0].isdigit() else None


def _uptime(paths: Paths) -> float | None:
    try:
        return float(_text(paths.proc / "uptime").split()[0])
    except (ValueError, IndexError):
        return None


def _text(file: Path) -> str:
    try:
        return file.read_text("ascii", errors="replace")
    except OSError:
        return ""
