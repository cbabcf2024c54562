"""Roboflow's batch-processing API, as far as the command line uses it for images."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query

from visionfleet.hub.api.access import ClientWorkspace, HubDep, PageDep
from visionfleet.hub.api.threads import waits_for_storage
from visionfleet.hub.processing import jobs, restart

router = APIRouter(prefix="/batch-processing/v1/external/{workspace}/jobs", tags=["batch processing"])


@router.get("")
def list_jobs(hub: HubDep, workspace: ClientWorkspace, page: PageDep) -> dict[str, Any]:
    """The workspace's jobs, the newest first."""
    return jobs.list_jobs(hub, workspace, page)


@router.post("/{job_id}")
def create_job(
    hub: HubDep,
    workspace: ClientWorkspace,
    job_id: str,
    definition: Annotated[dict[str, Any], Body()],
    name: Annotated[str | None, Query()] = None,
) -> dict[str, Any]:
    """Start a job."""
    return jobs.create_job(hub, workspace, job_id, name, definition)


@router.get("/{job_id}")
def show_job(hub: HubDep, workspace: ClientWorkspace, job_id: str) -> dict[str, Any]:
    """A job's metadata."""
    return jobs.show_job(hub, workspace, job_id)


@router.get("/{job_id}/stages")
def list_stages(hub: HubDep, workspace: ClientWorkspace, job_id: str) -> dict[str, Any]:
    """The stages that the job has begun."""
    return jobs.list_stages(hub, workspace, job_id)


@router.get("/{job_id}/stages/{stage_id}/tasks")
def list_tasks(hub: HubDep, workspace: ClientWorkspace, job_id: str, stage_id: str, page: PageDep) -> dict[str, Any]:
    """A stage's tasks."""
    return jobs.list_tasks(hub, workspace, job_id, stage_id, page)


@router.get("/{job_id}/logs")
def list_logs(
    hub: HubDep,
    workspace: ClientWorkspace,
    job_id: str,
    page: PageDep,
    severity: Annotated[str | None, Query()] = None,
) -> dict[str, Any]:
    """The job's log, the oldest line first."""
    return jobs.list_logs(hub, workspace, job_id, severity, page)


@router.post("/{job_id}/abort")
def abort_job(hub: HubDep, workspace: ClientWorkspace, job_id: str) -> dict[str, Any]:
    """End the job now."""
    return jobs.abort_job(hub, workspace, job_id)


@router.post("/{job_id}/restart")
@waits_for_storage
def restart_job(
    hub: HubDep,
    workspace: ClientWorkspace,
    job_id: str,
    override: Annotated[dict[str, Any] | None, Body()] = None,
) -> dict[str, Any]:
    """Process what an ended job has left."""
    return restart.restart_job(hub, workspace, job_id, override)
