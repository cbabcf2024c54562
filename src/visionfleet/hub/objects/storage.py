"""Objects by key: images, shards, results, exports.

Everything goes through obstore, in a folder or in a bucket. Guarantees: a write is seen whole or not at all, a failed
one leaves nothing behind, and no key reaches outside the root.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

import obstore
from obstore.store import ObjectStore

from visionfleet.config.hub import Hub as HubSection
from visionfleet.config.hub_stores import Bucket
from visionfleet.hub.objects.bucket import link, open_bucket
from visionfleet.hub.objects.errors import (
    InvalidKey,
    ObjectMissing,
    StorageError,
    StorageFull,
    StorageUnavailable,
    TooLarge,
    translated,
)
from visionfleet.hub.objects.folder import open_folder
from visionfleet.hub.objects.keys import check_key
from visionfleet.hub.objects.signing import SignedMethod, Signer

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from obstore import GetOptions, ObjectMeta

__all__ = [
    "InvalidKey",
    "ObjectMissing",
    "Storage",
    "StorageError",
    "StorageFull",
    "StorageUnavailable",
    "TooLarge",
    "check_key",
]

PART_BYTES = 5 * 1024 * 1024
"""What is held in memory before a part is uploaded: S3's smallest."""

CONCURRENT_PARTS = 2
CONCURRENT_QUESTIONS = 16
READ_BYTES = 1024 * 1024
KEYS_AT_ONCE = 1000
"""What S3 deletes in one request."""

Links = Callable[[SignedMethod, str, int], str]
"""Makes of method, key and seconds a link that needs no API key."""


class Storage:
    """One store of objects. Safe to share between threads; every call may block, except where it is async."""

    def __init__(self, store: ObjectStore, signer: Signer, links: Links | None = None) -> None:
        """Take an obstore `store`, and who signs for it: the hub's `signer`, or the store by its own `links`."""
        self._store = store
        self._signer = signer
        self._links = links

    @classmethod
    def open(cls, settings: HubSection, signer: Signer) -> Storage:
        """Open the storage that the file's `hub` section names; a folder is made if there is none.

        Raises StorageError where a bucket cannot be used, OSError where a folder cannot, SecretUnavailable.
        """
        if isinstance(settings.storage, Bucket):
            store = open_bucket(settings.storage, settings.s3)
            return cls(store, signer, partial(link, store))
        return cls(open_folder(settings.storage), signer)

    @property
    def direct(self) -> bool:
        """Whether clients read and write by the store's own links: then the hub sees no upload come."""
        return self._links is not None

    def put(self, key: str, data: bytes | Iterator[bytes]) -> int:
        """Write an object, over what was there, and return its size in bytes.

        An iterator may read from this storage. Where it raises, nothing is written and the exception passes through.
        Raises InvalidKey, StorageFull.
        """
        check_key(key)
        if isinstance(data, bytes):
            with translated(key):
                obstore.put(self._store, key, data)
            return len(data)
        return asyncio.run(self._put_parts(key, _from_thread(_parts(data))))

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes], limit: int) -> int:
        """Write an object of a folder, of at most `limit` bytes, as it arrives, and return its size in bytes.

        To a bucket nothing arrives this way: clients have its own links. Where the stream breaks or the task is
        cancelled nothing is written.
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
                with translated(key):
                    await writer.write(chunk)
            with translated(key):
                await writer.close()
        finally:
            del writer  # dropped before it is closed, it takes back what it wrote; a traceback would keep it alive
        return size

    async def _put_parts(self, key: str, parts: AsyncIterator[bytes]) -> int:
        """Write parts of PART_BYTES or more, but for the last. What fits into one goes in one request."""
        first = await anext(parts, b"")
        source = _Source(first, parts)
        try:
            with translated(key):
                if len(first) < PART_BYTES:
                    await obstore.put_async(self._store, key, first)
                    return len(first)
                # not by a writer: one that is dropped leaves its parts in a bucket, unseen and paid for
                await obstore.put_async(
                    self._store,
                    key,
                    source,
                    use_multipart=True,
                    chunk_size=PART_BYTES,
                    max_concurrency=CONCURRENT_PARTS,
                )
        except StorageError:
            if source.failure is not None:
                raise source.failure from None
            raise
        return source.size

    def read(self, key: str) -> bytes:
        """Return an object's bytes. Raises ObjectMissing."""
        return b"".join(self.stream(key))

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of an object from `start` up to, without, `end`.

        Raises, at the call, ObjectMissing, and StorageError for a `start` that is not inside the object.
        """
        check_key(key)
        with translated(key):
            result = obstore.get(self._store, key, options=_range(start, end))
        return _read(key, result.stream(min_chunk_size=READ_BYTES))

    def open_file(self, key: str) -> BinaryIO:
        """Open an object as a file that is read from its start to its end, as it is now. Raises ObjectMissing."""
        return io.BufferedReader(_Stream(self.stream(key)), READ_BYTES)

    def size(self, key: str) -> int:
        """Return an object's size in bytes. Raises ObjectMissing."""
        check_key(key)
        with translated(key):
            return obstore.head(self._store, key)["size"]

    def sizes(self, keys: Sequence[str]) -> list[int]:
        """Return the sizes of several objects in bytes, asked for at once. Raises ObjectMissing."""
        if len(keys) < 2:
            return [self.size(key) for key in keys]
        free = asyncio.Semaphore(CONCURRENT_QUESTIONS)

        async def size(key: str) -> int:
            check_key(key)
            async with free:
                with translated(key):
                    return (await obstore.head_async(self._store, key))["size"]

        async def all_sizes() -> list[int]:
            return await asyncio.gather(*(size(key) for key in keys))

        return asyncio.run(all_sizes())

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
        with translated("deleting"):
            try:
                obstore.delete(self._store, wanted)
            except FileNotFoundError:  # a folder stops at the first that is missing, a bucket does not
                self._delete_one_by_one(wanted)

    def delete_folder(self, prefix: str) -> None:
        """Delete all objects under a folder, of which there may be millions: some at a time are in memory."""
        keys = (key for key, _ in self.list(prefix))
        while some := list(islice(keys, KEYS_AT_ONCE)):
            self.delete(some)

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
        with translated(prefix):
            for page in pages:
                yield from ((meta["path"], meta["size"]) for meta in page)

    def files(self, folder: str) -> frozenset[str]:
        """Return the keys right in a folder, without those of the folders in it."""
        check_key(folder)
        with translated(folder):
            found: Sequence[ObjectMeta] = obstore.list_with_delimiter(self._store, folder)["objects"]  # pyright: ignore[reportUnknownMemberType] - as in list
            return frozenset(meta["path"] for meta in found)

    def sign(self, method: SignedMethod, key: str, expires_in: int, base_url: str) -> str:
        """Return a URL that allows `method` on `key` for `expires_in` seconds without an API key.

        `base_url` is where clients reach the hub, which serves the objects of a folder by itself.
        """
        check_key(key)
        if self._links is not None:
            with translated(key):  # credentials of a role may have to be asked for
                return self._links(method, key, expires_in)
        return self._signer.link(method, key, expires_in, base_url)


class _Source:
    """Parts on their way into obstore. Keeps what their source raised: an OSError of it is not one of the storage."""

    def __init__(self, first: bytes, rest: AsyncIterator[bytes]) -> None:
        self._first: bytes | None = first
        self._rest = rest
        self.size = len(first)
        self.failure: Exception | None = None

    def __aiter__(self) -> _Source:
        return self

    async def __anext__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        try:
            part = await anext(self._rest)
        except StopAsyncIteration:
            raise
        except Exception as error:
            self.failure = error
            raise
        self.size += len(part)
        return part


def _parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Join chunks to parts of PART_BYTES or more, but for the last."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        if len(held) >= PART_BYTES:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


async def _from_thread(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    # obstore takes no call from within a call of its own, and a part may come from this very storage
    while part := await asyncio.to_thread(next, parts, b""):
        yield part


def _range(start: int, end: int | None) -> GetOptions:
    if end is not None:
        return {"range": (start, end)}
    return {"range": {"offset": start}} if start else {}


def _read(key: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    with translated(key):
        for chunk in chunks:
            yield bytes(chunk)


class _Stream(io.RawIOBase):
    """Chunks as the raw part of a Python file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        if not self._left:
            self._left = memoryview(next(self._chunks, b""))
        taken = self._left[: len(view)]
        view[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        return len(taken)
