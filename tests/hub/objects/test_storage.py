import asyncio
import io
import os
import stat
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.exceptions import GenericError

from tests.engines.engine import small_disk
from visionfleet.hub.objects import storage as storage_module
from visionfleet.hub.objects.signing import Signer
from visionfleet.hub.objects.storage import (
    ABANDONED_SECONDS,
    PART_BYTES,
    InvalidKey,
    ObjectMissing,
    Storage,
    StorageError,
    StorageFull,
    TooLarge,
    check_key,
)

MIB = 1024 * 1024
SIGNER = Signer(b"k" * 32)


def open_storage(folder: Path) -> Storage:
    return Storage.open(SimpleNamespace(storage=folder), SIGNER)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state" / "storage"


@pytest.fixture
def storage(root: Path) -> Storage:
    return open_storage(root)


def files(root: Path) -> list[str]:
    # by os.walk, since the storage's own threads may remove an empty folder while one looks
    found = (Path(folder) / name for folder, _, names in os.walk(root) for name in names)
    return sorted(str(path.relative_to(root)) for path in found)


async def arriving(*chunks: bytes, error: BaseException | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if error:
        raise error


def failing(size: int) -> Iterator[bytes]:
    yield b"x" * size
    raise KeyError("the source broke")


def test_what_is_put_can_be_read_listed_and_deleted(storage: Storage, root: Path) -> None:
    assert storage.put("batch/1/a b.jpg", b"abc") == 3
    assert storage.put("batch/10/c.jpg", iter([b"ab", b"", b"c" * PART_BYTES])) == 2 + PART_BYTES
    assert storage.read("batch/1/a b.jpg") == b"abc"
    assert storage.size("batch/10/c.jpg") == 2 + PART_BYTES
    assert list(storage.list("batch/1")) == [("batch/1/a b.jpg", 3)]
    assert list(storage.list("batch/1/")) == [("batch/1/a b.jpg", 3)]
    assert sorted(storage.list("")) == [("batch/1/a b.jpg", 3), ("batch/10/c.jpg", 2 + PART_BYTES)]
    assert list(storage.list("nothing/here")) == []

    storage.delete(["gone", "batch/1/a b.jpg", "batch/10/c.jpg", "also/gone"])
    assert files(root) == []
    storage.delete([])


def test_a_put_replaces_what_was_there(storage: Storage) -> None:
    storage.put("a", b"first and longer")
    storage.put("a", b"second")
    assert storage.read("a") == b"second"


def test_the_folder_is_for_the_owner_alone(storage: Storage, root: Path) -> None:
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_ranges(storage: Storage) -> None:
    storage.put("a", b"0123456789")
    assert b"".join(storage.stream("a", 3)) == b"3456789"
    assert b"".join(storage.stream("a", 3, 5)) == b"34"
    assert b"".join(storage.stream("a", 0, 99)) == b"0123456789"
    with pytest.raises(StorageError):
        storage.stream("a", 10)
    storage.put("empty", b"")
    assert list(storage.stream("empty")) == []


def test_a_large_object_streams_in_bounded_pieces(storage: Storage) -> None:
    storage.put("a", os.urandom(3 * MIB + 5))
    pieces = list(storage.stream("a"))
    assert len(pieces) >= 2
    assert b"".join(pieces) == storage.read("a")


def test_an_object_opens_as_a_seekable_file(storage: Storage) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inside.txt", "hello")
    storage.put("a.zip", buffer.getvalue())
    with storage.open_file("a.zip") as file, zipfile.ZipFile(file) as archive:
        assert archive.read("inside.txt") == b"hello"
    with storage.open_file("a.zip") as file:
        assert file.seek(-4, os.SEEK_END) == len(buffer.getvalue()) - 4
        assert file.read() == buffer.getvalue()[-4:]
        assert file.read(1) == b""


@pytest.mark.parametrize("key", ["nope", "folder", "folder/nope"])
def test_a_missing_object(storage: Storage, key: str) -> None:
    storage.put("folder/a", b"x")
    for ask in (storage.read, storage.size, storage.stream, storage.open_file):
        with pytest.raises(ObjectMissing, match=key):
            ask(key)
    assert not storage.exists(key)
    assert storage.exists("folder/a")


def test_an_iterator_may_read_from_the_storage_that_it_is_written_to(storage: Storage) -> None:
    storage.put("a", b"x" * (PART_BYTES + MIB))
    storage.put("b", storage.stream("a"))
    assert storage.size("b") == PART_BYTES + MIB


@pytest.mark.parametrize("size", [10, 2 * PART_BYTES])
def test_a_source_that_breaks_leaves_nothing(storage: Storage, root: Path, size: int) -> None:
    storage.put("kept", b"before")
    for key in ("new", "kept"):
        with pytest.raises(KeyError):
            storage.put(key, failing(size))
    assert files(root) == ["kept"]
    assert storage.read("kept") == b"before"


def test_a_half_written_object_is_not_listed(storage: Storage, root: Path) -> None:
    def watching() -> Iterator[bytes]:
        yield b"x" * (2 * PART_BYTES)
        yield b"y" * (2 * PART_BYTES)
        assert len(files(root)) == 1
        assert list(storage.list("")) == []
        assert not storage.exists("a")

    storage.put("a", watching())
    assert list(storage.list("")) == [("a", 4 * PART_BYTES)]


def test_what_a_killed_hub_had_half_written_is_removed(storage: Storage, root: Path) -> None:
    storage.put("a/b", b"x")
    yesterday = time.time() - ABANDONED_SECONDS - 1
    for name in ("b", "old#1", "new#12", "old#x"):
        path = root / "a" / name
        path.write_bytes(b"x")
        if name != "new#12":
            os.utime(path, (yesterday, yesterday))
    open_storage(root)
    assert files(root) == ["a/b", "a/new#12", "a/old#x"]


def test_a_stream_is_written_up_to_its_limit(storage: Storage) -> None:
    assert asyncio.run(storage.put_stream("a", arriving(b"ab", b"c"), limit=3)) == 3
    assert storage.read("a") == b"abc"


@pytest.mark.parametrize("size", [4, 2 * PART_BYTES])
def test_a_stream_over_its_limit_leaves_nothing(storage: Storage, root: Path, size: int) -> None:
    with pytest.raises(TooLarge, match="limit of"):
        asyncio.run(storage.put_stream("a", arriving(b"x" * size, b"x"), limit=size))
    assert not files(root)


def test_a_stream_that_breaks_leaves_nothing(storage: Storage, root: Path) -> None:
    source = arriving(b"x" * (2 * PART_BYTES), error=ConnectionResetError("the client went away"))
    with pytest.raises(ConnectionResetError):
        asyncio.run(storage.put_stream("a", source, limit=10 * PART_BYTES))
    assert not files(root)


def test_a_cancelled_stream_leaves_nothing(storage: Storage, root: Path) -> None:
    async def hanging() -> AsyncIterator[bytes]:
        yield b"x" * (2 * PART_BYTES)
        await asyncio.Event().wait()

    async def cancel() -> None:
        task = asyncio.create_task(storage.put_stream("a", hanging(), limit=10 * PART_BYTES))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        for _ in range(100):  # the staged file is removed in the background
            if not files(root):
                return
            await asyncio.sleep(0.01)

    asyncio.run(cancel())
    assert not files(root)


@pytest.mark.parametrize(
    "key",
    [
        "", "/", "/a", "a/", "a//b", ".", "..", "a/..", "a/../b", "../a", "a/.", "a\\b", "a\0", "a\nb", "a\x7f",
        "a#1", "a/b#23", "C:", "a/bc|", "\ud800", "x" * 251, "é" * 126, "/".join(["x" * 100] * 11),
    ],
)  # fmt: skip
def test_a_bad_key_is_refused_everywhere(storage: Storage, root: Path, key: str) -> None:
    for attempt in (
        lambda: storage.put(key, b"x"),
        lambda: asyncio.run(storage.put_stream(key, arriving(b"x"), limit=1)),
        lambda: storage.read(key),
        lambda: storage.open_file(key),
        lambda: storage.exists(key),
        lambda: storage.delete([key]),
        lambda: storage.sign("GET", key, 60, "http://hub"),
    ):
        with pytest.raises(InvalidKey):
            attempt()
    assert list(root.iterdir()) == []


@given(st.text(max_size=300))
def test_a_key_is_refused_or_stands_for_one_object_inside_the_root(
    tmp_path_factory: pytest.TempPathFactory, key: str
) -> None:
    root = tmp_path_factory.mktemp("storage")
    storage = open_storage(root)
    try:
        check_key(key)
    except InvalidKey:
        return
    storage.put(key, b"x")
    assert list(storage.list("")) == [(key, 1)]
    assert files(root) == [key]


@given(st.text(min_size=1))
def test_a_signed_url_carries_the_key_and_its_signature(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    storage = open_storage(tmp_path_factory.mktemp("storage"))
    try:
        url = urlsplit(storage.sign("PUT", key, 60, "https://hub.example/base/"))
    except InvalidKey:
        return
    assert url.path.startswith("/base/storage/v1/objects/")
    query = parse_qs(url.query)
    assert query["method"] == ["PUT"]
    signed_key = unquote(url.path.removeprefix("/base/storage/v1/objects/"))
    SIGNER.verify("PUT", signed_key, query["expires"][0], query["signature"][0])


@pytest.mark.parametrize(("number", "error"), [(28, StorageFull), (122, StorageFull), (5, StorageError)])
@pytest.mark.parametrize("kind", [GenericError, OSError])
def test_a_full_disk_is_told_from_another_failure(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], number: int, error: type[StorageError]
) -> None:
    def refuse(*_: object) -> None:
        raise kind(
            f"Generic LocalFileSystem error: Unable to copy data to file: Something (os error {number})\n\nDebug"
        )

    monkeypatch.setattr(storage_module.obstore, "put", refuse)
    with pytest.raises(error) as failure:
        storage.put("a", b"x")
    assert type(failure.value) is error
    assert "\n" not in str(failure.value)


@pytest.mark.engine
def test_a_disk_that_fills_up_refuses_the_write_and_keeps_the_rest(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16 * MIB) as disk:
        storage = open_storage(disk / "storage")
        storage.put("kept", b"before")
        block = b"x" * MIB
        for attempt in (
            lambda key: storage.put(key, block * 20),
            lambda key: storage.put(key, iter([block] * 20)),
            lambda key: asyncio.run(storage.put_stream(key, arriving(*[block] * 20), limit=99 * MIB)),
        ):
            for key in ("new", "kept"):
                with pytest.raises(StorageFull):
                    attempt(key)
            assert list(storage.list("")) == [("kept", 6)]
            assert files(disk / "storage") == ["kept"]
            assert storage.put("again", block * 10) == 10 * MIB
            storage.delete(["again"])
