"""What nobody asks for and must happen all the same: lost tasks end, late jobs end, expired batches and reports go."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress

import structlog
from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from visionfleet.hub import tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.errors import HubError
from visionfleet.hub.fleet.retention import forget_devices, forget_reports
from visionfleet.hub.processing.failing import end_failed
from visionfleet.hub.processing.stages import end_job, settle
from visionfleet.hub.staging.batches import SECONDS_A_DAY
from visionfleet.hub.staging.ingestion import fail_ingest
from visionfleet.hub.store.locks import free, locked
from visionfleet.hub.store.tables import OPEN_STATES, Batch, Job, StatusType, Task, TaskKind

MAX_BATCHES_A_SWEEP = 100
LOST_WORKER = "the worker stopped answering"

log = structlog.get_logger()


def bury_overdue(hub: Hub) -> None:
    """End the tasks whose worker vanished on the last attempt, and the jobs that are past their deadline."""
    with hub.store.read() as session:
        lost = tasks.overdue(session, hub.store.clock())
    for task in lost:
        with _alone("task_not_ended", task=task.id):
            _bury(hub, task)
    with hub.store.read() as session:
        late = session.scalars(
            select(Job.row).where(Job.is_terminal.is_(False), Job.deadline < hub.store.clock())
        ).all()
    for row in late:
        with _alone("job_not_ended", row=row):
            _end_late(hub, row)


def _bury(hub: Hub, lost: Task) -> None:
    # a task that another hub has buried meanwhile is no news
    with suppress(HubError):
        if lost.kind == TaskKind.PROCESS:
            with hub.store.write() as session:
                task = tasks.take_over(session, hub.store.clock(), lost.id, lost.token)
            end_failed(hub, task, LOST_WORKER)
            return
        with hub.store.write() as session:
            now = hub.store.clock()
            task = tasks.hold_to_end(session, now, lost.id, lost.token)
            tasks.fail(task, now, LOST_WORKER, retryable=False)
            end_own(hub, session, task, LOST_WORKER)


def _end_late(hub: Hub, row: int) -> None:
    with hub.store.write() as session:
        job = session.scalar(locked(select(Job).where(Job.row == row)))
        if job is not None and not job.is_terminal:
            end_job(session, hub.store.clock(), job, StatusType.ERROR, "ran longer than its processing timeout")


def end_own(hub: Hub, session: Session, task: Task, reason: str) -> None:
    """A task of the hub itself has failed for good: tell its shard, or its stage."""
    if task.kind == TaskKind.INGEST:
        fail_ingest(session, hub.store.clock(), task, reason)
        return
    settle(hub, session, task)


def clear_away(hub: Hub) -> None:
    """Remove what is past the retention."""
    sweep(hub)
    forget_ingests(hub)
    forget_fleet(hub)


def sweep(hub: Hub) -> int:
    """Delete expired batches, but for those that a running job reads or fills; gives how many went."""
    running = select(Job.row).where(Job.is_terminal.is_(False))
    read_by_job = exists().where(Job.input_batch_row == Batch.row, Job.is_terminal.is_(False))
    filled_by_job = Batch.job_row.is_not(None) & Batch.job_row.in_(running)
    expired = Batch.expires_at <= hub.store.clock()
    query = select(Batch.row).where(expired, ~read_by_job, ~filled_by_job)
    # a job on one of these is either there already, or comes after this and is refused
    with hub.store.write() as session:
        nobodys = session.scalars(free(query.limit(MAX_BATCHES_A_SWEEP))).all()
        rows = session.scalars(query.where(Batch.row.in_(nobodys))).all()
    gone = 0
    for row in rows:
        with _alone("batch_not_removed", row=row):
            _remove(hub, row)
            gone += 1
    if gone:
        _forget_jobs(hub)
    return gone


def forget_ingests(hub: Hub) -> None:
    """Remove the ingests that ended before the retention: they are of no job that would take them with it."""
    ended = (Task.state.not_in(OPEN_STATES), Task.kind == TaskKind.INGEST)
    old = Task.updated_at < hub.store.clock() - hub.config.hub.retention_days * SECONDS_A_DAY
    with hub.store.write() as session:
        session.execute(delete(Task).where(*ended, old))


def forget_fleet(hub: Hub) -> None:
    """Remove the reports, and the devices of no file, that are past the retention."""
    forget_reports(hub)
    forget_devices(hub)


def _remove(hub: Hub, row: int) -> None:
    # objects first: a sweep that is cut short finds the row, and so the rest, the next time
    hub.storage.delete_folder(f"batches/{row}")
    with hub.store.write() as session:
        session.execute(delete(Batch).where(Batch.row == row))


@contextmanager
def _alone(event: str, **what: object) -> Generator[None]:
    """What fails in it is logged, and keeps nothing else from being done."""
    try:
        yield
    except Exception:
        log.exception(event, **what)


def _forget_jobs(hub: Hub) -> None:
    """Jobs without any batch left are of no use to anybody."""
    orphan = Job.is_terminal & ~exists().where(Batch.job_row == Job.row)
    with hub.store.write() as session:
        rows = session.scalars(free(select(Job.row).where(orphan))).all()
        session.execute(delete(Job).where(Job.row.in_(rows)))
