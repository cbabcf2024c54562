"""Files of packages and goldens, by their SHA-256: fetched once, however often the line breaks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, NamedTuple

from visionfleet_device import links
from visionfleet_device.errors import DeviceError
from visionfleet_device.hub import Hub, Refused, Unreachable
from visionfleet_device.packages import sha256_of

PARTIAL = ".partial"

_BEYOND = 416  # there is nothing from the asked byte on
_EXPIRED = 403  # what a signed URL is worth after its time


class Source(NamedTuple):
    """Where an object comes from."""

    what: str  # for people
    address: str  # a path of the hub's, or a signed URL
    limit: int  # bytes: what comes beyond is not taken
    sign_anew: Callable[[], str] | None = None  # another URL, where one has expired


def is_here(path: Path) -> bool:
    """Whether an object is whole and undamaged."""
    return sha256_of(path) == path.name


def partial_size(path: Path) -> int:
    """How much of an object an interrupted fetch has left here."""
    return _size(_partial(path))


def fetch(hub: Hub, source: Source, path: Path) -> None:
    """Bring an object here. It takes its place when its digest is right; until then an interruption costs nothing."""
    partial = _partial(path)
    links.make_folder(path.parent)
    for _ in range(2):  # the second time without what an earlier fetch left
        _complete(hub, source, partial)
        if sha256_of(partial) == path.name:
            links.put(partial, path)
            return
        links.remove(partial)
    message = f"{source.what} has not the SHA-256 that the release asks for: {path.name}"
    raise DeviceError(message, "start the hub again, so that it reads its files anew, then release again")


def _complete(hub: Hub, source: Source, partial: Path) -> None:
    """Append what is missing, and go on for as long as something comes."""
    signed_at = -1  # bytes that were here when a URL was signed anew
    while True:
        before = _size(partial)
        try:
            hub.retried(lambda: _append(hub, source, partial))  # noqa: B023 - called before the next round
        except Unreachable:
            if _size(partial) == before:
                raise
        except Refused as error:
            if error.status != _EXPIRED or source.sign_anew is None or _size(partial) == signed_at:
                raise
            source, signed_at = source._replace(address=source.sign_anew()), _size(partial)
        else:
            return


def _append(hub: Hub, source: Source, partial: Path) -> None:
    start = _size(partial)
    if start and start >= source.limit:
        return  # whether it is the right one, its digest tells
    try:
        with hub.download(source.address, start) as download, partial.open("ab") as file:
            file.truncate(download.start)
            try:
                left = source.limit - download.start
                for chunk in download.chunks:
                    file.write(chunk[:left])
                    left -= len(chunk)
                    if left < 0:
                        return
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
