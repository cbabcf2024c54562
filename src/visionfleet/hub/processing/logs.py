"""A job's log, as `fetch-logs` shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from visionfleet.hub.ids import iso
from visionfleet.hub.store.tables import JobLog, Task

SEVERITIES = ("info", "warning", "error")


@dataclass(frozen=True)
class Event:
    """One line: `module` is the part that reports it, `payload` what it has to say."""

    severity: str
    type: str
    payload: dict[str, Any]
    module: str = "hub"


def write_log(
    session: Session, now: float, job_row: int, event: Event, *, stage_id: str | None = None, task_id: str | None = None
) -> None:
    """Add a line to a job's log."""
    line = JobLog(
        job_row=job_row,
        stage_id=stage_id,
        task_id=task_id,
        severity=event.severity,
        module=event.module,
        log_type=event.type,
        payload=event.payload,
        created_at=now,
    )
    session.add(line)


def write_task_log(session: Session, now: float, task: Task, event: Event) -> None:
    """Add a line about a task; one that belongs to no job has no log."""
    if task.job_row is not None:
        write_log(session, now, task.job_row, event, stage_id=task.stage_id, task_id=task.id)


def log_query(job_row: int, severity: str | None) -> Any:
    """The lines of a job."""
    query = select(JobLog).where(JobLog.job_row == job_row)
    return query if severity is None else query.where(JobLog.severity == severity)


def log_view(line: JobLog) -> dict[str, Any]:
    """A line in the words of the command line."""
    return {
        "createdAt": iso(line.created_at),
        "processingStageId": line.stage_id,
        "taskId": line.task_id,
        "severity": line.severity,
        "reportingModule": line.module,
        "logType": line.log_type,
        "payload": line.payload,
    }
