"""Locks between commands, held by the kernel: they end with the process that holds them."""

import fcntl
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hold(path: Path, on_busy: Callable[[], None]) -> Generator[None]:
    """Holds the lock of that name. When another command has it, calls `on_busy`, which may raise, and waits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_busy()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
