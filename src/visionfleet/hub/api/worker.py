"""What workers call. The messages are in `visionfleet.protocol`."""

from __future__ import annotations

from fastapi import APIRouter, Response

from visionfleet.hub.api.access import BaseUrl, HubDep, WorkerCaller
from visionfleet.hub.api.threads import waits_for_storage
from visionfleet.hub.processing import leases
from visionfleet.protocol import (
    FailRequest,
    HeartbeatAnswer,
    HeartbeatRequest,
    Lease,
    LeaseRequest,
    LogsRequest,
    ResultsAnswer,
    ResultsRequest,
    TaskRequest,
    UploadsAnswer,
    UploadsRequest,
)

router = APIRouter(prefix="/worker/v1", tags=["workers"])


@router.post("/lease", response_model=Lease, responses={204: {"description": "there is nothing to do"}})
def lease(hub: HubDep, _caller: WorkerCaller, base_url: BaseUrl, request: LeaseRequest) -> Lease | Response:
    """The next task."""
    found = leases.lease(hub, request, base_url)
    if found is not None:
        return found
    wait = leases.seconds_to_wait(hub, request.stage_id)
    return Response(status_code=204, headers=None if wait is None else {"Retry-After": str(wait)})


@router.post("/heartbeat")
def heartbeat(hub: HubDep, _caller: WorkerCaller, request: HeartbeatRequest) -> HeartbeatAnswer:
    """Extend all leases of a worker."""
    return leases.heartbeat(hub, request.leases)


@router.post("/tasks/{task_id}/uploads")
def sign_uploads(
    hub: HubDep, _caller: WorkerCaller, task_id: str, base_url: BaseUrl, request: UploadsRequest
) -> UploadsAnswer:
    """Where to PUT output files."""
    return UploadsAnswer(urls=leases.sign_uploads(hub, task_id, request.token, request.names, base_url))


@router.post("/tasks/{task_id}/results")
@waits_for_storage
def commit_results(hub: HubDep, _caller: WorkerCaller, task_id: str, request: ResultsRequest) -> ResultsAnswer:
    """Commit what came of some images."""
    return leases.commit_results(hub, task_id, request.token, request.results)


@router.post("/tasks/{task_id}/logs", status_code=204)
def write_logs(hub: HubDep, _caller: WorkerCaller, task_id: str, request: LogsRequest) -> None:
    """Add lines to the job's log."""
    leases.write_logs(hub, task_id, request.token, request.logs)


@router.post("/tasks/{task_id}/complete", status_code=204)
@waits_for_storage
def complete(hub: HubDep, _caller: WorkerCaller, task_id: str, request: TaskRequest) -> None:
    """End a task whose images all have a result."""
    leases.complete(hub, task_id, request.token)


@router.post("/tasks/{task_id}/fail", status_code=204)
@waits_for_storage
def fail(hub: HubDep, _caller: WorkerCaller, task_id: str, request: FailRequest) -> None:
    """Give a task up."""
    leases.fail(hub, task_id, request)


@router.post("/tasks/{task_id}/release", status_code=204)
def release(hub: HubDep, _caller: WorkerCaller, task_id: str, request: TaskRequest) -> None:
    """Give a task back at once."""
    leases.release(hub, task_id, request.token)
