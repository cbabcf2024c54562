"""What cannot be tidied up keeps nothing else from being tidied up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hub.support import STAGING, Api, Clock, archive, jpeg
from visionfleet.hub import housekeeping, tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.deployments import fetch, publish
from visionfleet.hub.objects.storage import Storage, StorageError
from visionfleet.hub.staging.batches import SECONDS_A_DAY
from visionfleet.hub.store.tables import Task, TaskKind
from visionfleet.projections.published import published_folder


def test_a_task_that_cannot_be_ended_keeps_no_other_from_its_end(
    hub: Hub, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub.store.write() as session:
        for shard in ("bad", "good"):
            payload = {"shard_id": shard}
            tasks.enqueue(session, clock(), TaskKind.INGEST, payload, id=shard, attempts=tasks.MAX_ATTEMPTS - 1)
    for _ in range(2):
        tasks.claim(hub.store, [TaskKind.INGEST], "gone")
    clock.advance(tasks.LEASE_SECONDS + 1)

    def end_own(_hub: Hub, _session: object, task: Task, _reason: str) -> None:
        if task.id == "bad":
            raise StorageError("no luck")

    monkeypatch.setattr(housekeeping, "end_own", end_own)
    housekeeping.bury_overdue(hub)
    with hub.store.read() as session:
        states = {task.id: task.state for task in session.query(Task)}
    assert states == {"bad": "leased", "good": "failed"}


def test_a_batch_that_cannot_be_removed_keeps_no_other_from_going(
    api: Api, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for batch in ("bad", "good"):
        api.upload(batch, "one.jpg", jpeg())
    clock.advance(api.hub.config.hub.retention_days * SECONDS_A_DAY)
    delete = Storage.delete

    def refuse_first(storage: Storage, keys: list[str]) -> None:
        if any(key.startswith("batches/1/") for key in keys):
            raise StorageError("no luck")
        delete(storage, keys)

    monkeypatch.setattr(Storage, "delete", refuse_first)
    assert housekeeping.sweep(api.hub) == 1
    assert [batch["batchId"] for batch in api.get(STAGING).json()["batches"]] == ["bad"]


def test_what_is_published_outlives_every_retention(api: Api, clock: Clock, tmp_path: Path) -> None:
    """A rollback asks for it, however long ago it was."""
    file = tmp_path / "visionfleet.yaml"
    folder = published_folder(file, api.hub.config)
    publish(api.hub.storage, folder, print)
    api.upload("old", "one.jpg", jpeg())
    clock.advance(100 * api.hub.config.hub.retention_days * SECONDS_A_DAY)
    assert housekeeping.sweep(api.hub) == 1
    fetch(api.hub.storage, folder.digest, tmp_path / "pod", print)
    assert (tmp_path / "pod/visionfleet.yaml").read_bytes() == file.read_bytes()


def test_an_ingest_is_forgotten_with_its_retention_and_not_before(api: Api, clock: Clock) -> None:
    api.upload_shard("b", archive({"one.jpg": jpeg()}))
    api.run_hub_tasks()
    left = []
    for days in (0, api.hub.config.hub.retention_days, 1):
        clock.advance(days * SECONDS_A_DAY)
        housekeeping.clear_away(api.hub)
        with api.hub.store.read() as session:
            left.append(session.query(Task).count())
    assert left == [1, 1, 0]
