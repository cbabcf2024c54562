"""The fleet as it is: what the file asks of each device beside what the device has last said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy import func, literal_column, select
from sqlalchemy.orm import Session

from visionfleet.hub.context import Hub
from visionfleet.hub.fleet.roster import Entry
from visionfleet.hub.pages import Page
from visionfleet.hub.store.tables import Device
from visionfleet.protocol import DevicesAnswer, DeviceState, SeenReport

LATE_AFTER_INTERVALS = 3
LATE = "late"
NEVER_SEEN = "never_seen"


def list_devices(hub: Hub, page: Page) -> DevicesAnswer:
    """One page of the file's devices in its order, then of those that report and are not in it."""
    start = page.after or 0
    end = start + page.size
    with hub.store.read() as session:
        names = [*hub.roster.devices, *_strangers(hub, session)]
        shown = names[start:end]
        seen = _seen(hub, session, shown)
    due = _due(hub)
    states = tuple(_state(name, hub.roster.devices.get(name), seen.get(name), due) for name in shown)
    return DevicesAnswer(devices=states, nextPageToken=str(end) if end < len(names) else None)


def count_devices(hub: Hub) -> Counter[str]:
    """How many devices are how: each is late, never seen, or as its report says."""
    due = _due(hub)
    late = (Device.seen_at < due).label("late")
    query = select(Device.health, late, func.count()).where(Device.workspace == hub.config.workspace)
    counts: Counter[str] = Counter()
    with hub.store.read() as session:
        # grouped by its name: with the expression again, PostgreSQL would take its value for another one
        for health, is_late, count in session.execute(query.group_by(Device.health, literal_column("late"))):
            counts[LATE if is_late else health] += count
        strangers = len(_strangers(hub, session))
    counts[NEVER_SEEN] = len(hub.roster.devices) + strangers - counts.total()
    return counts


def _strangers(hub: Hub, session: Session) -> list[str]:
    query = select(Device.name).where(Device.workspace == hub.config.workspace).order_by(Device.name)
    return [name for name in session.scalars(query) if name not in hub.roster.devices]


def _seen(hub: Hub, session: Session, names: Sequence[str]) -> Mapping[str, Device]:
    query = select(Device).where(Device.workspace == hub.config.workspace, Device.name.in_(names))
    return {device.name: device for device in session.scalars(query)}


def _due(hub: Hub) -> float:
    """Whoever was seen before this is late."""
    return hub.store.clock() - LATE_AFTER_INTERVALS * hub.config.edge.report_seconds


def _state(name: str, entry: Entry | None, seen: Device | None, due: float) -> DeviceState:
    return DeviceState(
        name=name,
        in_file=entry is not None,
        group=entry and entry.group,
        hardware=entry and entry.hardware,
        site=entry and entry.site,
        labels=dict(entry.labels) if entry else {},
        release=entry and entry.release,
        seen_at=seen and seen.seen_at,
        late=seen is not None and seen.seen_at < due,
        report=SeenReport.model_validate(seen.report) if seen else None,
    )
