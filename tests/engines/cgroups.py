"""Control groups of a host's own. In shared ones, one host's systemd would wait for the end of another's services."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_MOUNTS = Path("/sys/fs/cgroup")


def own_groups(name: str) -> list[Path]:
    """A new group below this process's in each hierarchy, for a process that is to start a host: it moves itself in."""
    groups = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        mount = _MOUNTS / (controllers.removeprefix("name=") or "unified")
        parent = (mount if mount.is_dir() else _MOUNTS) / path.lstrip("/")
        if not (parent / "cgroup.procs").exists():
            continue
        group = parent / f"visionfleet-{name}"
        remove_groups([group])
        group.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # empty at first, and then nobody may enter
            if controllers == "cpuset":
                (group / setting).write_text((parent / setting).read_text())
        groups.append(group)
    return groups


def remove_groups(groups: list[Path]) -> None:
    """What a host has left: groups without processes."""
    for group in groups:
        for folder in sorted(group.rglob("*"), reverse=True):
            if folder.is_dir():
                _remove(folder)
        _remove(group)


def _remove(folder: Path) -> None:
    with suppress(OSError):  # it is gone, or a process is still ending in it
        folder.rmdir()
