"""What devices call, and who enrols and watches them. The messages are in `visionfleet.protocol`."""

from __future__ import annotations

from fastapi import APIRouter, Response

from visionfleet.hub.api.access import DeviceCaller, FleetCaller, HubDep, PageDep
from visionfleet.hub.fleet import devices, enrolment, reports
from visionfleet.protocol import ClientKeysAnswer, DevicesAnswer, EnrolAnswer, ReportsAnswer, ReportsRequest

router = APIRouter(prefix="/fleet/v1", tags=["fleet"])


@router.post("/devices/{name}/key")
def enrol(hub: HubDep, caller: FleetCaller, name: str) -> EnrolAnswer:
    """Make a device's key, in place of those that it had."""
    return enrolment.enrol(hub, caller.workspace, name)


@router.get("/devices")
def list_devices(hub: HubDep, _caller: FleetCaller, page: PageDep) -> DevicesAnswer:
    """The file's devices, and those that report beside them."""
    return devices.list_devices(hub, page)


@router.post("/reports")
def store_reports(hub: HubDep, caller: DeviceCaller, request: ReportsRequest) -> ReportsAnswer:
    """What the device whose key this is has to report."""
    return reports.store_reports(hub, caller, request.reports)


@router.get("/client-keys")
def list_client_keys(hub: HubDep, caller: DeviceCaller) -> ClientKeysAnswer:
    """The digests of the keys that a device is to take."""
    return enrolment.client_keys(hub, caller.workspace)


@router.get("/files/{digest}", response_class=Response)
def get_file(hub: HubDep, _caller: DeviceCaller, digest: str) -> Response:
    """A picture, or an expected answer, that devices are checked by."""
    return Response(hub.roster.file(digest), media_type="application/octet-stream")
