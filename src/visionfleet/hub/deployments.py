"""A deployment's folder in the hub's storage: pods get it from there, and a cluster needs no other place for weights.

Contents are kept by their digest, so that a new deployment uploads what is new in it, and an old one is there as long
as the storage is: a rollback brings its workflows and models back. Nothing here is ever deleted.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import stamina

from visionfleet.hub.objects.storage import ObjectMissing, Storage, StorageUnavailable
from visionfleet.projections.published import (
    FILE,
    BadManifest,
    Blob,
    PublishedFolder,
    blob_of,
    read_manifest,
)

PREFIX = "deployments"
AT_ONCE = 4
"""Files on their way at a time; each takes a few megabytes of memory."""

PATIENCE_SECONDS = 60
"""How long a storage may be out of reach: it may start together with the pod. Then the pod itself is tried again."""

OURS = ".visionfleet"
"""Marks a folder that was fetched, and may be replaced; new files are kept in it until all are there."""

_READ_BYTES = 1024 * 1024

Report = Callable[[str], None]
T = TypeVar("T")
R = TypeVar("R")


class DeploymentError(Exception):
    """A deployment's folder could not be published or fetched."""


def manifest_key(digest: str) -> str:
    """Where the manifest of a deployment (`sha256:…`) lies."""
    return f"{PREFIX}/{digest.removeprefix('sha256:')}.json"


def blob_key(blob: Blob) -> str:
    """Where a content lies."""
    return f"{PREFIX}/blobs/{blob.sha256}"


def patiently(action: Callable[[], T]) -> T:
    """What the action returns, tried again while the storage does not answer. What it answers clearly is final."""
    for attempt in stamina.retry_context(
        on=StorageUnavailable, attempts=None, timeout=PATIENCE_SECONDS, wait_initial=0.5, wait_max=10
    ):
        with attempt:
            return action()
    raise AssertionError("the last attempt returns or raises")


def publish(storage: Storage, folder: PublishedFolder, report: Report, *, again: bool = False) -> None:
    """Upload what the storage does not have yet, all of it with `again`; the manifest comes last.

    What a broken run has uploaded, the next one finds. Raises DeploymentError, StorageError.
    """
    names = {blob: name for name, blob in folder.blobs.items()}  # the same content goes once

    def upload(blob: Blob) -> bool:
        name, key = names[blob], blob_key(blob)
        if not again and _has(storage, key, blob.size):
            return False
        report(f"{name}: {_size_text(blob.size)}")
        changed = DeploymentError(
            f"{name} has changed while it was uploaded: publish once more, and install that digest"
        )
        with _file_errors(), folder.sources[name].open("rb") as stream:
            storage.put(key, _checked(iter(lambda: stream.read(_READ_BYTES), b""), blob, changed))
        return True

    uploaded = sum(_in_parallel(upload, sorted(names, key=lambda blob: names[blob])))
    storage.put(manifest_key(folder.digest), folder.manifest)
    report(f"{len(folder.blobs)} files published, {uploaded} of them uploaded")


def fetch(storage: Storage, digest: str, folder: Path, report: Report) -> None:
    """Fill `folder` with the deployment `digest` (`sha256:…`), every file checked.

    What was fetched into it before is replaced when all that is new is there; the deployment's file comes last.
    Raises DeploymentError, StorageError.
    """
    blobs = _manifest(storage, digest)
    with _file_errors():
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(folder)
        if _is_whole(folder, blobs):
            report(f"{folder} holds {digest} already")
            return
        incoming = folder / OURS / "incoming"
        shutil.rmtree(incoming, ignore_errors=True)
        incoming.mkdir(parents=True)

    def download(name: str) -> None:
        report(f"{name}: {_size_text(blobs[name].size)}")
        _download(storage, name, blobs[name], incoming / name)

    _in_parallel(download, sorted(blobs))
    with _file_errors():
        _replace(folder, incoming)
    report(f"{folder} holds {digest}: {len(blobs)} files")


def _has(storage: Storage, key: str, size: int) -> bool:
    try:
        return storage.size(key) == size
    except ObjectMissing:
        return False


def _manifest(storage: Storage, digest: str) -> dict[str, Blob]:
    try:
        text = patiently(lambda: storage.read(manifest_key(digest)))
    except ObjectMissing as error:
        raise DeploymentError(
            f"the storage has no deployment {digest}: run `visionfleet hub publish` on its file, and check that this "
            "is the storage of that file"
        ) from error
    try:
        return read_manifest(text, digest)
    except BadManifest as error:
        raise DeploymentError(
            f"the manifest of {digest} is damaged ({error}): run `visionfleet hub publish --again` on its file"
        ) from error


def _download(storage: Storage, name: str, blob: Blob, path: Path) -> None:
    damaged = DeploymentError(
        f"{name} is damaged in the storage: run `visionfleet hub publish --again` on the deployment's file"
    )

    def attempt() -> None:
        with path.open("wb") as stream:
            for chunk in _checked(storage.stream(blob_key(blob)), blob, damaged):
                stream.write(chunk)

    with _file_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            patiently(attempt)
        except ObjectMissing as error:
            raise DeploymentError(
                f"{name} is missing from the storage: run `visionfleet hub publish` on the deployment's file"
            ) from error


def _checked(chunks: Iterable[bytes], blob: Blob, error: DeploymentError) -> Iterator[bytes]:
    """The chunks; at their end, the error where they were not the content."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != blob.sha256:
        raise error


def _refuse_foreign(folder: Path) -> None:
    if any(folder.iterdir()) and not (folder / OURS).is_dir():
        raise DeploymentError(
            f"{folder} holds files that were not fetched: name a folder that is empty, or is not there"
        )


def _is_whole(folder: Path, blobs: Mapping[str, Blob]) -> bool:
    """Whether the folder is what it is to be: a container that starts again finds it so."""
    paths = {name: folder / name for name in blobs}
    return all(path.is_file() and blob_of(path) == blobs[name] for name, path in paths.items())


def _replace(folder: Path, incoming: Path) -> None:
    """Without the deployment's file nothing starts, so it goes first and comes last."""
    (folder / FILE).unlink(missing_ok=True)
    for old in folder.iterdir():
        if old.name != OURS:
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    for new in sorted(incoming.iterdir(), key=lambda entry: entry.name == FILE):
        new.rename(folder / new.name)
    incoming.rmdir()


def _in_parallel(action: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What the action returns for each item. At the first error, what has not begun by then never does."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(action, items))


@contextmanager
def _file_errors() -> Generator[None]:
    """What this machine's files say, as this module's error."""
    try:
        yield
    except OSError as error:
        raise DeploymentError(f"{error.filename or 'a file'}: {error.strerror or error}") from error


def _size_text(size: int) -> str:
    return f"{size / 1_000_000:.1f} MB" if size >= 100_000 else f"{size} bytes"
