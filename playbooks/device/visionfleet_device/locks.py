"""One at a time, by a lock that ends with whoever holds it."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Generator

from visionfleet_device.errors import Busy
from visionfleet_device.links import make_folder


@contextmanager
def held(lock: Path, what: str) -> Generator[None, None, None]:
    """Hold a lock. Raises Busy, with `what` the other one is at, where it is held already."""
    make_folder(lock.parent)
    descriptor = os.open(str(lock), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"{what} is under way on this device already", "wait until it has ended") from error
        yield
    finally:
        os.close(descriptor)
