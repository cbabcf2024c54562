"""The task queue: leases with a fencing token and an expiry, retries with backoff, dead letters.

A task is found, locked and leased in one write transaction, so two claimers never get the same one. Whoever commits
work under a lease calls `hold` in the same transaction: a token that is not the task's newest is refused, so nothing is
committed twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update
from sqlalchemy.orm import Session

from visionfleet.hub.errors import not_found, stale_lease, task_cancelled
from visionfleet.hub.store import Store
from visionfleet.hub.store.locks import locked
from visionfleet.hub.store.tables import OPEN_STATES, Job, Stage, Task, TaskKind, TaskState

LEASE_SECONDS = 60
MAX_ATTEMPTS = 4
BACKOFF_SECONDS = 5
MAX_BACKOFF_SECONDS = 300
NOTIFICATION_CHARACTERS = 1024
WAITING = "waiting"

LeaseKey = tuple[str, int]
"""Id of a task and token of its lease."""

Check = Callable[[], None]
"""What a long task calls now and then. Raises where it is to end at once, having committed nothing."""


def enqueue(session: Session, now: float, kind: TaskKind, payload: dict[str, Any], **columns: Any) -> Task:
    """Add a task, due now; `columns` are further columns of the tasks table."""
    values = {"id": uuid.uuid4().hex, "run_after": now, "created_at": now, "updated_at": now} | columns
    task = Task(kind=kind, payload=payload, state=TaskState.QUEUED, **values)
    session.add(task)
    return task


def claim(
    store: Store, kinds: Sequence[TaskKind], owner: str, machine_type: str | None = None, stage_id: str | None = None
) -> Task | None:
    """Lease the task that has been due the longest, or None. Those whose lease ran out go first."""
    now = store.clock()
    with store.write() as session:
        states = (_of_stage(state(now), stage_id) for state in (is_abandoned, _waiting))
        due = (_lock_oldest(session, now, state, kinds, machine_type) for state in states)
        task_id = next(filter(None, due), None)
        if task_id is None:
            return None
        leased = (
            update(Task)
            .where(Task.id == task_id)
            .values(
                state=TaskState.LEASED,
                owner=owner,
                attempts=Task.attempts + 1,
                token=Task.token + 1,
                expires_at=now + LEASE_SECONDS,
                # a second attempt goes on where the first one stopped
                progress=func.coalesce(Task.progress, 0.0),
                notification="running",
                updated_at=now,
            )
        )
        return session.scalars(leased.returning(Task)).one()


def hold(session: Session, now: float, task_id: str, token: int) -> Task:
    """The task, its lease made new. Raises `stale_lease` or `task_cancelled` where the holder has lost it."""
    task = _checked(session.scalar(locked(select(Task).where(Task.id == task_id))), task_id, token)
    task.expires_at = now + LEASE_SECONDS
    task.updated_at = now
    return task


def keep(session: Session, now: float, leases: Collection[LeaseKey]) -> set[LeaseKey]:
    """Make several leases of one holder new; gives those that are lost.

    A task that another transaction has locked right now is passed over: it is kept by what its holder does there, or
    is lost the next time. To wait for it with another one locked might be to wait for each other.
    """
    mine = or_(*(and_(Task.id == task_id, Task.token == token) for task_id, token in leases))
    free = select(Task.id).where(Task.state == TaskState.LEASED, mine).with_for_update(skip_locked=True, key_share=True)
    extended = update(Task).where(Task.id.in_(free)).values(expires_at=now + LEASE_SECONDS, updated_at=now)
    kept = _keys(session.execute(extended.returning(Task.id, Task.token)))
    if len(kept) < len(leases):
        kept |= _keys(session.execute(select(Task.id, Task.token).where(Task.state == TaskState.LEASED, mine)))
    return set(leases) - kept


def _keys(rows: Iterable[Any]) -> set[LeaseKey]:
    return {(task_id, token) for task_id, token in rows}


def hold_to_end(session: Session, now: float, task_id: str, token: int) -> Task:
    """As `hold`, for whoever may end the task: of two tasks of a job that end at once, the second sees the first."""
    job_row = select(Task.job_row).where(Task.id == task_id).scalar_subquery()
    session.execute(locked(select(Job.row).where(Job.row == job_row)))
    return hold(session, now, task_id, token)


def take_over(session: Session, now: float, task_id: str, token: int) -> Task:
    """As `hold_to_end`, from the holder, whose token is none from now on: what it has committed changes no more."""
    task = hold_to_end(session, now, task_id, token)
    task.token += 1
    return task


def look_up(session: Session, task_id: str, token: int) -> Task:
    """The task as it is, the lease left alone. Raises as `hold` does."""
    return _checked(session.get(Task, task_id), task_id, token)


def _checked(task: Task | None, task_id: str, token: int) -> Task:
    if task is None:
        raise not_found("task", task_id)
    if task.state == TaskState.CANCELLED:
        raise task_cancelled(task_id)
    # An expired lease that nobody else took is still the holder's own: its token is the newest.
    if task.state != TaskState.LEASED or task.token != token:
        raise stale_lease(task_id)
    return task


def finish(task: Task, now: float, notification: str) -> None:
    """The task is done."""
    task.progress = 1.0
    _end(task, now, TaskState.DONE, notification)


def fail(task: Task, now: float, reason: str, *, retryable: bool) -> bool:
    """Queue the task again with backoff, or end it; True where it ended."""
    if retryable and has_attempts(task):
        _queue(task, now, min(BACKOFF_SECONDS * 2 ** (task.attempts - 1), MAX_BACKOFF_SECONDS), reason)
        return False
    _end(task, now, TaskState.FAILED, reason)
    return True


def has_attempts(task: Task) -> bool:
    """Whether it may be tried again."""
    return task.attempts < MAX_ATTEMPTS


def release(task: Task, now: float, delay: float = 0, reason: str = WAITING) -> None:
    """Give a leased task back, as if it had not been tried; it is due after `delay` seconds."""
    task.attempts -= 1
    _queue(task, now, delay, reason)


def cancel(session: Session, now: float, job_row: int, reason: str) -> None:
    """End every open task of a job; who holds one hears it at the next call."""
    open_tasks = update(Task).where(Task.job_row == job_row, Task.state.in_(OPEN_STATES))
    session.execute(open_tasks.values(state=TaskState.CANCELLED, notification=reason, updated_at=now))


def overdue(session: Session, now: float) -> Sequence[Task]:
    """Leased tasks whose holder is gone and whose attempts are used up: nobody will claim them again."""
    lost = (Task.state == TaskState.LEASED) & (Task.expires_at < now) & (Task.attempts >= MAX_ATTEMPTS)
    return session.scalars(select(Task).where(lost)).all()


def is_running(now: float) -> ColumnElement[bool]:
    """Leased to somebody who is there."""
    return and_(Task.state == TaskState.LEASED, Task.expires_at >= now)


def is_abandoned(now: float) -> ColumnElement[bool]:
    """Leased to somebody who is gone, and not for the last time."""
    return and_(Task.state == TaskState.LEASED, Task.expires_at < now, Task.attempts < MAX_ATTEMPTS)


def _waiting(now: float) -> ColumnElement[bool]:
    return and_(Task.state == TaskState.QUEUED, Task.run_after <= now)


def _of_stage(state: ColumnElement[bool], stage_id: str | None) -> ColumnElement[bool]:
    return state if stage_id is None else and_(state, Task.stage_id == stage_id)


def _lock_oldest(
    session: Session, now: float, state: Any, kinds: Sequence[TaskKind], machine_type: str | None
) -> str | None:
    """The id of the task that is due the longest, with no other claimer on it until the transaction ends."""
    full: list[str] = []
    while True:
        found = session.execute(_oldest(now, state, kinds, machine_type, full)).first()
        if found is None:
            return None
        task_id, stage_id, max_parallel = found
        if stage_id is None or max_parallel is None or _has_room(session, now, stage_id, max_parallel):
            return task_id
        full.append(stage_id)


def _has_room(session: Session, now: float, stage_id: str, max_parallel: int) -> bool:
    """Whether the stage may run one task more, counted by one claimer of it after the other."""
    session.execute(locked(select(Stage.id).where(Stage.id == stage_id)))
    running = (Task.stage_id == stage_id, is_running(now))
    return (session.scalar(select(func.count()).select_from(Task).where(*running)) or 0) < max_parallel


def _oldest(
    now: float, state: Any, kinds: Sequence[TaskKind], machine_type: str | None, without: Sequence[str] = ()
) -> Select[str, str | None, int | None]:
    conditions = [state, Task.kind.in_(kinds), or_(Task.stage_id.is_(None), Task.stage_id.not_in(_full_stages(now)))]
    if without:
        conditions.append(or_(Task.stage_id.is_(None), Task.stage_id.not_in(without)))
    if machine_type is not None:
        conditions.append(Task.machine_type == machine_type)
    # in the order of the index, so that the first row is the answer, however many wait
    columns = select(Task.id, Task.stage_id, Stage.max_parallel).outerjoin(Stage, Stage.id == Task.stage_id)
    oldest = columns.where(*conditions).order_by(Task.run_after).limit(1)
    # PostgreSQL passes over rows that another claimer holds; SQLite, whose writers stand in line, ignores this
    return oldest.with_for_update(skip_locked=True, key_share=True, of=Task)


def _full_stages(now: float) -> Select[str | None]:
    """Stages that run as many tasks as their job allows at once."""
    running = select(Task.stage_id).join(Stage, Stage.id == Task.stage_id)
    # those without a limit may run thousands, which every claim would count
    running = running.where(Stage.max_parallel.is_not(None), is_running(now))
    return running.group_by(Task.stage_id, Stage.max_parallel).having(func.count() >= Stage.max_parallel)


def _queue(task: Task, now: float, delay: float, notification: str) -> None:
    task.state = TaskState.QUEUED
    task.run_after = now + delay
    task.notification = _shown(notification)
    task.owner = None
    task.updated_at = now


def _end(task: Task, now: float, state: TaskState, notification: str) -> None:
    task.state = state
    task.notification = _shown(notification)
    task.owner = None
    task.updated_at = now


def _shown(text: str) -> str:
    # a worker's reason may quote anything, and PostgreSQL's text holds no NUL
    return text.replace("\0", "")[:NOTIFICATION_CHARACTERS]
