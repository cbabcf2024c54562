"""A job that has ended begins again: on the images without a result, into the batch that has the others' results.

An image that is done stays done, so nothing is processed twice and nothing is twice in what is exported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from visionfleet.hub.context import Hub
from visionfleet.hub.errors import HubError
from visionfleet.hub.processing.definitions import JobDefinition, check_override, overridden, parse_definition
from visionfleet.hub.processing.jobs import get_job, job_view
from visionfleet.hub.processing.logs import Event, write_log
from visionfleet.hub.processing.outputs import Output, add_files
from visionfleet.hub.processing.planning import check_job, plan_processing
from visionfleet.hub.processing.publishing import write_records
from visionfleet.hub.processing.stages import EXPORT, PROCESSING, newest_stage, start_export
from visionfleet.hub.staging.batches import SECONDS_A_DAY, check_not_expired
from visionfleet.hub.store.locks import kept, locked
from visionfleet.hub.store.tables import (
    Batch,
    File,
    ImageState,
    Job,
    Part,
    Stage,
    StatusType,
    Task,
    TaskImage,
    TaskState,
)
from visionfleet.protocol import FAILURES_PART

REMOVED = "a batch that the job needs has been removed: start a new job"


def restart_job(hub: Hub, workspace: str, job_id: str, override: dict[str, Any] | None) -> dict[str, Any]:
    """Process what has no result yet, or export again where only the export has failed.

    Raises HubError 409 for a job that still runs, that has nothing left to do, or whose batches are gone.
    """
    overrides = [] if override is None else [check_override(override)]
    with hub.store.read() as session:
        job = get_job(session, workspace, job_id)
        _check_ended(job)
        definition = parse_definition(overridden(job.definition, [*job.overrides, *overrides]))
        check_job(hub, workspace, definition)
        cut_off = _cut_off(session, job)
    saved = [output for task in cut_off for output in write_records(hub, task)]
    with hub.store.write() as session:
        job = session.scalars(locked(select(Job).where(Job.row == job.row))).one()
        _check_ended(job)
        job.overrides = [*job.overrides, *overrides]
        _begin(hub, session, job, definition, saved)
        return {"job": job_view(job)}


def _begin(hub: Hub, session: Session, job: Job, definition: JobDefinition, saved: Sequence[Output]) -> None:
    now = hub.store.clock()
    stage = newest_stage(session, job.row, PROCESSING)
    output = _batch(hub, session, stage and stage.output_batch_row)
    _batch(hub, session, job.input_batch_row)  # what is left of its images, nobody knows without it
    images = _left(session, stage)
    if not images and not _lacks_export(session, job):
        message = f"every image of job '{job.job_id}' has its result: there is nothing to restart"
        raise HubError(409, "job_complete", message, jobId=job.job_id)
    output.expires_at = now + hub.config.hub.retention_days * SECONDS_A_DAY
    add_files(session, output.row, saved)
    job.is_terminal = job.error = False
    job.deadline = definition.processing_timeout_seconds and now + definition.processing_timeout_seconds
    write_log(session, now, job.row, Event("info", "job_restarted", {"images": len(images)}))
    if not images:
        start_export(hub, session, job)
        return
    _forget_failures(session, output.row)
    job.notification = f"processing {len(images)} images again"
    plan_processing(hub, session, job, definition, images, output.row)


def _check_ended(job: Job) -> None:
    if not job.is_terminal:
        message = f"job '{job.job_id}' still runs: abort it first, or wait until it has ended"
        raise HubError(409, "job_running", message, jobId=job.job_id)


def _batch(hub: Hub, session: Session, row: int | None) -> Batch:
    """A batch of the job, which nobody removes until the transaction ends. Raises HubError 409 where it is gone."""
    batch = session.scalar(kept(select(Batch).where(Batch.row == row)))
    if batch is None:
        raise HubError(409, "batch_removed", REMOVED)
    check_not_expired(hub, batch)
    return batch


def _left(session: Session, stage: Stage | None) -> Sequence[int]:
    """The rows of the images without a result: what the newest stage has left, as it had all that was left before."""
    if stage is None:
        return []
    query = select(TaskImage.file_row).join(Task, Task.id == TaskImage.task_id)
    left = query.where(Task.stage_id == stage.id, TaskImage.state != ImageState.DONE)
    return session.scalars(left.order_by(TaskImage.file_row)).all()


def _lacks_export(session: Session, job: Job) -> bool:
    """Whether the newest export did not come to its end."""
    stage = newest_stage(session, job.row, EXPORT)
    return job.error and (stage is None or stage.status_type != StatusType.SUCCESS)


def _cut_off(session: Session, job: Job) -> Sequence[Task]:
    """Tasks that an abort or a deadline has ended: their records are committed, and in no file yet."""
    done = select(TaskImage.task_id).where(TaskImage.task_id == Task.id, TaskImage.state == ImageState.DONE)
    cut_off = select(Task).where(Task.job_row == job.row, Task.state == TaskState.CANCELLED, done.exists())
    cut_off = cut_off.join(Stage, Stage.id == Task.stage_id).where(Stage.output_batch_row.is_not(None))
    return session.scalars(cut_off).all()


def _forget_failures(session: Session, output_row: int) -> None:
    """Whatever failed is tried again, and fails anew where it must."""
    session.execute(delete(File).where(File.batch_row == output_row, File.part == FAILURES_PART))
    session.execute(delete(Part).where(Part.batch_row == output_row, Part.name == FAILURES_PART))
