"""What devices have reported goes when batches of the same age go."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.hub.fleet.support import EDGE, Device, report
from tests.hub.support import EMBEDDED, Api, Clock, plans_of, write_config
from visionfleet.hub.context import Hub
from visionfleet.hub.fleet import retention
from visionfleet.hub.fleet.roster import Roster
from visionfleet.hub.housekeeping import forget_fleet
from visionfleet.hub.staging.batches import SECONDS_A_DAY
from visionfleet.hub.store import tables

DAYS = 7


def reports_left(hub: Hub) -> int:
    with hub.store.read() as session:
        return session.scalar(select(func.count()).select_from(tables.DeviceReport)) or 0


def devices_left(hub: Hub) -> list[str]:
    with hub.store.read() as session:
        return list(session.scalars(select(tables.Device.name)))


def test_reports_go_by_when_they_came_whatever_the_devices_clock_said(api: Api, dock: Device, clock: Clock) -> None:
    dock.send(report(clock, reported_at=0))
    clock.advance(DAYS * SECONDS_A_DAY)
    dock.send(report(clock))
    forget_fleet(api.hub)
    assert reports_left(api.hub) == 2
    clock.advance(1)
    forget_fleet(api.hub)
    assert reports_left(api.hub) == 1


def test_a_device_of_the_file_keeps_its_last_state(api: Api, dock: Device, clock: Clock) -> None:
    dock.send(report(clock))
    clock.advance(100 * SECONDS_A_DAY)
    forget_fleet(api.hub)
    assert (reports_left(api.hub), devices_left(api.hub)) == (0, ["dock-01"])


def test_a_device_that_is_not_in_the_file_goes_when_it_was_silent_for_as_long(
    api: Api, dock: Device, clock: Clock, tmp_path: Path
) -> None:
    dock.send(report(clock))
    group = EDGE["groups"][0]
    smaller = write_config(tmp_path, edge={"groups": [{**group, "devices": group["devices"][1:]}]})
    hub = dataclasses.replace(api.hub, roster=Roster(smaller))
    clock.advance(DAYS * SECONDS_A_DAY)
    forget_fleet(hub)
    assert devices_left(hub) == ["dock-01"]
    clock.advance(1)
    forget_fleet(hub)
    assert devices_left(hub) == []


@EMBEDDED
def test_many_reports_go_in_several_transactions(
    api: Api, dock: Device, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "REPORTS_AT_ONCE", 2)
    dock.send(*(report(clock, ago=seconds) for seconds in range(5)))
    clock.advance(DAYS * SECONDS_A_DAY + 1)
    with plans_of(api.hub) as plans:
        assert retention.forget_reports(api.hub) == 5
    assert reports_left(api.hub) == 0
    assert len(plans) == 3
    assert not [plan for plan in plans if "SCAN" in plan]
