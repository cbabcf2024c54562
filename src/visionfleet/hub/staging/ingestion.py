"""The ingest of a shard: its archive becomes staged images.

Every file of the archive is either staged or named in the shard's status with the reason; a damaged archive stages
nothing. The rows come in one transaction that holds the lease: an ingest that is run again doubles nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from visionfleet.hub import tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.errors import HubError
from visionfleet.hub.ids import check_file_name
from visionfleet.hub.objects.errors import ObjectMissing
from visionfleet.hub.staging.ingest import (
    MAX_SHARD_BYTES,
    NOTIFICATION_NAME,
    BadImage,
    BadShard,
    Entry,
    Notification,
    Rejected,
    check_image,
    read_shard,
)
from visionfleet.hub.store.locks import locked_with_all
from visionfleet.hub.store.tables import Batch, ContentType, File, Shard, StatusType, Task

MAX_REPORTED_FILES = 1000


@dataclass
class _Sorted:
    """What an archive held: images, by now stored as objects, and what was refused."""

    images: list[File] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)

    def refuse(self, name: str, code: str, reason: str) -> None:
        """Note a file that is not staged."""
        self.refused.append({"fileName": name, "code": code, "reason": reason})


def run_ingest(hub: Hub, task: Task, check: tasks.Check) -> None:
    """Do an ingest task to its end. Raises what may be tried again."""
    with hub.store.read() as session:
        shard = session.get(Shard, task.payload["shard_id"])
    if shard is None:
        _drop(hub, task)
        return
    unused = [shard.object_key]
    try:
        found = _store_images(hub, shard, check)
    except ObjectMissing:
        _refuse_shard(hub, task, "upload_missing", "the archive was not uploaded before its URL expired")
    except BadShard as error:
        unused += [key for key, _ in hub.storage.list(_prefix(shard))]
        _refuse_shard(hub, task, error.code, str(error))
    else:
        unused += _commit(hub, task, found)
    hub.storage.delete(unused)


def fail_ingest(session: Session, now: float, task: Task, reason: str) -> None:
    """Give the shard up after its last attempt."""
    shard = session.get(Shard, task.payload["shard_id"])
    if shard is not None:
        _end_shard(shard, now, StatusType.ERROR, {"code": "ingest_failed", "reason": reason})


def _store_images(hub: Hub, shard: Shard, check: tasks.Check) -> _Sorted:
    found = _Sorted()
    if hub.storage.direct and hub.storage.size(shard.object_key) > MAX_SHARD_BYTES:  # nobody has counted as it came
        raise BadShard("shard_too_large", f"it has over {MAX_SHARD_BYTES} bytes")
    with hub.storage.open_file(shard.object_key) as archive:
        for number, entry in enumerate(read_shard(archive)):
            check()
            if isinstance(entry, Rejected):
                found.refuse(entry.name, entry.code, entry.reason)
            elif isinstance(entry, Notification):
                found.refuse(NOTIFICATION_NAME, "notifications_unsupported", "this hub sends no notifications")
            else:
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


def _commit(hub: Hub, task: Task, found: _Sorted) -> list[str]:
    """Stage the images that the batch does not have yet; gives the object keys of the others."""
    now = hub.store.clock()
    with hub.store.write() as session:
        tasks.finish(tasks.hold(session, now, task.id, task.token), now, "done")
        shard = session.get_one(Shard, task.payload["shard_id"])
        # until the end no other upload to the batch takes a name that this one finds free
        session.execute(locked_with_all(select(Batch.row).where(Batch.row == shard.batch_row)))
        present = _present(session, shard, [image.name for image in found.images])
        staged = [image for image in found.images if image.name not in present]
        session.add_all(staged)
        for image in found.images:
            if present.get(image.name, image.digest) != image.digest:
                found.refuse(image.name, "file_exists", "the batch holds another image of this name")
        shard.objects_count = len(staged)
        details: dict[str, Any] = {"filesRefused": len(found.refused)} if found.refused else {}
        if found.refused:
            details["refused"] = found.refused[:MAX_REPORTED_FILES]
        status = StatusType.SUCCESS if found.images or not found.refused else StatusType.ERROR
        _end_shard(shard, now, status, details)
    return [image.object_key for image in found.images if image.name in present]


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


def _present(session: Session, shard: Shard, names: Sequence[str]) -> dict[str, str]:
    """Those of `names` (as many as a shard may hold) that the batch has, with the digest of what is there."""
    query = select(File.name, File.digest).where(File.batch_row == shard.batch_row, File.part == "")
    return dict(session.execute(query.where(File.name.in_(names))).all())


def _prefix(shard: Shard) -> str:
    return f"batches/{shard.batch_row}/shards/{shard.id}"
