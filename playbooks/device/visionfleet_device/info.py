"""What runs: asked of Docker, systemd, the kernel and the server, and not of the files that say what should."""

from __future__ import annotations

import ipaddress
from typing import Any

from visionfleet_device import VERSION, links, packages, program, trial
from visionfleet_device.docker import digests_of
from visionfleet_device.errors import DeviceError
from visionfleet_device.machine import Machine, this_machine
from visionfleet_device.paths import INFERENCE, INFERENCE_UNIT, PLATFORM_UNIT, Paths

_LISTENING = "0A"  # include/net/tcp_states.h
_UNIT = ("ActiveState", "SubState", "NRestarts", "WantedBy", "NeedDaemonReload", "LoadState")


def info(paths: Paths, machine: Machine | None = None) -> dict[str, Any]:
    """Everything that a person or a check asks first."""
    machine = machine or this_machine(paths)
    current = trial.current(paths)
    release = _release(paths, current)
    container = _container(machine)
    return {
        "program": VERSION,
        "device": links.read_json(paths.device) or {},
        "current": current,
        "previous": trial.previous(paths),
        "trial": links.read_json(paths.trial),
        "verdict": links.read_json(paths.verdict),
        "release": _summary(release),
        "unit": _unit(machine),
        "platform": _platform(paths, machine),
        "container": container,
        "image": _image(machine, container, release),
        "readiness": _readiness(machine, release),
        "listening": listening(paths, release["port"]) if release else [],
        "packages": [_package(paths, model) for model in release["models"]] if release else [],
    }


def listening(paths: Paths, port: int) -> list[str]:
    """The addresses on which something listens at a TCP port, as the kernel says (proc_net_tcp)."""
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (paths.proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            address, _, hexadecimal = fields[1].partition(":")
            if fields[3] == _LISTENING and int(hexadecimal, 16) == port:
                found.add(_address(address))
    return sorted(found)


def _address(hexadecimal: str) -> str:
    """The kernel writes addresses as words of 32 bits in the machine's order, here always the little-endian one."""
    raw = bytes.fromhex(hexadecimal)
    return str(ipaddress.ip_address(b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))))


def _release(paths: Paths, name: str | None) -> dict[str, Any] | None:
    try:
        return links.read_json(paths.bundle(name).release) if name else None
    except DeviceError:
        return None


def _summary(release: dict[str, Any] | None) -> dict[str, Any] | None:
    """What of a release a person wants to read."""
    if release is None:
        return None
    return {
        "id": release["id"],
        "version": release["version"],
        "image": release["image"]["reference"],
        "models": [model["id"] for model in release["models"]],
        "workflows": [workflow["id"] for workflow in release["workflows"]],
        "bind": release["bind"],
        "port": release["port"],
        "isolation": release["isolation"],
    }


def _unit(machine: Machine) -> dict[str, Any]:
    said = machine.systemd.show(INFERENCE_UNIT, *_UNIT)
    return {
        "state": said["ActiveState"],
        "detail": said["SubState"],
        "restarts": int(said["NRestarts"] or 0),
        "enabled": "multi-user.target" in said["WantedBy"].split(),
        "stale": said["NeedDaemonReload"] == "yes",
        "loaded": said["LoadState"] == "loaded",
    }


def _platform(paths: Paths, machine: Machine) -> dict[str, Any]:
    """The platform's unit. It is stale where it runs another program than is installed, as it said when it started."""
    said = machine.systemd.show(PLATFORM_UNIT, "ActiveState", "StatusText")
    return {"state": said["ActiveState"], "stale": said["StatusText"] != program.installed(paths)}


def _container(machine: Machine) -> dict[str, Any] | None:
    try:
        found = machine.docker.container(INFERENCE)
    except DeviceError as error:
        return {"error": error.message}
    if found is None:
        return None
    host = found["HostConfig"]
    variables: list[str] = found["Config"]["Env"] or []
    return {
        "id": found["Id"],
        "image": found["Image"],
        "running": found["State"]["Running"],
        "started_at": found["State"]["StartedAt"],
        "restarts": found["RestartCount"],
        "runtime": host["Runtime"],
        "privileged": host["Privileged"],
        "read_only": host["ReadonlyRootfs"],
        "capabilities_dropped": host["CapDrop"] or [],
        "security_options": host["SecurityOpt"] or [],
        "ports": host["PortBindings"] or {},
        # Docker gives them in any order
        "mounts": sorted(
            f"{one['Source']}:{one['Destination']}:{'rw' if one['RW'] else 'ro'}" for one in found["Mounts"]
        ),
        "variables": sorted(variable.partition("=")[0] for variable in variables),
    }


def _image(machine: Machine, container: dict[str, Any] | None, release: dict[str, Any] | None) -> dict[str, Any] | None:
    """The image that the container was made of, and what was asked for."""
    if container is None or "image" not in container:
        return None
    found = machine.docker.image(container["image"])
    asked: dict[str, Any] = release["image"] if release else {}
    return {
        "id": container["image"],
        "digests": digests_of(found) if found else [],
        "asked": asked.get("reference"),
        "asked_digest": asked.get("digest"),
    }


def _readiness(machine: Machine, release: dict[str, Any] | None) -> bool:
    return release is not None and machine.server(release["port"]).readiness().status == 200


def _package(paths: Paths, model: dict[str, Any]) -> dict[str, Any]:
    return {"model": model["id"], "package": model["package_id"], "problem": packages.problem(paths, model)}
