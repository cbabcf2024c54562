"""How the device is, told to the hub; kept here for as long as the hub is away."""

from __future__ import annotations

import sys
import time
from typing import Any, Callable, cast

from visionfleet_device import VERSION, client_keys, state
from visionfleet_device.errors import DeviceError
from visionfleet_device.hub import Hub, Refused, Unreachable
from visionfleet_device.machine import Machine, this_machine
from visionfleet_device.paths import Paths
from visionfleet_device.spool import Spool

BATCH = 100  # the hub takes no more at once
ATTEMPTS = 2  # the timer tries again soon enough

_NOT_UNDERSTOOD = (400, 413, 422)  # sent again, it would be refused again


def report(paths: Paths, machine: Machine | None = None, clock: Callable[[], float] = time.time) -> None:
    """Make a report, send all that wait, take over the clients' keys.

    That the hub is away is no error: they go on waiting. Raises DeviceError for what a person must mend.
    """
    spool = Spool(paths.reports)
    unsaved = _add(spool, {**state.read(paths, machine or this_machine(paths)), **_frame(spool, clock)})
    hub = Hub.of(paths, ATTEMPTS)
    try:
        reasons = send(spool, hub) + _send_batch(hub, unsaved)
        client_keys.refresh(paths, hub)
    except Unreachable as error:
        _say(f"{error.message}; {len(spool)} reports wait")
        return
    if reasons:
        message = f"the hub refused {len(reasons)} reports, which are lost: {reasons[-1]}"
        raise DeviceError(
            message, "mend what it says; if it says nothing clear, bring hub and device to the same version"
        )


def send(spool: Spool, hub: Hub) -> list[str]:
    """Send what waits, the oldest first; gives the reason for each report that the hub will never take."""
    reasons: list[str] = []
    while True:
        batch = spool.oldest(BATCH)
        if not batch:
            return reasons
        reasons += _send_batch(hub, list(batch.values()))
        spool.remove(batch)


def _add(spool: Spool, report: dict[str, Any]) -> list[dict[str, Any]]:
    """Keep a report; gives those that cannot be kept. That its disk is full, the hub should hear most of all."""
    try:
        spool.add(report)
    except OSError as error:
        _say(f"the report cannot be kept here: {error}")
        return [report]
    return []


def _send_batch(hub: Hub, reports: list[dict[str, Any]]) -> list[str]:
    if not reports:
        return []
    try:
        answer = hub.post("/fleet/v1/reports", {"reports": reports})
    except Refused as error:
        if error.status not in _NOT_UNDERSTOOD:
            raise
        return [error.message] * len(reports)
    refused = cast("list[dict[str, Any]]", answer.get("refused") or [])
    return [str(one.get("reason")) for one in refused]


def _frame(spool: Spool, clock: Callable[[], float]) -> dict[str, Any]:
    return {"reported_at": round(clock(), 3), "queued": len(spool), "program": VERSION}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
