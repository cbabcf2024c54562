"""How a job goes on: from `processing` to `export` to its end.

A stage ends when its last task has. What was processed is exported even where some tasks failed: the job then ends with
an error, and with its results.
"""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass
from itertools import chain, count

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from visionfleet.hub import tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.ids import MAX_BATCH_ID
from visionfleet.hub.processing.logs import Event, write_log
from visionfleet.hub.staging.batches import is_free, new_batch
from visionfleet.hub.store.tables import Batch, BatchType, File, Job, Stage, StatusType, Task, TaskKind, TaskState

PROCESSING = "processing"
EXPORT = "export"
STAGE_NAMES = (PROCESSING, EXPORT)
SECONDS_BETWEEN_STAGES = 0.001  # at least, by their beginning: it tells which of them is the newest


@dataclass(frozen=True)
class StagePlan:
    """A stage that is to begin. `output_row`: a batch that is there and that it goes on filling."""

    name: str
    tasks_number: int
    max_parallel: int | None = None
    output_row: int | None = None


def start_stage(hub: Hub, session: Session, job: Job, plan: StagePlan) -> Stage:
    """Add a stage and, unless it has one already, the batch that it fills: `<job>-<stage>` where that name is free."""
    now = _after_the_last(session, job, hub.store.clock())
    stage = Stage(
        id=uuid.uuid4().hex,
        job_row=job.row,
        name=plan.name,
        output_batch_row=plan.output_row or _new_output(hub, session, job, plan.name).row,
        tasks_number=plan.tasks_number,
        max_parallel=plan.max_parallel,
        status_type=StatusType.INFO,
        notification="waiting for a worker" if plan.name == PROCESSING else "waiting",
        started_at=now,
        event_at=now,
    )
    session.add(stage)
    job.current_stage, job.updated_at = plan.name, now
    session.flush()
    return stage


def newest_stage(session: Session, job_row: int, name: str) -> Stage | None:
    """The stage of this name that a job began last: each restart begins one more."""
    query = select(Stage).where(Stage.job_row == job_row, Stage.name == name)
    return session.scalar(query.order_by(Stage.started_at.desc()).limit(1))


def settle(hub: Hub, session: Session, task: Task) -> None:
    """A task of a stage has ended: end the stage with its last one, and start what comes next."""
    session.flush()
    settle_stage(hub, session, session.get_one(Job, task.job_row), session.get_one(Stage, task.stage_id))


def settle_stage(hub: Hub, session: Session, job: Job, stage: Stage, reason: str | None = None) -> None:
    """Tasks of a stage have ended: as `settle`. `reason`: why those that failed did, where they all have one."""
    counts = Counter(dict(session.execute(_states(stage.id)).all()))
    ended = counts[TaskState.DONE] + counts[TaskState.FAILED]
    now = hub.store.clock()
    stage.event_at = job.updated_at = now
    stage.notification = f"{ended} of {stage.tasks_number} tasks have ended"
    if job.is_terminal or ended < stage.tasks_number:
        return
    failed = counts[TaskState.FAILED]
    stage.status_type = StatusType.ERROR if failed else StatusType.SUCCESS
    stage.notification = reason or (f"{failed} of {stage.tasks_number} tasks failed" if failed else "done")
    event = Event("error" if failed else "info", "stage_ended", {"stage": stage.name, "failed": failed})
    write_log(session, now, job.row, event, stage_id=stage.id)
    job.error = job.error or failed > 0
    job.obstacle = None
    if stage.name == EXPORT or not _has_output(session, stage):
        end_job(session, now, job, StatusType.ERROR if job.error else StatusType.SUCCESS, _verdict(job, stage))
        return
    start_export(hub, session, job)


def end_job(session: Session, now: float, job: Job, status: StatusType, reason: str) -> None:
    """The job is over; what is still open of it is cancelled."""
    job.is_terminal, job.obstacle = True, None
    job.error = status == StatusType.ERROR
    job.notification, job.updated_at = reason, now
    tasks.cancel(session, now, job.row, reason)
    for stage in session.scalars(select(Stage).where(Stage.job_row == job.row, Stage.status_type == StatusType.INFO)):
        stage.status_type, stage.notification, stage.event_at = status, reason, now
    write_log(session, now, job.row, Event("error" if job.error else "info", "job_ended", {"reason": reason}))


def start_export(hub: Hub, session: Session, job: Job) -> None:
    """Begin the export of what was processed."""
    stage = start_stage(hub, session, job, StagePlan(EXPORT, 1))
    job.notification = "exporting the results"
    tasks.enqueue(session, hub.store.clock(), TaskKind.EXPORT, {}, job_row=job.row, stage_id=stage.id)
    hub.work.set()


def _after_the_last(session: Session, job: Job, now: float) -> float:
    """The time, past the beginning of the job's last stage: that one may be of a hub whose clock is ahead."""
    last = session.scalar(select(func.max(Stage.started_at)).where(Stage.job_row == job.row))
    return now if last is None else max(now, last + SECONDS_BETWEEN_STAGES)


def _has_output(session: Session, stage: Stage) -> bool:
    query = select(File.row).where(File.batch_row == stage.output_batch_row).limit(1)
    return session.scalar(query) is not None


def _verdict(job: Job, stage: Stage) -> str:
    if not job.error:
        return "done"
    if stage.name == EXPORT:
        return "done, with failed tasks"
    return f"ended with errors in the {stage.name} stage: {stage.notification}"[: tasks.NOTIFICATION_CHARACTERS]


def _states(stage_id: str) -> Select[str, int]:
    return select(Task.state, func.count()).where(Task.stage_id == stage_id).group_by(Task.state)


def _new_output(hub: Hub, session: Session, job: Job, name: str) -> Batch:
    batch_id = _free_batch_id(session, job, name)
    batch = new_batch(hub, session, job.workspace, batch_id, BatchType.MULTIPART, f"{job.name}: {name}"[:256])
    batch.job_row = job.row
    return batch


def _free_batch_id(session: Session, job: Job, name: str) -> str:
    wanted = f"{job.job_id}-{name}"[:MAX_BATCH_ID]
    candidates = chain([wanted], (f"{wanted}-{number}" for number in count(2)))
    return next(candidate for candidate in candidates if is_free(session, job.workspace, candidate))
