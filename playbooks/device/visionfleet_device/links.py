"""Files and links that are old or new after a power cut, and nothing between.

What is written goes beside its place, to the disk, and is renamed; then the folder goes to the disk. Every function
that changes something has reached the disk when it returns.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Generator, cast

_BESIDE = ".new"


def write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Put a file in place, with its folders."""
    make_folder(path.parent)
    beside = path.with_name(path.name + _BESIDE)
    descriptor = os.open(str(beside), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)
        _write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    put(beside, path)


def write_json(path: Path, value: object) -> None:
    """Put a JSON file in place, for people to read, too."""
    write(path, as_json(value))


def as_json(value: object) -> bytes:
    """JSON as it is written to files."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None where there is no such file, or no object in it."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return cast("Dict[str, Any]", value) if isinstance(value, dict) else None


def put(beside: Path, path: Path) -> None:
    """Rename what lies on the disk beside its place into it."""
    beside.replace(path)
    _sync_folder(path.parent)


def point(link: Path, target: str) -> None:
    """Let a link lead to `target`."""
    make_folder(link.parent)
    beside = link.with_name(link.name + _BESIDE)
    if exists(beside):  # a power cut left it
        beside.unlink()
    beside.symlink_to(target)
    put(beside, link)


def exists(path: Path) -> bool:
    """Whether there is a file, or a link that leads anywhere or nowhere."""
    return os.path.lexists(str(path))


def target_of(link: Path) -> str | None:
    """Where a link leads; None where there is none."""
    try:
        return os.readlink(str(link))
    except OSError:
        return None


def remove(path: Path) -> None:
    """Remove a file or a link; one that is gone is no error."""
    if not exists(path):
        return
    path.unlink()
    _sync_folder(path.parent)


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it; one that is gone is no error."""
    if not folder.is_dir():
        return
    shutil.rmtree(str(folder))
    _sync_folder(folder.parent)


def remove_all(path: Path) -> None:
    """Remove what is there: a folder and all in it, a file, or a link and not what it leads to."""
    if path.is_symlink() or not path.is_dir():
        remove(path)
    else:
        remove_folder(path)


@contextmanager
def opened(folder: Path) -> Generator[Path, None, None]:
    """A folder by a path that leads to it, whatever others put in its place meanwhile. Raises OSError where it is none.

    For folders that others write to: by their own path, what is removed in them would be what a link leads to.
    """
    descriptor = os.open(str(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(str(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
