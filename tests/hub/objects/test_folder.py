"""A storage in a folder: whose it is, what streams into it, what it makes of keys, a disk that is full."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.exceptions import GenericError

from tests.engines.engine import small_disk
from tests.hub.objects.places import MIB, SIGNER, arriving, files, open_storage
from visionfleet.hub.objects import storage as storage_module
from visionfleet.hub.objects.errors import InvalidKey, StorageError, StorageFull, TooLarge
from visionfleet.hub.objects.folder import ABANDONED_SECONDS
from visionfleet.hub.objects.keys import check_key
from visionfleet.hub.objects.storage import PART_BYTES, Storage


def test_the_folder_is_for_the_owner_alone(folder: Storage, root: Path) -> None:
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_what_a_killed_hub_had_half_written_is_removed(folder: Storage, root: Path) -> None:
    folder.put("a/b", b"x")
    yesterday = time.time() - ABANDONED_SECONDS - 1
    for name in ("b", "old#1", "new#12", "old#x"):
        path = root / "a" / name
        path.write_bytes(b"x")
        if name != "new#12":
            os.utime(path, (yesterday, yesterday))
    open_storage(root)
    assert files(root) == ["a/b", "a/new#12", "a/old#x"]


def test_a_stream_is_written_up_to_its_limit(folder: Storage) -> None:
    assert asyncio.run(folder.put_stream("a", arriving(b"ab", b"c"), limit=3)) == 3
    assert folder.read("a") == b"abc"


@pytest.mark.parametrize("size", [4, 2 * PART_BYTES])
def test_a_stream_over_its_limit_leaves_nothing(folder: Storage, root: Path, size: int) -> None:
    with pytest.raises(TooLarge, match="limit of"):
        asyncio.run(folder.put_stream("a", arriving(b"x" * size, b"x"), limit=size))
    assert not files(root)


def test_a_stream_that_breaks_leaves_nothing(folder: Storage, root: Path) -> None:
    source = arriving(b"x" * (2 * PART_BYTES), error=ConnectionResetError("the client went away"))
    with pytest.raises(ConnectionResetError):
        asyncio.run(folder.put_stream("a", source, limit=10 * PART_BYTES))
    assert not files(root)


def test_a_cancelled_stream_leaves_nothing(folder: Storage, root: Path) -> None:
    async def hanging() -> AsyncIterator[bytes]:
        yield b"x" * (2 * PART_BYTES)
        await asyncio.Event().wait()

    async def cancel() -> None:
        task = asyncio.create_task(folder.put_stream("a", hanging(), limit=10 * PART_BYTES))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        for _ in range(100):  # the staged file is removed in the background
            if not files(root):
                return
            await asyncio.sleep(0.01)

    asyncio.run(cancel())
    assert not files(root)


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
    folder: Storage, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], number: int, error: type[StorageError]
) -> None:
    def refuse(*_: object) -> None:
        raise kind(
            f"Generic LocalFileSystem error: Unable to copy data to file: Something (os error {number})\n\nDebug"
        )

    monkeypatch.setattr(storage_module.obstore, "put", refuse)
    with pytest.raises(error) as failure:
        folder.put("a", b"x")
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
