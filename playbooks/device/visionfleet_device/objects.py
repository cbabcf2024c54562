"""Files of packages and goldens, by their SHA-256: fetched once, however often the line breaks."""

from __future__ import annotations

import os
from pathlib import Path

from visionfleet_device import links
from visionfleet_device.errors import DeviceError
from visionfleet_device.hub import Hub, Refused, Unreachable
from visionfleet_device.packages import sha256_of

PARTIAL = ".partial"

_BEYOND = 416  # there is nothing from the asked byte on


def is_here(path: Path) -> bool:
    """Whether an object is whole and undamaged."""
    return sha256_of(path) == path.name


def partial_size(path: Path) -> int:
    """How much of an object an interrupted fetch has left here."""
    return _size(_partial(path))


def fetch(hub: Hub, address: str, path: Path, what: str) -> None:
    """Bring an object here. It takes its place when its digest is right; until then an interruption costs nothing."""
    partial = _partial(path)
    links.make_folder(path.parent)
    for _ in range(2):  # the second time without what an earlier fetch left
        _complete(hub, address, partial)
        if sha256_of(partial) == path.name:
            links.put(partial, path)
            return
        links.remove(partial)
    message = f"{what} has not the SHA-256 that the release asks for: {path.name}"
    raise DeviceError(message, "start the hub again, so that it reads its files anew, then release again")


def _complete(hub: Hub, address: str, partial: Path) -> None:
    """Append what is missing, and go on for as long as something comes."""
    while True:
        before = _size(partial)
        try:
            hub.retried(lambda: _append(hub, address, partial))
        except Unreachable:
            if _size(partial) == before:
                raise
        else:
            return


def _append(hub: Hub, address: str, partial: Path) -> None:
    start = _size(partial)
    try:
        with hub.download(address, start) as download, partial.open("ab") as file:
            file.truncate(download.start)
            try:
                for chunk in download.chunks:
                    file.write(chunk)
            finally:
                file.flush()
                os.fsync(file.fileno())
    except Refused as error:
        if error.status != _BEYOND:
            raise


def _partial(path: Path) -> Path:
    return path.with_name(path.name + PARTIAL)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
