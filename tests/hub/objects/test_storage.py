import asyncio
import io
import os
import stat
import tarfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.exceptions import GenericError

from tests.engines import versitygw
from tests.engines.engine import small_disk
from tests.engines.versitygw import VersityGW
from visionfleet.config.hub import Hub
from visionfleet.hub.objects import storage as storage_module
from visionfleet.hub.objects.errors import (
    InvalidKey,
    ObjectMissing,
    StorageError,
    StorageFull,
    StorageUnavailable,
    TooLarge,
)
from visionfleet.hub.objects.folder import ABANDONED_SECONDS
from visionfleet.hub.objects.keys import check_key
from visionfleet.hub.objects.signing import Signer
from visionfleet.hub.objects.storage import PART_BYTES, Storage

MIB = 1024 * 1024
SIGNER = Signer(b"k" * 32)


def open_storage(folder: Path) -> Storage:
    return Storage.open(SimpleNamespace(storage=folder), SIGNER)


def files(root: Path) -> list[str]:
    # by os.walk, since the storage's own threads may remove an empty folder while one looks
    found = (Path(folder) / name for folder, _, names in os.walk(root) for name in names)
    return sorted(str(path.relative_to(root)) for path in found)


class Folder:
    """A storage in a folder, and what lies there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.storage = open_storage(root)

    def held(self) -> list[str]:
        return files(self.root)


class InBucket:
    """A storage under a prefix of a bucket, and what lies there, seen and unseen."""

    def __init__(self, server: VersityGW) -> None:
        self._server = server
        self._bucket = f"objects-{uuid.uuid4().hex}"
        server.make_bucket(self._bucket)
        self.storage = Storage.open(settings_of(server, f"{self._bucket}/some/prefix"), SIGNER)

    def held(self) -> list[str]:
        unseen = [f"unfinished: {key}" for key in self._server.unfinished(self._bucket)]
        listed = self._server.client.list_objects_v2(Bucket=self._bucket).get("Contents", [])
        return sorted(entry["Key"].removeprefix("some/prefix/") for entry in listed) + unseen


def settings_of(server: VersityGW, place: str, **s3: object) -> Hub:
    known = {"endpoint": server.endpoint, "region": versitygw.REGION}
    known |= {"access_key_id": "env:TESTS_KEY_ID", "secret_access_key": "env:TESTS_SECRET"}
    return Hub.model_validate({"storage": f"s3://{place}", "s3": known | s3})


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.engine)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Folder | InBucket:
    if request.param == "folder":
        return Folder(tmp_path / "state" / "storage")
    return InBucket(request.getfixturevalue("s3"))


@pytest.fixture
def storage(place: Folder | InBucket) -> Storage:
    return place.storage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "folder"


@pytest.fixture
def folder(root: Path) -> Storage:
    return open_storage(root)


async def arriving(*chunks: bytes, error: BaseException | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if error:
        raise error


def failing(size: int) -> Iterator[bytes]:
    yield b"x" * size
    raise KeyError("the source broke")


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


def test_a_put_replaces_what_was_there(storage: Storage) -> None:
    storage.put("a", b"first and longer")
    storage.put("a", b"second")
    assert storage.read("a") == b"second"


def test_the_folder_is_for_the_owner_alone(folder: Storage, root: Path) -> None:
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


@pytest.mark.engine
@given(key=st.text(min_size=1, max_size=60))
def test_a_bucket_holds_every_key_under_its_prefix_and_links_to_it(s3: VersityGW, key: str) -> None:
    try:
        check_key(key)
    except InvalidKey:
        return
    with suppress(s3.client.exceptions.BucketAlreadyOwnedByYou):
        s3.make_bucket("every-key")
    storage = Storage.open(settings_of(s3, "every-key/a/b"), SIGNER)
    put = httpx.put(storage.sign("PUT", key, 60, "http://hub"), content=b"xyz", headers={"Content-Type": "image/jpeg"})
    assert put.status_code == 200, put.text
    assert list(storage.list("")) == [(key, 3)]
    assert [entry["Key"] for entry in s3.client.list_objects_v2(Bucket="every-key")["Contents"]] == [f"a/b/{key}"]
    part = httpx.get(storage.sign("GET", key, 60, "http://hub"), headers={"Range": "bytes=1-"})
    assert (part.status_code, part.content) == (206, b"yz")
    storage.delete([key])


@pytest.mark.engine
def test_a_link_to_a_bucket_is_good_for_what_it_was_made_for_and_for_its_time(s3: VersityGW) -> None:
    storage = InBucket(s3).storage
    storage.put("a", b"before")
    read, gone = storage.sign("GET", "a", 60, "http://hub"), storage.sign("PUT", "a", 1, "http://hub")
    assert httpx.put(read, content=b"x").status_code == 403
    assert httpx.get(read.replace("/a?", "/b?")).status_code == 403
    time.sleep(2.1)
    assert httpx.put(gone, content=b"x").status_code == 403
    assert storage.read("a") == b"before"


@pytest.mark.engine
@pytest.mark.parametrize(
    ("place", "s3_settings", "said"),
    [
        ("nowhere", {}, "NoSuchBucket.*make the bucket, or mend hub.storage"),
        ("there", {"secret_access_key": "env:TESTS_WRONG"}, "SignatureDoesNotMatch.*mend hub.s3.access_key_id"),
        ("there", {"region": "us-east-1"}, "AuthorizationHeaderMalformed.*mend hub.s3.region"),
        ("there", {"endpoint": "http://127.0.0.1:1"}, "did not answer.*hub.s3.endpoint"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_told_when_it_is_opened(
    s3: VersityGW, monkeypatch: pytest.MonkeyPatch, place: str, s3_settings: dict[str, str], said: str
) -> None:
    monkeypatch.setenv("TESTS_WRONG", "not it")
    with suppress(s3.client.exceptions.BucketAlreadyOwnedByYou):
        s3.make_bucket("there")
    with pytest.raises(StorageError, match=said) as failed:
        Storage.open(settings_of(s3, place, **s3_settings), SIGNER)
    assert "\n" not in str(failed.value)


@pytest.mark.engine
def test_keys_of_the_file_are_used_alone_whatever_the_environment_has(
    s3: VersityGW, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "stale")
    assert InBucket(s3).storage.put("a", b"x") == 1


@pytest.mark.engine
def test_without_keys_in_the_file_the_environment_is_asked(s3: VersityGW, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", versitygw.KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", versitygw.SECRET)
    with suppress(s3.client.exceptions.BucketAlreadyOwnedByYou):
        s3.make_bucket("there")
    settings = Hub.model_validate(
        {"storage": "s3://there", "s3": {"endpoint": s3.endpoint, "region": versitygw.REGION}}
    )
    assert Storage.open(settings, SIGNER).put("a", b"x") == 1


@pytest.mark.engine
def test_a_bucket_that_has_gone_or_does_not_answer_is_no_missing_object(tmp_path: Path, s3: VersityGW) -> None:
    with versitygw.serving(tmp_path) as server:
        storage = InBucket(server).storage
        bucket = server.client.list_buckets()["Buckets"][0]["Name"]
        server.client.delete_bucket(Bucket=bucket)
        with pytest.raises(StorageError, match="NoSuchBucket") as failed:
            storage.put("a", b"x")
        assert not isinstance(failed.value, ObjectMissing)
        server.make_bucket(bucket)
        server.stop()
        with pytest.raises(StorageUnavailable, match=r"hub\.s3\.endpoint"):
            storage.put("a", b"x")
        server.start()
        assert storage.put("a", b"x") == 1
