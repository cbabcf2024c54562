"""Batch processing: jobs, their stages and tasks, as clients see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from visionfleet.hub.context import Hub
from visionfleet.hub.errors import HubError, not_found
from visionfleet.hub.ids import check_display_name, check_job_id, iso
from visionfleet.hub.pages import Page, answer, fetch, fetch_by_position
from visionfleet.hub.processing.definitions import parse_definition
from visionfleet.hub.processing.logs import SEVERITIES, Event, log_query, log_view, write_log
from visionfleet.hub.processing.planning import check_job, plan_processing
from visionfleet.hub.processing.stages import PROCESSING, STAGE_NAMES, end_job
from visionfleet.hub.staging.batches import check_not_expired, get_batch
from visionfleet.hub.store.locks import kept, locked, take_turns
from visionfleet.hub.store.tables import (
    Batch,
    BatchType,
    ContentType,
    File,
    Job,
    JobLog,
    Part,
    Shard,
    Stage,
    StatusType,
    Task,
    TaskState,
)

TASK_STATUS = {
    TaskState.QUEUED: StatusType.INFO,
    TaskState.LEASED: StatusType.INFO,
    TaskState.DONE: StatusType.SUCCESS,
    TaskState.FAILED: StatusType.ERROR,
    TaskState.CANCELLED: StatusType.ERROR,
}


def create_job(hub: Hub, workspace: str, job_id: str, name: str | None, body: dict[str, Any]) -> dict[str, Any]:
    """Start a job on the images that its batch holds now."""
    check_job_id(job_id)
    definition = parse_definition(body)
    check_job(hub, workspace, definition)
    now = hub.store.clock()
    with hub.store.write() as session:
        take_turns(session, "job", workspace, job_id)
        if _find_job(session, workspace, job_id) is not None:
            raise HubError(409, "job_exists", f"there is a job '{job_id}' already: choose another id", jobId=job_id)
        batch = get_batch(session, workspace, definition.job_input.batch_id)
        session.execute(kept(select(Batch.row).where(Batch.row == batch.row)))
        check_not_expired(hub, batch)
        images = _input_images(session, batch, definition.job_input.part_name)
        job = Job(
            workspace=workspace,
            job_id=job_id,
            name=check_display_name(name, job_id),
            definition=body,
            input_batch_row=batch.row,
            current_stage=PROCESSING,
            notification=f"processing {len(images)} images",
            created_at=now,
            updated_at=now,
            deadline=definition.processing_timeout_seconds and now + definition.processing_timeout_seconds,
        )
        session.add(job)
        session.flush()
        plan_processing(hub, session, job, definition, images)
        write_log(
            session, now, job.row, Event("info", "job_created", {"images": len(images), "batchId": batch.batch_id})
        )
    return {"jobId": job_id}


def list_jobs(hub: Hub, workspace: str, page: Page) -> dict[str, Any]:
    """One page of the workspace's jobs, the newest first."""
    with hub.store.read() as session:
        query = select(Job).where(Job.workspace == workspace)
        rows, token = fetch(session, query, Job.row, page, newest_first=True)
    return answer("jobs", rows, job_view, token)


def show_job(hub: Hub, workspace: str, job_id: str) -> dict[str, Any]:
    """A job's metadata."""
    with hub.store.read() as session:
        return {"job": job_view(get_job(session, workspace, job_id))}


def list_stages(hub: Hub, workspace: str, job_id: str) -> dict[str, Any]:
    """The stages that a job has begun."""
    with hub.store.read() as session:
        job = get_job(session, workspace, job_id)
        query = (
            select(Stage, Batch.batch_id)
            .outerjoin(Batch, Batch.row == Stage.output_batch_row)
            .where(Stage.job_row == job.row)
            .order_by(Stage.started_at)
        )
        return {"stages": [_stage_view(stage, output, job) for stage, output in session.execute(query)]}


def list_tasks(hub: Hub, workspace: str, job_id: str, stage_id: str, page: Page) -> dict[str, Any]:
    """One page of a stage's tasks."""
    with hub.store.read() as session:
        job = get_job(session, workspace, job_id)
        stage = session.get(Stage, stage_id)
        if stage is None or stage.job_row != job.row:
            raise not_found("stage", stage_id)
        query = select(Task).where(Task.stage_id == stage_id).order_by(Task.created_at, Task.id)
        rows, token = fetch_by_position(session, query, page)
    return answer("tasks", rows, _task_view, token)


def list_logs(hub: Hub, workspace: str, job_id: str, severity: str | None, page: Page) -> dict[str, Any]:
    """One page of a job's log, the oldest line first."""
    if severity is not None and severity not in SEVERITIES:
        raise HubError(400, "severity_invalid", f"severity is one of {', '.join(SEVERITIES)}", severity=severity)
    with hub.store.read() as session:
        job = get_job(session, workspace, job_id)
        rows, token = fetch(session, log_query(job.row, severity), JobLog.row, page, newest_first=False)
    return answer("logs", rows, log_view, token)


def abort_job(hub: Hub, workspace: str, job_id: str) -> dict[str, Any]:
    """End a job now; its workers drop what they hold. What was committed stays in the output batches."""
    with hub.store.write() as session:
        job = get_job(session, workspace, job_id)
        job = session.scalars(locked(select(Job).where(Job.row == job.row))).one()
        if job.is_terminal:
            raise HubError(409, "job_ended", f"job '{job_id}' has ended already", jobId=job_id)
        end_job(session, hub.store.clock(), job, StatusType.ERROR, "aborted by the user")
        return {"job": job_view(job)}


def get_job(session: Session, workspace: str, job_id: str) -> Job:
    """The job. Raises HubError 400 for an id that none can have, 404 for one that is not there."""
    check_job_id(job_id)
    job = _find_job(session, workspace, job_id)
    if job is None:
        raise not_found("job", job_id)
    return job


def _find_job(session: Session, workspace: str, job_id: str) -> Job | None:
    return session.scalar(select(Job).where(Job.workspace == workspace, Job.job_id == job_id))


def _input_images(session: Session, batch: Batch, part: str | None) -> Sequence[int]:
    """The rows of the images to process. Raises HubError 409 where the batch is not ready, 400 for a wrong part."""
    coming = select(Shard.id).where(Shard.batch_row == batch.row, Shard.status_type == StatusType.INFO).limit(1)
    if session.scalar(coming) is not None:
        message = f"batch '{batch.batch_id}' is still being ingested: `list-ingest-details` shows when it is done"
        raise HubError(409, "batch_ingesting", message, batchId=batch.batch_id)
    if batch.batch_type == BatchType.MULTIPART:
        parts = select(Part.name).where(Part.batch_row == batch.row, Part.content_type == ContentType.IMAGES)
        known = sorted(session.scalars(parts))
        if part not in known:
            message = f"batch '{batch.batch_id}' has parts: name one of those with images: {', '.join(known) or 'none'}"
            raise HubError(400, "part_invalid", message, partName=str(part))
    elif part is not None:
        raise HubError(400, "part_invalid", f"batch '{batch.batch_id}' has no parts: leave it out", partName=part)
    rows = session.scalars(
        select(File.row).where(File.batch_row == batch.row, File.part == (part or "")).order_by(File.row)
    ).all()
    if not rows:
        message = f"batch '{batch.batch_id}' holds no images: upload some, or see `list-ingest-details`"
        raise HubError(409, "batch_empty", message, batchId=batch.batch_id)
    return rows


def job_view(job: Job) -> dict[str, Any]:
    """A job in the words of the command line."""
    return {
        "jobId": job.job_id,
        "name": job.name,
        "jobDefinition": job.definition,
        "currentStage": job.current_stage,
        "plannedStages": list(STAGE_NAMES),
        "error": job.error,
        "isTerminal": job.is_terminal,
        "lastNotification": job.obstacle or job.notification,
        "createdAt": iso(job.created_at),
        "lastUpdate": iso(job.updated_at),
        "restartParametersOverride": job.overrides,
    }


def _stage_view(stage: Stage, output_batch: str | None, job: Job) -> dict[str, Any]:
    obstacle = job.obstacle if stage.status_type == StatusType.INFO else None
    return {
        "processingStageId": stage.id,
        "processingStageName": stage.name,
        "tasksNumber": stage.tasks_number,
        "outputBatches": [] if output_batch is None else [output_batch],
        "startTimestamp": iso(stage.started_at),
        "notification": obstacle or stage.notification,
        "statusType": stage.status_type,
        "lastEventTimestamp": iso(stage.event_at),
    }


def _task_view(task: Task) -> dict[str, Any]:
    return {
        "taskId": task.id,
        "notification": task.notification,
        "statusType": TASK_STATUS[TaskState(task.state)],
        "progress": task.progress,
        "eventTimestamp": iso(task.updated_at),
    }
