"""A task's results, from what its workers committed to files of the stage's output batch.

Each commit wrote one object, a chunk. They are merged when the task ends, well or badly: what was committed is kept.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from visionfleet.hub import tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.errors import task_cancelled
from visionfleet.hub.objects.errors import ObjectMissing
from visionfleet.hub.objects.storage import Storage
from visionfleet.hub.processing.logs import Event, write_task_log
from visionfleet.hub.processing.outputs import Output, add_files
from visionfleet.hub.processing.results import to_jsonl
from visionfleet.hub.store.tables import ContentType, File, ImageState, Stage, Task, TaskImage
from visionfleet.protocol import FAILURES_PART, RESULTS_PART

log = structlog.get_logger()


def write_outputs(hub: Hub, task: Task) -> list[Output]:
    """Write the records and the failures that a task has committed as an object each, where there are any.

    No transaction is open meanwhile: a bucket may take its time, and others wait for a connection, or for the task.
    """
    with hub.store.read() as session:
        output_row = output_row_of(session, task)
        committed, failures = _committed(session, task.id), _failures(session, task.id)
    contents: dict[str, bytes | Iterator[bytes]] = {}
    if committed:
        contents[RESULTS_PART] = merge_chunks(hub.storage, committed)
    if failures:
        contents[FAILURES_PART] = to_jsonl(failures)
    return [_write(hub, output_row, task, part, data) for part, data in contents.items()]


def write_records(hub: Hub, task: Task) -> list[Output]:
    """As `write_outputs`, the records alone."""
    with hub.store.read() as session:
        output_row, committed = output_row_of(session, task), _committed(session, task.id)
    return [_write(hub, output_row, task, RESULTS_PART, merge_chunks(hub.storage, committed))] if committed else []


def write_what_is_left(hub: Hub, task: Task) -> list[Output]:
    """As `write_outputs`, of a task that fails: an object of it that has gone does not come back."""
    try:
        return write_outputs(hub, task)
    except ObjectMissing as error:
        log.exception("results_lost", task=task.id)
        with hub.store.write() as session:
            write_task_log(session, hub.store.clock(), task, Event("error", "results_lost", {"reason": str(error)}))
        return []


@contextmanager
def ending(hub: Hub, task: Task, outputs: Iterable[Output]) -> Generator[tuple[Session, Task]]:
    """A transaction for a task to end in; its `outputs` come into the output batch with it, or not at all."""
    with hub.store.write() as session:
        held = tasks.hold_to_end(session, hub.store.clock(), task.id, task.token)
        add_files(session, output_row_of(session, held), outputs)
        yield session, held


def failure_of(image: TaskImage, name: str) -> dict[str, Any]:
    """The record of an image that failed."""
    return {"image": name, "error": image.error}


def output_row_of(session: Session, task: Task) -> int:
    """The row of the batch that the task's stage fills. Raises HubError where the batch has gone."""
    row = session.get_one(Stage, task.stage_id).output_batch_row
    if row is None:
        raise task_cancelled(task.id)
    return row


def merge_chunks(storage: Storage, images: Sequence[tuple[str, str]]) -> Iterator[bytes]:
    """Yield the records of `images`, each a name and the chunk that its row names, as lines of JSON in their order.

    A chunk may hold records of images that were committed by another one (a commit that was sent twice). It is in
    memory from its first image to its last: no more of them than there were requests in flight.
    """
    left = Counter(chunk for _, chunk in images)
    held: dict[str, dict[str, bytes]] = {}
    for name, chunk in images:
        if chunk not in held:
            held[chunk] = {json.loads(line)["image"]: line for line in storage.read(chunk).splitlines()}
        yield held[chunk][name] + b"\n"
        left[chunk] -= 1
        if left[chunk] == 0:
            del held[chunk]


def _committed(session: Session, task_id: str) -> list[tuple[str, str]]:
    query = select(File.name, TaskImage.chunk).join(TaskImage, TaskImage.file_row == File.row).order_by(File.row)
    committed = query.where(TaskImage.task_id == task_id, TaskImage.chunk.is_not(None))
    return [(name, str(chunk)) for name, chunk in session.execute(committed)]


def _failures(session: Session, task_id: str) -> list[dict[str, Any]]:
    query = select(TaskImage, File.name).join(File, TaskImage.file_row == File.row).order_by(File.row)
    failed = query.where(TaskImage.task_id == task_id, TaskImage.state == ImageState.FAILED)
    return [failure_of(image, name) for image, name in session.execute(failed)]


def _write(hub: Hub, output_row: int, task: Task, part: str, data: bytes | Iterator[bytes]) -> Output:
    key = f"batches/{output_row}/{part}/{task.id}-{task.token}.jsonl"
    return Output(part, f"{task.id}.jsonl", key, hub.storage.put(key, data), ContentType.METADATA)
