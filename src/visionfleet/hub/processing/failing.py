"""Tasks that fail for good: one by itself, or all of a stage whose workers are no more. What was committed is kept."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from visionfleet.hub import tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.processing.logs import Event, write_log
from visionfleet.hub.processing.publishing import ending, write_what_is_left
from visionfleet.hub.processing.stages import settle, settle_stage
from visionfleet.hub.store.locks import locked
from visionfleet.hub.store.tables import OPEN_STATES, Job, Stage, StatusType, Task, TaskState


def fail_stage(hub: Hub, stage_id: str, reason: str) -> None:
    """End a stage with an error. One that has ended is left alone, so two hubs may find the same reason at once."""
    reason = reason[: tasks.NOTIFICATION_CHARACTERS]
    begun = select(Task.id).where(Task.stage_id == stage_id, Task.state.in_(OPEN_STATES), Task.progress.is_not(None))
    with hub.store.read() as session:
        task_ids = session.scalars(begun).all()
    for task_id in task_ids:
        _fail_begun(hub, task_id, reason)
    with hub.store.write() as session:
        stage = session.get_one(Stage, stage_id)
        job = _locked_job(session, stage.job_row)
        session.refresh(stage)
        if job.is_terminal or stage.status_type != StatusType.INFO:
            return
        now = hub.store.clock()
        if session.scalar(begun.limit(1)) is not None:  # by a worker of another kind, meanwhile: the next round has it
            return
        untouched = update(Task).where(Task.stage_id == stage_id, Task.state.in_(OPEN_STATES))
        session.execute(untouched.values(state=TaskState.FAILED, notification=reason, owner=None, updated_at=now))
        write_log(session, now, job.row, Event("error", "workers_failed", {"reason": reason}), stage_id=stage_id)
        settle_stage(hub, session, job, stage, reason)


def end_failed(hub: Hub, task: Task, reason: str) -> None:
    """End a task that was taken over from its worker, and what comes with it; what was committed is kept.

    Where the storage does not answer, nothing has ended: the lease runs out, and the task is tried, or ended, again.
    """
    with ending(hub, task, write_what_is_left(hub, task)) as (session, held):
        tasks.fail(held, hub.store.clock(), reason, retryable=False)
        settle(hub, session, held)


def _fail_begun(hub: Hub, task_id: str, reason: str) -> None:
    """A task of which something may be committed; each by itself, as its records are written."""
    with hub.store.write() as session:
        _locked_job(session, session.get_one(Task, task_id).job_row)
        task = session.scalars(locked(select(Task).where(Task.id == task_id))).one()
        if task.state not in OPEN_STATES:
            return
        task.state, task.token = TaskState.LEASED, task.token + 1
        task.expires_at = hub.store.clock() + tasks.LEASE_SECONDS
    with ending(hub, task, write_what_is_left(hub, task)) as (_, held):
        tasks.fail(held, hub.store.clock(), reason, retryable=False)


def _locked_job(session: Session, row: int | None) -> Job:
    return session.scalars(locked(select(Job).where(Job.row == row))).one()
