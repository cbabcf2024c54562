"""A stage whose workers are no more: its open tasks fail together, and what was committed is kept."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from visionfleet.hub import tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.processing.logs import Event, write_log
from visionfleet.hub.processing.publishing import publish
from visionfleet.hub.processing.stages import settle_stage
from visionfleet.hub.store.locks import locked
from visionfleet.hub.store.tables import OPEN_STATES, Job, Stage, StatusType, Task, TaskState


def fail_stage(hub: Hub, stage_id: str, reason: str) -> None:
    """End a stage with an error. One that has ended is left alone, so two hubs may find the same reason at once."""
    reason = reason[: tasks.NOTIFICATION_CHARACTERS]
    with hub.store.read() as session:
        begun = select(Task.id).where(Task.stage_id == stage_id, Task.state.in_(OPEN_STATES))
        task_ids = session.scalars(begun.where(Task.progress.is_not(None))).all()
    for task_id in task_ids:
        _fail_begun(hub, task_id, reason)
    with hub.store.write() as session:
        stage = session.get_one(Stage, stage_id)
        job = _locked_job(session, stage.job_row)
        session.refresh(stage)
        if job.is_terminal or stage.status_type != StatusType.INFO:
            return
        now = hub.store.clock()
        untouched = update(Task).where(Task.stage_id == stage_id, Task.state.in_(OPEN_STATES))
        session.execute(untouched.values(state=TaskState.FAILED, notification=reason, owner=None, updated_at=now))
        write_log(session, now, job.row, Event("error", "workers_failed", {"reason": reason}), stage_id=stage_id)
        settle_stage(hub, session, job, stage, reason)


def _fail_begun(hub: Hub, task_id: str, reason: str) -> None:
    """A task of which something may be committed; each in a transaction of its own, as its records are written."""
    with hub.store.write() as session:
        _locked_job(session, session.get_one(Task, task_id).job_row)
        task = session.scalars(locked(select(Task).where(Task.id == task_id))).one()
        if task.state in OPEN_STATES:
            tasks.fail(task, hub.store.clock(), reason, retryable=False)
            publish(hub, session, task)


def _locked_job(session: Session, row: int | None) -> Job:
    return session.scalars(locked(select(Job).where(Job.row == row))).one()
