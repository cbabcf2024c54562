"""Data staging: batches, their parts and files, and the shards they come in."""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import Any

from sqlalchemy import delete, exists, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from visionfleet.hub import tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.errors import HubError, not_found
from visionfleet.hub.ids import check_batch_id, check_display_name, check_file_name, iso
from visionfleet.hub.objects.errors import StorageError
from visionfleet.hub.objects.signing import InvalidSignature
from visionfleet.hub.pages import Page, answer, fetch, fetch_by_position
from visionfleet.hub.staging.ingest import BadImage, check_image
from visionfleet.hub.store.locks import locked, locked_with_all, take_turns
from visionfleet.hub.store.tables import Batch, BatchType, ContentType, File, Part, Shard, StatusType, Task, TaskKind

SECONDS_A_DAY = 86_400
URL_SECONDS = 3600
LEASE_URL_SECONDS = 24 * 3600  # a task may take long over its last image
REGISTERED = "registered"
_SHARD_KEY = re.compile(r"batches/[0-9]+/shards/([0-9a-f]{32})\.tar")


def list_batches(hub: Hub, workspace: str, page: Page) -> dict[str, Any]:
    """One page of the workspace's batches, the newest first."""
    with hub.store.read() as session:
        query = select(Batch).where(Batch.workspace == workspace)
        rows, token = fetch(session, query, Batch.row, page, newest_first=True)
    return answer("batches", rows, batch_view, token)


def show_batch(hub: Hub, workspace: str, batch_id: str) -> dict[str, Any]:
    """A batch's metadata."""
    with hub.store.read() as session:
        return {"batch": batch_view(get_batch(session, workspace, batch_id))}


def count_files(hub: Hub, workspace: str, batch_id: str, part: str | None) -> dict[str, Any]:
    """How many files a batch holds, or one part of it."""
    with hub.store.read() as session:
        batch = get_batch(session, workspace, batch_id)
        query = select(func.count()).where(File.batch_row == batch.row)
        return {"count": session.scalar(query if part is None else query.where(File.part == part))}


def list_parts(hub: Hub, workspace: str, batch_id: str) -> dict[str, Any]:
    """The parts of a multipart batch."""
    with hub.store.read() as session:
        batch = get_batch(session, workspace, batch_id)
        parts = session.scalars(select(Part).where(Part.batch_row == batch.row).order_by(Part.name))
        return {"batchParts": [_part_view(part) for part in parts]}


def list_files(hub: Hub, workspace: str, batch_id: str, part: str | None, page: Page, base_url: str) -> dict[str, Any]:
    """One page of a batch's files, each with a signed URL."""
    with hub.store.read() as session:
        batch = get_batch(session, workspace, batch_id)
        query = select(File).where(File.batch_row == batch.row)
        if part is not None:
            query = query.where(File.part == part)
        rows, token = fetch(session, query, File.row, page, newest_first=False)
        parts = {p.name: p for p in session.scalars(select(Part).where(Part.batch_row == batch.row))}

    def view(file: File) -> dict[str, Any]:
        nested = parts[file.part].nested_content_type if file.part in parts else None
        return {
            "downloadURL": hub.storage.sign("GET", file.object_key, URL_SECONDS, base_url),
            "fileName": file.name,
            "partName": file.part or None,
            "shardId": file.shard_id,
            "contentType": file.content_type,
            "nestedContentType": nested,
        }

    return answer("filesMetadata", rows, view, token)


def list_shards(hub: Hub, workspace: str, batch_id: str, page: Page) -> dict[str, Any]:
    """One page of a batch's shards, with what became of their files."""
    with hub.store.read() as session:
        batch = get_batch(session, workspace, batch_id)
        query = select(Shard).where(Shard.batch_row == batch.row).order_by(Shard.created_at, Shard.id)
        rows, token = fetch_by_position(session, query, page)
    return answer("shards", rows, _shard_view, token)


def upload_image(
    hub: Hub, workspace: str, batch_id: str, display_name: str | None, name: str, data: bytes
) -> dict[str, Any]:
    """Stage one image. The same name with the same bytes again changes nothing; with others it is refused (409)."""
    check_batch_id(batch_id)
    check_file_name(name)
    try:
        check_image(data)
    except BadImage as error:
        status = 413 if error.code == "image_too_large" else 400
        raise HubError(status, error.code, f"{name}: {error}", fileName=name) from error
    with hub.store.write() as session:
        batch = open_batch(hub, session, workspace, batch_id, display_name, BatchType.SIMPLE)
    file = File(
        batch_row=batch.row,
        name=name,
        content_type=ContentType.IMAGES,
        object_key=f"batches/{batch.row}/files/{uuid.uuid4().hex}",
        size=len(data),
        digest=hashlib.sha256(data).hexdigest(),
    )
    try:
        hub.storage.put(file.object_key, data)
    except StorageError:
        _forget_empty(hub, batch)
        raise
    try:
        with hub.store.write() as session:
            session.add(file)
    except IntegrityError as error:
        hub.storage.delete([file.object_key])
        return _same_file(hub, batch, file, error)
    return {"status": "ok", "fileName": name}


def register_shard(hub: Hub, workspace: str, batch_id: str, display_name: str | None, base_url: str) -> dict[str, Any]:
    """Announce a tar archive: where to PUT it. Its ingest starts when it is there."""
    check_batch_id(batch_id)
    shard_id = uuid.uuid4().hex
    now = hub.store.clock()
    with hub.store.write() as session:
        batch = open_batch(hub, session, workspace, batch_id, display_name, BatchType.SHARDED)
        key = f"batches/{batch.row}/shards/{shard_id}.tar"
        session.add(
            Shard(
                id=shard_id,
                batch_row=batch.row,
                object_key=key,
                status_name=REGISTERED,
                status_type=StatusType.INFO,
                objects_count=0,
                details={},
                created_at=now,
                event_at=now,
            )
        )
        # Due when the URL has expired: a shard that never came ends with an error. `shard_uploaded` makes it due now.
        tasks.enqueue(session, now, TaskKind.INGEST, {"shard_id": shard_id}, id=shard_id, run_after=now + URL_SECONDS)
        # no longer than the batch: what came to a bucket after its removal would stay there
        seconds = min(URL_SECONDS, max(1, int(batch.expires_at - now)))
    url = hub.storage.sign("PUT", key, seconds, base_url)
    return {"shardId": shard_id, "signedURLDetails": {"uploadURL": url, "extensionHeaders": {}}}


def is_shard(object_key: str) -> bool:
    """Whether this is the key of a shard's archive."""
    return _SHARD_KEY.fullmatch(object_key) is not None


def expect_shard(hub: Hub, object_key: str) -> None:
    """An archive begins to arrive. Raises InvalidSignature where its shard is not waiting for one any more.

    A second archive would change the first while that is read, and what comes for a removed batch stays for ever.
    """
    now = hub.store.clock()
    with hub.store.write() as session:
        awaited = _awaited(session, object_key)
        if awaited is None:
            raise InvalidSignature
        # its URL may expire while it is under way
        awaited[1].run_after = now + URL_SECONDS


def shard_uploaded(hub: Hub, object_key: str) -> None:
    """An archive has arrived: its ingest is due."""
    now = hub.store.clock()
    with hub.store.write() as session:
        awaited = _awaited(session, object_key)
        if awaited is None:
            return
        shard, task = awaited
        shard.status_name, shard.event_at = "uploaded", now
        task.run_after = now
    hub.work.set()


def _awaited(session: Session, object_key: str) -> tuple[Shard, Task] | None:
    """The shard whose archive this is, with its ingest, unless it has come or was given up."""
    shard_id = _SHARD_KEY.fullmatch(object_key)
    task = shard_id and session.scalar(locked(select(Task).where(Task.id == shard_id.group(1))))
    shard = session.scalar(select(Shard).where(Shard.object_key == object_key, Shard.status_name == REGISTERED))
    return (shard, task) if shard and task else None


def get_batch(session: Session, workspace: str, batch_id: str) -> Batch:
    """The batch. Raises HubError 400 for an id that none can have, 404 for one that is not there."""
    check_batch_id(batch_id)
    batch = _find_batch(session, workspace, batch_id)
    if batch is None:
        raise not_found("batch", batch_id)
    return batch


def is_free(session: Session, workspace: str, batch_id: str) -> bool:
    """Whether there is no batch of this id; nobody else makes one until the transaction ends."""
    take_turns(session, "batch", workspace, batch_id)
    return _find_batch(session, workspace, batch_id) is None


def _find_batch(session: Session, workspace: str, batch_id: str) -> Batch | None:
    return session.scalar(select(Batch).where(Batch.workspace == workspace, Batch.batch_id == batch_id))


def open_batch(
    hub: Hub, session: Session, workspace: str, batch_id: str, display_name: str | None, batch_type: BatchType
) -> Batch:
    """The batch that an upload goes to, made where it is missing.

    Raises HubError 409 for a job's output, and for a batch that has expired.
    """
    batch = _find_batch(session, workspace, batch_id)
    if batch is None and is_free(session, workspace, batch_id):
        return new_batch(hub, session, workspace, batch_id, batch_type, check_display_name(display_name, batch_id))
    batch = batch or get_batch(session, workspace, batch_id)
    if batch.batch_type == BatchType.MULTIPART:
        message = f"batch '{batch_id}' is the output of a job: upload to another one"
        raise HubError(409, "batch_is_output", message, batchId=batch_id)
    check_not_expired(hub, batch)
    if batch_type == BatchType.SHARDED:
        # single uploads first, shards later: what the command line does when a folder has grown
        batch.batch_type = batch_type
    return batch


def check_not_expired(hub: Hub, batch: Batch) -> None:
    """Raises HubError 409 for a batch that is about to be removed, with whatever would still come to it."""
    if batch.expires_at <= hub.store.clock():
        message = f"batch '{batch.batch_id}' expired at {iso(batch.expires_at)} and is being removed: take another id"
        raise HubError(409, "batch_expired", message, batchId=batch.batch_id)


def new_batch(
    hub: Hub, session: Session, workspace: str, batch_id: str, batch_type: BatchType, display_name: str
) -> Batch:
    """Add a batch that expires after the file's retention."""
    now = hub.store.clock()
    batch = Batch(
        workspace=workspace,
        batch_id=batch_id,
        display_name=display_name,
        batch_type=batch_type,
        content_type=ContentType.MIXED if batch_type == BatchType.MULTIPART else ContentType.IMAGES,
        created_at=now,
        expires_at=now + hub.config.hub.retention_days * SECONDS_A_DAY,
    )
    session.add(batch)
    session.flush()
    return batch


def batch_view(batch: Batch) -> dict[str, Any]:
    """A batch in the words of the command line."""
    return {
        "displayName": batch.display_name,
        "batchId": batch.batch_id,
        "batchType": batch.batch_type,
        "batchContentType": batch.content_type,
        "createdDate": iso(batch.created_at),
        "expiryDate": iso(batch.expires_at),
    }


def _forget_empty(hub: Hub, batch: Batch) -> None:
    """Take a batch back whose first upload failed: a listing shows nothing that never came to be."""
    held = exists().where(File.batch_row == batch.row) | exists().where(Shard.batch_row == batch.row)
    with hub.store.write() as session:
        session.execute(locked_with_all(select(Batch.row).where(Batch.row == batch.row)))
        session.execute(delete(Batch).where(Batch.row == batch.row, ~held))


def _same_file(hub: Hub, batch: Batch, file: File, cause: IntegrityError) -> dict[str, Any]:
    query = select(File).where(File.batch_row == file.batch_row, File.part == "", File.name == file.name)
    with hub.store.read() as session:
        present = session.scalar(query)
    if present is None:  # not the name is in the way: the batch has been removed meanwhile
        raise not_found("batch", batch.batch_id) from cause
    if present.digest == file.digest:
        return {"status": "ok", "fileName": file.name, "duplicated": True}
    message = f"the batch holds another image named '{file.name}': rename one of them"
    raise HubError(409, "file_exists", message, fileName=file.name)


def _part_view(part: Part) -> dict[str, Any]:
    return {
        "partName": part.name,
        "partType": "simple-batch",
        "contentType": part.content_type,
        "nestedContentType": part.nested_content_type,
        "partDescription": part.description,
    }


def _shard_view(shard: Shard) -> dict[str, Any]:
    return {
        "shardId": shard.id,
        "statusName": shard.status_name,
        "statusType": shard.status_type,
        "eventTimestamp": iso(shard.event_at),
        "shardObjectsCount": shard.objects_count,
        "statusMetadata": shard.details or None,
    }
