"""A deployment's folder on its way into the storage and out of it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.versitygw import REGION, VersityGW
from visionfleet.config.hub import Hub
from visionfleet.hub import deployments
from visionfleet.hub.deployments import OURS, DeploymentError, blob_key, fetch, manifest_key, publish
from visionfleet.hub.objects.signing import Signer
from visionfleet.hub.objects.storage import Storage, StorageError, StorageUnavailable
from visionfleet.projections.published import FILE, PublishedFolder, blob_of

CONTENTS = {
    FILE: b"name: small\nworkspace: acme\n",
    "workflows/count.json": b"{}",
    "models/screws/weights.onnx": os.urandom(11_000_000),  # of several parts
    "models/screws/class_names.txt": b"screw\n",
    "models/pallets/class_names.txt": b"screw\n",  # the same content
}


class CountingStorage(Storage):
    """Counts what is written; after `breaks_after` objects it fails."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.written: list[str] = []
        self.breaks_after: int | None = None

    def put(self, key: str, data: bytes | Iterator[bytes]) -> int:
        if self.breaks_after is not None and len(self.written) >= self.breaks_after:
            raise StorageError("the line is cut")
        size = super().put(key, data)
        self.written.append(key)
        return size


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.engine)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> CountingStorage:
    return CountingStorage.open(settings(request, tmp_path), Signer(b"k" * 32))  # type: ignore[return-value]


def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Hub:
    """A folder, or a new bucket of a real server."""
    if request.param == "folder":
        return Hub.model_validate({"storage": str(tmp_path / "storage")})
    server: VersityGW = request.getfixturevalue("s3")
    bucket = f"deployments-{uuid.uuid4().hex}"
    server.make_bucket(bucket)
    keys = {"access_key_id": "env:TESTS_KEY_ID", "secret_access_key": "env:TESTS_SECRET"}
    s3 = {"endpoint": server.endpoint, "region": REGION, **keys}
    return Hub.model_validate({"storage": f"s3://{bucket}/hub", "s3": s3})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployments, "PATIENCE_SECONDS", 0.1)


def folder_with(folder: Path, contents: dict[str, bytes]) -> PublishedFolder:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    sources = {name: folder / name for name in contents}
    return PublishedFolder({name: blob_of(path) for name, path in sources.items()}, sources)


@pytest.fixture
def folder(tmp_path: Path) -> PublishedFolder:
    return folder_with(tmp_path / "acme", CONTENTS)


def ignore(_: str) -> None:
    """No progress."""


def contents(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(OURS)}


def test_what_is_fetched_is_what_was_published(
    storage: CountingStorage, folder: PublishedFolder, tmp_path: Path
) -> None:
    publish(storage, folder, ignore)
    fetch(storage, folder.digest, tmp_path / "pod", ignore)
    assert contents(tmp_path / "pod") == CONTENTS


def test_each_content_is_uploaded_once_and_the_manifest_last(storage: CountingStorage, folder: PublishedFolder) -> None:
    publish(storage, folder, ignore)
    assert sorted(storage.written[:-1]) == sorted({blob_key(blob) for blob in folder.blobs.values()})
    assert storage.written[-1] == manifest_key(folder.digest)


def test_a_new_deployment_uploads_what_is_new_in_it(
    storage: CountingStorage, folder: PublishedFolder, tmp_path: Path
) -> None:
    publish(storage, folder, ignore)
    storage.written.clear()
    changed = folder_with(tmp_path / "changed", CONTENTS | {"workflows/count.json": b'{"version": "1.0"}'})
    publish(storage, changed, ignore)
    assert storage.written == [blob_key(changed.blobs["workflows/count.json"]), manifest_key(changed.digest)]


def test_an_old_deployment_is_there_beside_the_new_one(
    storage: CountingStorage, folder: PublishedFolder, tmp_path: Path
) -> None:
    """A rollback of the chart brings its digest back, and with it the old workflows and models."""
    publish(storage, folder, ignore)
    new = {FILE: b"name: new\nworkspace: acme\n", "workflows/other.json": b"{}"}
    changed = folder_with(tmp_path / "changed", new)
    publish(storage, changed, ignore)
    fetch(storage, changed.digest, tmp_path / "pod", ignore)
    assert contents(tmp_path / "pod") == new
    fetch(storage, folder.digest, tmp_path / "pod", ignore)
    assert contents(tmp_path / "pod") == CONTENTS


def test_a_broken_run_goes_on_where_it_was(
    storage: CountingStorage, folder: PublishedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployments, "AT_ONCE", 1)
    storage.breaks_after = 2
    with pytest.raises(StorageError, match="the line is cut"):
        publish(storage, folder, ignore)
    with pytest.raises(DeploymentError, match="has no deployment"):  # nobody starts with half of it
        fetch(storage, folder.digest, tmp_path / "pod", ignore)
    before, storage.breaks_after = storage.written[:], None
    storage.written.clear()
    publish(storage, folder, ignore)
    assert not set(before) & set(storage.written)
    fetch(storage, folder.digest, tmp_path / "pod", ignore)
    assert contents(tmp_path / "pod") == CONTENTS


def test_a_file_that_changes_while_it_is_uploaded_is_not_published(
    storage: CountingStorage, folder: PublishedFolder
) -> None:
    folder.sources[FILE].write_bytes(b"name: other\nworkspace: acme\n")
    with pytest.raises(DeploymentError, match=rf"{FILE} has changed"):
        publish(storage, folder, ignore)
    assert not storage.exists(blob_key(folder.blobs[FILE]))
    assert not storage.exists(manifest_key(folder.digest))


def test_a_file_that_has_gone_is_named(storage: CountingStorage, folder: PublishedFolder) -> None:
    folder.sources["workflows/count.json"].unlink()
    with pytest.raises(DeploymentError, match=r"count\.json: No such file"):
        publish(storage, folder, ignore)


def test_a_damaged_content_is_refused_and_nothing_of_it_is_left_to_start_with(
    storage: CountingStorage, folder: PublishedFolder, tmp_path: Path
) -> None:
    publish(storage, folder, ignore)
    weights = CONTENTS["models/screws/weights.onnx"]
    storage.put(blob_key(folder.blobs["models/screws/weights.onnx"]), weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(DeploymentError, match=r"weights\.onnx is damaged in the storage: run .* --again"):
        fetch(storage, folder.digest, tmp_path / "pod", ignore)
    assert contents(tmp_path / "pod") == {}
    publish(storage, folder, ignore)  # it has the right size, so this finds nothing to do
    publish(storage, folder, ignore, again=True)
    fetch(storage, folder.digest, tmp_path / "pod", ignore)
    assert contents(tmp_path / "pod") == CONTENTS


def test_a_truncated_content_is_uploaded_again_without_being_asked(
    storage: CountingStorage, folder: PublishedFolder, tmp_path: Path
) -> None:
    publish(storage, folder, ignore)
    storage.put(blob_key(folder.blobs["models/screws/weights.onnx"]), b"short")
    publish(storage, folder, ignore)
    fetch(storage, folder.digest, tmp_path / "pod", ignore)


def test_a_missing_content_is_named_with_the_way_out(
    storage: CountingStorage, folder: PublishedFolder, tmp_path: Path
) -> None:
    publish(storage, folder, ignore)
    storage.delete([blob_key(folder.blobs["workflows/count.json"])])
    with pytest.raises(DeploymentError, match=r"workflows/count\.json is missing from the storage: run"):
        fetch(storage, folder.digest, tmp_path / "pod", ignore)


def test_a_damaged_manifest_is_refused(storage: CountingStorage, folder: PublishedFolder, tmp_path: Path) -> None:
    publish(storage, folder, ignore)
    storage.put(manifest_key(folder.digest), folder.manifest.replace(b"workflows/count", b"../../etc/count"))
    with pytest.raises(DeploymentError, match="is damaged"):
        fetch(storage, folder.digest, tmp_path / "pod", ignore)


def test_what_is_there_already_is_not_fetched_again(
    storage: CountingStorage, folder: PublishedFolder, tmp_path: Path
) -> None:
    publish(storage, folder, ignore)
    fetch(storage, folder.digest, tmp_path / "pod", ignore)
    storage.delete([blob_key(blob) for blob in folder.blobs.values()])
    fetch(storage, folder.digest, tmp_path / "pod", ignore)


def test_a_file_that_was_changed_here_is_put_right(
    storage: CountingStorage, folder: PublishedFolder, tmp_path: Path
) -> None:
    publish(storage, folder, ignore)
    fetch(storage, folder.digest, tmp_path / "pod", ignore)
    (tmp_path / "pod/workflows/count.json").write_text("[]")
    (tmp_path / "pod/workflows/more.json").write_text("{}")
    fetch(storage, folder.digest, tmp_path / "pod", ignore)
    assert contents(tmp_path / "pod") == CONTENTS


def test_what_a_killed_fetch_left_behind_does_no_harm(
    storage: CountingStorage, folder: PublishedFolder, tmp_path: Path
) -> None:
    publish(storage, folder, ignore)
    left = tmp_path / "pod" / OURS / "incoming" / "workflows"
    left.mkdir(parents=True)
    (left / "half.json").write_text("{")
    fetch(storage, folder.digest, tmp_path / "pod", ignore)
    assert contents(tmp_path / "pod") == CONTENTS


def test_a_folder_with_somebodys_files_is_left_alone(
    storage: CountingStorage, folder: PublishedFolder, tmp_path: Path
) -> None:
    publish(storage, folder, ignore)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(DeploymentError, match="that were not fetched"):
        fetch(storage, folder.digest, tmp_path / "mine", ignore)
    assert contents(tmp_path / "mine") == {"notes.txt": b"mine"}


def test_a_storage_that_is_not_there_yet_is_waited_for(
    storage: CountingStorage, folder: PublishedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(storage, folder, ignore)
    monkeypatch.setattr(deployments, "PATIENCE_SECONDS", 30)
    away = iter([StorageUnavailable("connection refused")] * 3)
    read = Storage.read

    def flaky(self: Storage, key: str) -> bytes:
        if (error := next(away, None)) is not None:
            raise error
        return read(self, key)

    monkeypatch.setattr(CountingStorage, "read", flaky)
    fetch(storage, folder.digest, tmp_path / "pod", ignore)
    assert contents(tmp_path / "pod") == CONTENTS


def test_a_storage_that_stays_away_ends_it(
    storage: CountingStorage, folder: PublishedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> bytes:
        raise StorageUnavailable("connection refused")

    monkeypatch.setattr(CountingStorage, "read", away)
    with pytest.raises(StorageUnavailable, match="connection refused"):
        fetch(storage, folder.digest, tmp_path / "pod", ignore)
