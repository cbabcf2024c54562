"""What holds of a storage wherever it is: the same tests on a folder and on a bucket."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from collections.abc import Iterator

import pytest

from tests.hub.objects.places import MIB, Folder, InBucket, arriving, failing
from visionfleet.hub.objects import storage as storage_module
from visionfleet.hub.objects.errors import InvalidKey, ObjectMissing, StorageError
from visionfleet.hub.objects.storage import PART_BYTES, Storage


def test_what_is_put_can_be_read_listed_and_deleted(storage: Storage, place: Folder | InBucket) -> None:
    assert storage.put("batch/1/a b.jpg", b"abc") == 3
    assert storage.put("batch/10/c.jpg", iter([b"ab", b"", b"c" * PART_BYTES])) == 2 + PART_BYTES
    assert storage.read("batch/1/a b.jpg") == b"abc"
    assert storage.size("batch/10/c.jpg") == 2 + PART_BYTES
    assert list(storage.list("batch/1")) == [("batch/1/a b.jpg", 3)]
    assert list(storage.list("batch/1/")) == [("batch/1/a b.jpg", 3)]
    assert sorted(storage.list("")) == [("batch/1/a b.jpg", 3), ("batch/10/c.jpg", 2 + PART_BYTES)]
    assert list(storage.list("nothing/here")) == []

    assert storage.sizes(["batch/10/c.jpg", "batch/1/a b.jpg"]) == [2 + PART_BYTES, 3]
    assert storage.files("batch/1") == {"batch/1/a b.jpg"}
    assert storage.files("batch") == storage.files("nothing/here") == set()

    storage.delete(["gone", "batch/1/a b.jpg", "batch/10/c.jpg", "also/gone"])
    assert place.held() == []
    storage.delete([])


def test_a_folder_is_deleted_with_all_that_is_in_it_some_at_a_time(
    storage: Storage, place: Folder | InBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "KEYS_AT_ONCE", 3)
    for number in range(10):
        storage.put(f"batch/1/{number % 2}/{number}", b"x")
    storage.put("batch/10/a", b"x")
    storage.delete_folder("batch/1")
    assert place.held() == ["batch/10/a"]
    storage.delete_folder("batch/1")


def test_a_put_replaces_what_was_there(storage: Storage) -> None:
    storage.put("a", b"first and longer")
    storage.put("a", b"second")
    assert storage.read("a") == b"second"


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


def test_an_object_opens_as_a_file(storage: Storage) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("inside.txt")
        info.size = 3 * MIB
        archive.addfile(info, io.BytesIO(b"hello" + bytes(info.size)))
    storage.put("a.tar", buffer.getvalue())
    with storage.open_file("a.tar") as file, tarfile.open(fileobj=file, mode="r|") as archive:
        assert archive.extractfile(archive.next()).read(5) == b"hello"
    with storage.open_file("a.tar") as file:
        assert file.read() == buffer.getvalue()
        assert file.read(1) == b""


def test_an_object_that_is_replaced_while_it_is_read_is_read_as_it_was(storage: Storage) -> None:
    storage.put("a", b"x" * (20 * MIB))
    with storage.open_file("a") as file:
        first = file.read(MIB)
        storage.put("a", b"y" * (20 * MIB))
        assert set(first + file.read()) == {ord("x")}


@pytest.mark.parametrize("key", ["nope", "folder", "folder/nope"])
def test_a_missing_object(storage: Storage, key: str) -> None:
    storage.put("folder/a", b"x")
    for ask in (
        storage.read,
        storage.size,
        storage.stream,
        storage.open_file,
        lambda key: storage.sizes(["folder/a", key]),
    ):
        with pytest.raises(ObjectMissing, match=key):
            ask(key)
    assert not storage.exists(key)
    assert storage.exists("folder/a")


def test_an_iterator_may_read_from_the_storage_that_it_is_written_to(storage: Storage) -> None:
    storage.put("a", b"x" * (PART_BYTES + MIB))
    storage.put("b", storage.stream("a"))
    assert storage.size("b") == PART_BYTES + MIB


@pytest.mark.parametrize("size", [10, 2 * PART_BYTES])
def test_a_source_that_breaks_leaves_nothing(storage: Storage, place: Folder | InBucket, size: int) -> None:
    storage.put("kept", b"before")
    for key in ("new", "kept"):
        with pytest.raises(KeyError):
            storage.put(key, failing(size))
    assert place.held() == ["kept"]
    assert storage.read("kept") == b"before"


def test_a_half_written_object_is_not_listed(storage: Storage, place: Folder | InBucket) -> None:
    def watching() -> Iterator[bytes]:
        yield b"x" * (2 * PART_BYTES)
        yield b"y" * (2 * PART_BYTES)
        assert len(place.held()) == 1
        assert list(storage.list("")) == []
        assert not storage.exists("a")

    storage.put("a", watching())
    assert list(storage.list("")) == [("a", 4 * PART_BYTES)]


@pytest.mark.parametrize(
    "key",
    [
        "", "/", "/a", "a/", "a//b", ".", "..", "a/..", "a/../b", "../a", "a/.", "a\\b", "a\0", "a\nb", "a\x7f",
        "a#1", "a/b#23", "C:", "a/bc|", "\ud800", "x" * 251, "é" * 126, "/".join(["x" * 100] * 11),
    ],
)  # fmt: skip
def test_a_bad_key_is_refused_everywhere(storage: Storage, place: Folder | InBucket, key: str) -> None:
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
    assert place.held() == []
