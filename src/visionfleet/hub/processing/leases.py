"""What workers do with processing tasks: lease them, keep them, commit results, end them.

A result is committed in one transaction that holds the lease, after its record was written as an object. So a worker
that dies loses at most what it had not committed, and the next one goes on at the first image without a result.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from visionfleet.config.batch import Executor
from visionfleet.hub import tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.errors import HubError
from visionfleet.hub.objects.errors import StorageError, TooLarge
from visionfleet.hub.outages import DATABASE_AWAY
from visionfleet.hub.processing.definitions import definition_of
from visionfleet.hub.processing.failing import end_failed
from visionfleet.hub.processing.logs import Event, write_task_log
from visionfleet.hub.processing.outputs import Output, add_files
from visionfleet.hub.processing.publishing import ending, failure_of, output_row_of, write_outputs
from visionfleet.hub.processing.results import to_jsonl
from visionfleet.hub.processing.stages import settle
from visionfleet.hub.staging.batches import LEASE_URL_SECONDS, URL_SECONDS
from visionfleet.hub.store.tables import ContentType, File, ImageState, Job, Task, TaskImage, TaskKind, TaskState
from visionfleet.protocol import (
    MAX_FILE_BYTES,
    TASK_INCOMPLETE,
    FailRequest,
    HeartbeatAnswer,
    HeldLease,
    Lease,
    LeaseImage,
    LeaseRequest,
    LogEntry,
    ResultItem,
    ResultsAnswer,
)

MAX_WAIT_SECONDS = 15  # a task may be given back meanwhile


def lease(hub: Hub, request: LeaseRequest, base_url: str) -> Lease | None:
    """The next processing task for a worker, with the images that have no result yet."""
    # the tasks of a stage are all of one machine type: that would only lead the database to a longer way to them
    machine_type = request.machine_type if request.stage_id is None else None
    task = tasks.claim(hub.store, [TaskKind.PROCESS], request.worker, machine_type, request.stage_id)
    if task is None:
        return None
    with _given_back(hub, task):
        return _lease(hub, task, base_url)


def seconds_to_wait(hub: Hub, stage_id: str | None) -> int | None:
    """Until a task of the stage that waits may be leased; None where none waits.

    Each worker of the stage asks: as many as a thousand, and for minutes where a task waits for its next attempt.
    """
    if stage_id is None:
        return None
    first = select(func.min(Task.run_after)).where(Task.stage_id == stage_id, Task.state == TaskState.QUEUED)
    with hub.store.read() as session:
        due = session.scalar(first)
    return None if due is None else min(max(1, math.ceil(due - hub.store.clock())), MAX_WAIT_SECONDS)


def heartbeat(hub: Hub, leases: Sequence[HeldLease]) -> HeartbeatAnswer:
    """Extend a worker's leases."""
    keys = {(held.task_id, held.token) for held in leases}
    with hub.store.write() as session:
        lost = tasks.keep(session, hub.store.clock(), keys)
    gone = tuple(HeldLease(task_id=task_id, token=token) for task_id, token in lost)
    return HeartbeatAnswer(lease_seconds=tasks.LEASE_SECONDS, lost=gone)


def sign_uploads(hub: Hub, task_id: str, token: int, names: Sequence[str], base_url: str) -> dict[str, str]:
    """Where to PUT output files: `part/name` -> signed URL."""
    with hub.store.write() as session:
        task = tasks.hold(session, hub.store.clock(), task_id, token)
        output_row = output_row_of(session, task)
    keys = {name: _upload_key(output_row, task, *name.split("/", 1)) for name in names}
    return {name: hub.storage.sign("PUT", key, URL_SECONDS, base_url) for name, key in keys.items()}


def commit_results(hub: Hub, task_id: str, token: int, results: Sequence[ResultItem]) -> ResultsAnswer:
    """Commit what came of some images, all or nothing. An image that has a result already keeps it."""
    with hub.store.read() as session:
        task = tasks.look_up(session, task_id, token)
        output_row = output_row_of(session, task)
        records = _named_records(session, task_id, results)
    chunk = f"batches/{output_row}/chunks/{task_id}/{token}-{uuid.uuid4().hex}.jsonl"
    hub.storage.put(chunk, to_jsonl(records))
    files = _uploaded(hub, output_row, task, results)
    try:
        with hub.store.write() as session:
            now = hub.store.clock()
            held = tasks.hold(session, now, task_id, token)
            return _commit(session, now, held, results, chunk, files)
    except HubError:
        # after anything else it may be committed all the same: a database that goes away does not say. An object that
        # no row names goes with its batch
        hub.storage.delete([chunk])
        raise


def write_logs(hub: Hub, task_id: str, token: int, entries: Sequence[LogEntry]) -> None:
    """Add a worker's lines to the job's log."""
    now = hub.store.clock()
    with hub.store.write() as session:
        task = tasks.hold(session, now, task_id, token)
        for entry in entries:
            event = Event(entry.severity, entry.type, dict(entry.payload), module="worker")
            write_task_log(session, now, task, event)


def complete(hub: Hub, task_id: str, token: int) -> None:
    """End a task whose images all have a result: its results become files of the stage's output batch."""
    with hub.store.write() as session:
        task = tasks.hold(session, hub.store.clock(), task_id, token)
        remaining = _count(session, task_id, ImageState.PENDING)
        failures = _count(session, task_id, ImageState.FAILED)
    if remaining:
        message = f"{remaining} images of task '{task_id}' have no result yet"
        raise HubError(409, TASK_INCOMPLETE, message, task=task_id)
    with ending(hub, task, write_outputs(hub, task)) as (session, held):
        tasks.finish(held, hub.store.clock(), f"done, {failures} images failed" if failures else "done")
        settle(hub, session, held)


def fail(hub: Hub, task_id: str, request: FailRequest) -> None:
    """Give a task up: back to the queue where it may be tried again, else it ends with the reason."""
    now = hub.store.clock()
    reason = f"{request.code}: {request.message}"
    with hub.store.write() as session:
        task = tasks.take_over(session, now, task_id, request.token)
        again = request.retryable and tasks.has_attempts(task)
        payload = {"code": request.code, "message": request.message, "attempt": task.attempts}
        event = Event("warning", "task_retried", payload) if again else Event("error", "task_failed", payload)
        write_task_log(session, now, task, event)
        if again:
            tasks.fail(task, now, reason, retryable=True)
            return
    end_failed(hub, task, reason)


def release(hub: Hub, task_id: str, token: int) -> None:
    """Give a task back at once; the attempt is not counted."""
    now = hub.store.clock()
    with hub.store.write() as session:
        tasks.release(tasks.hold(session, now, task_id, token), now)


def _lease(hub: Hub, task: Task, base_url: str) -> Lease:
    with hub.store.read() as session:
        job = session.get_one(Job, task.job_row)
        pending = _images(session, task.id, ImageState.PENDING)
        failures = _count(session, task.id, ImageState.FAILED)
    definition = definition_of(job)
    specification = definition.processing_specification
    kept = specification.images_outputs_to_be_persisted
    in_pods = hub.config.batch.executor == Executor.KUBERNETES  # a pod has as many workers
    sign = hub.storage.sign
    return Lease(
        task_id=task.id,
        token=task.token,
        lease_seconds=tasks.LEASE_SECONDS,
        job_id=job.job_id,
        workspace=job.workspace,
        workflow_id=specification.workflow_id,
        image_input=task.payload["image_input"],
        parameters=specification.workflow_parameters,
        save_images=specification.persist_images_outputs,
        image_outputs=None if kept is None else tuple(kept),
        failures_allowed=task.payload["failures_allowed"],
        failures=failures,
        workers_per_machine=None if in_pods else definition.compute_configuration.workers_per_machine,
        images=tuple(
            LeaseImage(id=file.row, name=file.name, url=sign("GET", file.object_key, LEASE_URL_SECONDS, base_url))
            for file in pending
        ),
    )


@contextmanager
def _given_back(hub: Hub, task: Task) -> Generator[None]:
    """Where the storage or the database fails, no worker ever had the task: it waits for the next one, untried."""
    try:
        yield
    except (*DATABASE_AWAY, StorageError):
        with suppress(HubError, *DATABASE_AWAY):  # else the lease runs out
            release(hub, task.id, task.token)
        raise


def _commit(
    session: Session, now: float, task: Task, results: Sequence[ResultItem], chunk: str, files: Mapping[str, Output]
) -> ResultsAnswer:
    pending = _pending(session, task, [item.image_id for item in results])
    committed: list[Output] = []
    for item in results:
        found = pending.pop(item.image_id, None)
        if found is None:
            continue
        image, name = found
        if item.error is not None:
            image.state, image.error = ImageState.FAILED, item.error.model_dump()
            write_task_log(session, now, task, Event("warning", "image_failed", failure_of(image, name)))
            continue
        image.state, image.chunk = ImageState.DONE, chunk
        committed += (files[f"{file.part}/{file.name}"] for file in item.files)
    add_files(session, output_row_of(session, task), committed)
    session.flush()
    return _progress(session, task)


def _named_records(session: Session, task_id: str, results: Sequence[ResultItem]) -> list[dict[str, Any]]:
    """The records, each with the name under which its image was staged. Raises HubError 400 for a foreign image."""
    query = select(File.row, File.name).join(TaskImage, TaskImage.file_row == File.row)
    names = dict(session.execute(query.where(TaskImage.task_id == task_id)).all())
    for item in results:
        if item.image_id not in names:
            message = f"image {item.image_id} is not one of task '{task_id}'"
            raise HubError(400, "image_unknown", message, image=str(item.image_id))
    return [{**item.record, "image": names[item.image_id]} for item in results if item.record is not None]


def _progress(session: Session, task: Task) -> ResultsAnswer:
    query = select(TaskImage.state, func.count()).where(TaskImage.task_id == task.id).group_by(TaskImage.state)
    counts = dict(session.execute(query).all())
    remaining = counts.get(ImageState.PENDING, 0)
    total = sum(counts.values())
    task.progress = (total - remaining) / total
    task.notification = f"{total - remaining} of {total} images"
    return ResultsAnswer(failures=counts.get(ImageState.FAILED, 0), remaining=remaining)


def _uploaded(hub: Hub, output_row: int, task: Task, results: Sequence[ResultItem]) -> dict[str, Output]:
    """The files that the results name, by `part/name`. Raises ObjectMissing where one is missing, TooLarge."""
    files = [file for item in results for file in item.files]
    keys = [_upload_key(output_row, task, file.part, file.name) for file in files]
    uploaded: dict[str, Output] = {}
    for file, key, size in zip(files, keys, hub.storage.sizes(keys), strict=True):
        if size > MAX_FILE_BYTES:  # a link into a bucket has no limit of its own
            raise TooLarge(f"the output file {file.part}/{file.name} is over its limit of {MAX_FILE_BYTES} bytes")
        uploaded[f"{file.part}/{file.name}"] = Output(file.part, file.name, key, size, ContentType.IMAGES)
    return uploaded


def _upload_key(output_row: int, task: Task, part: str, name: str) -> str:
    # the token keeps a worker that lost its lease from writing over its successor's files
    return f"batches/{output_row}/files/{part}/{task.id}-{task.token}/{name}"


def _images(session: Session, task_id: str, state: ImageState) -> Sequence[File]:
    query = select(File).join(TaskImage, TaskImage.file_row == File.row)
    return session.scalars(query.where(TaskImage.task_id == task_id, TaskImage.state == state).order_by(File.row)).all()


def _pending(session: Session, task: Task, rows: Sequence[int]) -> dict[int, tuple[TaskImage, str]]:
    """Those of the images `rows` that have no result yet, with their names."""
    wanted = _with_names(task.id, ImageState.PENDING).where(TaskImage.file_row.in_(rows))
    return {image.file_row: (image, name) for image, name in session.execute(wanted)}


def _with_names(task_id: str, state: ImageState) -> Select[TaskImage, str]:
    query = select(TaskImage, File.name).join(File, TaskImage.file_row == File.row)
    return query.where(TaskImage.task_id == task_id, TaskImage.state == state)


def _count(session: Session, task_id: str, state: ImageState) -> int:
    query = select(func.count()).where(TaskImage.task_id == task_id, TaskImage.state == state)
    return session.scalar(query) or 0
