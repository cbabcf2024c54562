"""The open stages that ask for workers, and what is written about them. Read and written by each hub by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from visionfleet.config.batch import Batch
from visionfleet.hub import tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.executor.obstacles import Obstacle
from visionfleet.hub.executor.shares import Demand
from visionfleet.hub.processing.definitions import definition_of
from visionfleet.hub.processing.logs import Event, write_log
from visionfleet.hub.processing.stages import PROCESSING
from visionfleet.hub.store.locks import locked
from visionfleet.hub.store.tables import Job, Stage, StatusType, Task, TaskState


@dataclass(frozen=True)
class OpenStage:
    """A stage whose tasks are not at their end, with its job as it was when the round began."""

    stage: Stage
    job: Job
    demand: Demand


def open_stages(hub: Hub) -> list[OpenStage]:
    """The processing stages that go on, the oldest first."""
    going_on = select(Stage, Job).join(Job, Job.row == Stage.job_row)
    going_on = going_on.where(
        Stage.name == PROCESSING, Stage.status_type == StatusType.INFO, Job.is_terminal.is_(False)
    )
    with hub.store.read() as session:
        rows = session.execute(going_on.order_by(Stage.started_at, Stage.id)).all()
        return [OpenStage(stage, job, _demand(hub, session, stage, job)) for stage, job in rows]


def ended_stages(hub: Hub, stage_ids: Sequence[str]) -> dict[str, Stage]:
    """Those of the stages that the database still has, by their ids."""
    with hub.store.read() as session:
        found = session.scalars(select(Stage).where(Stage.id.in_(stage_ids)))
        return {stage.id: stage for stage in found}


def note_obstacle(hub: Hub, found: OpenStage, obstacle: Obstacle | None) -> None:
    """Say what keeps the job's workers from running, or that nothing does any more; once for each change."""
    text = None if obstacle is None else obstacle.text
    if found.job.obstacle == text:
        return
    with hub.store.write() as session:
        job = session.scalars(locked(select(Job).where(Job.row == found.job.row))).one_or_none()
        stage = session.get(Stage, found.stage.id)
        if job is None or stage is None or job.is_terminal or stage.status_type != StatusType.INFO:
            return
        if job.obstacle == text:  # another hub was first
            return
        now = hub.store.clock()
        job.obstacle, job.updated_at, stage.event_at = text, now, now
        if obstacle is not None:
            payload = {"reason": obstacle.text, "cluster": obstacle.detail}
            write_log(session, now, job.row, Event("warning", "workers_waiting", payload), stage_id=stage.id)


def note_job(hub: Hub, found: OpenStage, name: str, pods: int) -> None:
    """Say which Job of the cluster has the workers."""
    with hub.store.write() as session:
        event = Event("info", "workers_requested", {"job": name, "pods": pods})
        write_log(session, hub.store.clock(), found.job.row, event, stage_id=found.stage.id)


def most_pods(batch: Batch) -> dict[str, int]:
    """Pods at once over all jobs, by machine type."""
    pools = batch.workers
    return {"cpu": pools.cpu.max, "gpu": pools.gpu.max if pools.gpu else 0}


def _demand(hub: Hub, session: Session, stage: Stage, job: Job) -> Demand:
    compute = definition_of(job).compute_configuration
    workers = compute.workers_per_machine or 1
    now = hub.store.clock()
    enough = max(1, most_pods(hub.config.batch)[compute.machine_type]) * workers  # no more need be counted
    return Demand(
        stage_id=stage.id,
        machine_type=compute.machine_type,
        waiting=_count(session, stage, or_(Task.state == TaskState.QUEUED, tasks.is_abandoned(now)), enough),
        leased=_count(session, stage, tasks.is_running(now), enough),
        workers=workers,
        max_parallel=stage.max_parallel,
        queued=hub.config.batch.queue is not None,
    )


def _count(session: Session, stage: Stage, state: ColumnElement[bool], enough: int) -> int:
    some = select(Task.id).where(Task.stage_id == stage.id, state).limit(enough).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0
