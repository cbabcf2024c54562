"""What devices report is stored once, and nothing that a device sends keeps the rest of its queue from coming."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from tests.hub.fleet.support import Device, listed, report, verdict
from tests.hub.support import Api, Clock
from visionfleet.hub.fleet.reports import MAX_SECONDS_AHEAD, check_report
from visionfleet.hub.store.tables import DeviceReport
from visionfleet.protocol import MAX_REASON, MAX_REPORT_REQUEST_BYTES, MAX_REPORTS, one_line

NOW = 1_800_000_000.0


def history(api: Api, device: str = "dock-01") -> list[float]:
    query = select(DeviceReport.reported_at).where(DeviceReport.device == device).order_by(DeviceReport.reported_at)
    with api.hub.store.read() as session:
        return list(session.scalars(query))


def test_a_queue_of_reports_is_stored_and_the_last_one_is_shown(api: Api, dock: Device, clock: Clock) -> None:
    sent = [report(clock, ago=minutes * 60, queued=minutes) for minutes in (2, 1, 0)]
    assert dock.send(*sent) == {"stored": 3, "refused": []}
    assert history(api) == [clock() - 120, clock() - 60, clock()]
    shown = listed(api)["dock-01"]
    assert shown["report"] == report(clock)
    assert shown["seen_at"] == clock()


def test_a_report_that_comes_again_is_stored_once(api: Api, dock: Device, clock: Clock) -> None:
    first = report(clock, ago=60)
    assert dock.send(first, first) == {"stored": 1, "refused": []}
    assert dock.send(first, report(clock)) == {"stored": 1, "refused": []}
    assert dock.send(first) == {"stored": 0, "refused": []}
    assert len(history(api)) == 2


def test_two_devices_may_report_at_the_same_second(api: Api, dock: Device, clock: Clock) -> None:
    assert dock.send(report(clock))["stored"] == 1
    assert Device(api, "dock-02").send(report(clock))["stored"] == 1


def test_what_was_sent_last_counts_though_the_clock_was_set_back(api: Api, dock: Device, clock: Clock) -> None:
    dock.send(report(clock))
    clock.advance(30)
    dock.send(report(clock, ago=3600, health="stopped"))
    shown = listed(api)["dock-01"]
    assert shown["report"]["health"] == "stopped"
    assert shown["seen_at"] == clock()


def test_a_clock_that_was_ahead_hides_nothing_once_it_is_right(api: Api, dock: Device, clock: Clock) -> None:
    dock.send(report(clock, ago=-20 * 3600, health="unready"))
    clock.advance(60)
    dock.send(report(clock))
    assert listed(api)["dock-01"]["report"]["health"] == "healthy"


def test_a_device_whose_clock_starts_in_1970_is_heard(api: Api, dock: Device, clock: Clock) -> None:
    assert dock.send(report(clock, reported_at=12))["stored"] == 1
    assert listed(api)["dock-01"]["seen_at"] == clock()


def test_a_report_of_a_day_to_come_is_refused_and_the_others_are_taken(api: Api, dock: Device, clock: Clock) -> None:
    ahead = report(clock, ago=-MAX_SECONDS_AHEAD - 1)
    answer = dock.send(report(clock, ago=60), ahead, report(clock))
    assert answer["stored"] == 2
    assert [refused["index"] for refused in answer["refused"]] == [1]
    assert "set the device's clock" in answer["refused"][0]["reason"]
    assert len(history(api)) == 2


def test_a_device_of_which_no_report_can_be_taken_is_not_seen(api: Api, dock: Device, clock: Clock) -> None:
    assert dock.send(report(clock, health="splendid"))["stored"] == 0
    assert listed(api)["dock-01"]["seen_at"] is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reported_at", None),
        ("reported_at", -1),
        ("reported_at", float("nan")),
        ("reported_at", float("inf")),
        ("reported_at", 10**400),
        ("health", "well"),
        ("release", "../../etc"),
        ("release", "3F9A1C0B7D21"),
        ("version", "1.8.3\n"),
        ("version", "[red]1.8.3"),
        ("image", "x" * 513),
        ("digest", "sha256:0"),
        ("temperature_celsius", float("nan")),
        ("temperature_celsius", 1e6),
        ("disk_free_mb", -1),
        ("disk_total_mb", 2**63),
        ("memory_total_mb", 0.5),
        ("uptime_seconds", float("-inf")),
        ("queued", -1),
        ("program", "\ud800"),
        ("verdict", {"result": "well"}),
        ("verdict", "accepted"),
        ("name", "dock-02"),
        ("\ud800", 1),
    ],
    ids=lambda value: ascii(value)[:24],
)
def test_a_report_that_is_none_is_refused_by_its_field_alone(
    api: Api, dock: Device, clock: Clock, field: str, value: Any
) -> None:
    # as a device might write it: NaN and halves of surrogate pairs are no JSON, and Python's parser takes them
    body = json.dumps({"reports": [report(clock, **{field: value}), report(clock)]})
    answer = api.fleet("POST", "/reports", dock.key, content=body)
    assert answer.status_code == 200, answer.text
    refused = answer.json()["refused"]
    assert (answer.json()["stored"], [entry["index"] for entry in refused]) == (1, [0])
    assert refused[0]["reason"].startswith(one_line(field).strip())


def test_what_a_device_may_not_know_may_be_missing(api: Api, dock: Device, clock: Clock) -> None:
    assert dock.send({"reported_at": clock(), "health": "none"}) == {"stored": 1, "refused": []}
    assert listed(api)["dock-01"]["report"]["temperature_celsius"] is None


def test_a_verdict_is_kept_with_a_reason_that_can_be_shown(api: Api, dock: Device, clock: Clock) -> None:
    reason = f"docker said:\n\x1b[31mno\x00 {'x' * 5000}"
    assert dock.send(report(clock, verdict=verdict("returned", reason)))["stored"] == 1
    shown = listed(api)["dock-01"]["report"]["verdict"]
    assert shown["reason"].startswith("docker said:  [31mno  xxx")
    assert len(shown["reason"]) == MAX_REASON
    assert (shown["release"], shown["result"], shown["serving"]) == ("88aa00bb11cc", "returned", "3f9a1c0b7d21")
    assert "trial" not in shown


@pytest.mark.parametrize("reports", [[], [{}] * (MAX_REPORTS + 1), ["report"], {}, None], ids=lambda v: str(v)[:10])
def test_a_request_is_a_list_of_some_reports(api: Api, dock: Device, reports: Any) -> None:
    answer = api.fleet("POST", "/reports", dock.key, json={"reports": reports})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "request_invalid")


def test_a_body_is_read_up_to_a_limit(api: Api, dock: Device) -> None:
    answer = api.fleet("POST", "/reports", dock.key, content=b" " * (MAX_REPORT_REQUEST_BYTES + 1))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    nested = b'{"reports": [{"verdict": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}"
    assert api.fleet("POST", "/reports", dock.key, content=nested).status_code == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=10), values, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from([*report(Clock()), *(f"verdict.{name}" for name in verdict("accepted"))])


@given(st.dictionaries(FIELDS, JSON, max_size=4))
def test_whatever_a_report_holds_it_can_be_stored_and_shown_or_is_refused(changes: dict[str, Any]) -> None:
    values = report(Clock(), verdict=verdict("accepted"))
    for path, value in changes.items():
        outer, _, inner = path.partition(".")
        if inner and isinstance(values["verdict"], dict):
            values["verdict"][inner] = value
        elif not inner:
            values[outer] = value
    try:
        checked = check_report(values, NOW)
    except ValueError:
        return
    text = json.dumps(checked.model_dump(mode="json"), ensure_ascii=False, allow_nan=False)
    assert len(text.encode()) < 8192
    assert text.isprintable()


def test_the_history_holds_what_the_device_sent(api: Api, dock: Device, clock: Clock) -> None:
    dock.send(report(clock))
    with api.hub.store.read() as session:
        assert session.scalar(select(DeviceReport.report)) == report(clock)
        assert session.scalar(select(func.count()).select_from(DeviceReport)) == 1
