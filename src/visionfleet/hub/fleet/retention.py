"""How long the hub remembers what devices have reported: as long as it keeps batches."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import delete, select

from visionfleet.hub.context import Hub
from visionfleet.hub.staging.batches import SECONDS_A_DAY
from visionfleet.hub.store.locks import free
from visionfleet.hub.store.tables import Device, DeviceReport

REPORTS_AT_ONCE = 10_000  # removed in one transaction: devices that report meanwhile wait for no longer than that


def forget_reports(hub: Hub) -> int:
    """Remove the reports that have come before the retention; gives how many went."""
    return sum(_removals(hub, _cutoff(hub)))


def forget_devices(hub: Hub) -> None:
    """Remove what was last seen before the retention and is in the file no more."""
    silent = select(Device).where(Device.seen_at < _cutoff(hub))
    with hub.store.write() as session:
        for device in session.scalars(free(silent)).all():
            if device.name not in hub.roster.devices:
                session.delete(device)


def _removals(hub: Hub, cutoff: float) -> Iterator[int]:
    old = select(DeviceReport.row).where(DeviceReport.received_at < cutoff).limit(REPORTS_AT_ONCE)
    while True:
        with hub.store.write() as session:
            rows = session.scalars(free(old)).all()
            session.execute(delete(DeviceReport).where(DeviceReport.row.in_(old)))
        yield len(rows)
        if len(rows) < REPORTS_AT_ONCE:
            return


def _cutoff(hub: Hub) -> float:
    return hub.store.clock() - hub.config.hub.retention_days * SECONDS_A_DAY
