"""Objects by key: images, shards, results, exports.

Everything goes through obstore, so that a bucket can take the folder's place. Guarantees: a write is seen whole or not
at all, a failed one leaves nothing behind, and no key reaches outside the root.
"""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote, urlencode

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore

from visionfleet.config.hub import Hub as HubSection
from visionfleet.config.hub_stores import Bucket
from visionfleet.hub.objects.signing import SignedMethod, Signer

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from obstore import GetOptions, ObjectMeta, ReadableFile

MAX_KEY_BYTES = 1024
"""S3's limit."""

MAX_SEGMENT_BYTES = 250
"""A file name's 255 bytes, less the suffix of the file that a write is staged in."""

PART_BYTES = 5 * 1024 * 1024
"""What a writer holds in memory before it uploads a part: S3's smallest."""

CONCURRENT_PARTS = 2
READ_BYTES = 1024 * 1024

ABANDONED_SECONDS = 24 * 3600
"""No write is staged for so long without a byte of it arriving."""

_STAGED = re.compile(r".*#\d+")  # name#1 is where the folder backend stages a write of name
_UNSAFE_SEGMENT = re.compile(rf"\.{{0,2}}|{_STAGED.pattern}|.*[A-Za-z][:|]")  # a "C:" at the end is taken for a drive
_UNSAFE_CHARACTER = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
_NO_SPACE = re.compile(r"\(os error (28|122)\)")  # ENOSPC, EDQUOT


class StorageError(Exception):
    """The storage failed."""

    code = "storage_failed"


class InvalidKey(StorageError):
    """This is not a valid object key."""

    code = "invalid_key"


class ObjectMissing(StorageError):
    """There is no such object."""

    code = "object_missing"


class StorageFull(StorageError):
    """The storage is out of space: nothing was written. Free some, or give it more."""

    code = "storage_full"

    def __init__(self) -> None:
        """Take no reason: the message says all."""
        super().__init__(type(self).__doc__)


class TooLarge(StorageError):
    """The upload is over its size limit: nothing was written."""

    code = "object_too_large"


class Storage:
    """One store of objects. Safe to share between threads; every call may block, except where it is async."""

    def __init__(self, store: ObjectStore, signer: Signer) -> None:
        """Take an obstore `store` and what signs its URLs."""
        self._store = store
        self._signer = signer

    @classmethod
    def open(cls, settings: HubSection, signer: Signer) -> Storage:
        """Open the storage that the file's `hub` section names, and make its folder (0700) if there is none.

        Raises StorageError for a bucket.
        """
        if isinstance(settings.storage, Bucket):
            raise StorageError(f"the hub does not keep objects in {settings.storage} yet; write a folder")
        settings.storage.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_abandoned(settings.storage)
        return cls(LocalStore(settings.storage, automatic_cleanup=True), signer)

    def put(self, key: str, data: bytes | Iterator[bytes]) -> int:
        """Write an object, over what was there, and return its size in bytes.

        An iterator may read from this storage. Where it raises, nothing is written and the exception passes through.
        Raises InvalidKey, StorageFull.
        """
        check_key(key)
        if isinstance(data, bytes):
            with _translated(key):
                obstore.put(self._store, key, data)
            return len(data)
        return self._write(key, data)

    def _write(self, key: str, chunks: Iterator[bytes]) -> int:
        writer = obstore.open_writer(self._store, key, buffer_size=PART_BYTES, max_concurrency=CONCURRENT_PARTS)
        size = 0
        try:
            for chunk in chunks:
                with _translated(key):
                    size += writer.write(chunk)
            with _translated(key):
                writer.close()
        finally:
            del writer  # dropped before it is closed, it takes back what it wrote; a traceback would keep it alive
        return size

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes], limit: int) -> int:
        """Write an object of at most `limit` bytes as it arrives, and return its size in bytes.

        Where the stream breaks or the task is cancelled nothing is written.
        Raises InvalidKey, StorageFull, TooLarge.
        """
        check_key(key)
        writer = obstore.open_writer_async(self._store, key, buffer_size=PART_BYTES, max_concurrency=CONCURRENT_PARTS)
        size = 0
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"the upload is over its limit of {limit} bytes: nothing was written")
                with _translated(key):
                    await writer.write(chunk)
            with _translated(key):
                await writer.close()
        finally:
            del writer  # as in _write
        return size

    def read(self, key: str) -> bytes:
        """Return an object's bytes. Raises ObjectMissing."""
        return b"".join(self.stream(key))

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of an object from `start` up to, without, `end`.

        Raises, at the call, ObjectMissing, and StorageError for a `start` that is not inside the object.
        """
        check_key(key)
        with _translated(key):
            result = obstore.get(self._store, key, options=_range(start, end))
        return _read(key, result.stream(min_chunk_size=READ_BYTES))

    def open_file(self, key: str) -> BinaryIO:
        """Open an object as a seekable file. Raises ObjectMissing."""
        check_key(key)
        with _translated(key):
            reader = obstore.open_reader(self._store, key)
        return io.BufferedReader(_ObjectFile(reader, key), READ_BYTES)

    def size(self, key: str) -> int:
        """Return an object's size in bytes. Raises ObjectMissing."""
        check_key(key)
        with _translated(key):
            return obstore.head(self._store, key)["size"]

    def exists(self, key: str) -> bool:
        """Tell whether there is an object of this key."""
        try:
            self.size(key)
        except ObjectMissing:
            return False
        return True

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; one that is not there is no error."""
        wanted = list(keys)
        for key in wanted:
            check_key(key)
        with _translated("deleting"):
            try:
                obstore.delete(self._store, wanted)
            except FileNotFoundError:  # a folder stops at the first that is missing, a bucket does not
                self._delete_one_by_one(wanted)

    def _delete_one_by_one(self, keys: Sequence[str]) -> None:
        for key in keys:
            with suppress(FileNotFoundError):
                obstore.delete(self._store, key)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield key and size in bytes of each object under the folder `prefix` ("" for all), in no order."""
        folder = prefix.rstrip("/")
        if folder:
            check_key(folder)
        pages: Iterable[Sequence[ObjectMeta]] = obstore.list(self._store, folder)  # pyright: ignore[reportUnknownMemberType] - needs pyarrow's types
        with _translated(prefix):
            for page in pages:
                yield from ((meta["path"], meta["size"]) for meta in page)

    def sign(self, method: SignedMethod, key: str, expires_in: int, base_url: str) -> str:
        """Return a URL that allows `method` on `key` for `expires_in` seconds without an API key.

        `base_url` is where clients reach the hub, which serves the objects of a folder by itself.
        """
        check_key(key)
        query = urlencode(self._signer.sign(method, key, expires_in))
        return f"{base_url.rstrip('/')}/storage/v1/objects/{quote(key)}?{query}"


def check_key(key: str) -> None:
    """Raise InvalidKey unless `key` is a relative path of plain names that every backend can hold."""
    if _UNSAFE_CHARACTER.search(key):
        raise InvalidKey(f"{key!r} is not a valid object key: it holds a control character or a backslash")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise InvalidKey(f"{key[:60]!r}… is not a valid object key: it is over {MAX_KEY_BYTES} bytes")
    for segment in key.split("/"):
        if _UNSAFE_SEGMENT.fullmatch(segment) or len(segment.encode()) > MAX_SEGMENT_BYTES:
            raise InvalidKey(f"{key!r} is not a valid object key: {segment!r} cannot be a part of one")


def _remove_abandoned(root: Path) -> None:
    """Remove what a hub that was killed had half written: the folder backend hides it for ever."""
    newest = time.time() - ABANDONED_SECONDS
    for folder, _, names in os.walk(root):
        for path in (Path(folder, name) for name in names if _STAGED.fullmatch(name)):
            with suppress(FileNotFoundError):  # finished or taken back meanwhile
                if path.stat().st_mtime < newest:
                    path.unlink()


@contextmanager
def _translated(key: str) -> Generator[None]:
    """Turn what obstore raises into this module's errors. Both OSError and BaseError come from it."""
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectMissing(f"there is no object {key!r}") from error
    except (BaseError, OSError) as error:
        if _NO_SPACE.search(str(error)):
            raise StorageFull from error
        raise StorageError(f"the storage failed on {key!r}: {str(error).partition(chr(10))[0]}") from error


def _range(start: int, end: int | None) -> GetOptions:
    if end is not None:
        return {"range": (start, end)}
    return {"range": {"offset": start}} if start else {}


def _read(key: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    with _translated(key):
        for chunk in chunks:
            yield bytes(chunk)


class _ObjectFile(io.RawIOBase):
    """obstore's reader as the raw part of a Python file."""

    def __init__(self, reader: ReadableFile, key: str) -> None:
        super().__init__()
        self._reader = reader
        self._key = key

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._reader.seek(offset, whence)

    def tell(self) -> int:
        return self._reader.tell()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        with _translated(self._key):
            data = bytes(self._reader.read(len(view)))
        view[: len(data)] = data
        return len(data)
