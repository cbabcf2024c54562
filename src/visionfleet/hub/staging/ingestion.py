"""The ingest of a shard: its archive becomes staged images.

Every file of the archive is either staged or named in the shard's status with the reason; a damaged archive stages
nothing. The rows come in one transaction that holds the lease: an ingest that is run again doubles nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from visionfleet.hub import tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.errors import HubError
from visionfleet.hub.ids import check_file_name
from visionfleet.hub.objects.storage import ObjectMissing
from visionfleet.hub.staging.ingest import BadImage, BadShard, Entry, Rejected, check_image, read_shard
from visionfleet.hub.store.tables import ContentType, File, Shard, StatusType, Task

MAX_REPORTED_FILES = 1000


@dataclass
class _Sorted:
    """What an archive held: images, by now stored as objects, and what was refused."""

    images: list[File] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)

    def refuse(self, name: str, code: str, reason: str) -> None:
        """Note a file that is not staged."""
        self.refused.append({"fileName": name, "code": code, "reason": reason})


def run_ingest(hub: Hub, task: Task) -> None:
    """Do an ingest task to its end. Raises what may be tried again."""
    with hub.store.read() as session:
        shard = session.get(Shard, task.payload["shard_id"])
    if shard is None:
        _drop(hub, task)
        return
    try:
        found = _store_images(hub, shard)
    except ObjectMissing:
        _refuse_shard(hub, task, "upload_missing", "the archive was not uploaded before its URL expired")
    except BadShard as error:
        hub.storage.delete([key for key, _ in hub.storage.list(_prefix(shard))])
        _refuse_shard(hub, task, error.code, str(error))
    else:
        _commit(hub, task, found)
    hub.storage.delete([shard.object_key])


def fail_ingest(session: Session, now: float, task: Task, reason: str) -> None:
    """Give the shard up after its last attempt."""
    shard = session.get(Shard, task.payload["shard_id"])
    if shard is not None:
        _end_shard(shard, now, StatusType.ERROR, {"code": "ingest_failed", "reason": reason})


def _store_images(hub: Hub, shard: Shard) -> _Sorted:
    found = _Sorted()
    with hub.storage.open_file(shard.object_key) as archive:
        for number, entry in enumerate(read_shard(archive)):
            if isinstance(entry, Rejected):
                found.refuse(entry.name, entry.code, entry.reason)
            elif isinstance(entry, Entry):
                _store_image(hub, shard, number, entry, found)
    return found


def _store_image(hub: Hub, shard: Shard, number: int, entry: Entry, found: _Sorted) -> None:
    try:
        check_file_name(entry.name)
        check_image(entry.data)
    except (BadImage, HubError) as error:
        found.refuse(entry.name, error.code, str(error))
        return
    key = f"{_prefix(shard)}/{number:06d}"
    hub.storage.put(key, entry.data)
    found.images.append(
        File(
            batch_row=shard.batch_row,
            shard_id=shard.id,
            name=entry.name,
            content_type=ContentType.IMAGES,
            object_key=key,
            size=len(entry.data),
            digest=hashlib.sha256(entry.data).hexdigest(),
        )
    )


def _drop(hub: Hub, task: Task) -> None:
    now = hub.store.clock()
    with hub.store.write() as session:
        tasks.finish(tasks.hold(session, now, task.id, task.token), now, "the batch has expired")


def _commit(hub: Hub, task: Task, found: _Sorted) -> None:
    now = hub.store.clock()
    with hub.store.write() as session:
        tasks.finish(tasks.hold(session, now, task.id, task.token), now, "done")
        shard = session.get_one(Shard, task.payload["shard_id"])
        present = {file.name: file.digest for file in _present(session, shard)}
        staged = 0
        for image in found.images:
            if image.name not in present:
                session.add(image)
                staged += 1
            elif present[image.name] != image.digest:
                found.refuse(image.name, "file_exists", "the batch holds another image of this name")
        shard.objects_count = staged
        details: dict[str, Any] = {"filesRefused": len(found.refused)} if found.refused else {}
        if found.refused:
            details["refused"] = found.refused[:MAX_REPORTED_FILES]
        status = StatusType.SUCCESS if found.images or not found.refused else StatusType.ERROR
        _end_shard(shard, now, status, details)


def _refuse_shard(hub: Hub, task: Task, code: str, reason: str) -> None:
    now = hub.store.clock()
    with hub.store.write() as session:
        tasks.finish(tasks.hold(session, now, task.id, task.token), now, reason)
        shard = session.get_one(Shard, task.payload["shard_id"])
        _end_shard(shard, now, StatusType.ERROR, {"code": code, "reason": reason})


def _end_shard(shard: Shard, now: float, status: StatusType, details: dict[str, Any]) -> None:
    shard.status_type = status
    shard.status_name = "ingested" if status == StatusType.SUCCESS else "refused"
    shard.details, shard.event_at = details, now


def _present(session: Session, shard: Shard) -> list[File]:
    query = select(File).where(File.batch_row == shard.batch_row, File.part == "")
    return list(session.scalars(query))


def _prefix(shard: Shard) -> str:
    return f"batches/{shard.batch_row}/shards/{shard.id}"
