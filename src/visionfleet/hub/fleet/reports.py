"""What devices report: checked one by one, stored once, the last one kept at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from pydantic import ValidationError
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from visionfleet.hub.context import Hub
from visionfleet.hub.keys import Caller
from visionfleet.hub.store.locks import take_turns
from visionfleet.hub.store.tables import Device, DeviceReport
from visionfleet.protocol import DeviceReport as Report
from visionfleet.protocol import RefusedReport, ReportsAnswer, one_line

MAX_SECONDS_AHEAD = 86_400  # of the hub's clock; more is a clock that is wrong

log = structlog.get_logger()


def store_reports(hub: Hub, caller: Caller, sent: Sequence[Mapping[str, Any]]) -> ReportsAnswer:
    """Store a device's reports; the device is whose key this is. A report that is there already is passed over."""
    now = hub.store.clock()
    taken: dict[float, Report] = {}
    refused: list[RefusedReport] = []
    for index, values in enumerate(sent):
        try:
            report = check_report(values, now)
        except ValueError as error:
            refused.append(RefusedReport(index=index, reason=_reason(error)))
        else:
            taken.setdefault(report.reported_at, report)
    if refused:
        log.warning("reports_refused", device=caller.name, refused=len(refused), reason=refused[0].reason)
    stored = _store(hub, caller, now, taken) if taken else 0
    return ReportsAnswer(stored=stored, refused=tuple(refused))


def check_report(values: Mapping[str, Any], now: float) -> Report:
    """The report that the values make. Raises ValueError, which pydantic's ValidationError is, too."""
    report = Report.model_validate(values)
    if report.reported_at > now + MAX_SECONDS_AHEAD:
        raise ValueError("reported_at: it is more than a day ahead of the hub: set the device's clock")
    return report


def _reason(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    problems = (f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors())
    return one_line("; ".join(problems))


def _store(hub: Hub, caller: Caller, now: float, taken: Mapping[float, Report]) -> int:
    mine = (DeviceReport.workspace == caller.workspace, DeviceReport.device == caller.name)
    query = select(DeviceReport.reported_at).where(*mine, DeviceReport.reported_at.in_(taken))
    with hub.store.write() as session:
        _keep_last(session, caller, now, list(taken.values())[-1])
        known = set(session.scalars(query))
        rows = [
            {
                "workspace": caller.workspace,
                "device": caller.name,
                "reported_at": report.reported_at,
                "received_at": now,
                "report": report.model_dump(mode="json"),
            }
            for report in taken.values()
            if report.reported_at not in known
        ]
        if rows:
            session.execute(insert(DeviceReport), rows)
    return len(rows)


def _keep_last(session: Session, caller: Caller, now: float, report: Report) -> None:
    """The last one that was sent tells how the device is: its clock may have been set back, as after a power cut."""
    # in turns: a call that is repeated at the same moment waits here, and then finds what this one has stored
    take_turns(session, "device", caller.workspace, caller.name)
    device = session.get(Device, (caller.workspace, caller.name))
    if device is None:
        device = Device(workspace=caller.workspace, name=caller.name)
        session.add(device)
    device.seen_at, device.reported_at = now, min(report.reported_at, now)
    device.health, device.report = report.health, report.model_dump(mode="json")
