"""The fleet as the hub knows it: every device of the file, and whoever else reports."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.hub.fleet.support import EDGE, Device, listed, report
from tests.hub.support import EMBEDDED, Api, Clock, plans_of, statements_of, write_config
from visionfleet.config import DeploymentConfig
from visionfleet.hub.api import create_app
from visionfleet.hub.context import Hub
from visionfleet.hub.fleet.devices import LATE_AFTER_INTERVALS, list_devices
from visionfleet.hub.fleet.roster import Roster
from visionfleet.hub.keys import list_keys
from visionfleet.hub.pages import Page
from visionfleet.projections.release import release_of

LATE_SECONDS = LATE_AFTER_INTERVALS * 60


def counted(api: Api) -> dict[str, int]:
    lines = api.client.get("/metrics").text.splitlines()
    samples = (line.split() for line in lines if line.startswith("visionfleet_hub_devices{"))
    return {name.split('"')[1]: int(float(value)) for name, value in samples}


@pytest.fixture
def without_dock_02(api: Api, clock: Clock, deployment: dict[str, Any], tmp_path: Path) -> Iterator[Api]:
    """The hub after a device that had reported was taken out of the file."""
    Device(api, "dock-02").send(report(clock))
    group = EDGE["groups"][0]
    edge = {"groups": [{**group, "devices": group["devices"][:1]}]}
    hub = Hub.open(write_config(tmp_path, hub=deployment, edge=edge))
    hub.store.clock = clock
    yield dataclasses.replace(api, client=TestClient(create_app(hub), base_url="http://hub.test"), hub=hub)
    hub.close()


def test_a_device_is_listed_with_what_the_file_says_of_it(api: Api, config: DeploymentConfig) -> None:
    group = config.edge.groups[0]
    assert list(listed(api).values()) == [
        {
            "name": "dock-01",
            "in_file": True,
            "group": "docks",
            "hardware": "raspberry-pi-5",
            "site": "hamburg",
            "labels": {"ring": "canary", "line": "a"},
            "release": release_of(config, group, group.devices[0]).id,
            "seen_at": None,
            "late": False,
            "report": None,
        },
        {
            "name": "dock-02",
            "in_file": True,
            "group": "docks",
            "hardware": "raspberry-pi-5",
            "site": "bremen",
            "labels": {"ring": "stable", "line": "a"},
            "release": release_of(config, group, group.devices[1]).id,
            "seen_at": None,
            "late": False,
            "report": None,
        },
    ]


def test_devices_of_other_versions_are_asked_for_other_releases(api: Api) -> None:
    asked = {device["release"] for device in listed(api).values()}
    assert len(asked) == 2


def test_a_device_is_late_when_three_reports_are_missing(api: Api, dock: Device, clock: Clock) -> None:
    dock.send(report(clock))
    clock.advance(LATE_SECONDS)
    assert not listed(api)["dock-01"]["late"]
    clock.advance(1)
    assert listed(api)["dock-01"]["late"]
    assert not listed(api)["dock-02"]["late"]


def test_a_device_that_is_not_in_the_file_is_listed_last_and_marked(without_dock_02: Api, clock: Clock) -> None:
    shown = listed(without_dock_02)
    assert list(shown) == ["dock-01", "dock-02"]
    stranger = shown["dock-02"]
    assert not stranger["in_file"]
    assert (stranger["group"], stranger["hardware"], stranger["site"], stranger["labels"]) == (None, None, None, {})
    assert stranger["release"] is None
    assert stranger["report"] == report(clock)


def test_devices_of_the_files_earlier_workspace_are_not_listed(api: Api, dock: Device, clock: Clock) -> None:
    dock.send(report(clock))
    other = dataclasses.replace(api.hub, config=api.hub.config.model_copy(update={"workspace": "other"}))
    answer = list_devices(other, Page.parse(None, None))
    assert [device.seen_at for device in answer.devices] == [None, None]


def test_listings_come_in_pages(without_dock_02: Api) -> None:
    names, token = [], None
    for _ in range(2):
        params = {"pageSize": 1} | ({} if token is None else {"nextPageToken": token})
        answer = without_dock_02.fleet("GET", "/devices", without_dock_02.fleet_key, params=params).json()
        names += [device["name"] for device in answer["devices"]]
        token = answer["nextPageToken"]
    assert (names, token) == (["dock-01", "dock-02"], None)


@pytest.mark.parametrize(
    ("params", "code"),
    [({"pageSize": 1001}, "page_size_invalid"), ({"nextPageToken": "dock-01"}, "page_token_invalid")],
    ids=str,
)
def test_a_page_that_cannot_be_is_refused(api: Api, params: dict[str, object], code: str) -> None:
    answer = api.fleet("GET", "/devices", api.fleet_key, params=params)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_a_page_after_the_last_is_empty(api: Api) -> None:
    assert listed(api, nextPageToken="9" * 18) == {}


def test_a_page_reads_the_states_of_its_own_devices_alone(api: Api, dock: Device, clock: Clock) -> None:
    for device in (dock, Device(api, "dock-02")):
        device.send(report(clock))
    with statements_of(api.hub) as seen:
        listed(api, pageSize=1)
    assert [values for statement, values in seen if "devices.report" in statement] == [("acme", "dock-01")]


@EMBEDDED
def test_what_devices_and_the_fleet_ask_is_found_by_an_index(api: Api, dock: Device, clock: Clock) -> None:
    with plans_of(api.hub) as plans:
        dock.send(report(clock))
        dock.get("/client-keys")
        listed(api)
        Device(api, "dock-02")
    assert plans
    assert not [plan for plan in plans if "SCAN" in plan]


def test_the_metrics_count_each_device_in_one_state(api: Api, dock: Device, clock: Clock) -> None:
    assert counted(api) == {"never_seen": 2}
    dock.send(report(clock, health="unready"))
    assert counted(api) == {"unready": 1, "never_seen": 1}
    clock.advance(LATE_SECONDS + 1)
    Device(api, "dock-02").send(report(clock))
    assert counted(api) == {"late": 1, "healthy": 1, "never_seen": 0}


def test_the_metrics_count_a_device_that_is_not_in_the_file(without_dock_02: Api) -> None:
    assert counted(without_dock_02) == {"healthy": 1, "never_seen": 1}


def test_a_file_without_devices_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visionfleet.hub.fleet.roster.release_of", None)
    roster = Roster(write_config(tmp_path))
    assert not roster.devices


def test_a_devices_key_bears_its_name_and_so_do_its_reports(api: Api, clock: Clock, config: DeploymentConfig) -> None:
    Device(api, "dock-02").send(report(clock))
    assert listed(api)["dock-01"]["report"] is None
    assert [key.name for key in list_keys(config) if key.role == "device" and key.name.startswith("dock")] == [
        "dock-02"
    ]
