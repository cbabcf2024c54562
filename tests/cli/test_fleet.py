"""`visionfleet fleet status`, with answers as a hub gives them (tests/hub/fleet has them from the hub itself)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from tests.config.support import write_file
from visionfleet.cli import app
from visionfleet.hub.fleet import client

run = CliRunner().invoke
NOW = 1_800_000_000.0
KEY = "VISIONFLEET_FLEET_KEY"
GROUPS = """
hub: {url: "https://hub.acme.example"}
edge:
  groups:
    - {name: docks, hardware: raspberry-pi-5, devices: [{name: dock-01, address: 10.20.0.11}]}
    - {name: gates, hardware: raspberry-pi-4, devices: [{name: gate-01, address: 10.20.0.12}]}
"""


def device(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in_file": True,
        "group": "docks",
        "hardware": "raspberry-pi-5",
        "site": None,
        "labels": {},
        "release": "3f9a1c0b7d21",
        "seen_at": NOW - 12,
        "late": False,
        "report": report(),
        **changes,
    }


def report(**changes: Any) -> dict[str, Any]:
    return {
        "reported_at": NOW - 12,
        "health": "healthy",
        "release": "3f9a1c0b7d21",
        "previous": None,
        "version": "1.8.3",
        "image": None,
        "digest": None,
        "temperature_celsius": 51.5,
        "disk_free_mb": 12_300,
        "disk_total_mb": 58_000,
        "memory_available_mb": 3200,
        "memory_total_mb": 8000,
        "uptime_seconds": 60.0,
        "verdict": None,
        "queued": 0,
        "program": "1",
        **changes,
    }


def returned(result: str = "returned", reason: str = "screw: no predictions") -> dict[str, Any]:
    return {"release": "88aa00bb11cc", "result": result, "reason": reason, "at": NOW, "serving": "3f9a1c0b7d21"}


FLEET = [
    device("dock-01"),
    device("dock-02", report=report(health="unready", temperature_celsius=None, disk_free_mb=None)),
    device("dock-03", release="88aa00bb11cc", report=report(verdict=returned())),
    device("dock-04", seen_at=NOW - 7300, late=True),
    device("gate-01", group="gates", seen_at=None, report=None),
    device("old-01", in_file=False, group=None, hardware=None, release=None),
]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(KEY, "vf_fleet")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(time, "time", lambda: NOW)
    return str(write_file(tmp_path, GROUPS))


def answer(
    monkeypatch: pytest.MonkeyPatch, reply: Callable[[httpx.Request], httpx.Response] | list[dict[str, Any]]
) -> list[httpx.Request]:
    """Let the hub answer so; gives what it is asked."""
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return (
            reply(request) if callable(reply) else httpx.Response(200, json={"devices": reply, "nextPageToken": None})
        )

    monkeypatch.setattr(client, "fetch_devices", partial(client.fetch_devices, transport=httpx.MockTransport(handle)))
    return asked


def row(output: str, name: str) -> list[str]:
    """The cells of a device's row."""
    line = next(line for line in output.splitlines() if line.strip().startswith(f"{name} "))
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_the_table_shows_what_is_asked_and_what_is(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer(monkeypatch, FLEET)

    result = run(app, ["fleet", "status", "-f", file])

    assert (result.exit_code, result.stderr) == (0, "")
    assert row(result.stdout, "dock-01") == [
        *("dock-01", "docks", "3f9a1c0b7d21", "1.8.3", "healthy"),
        *("52", "12.0 of 56.6", "3.1 of 7.8", "12 s ago"),
    ]
    assert row(result.stdout, "dock-02")[4:7] == ["unready", "-", "-"]
    assert row(result.stdout, "dock-03")[2] == "3f9a1c0b7d21, asked 88aa00bb11cc"
    assert row(result.stdout, "dock-04")[-1] == "2 h ago"
    assert row(result.stdout, "gate-01")[1:] == ["gates", "-, asked 3f9a1c0b7d21", *"-----", "never"]
    assert row(result.stdout, "old-01")[1:3] == ["not in the file", "3f9a1c0b7d21"]
    assert "dock-03: release 88aa00bb11cc returned: screw: no predictions" in result.stdout
    assert result.stdout.splitlines()[-1] == (
        "6 devices: 3 healthy, 1 unready, 1 late, 1 never seen; 1 on another release than asked, 1 returned"
    )
    assert [(str(request.url), request.headers["authorization"]) for request in asked] == [
        ("https://hub.acme.example/fleet/v1/devices?pageSize=1000", "Bearer vf_fleet")
    ]


def test_a_machine_gets_every_device_with_every_key(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, FLEET)

    result = run(app, ["fleet", "status", "--file", file, "--json"])

    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == FLEET


def test_no_devices_are_an_empty_list(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, [])

    assert json.loads(run(app, ["fleet", "status", "-f", file, "--json"]).stdout) == []
    assert run(app, ["fleet", "status", "-f", file]).stdout == (
        "0 devices: 0 healthy, 0 unready, 0 late, 0 never seen; 0 on another release than asked, 0 returned\n"
    )


def test_what_a_newer_hub_adds_is_passed_over(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = {**report(), "humidity": 40}
    answer(monkeypatch, [device("dock-01", report=newer, owner="nobody")])

    result = run(app, ["fleet", "status", "-f", file, "--json"])

    assert json.loads(result.stdout) == [device("dock-01")]


def test_one_group_is_shown_alone(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, FLEET)

    shown = json.loads(run(app, ["fleet", "status", "-f", file, "--json", "--group", "gates"]).stdout)

    assert [one["name"] for one in shown] == ["gate-01"]
    assert "1 device: 0 healthy" in run(app, ["fleet", "status", "-f", file, "--group", "gates"]).stdout


def test_a_group_that_the_file_has_not(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer(monkeypatch, FLEET)

    result = run(app, ["fleet", "status", "-f", file, "--group", "dokcs"])

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "edge.groups has no group 'dokcs'; known are: docks, gates\n"
    assert asked == []


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (None, "edge.fleet_key: env:VISIONFLEET_FLEET_KEY is not set"),
        (" ", "edge.fleet_key: env:VISIONFLEET_FLEET_KEY is not a key"),
        ("vf_\n1", "edge.fleet_key: env:VISIONFLEET_FLEET_KEY is not a key"),
        ("schlüssel", "edge.fleet_key: env:VISIONFLEET_FLEET_KEY is not a key"),
    ],
)
def test_a_key_that_is_none(file: str, monkeypatch: pytest.MonkeyPatch, key: str | None, said: str) -> None:
    monkeypatch.delenv(KEY)
    if key is not None:
        monkeypatch.setenv(KEY, key)

    result = run(app, ["fleet", "status", "-f", file])

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"{said}; `visionfleet hub keys create --name fleet --role fleet` makes one\n"


def refuse(_request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("[Errno 111] Connection refused")


def hang(_request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (refuse, "the hub at https://hub.acme.example does not answer: [Errno 111] Connection refused; start it"),
        (hang, "the hub at https://hub.acme.example does not answer: it took too long; start it"),
        (401, "does not take the key of edge.fleet_key (key_unknown); make one with `visionfleet hub keys create"),
        (403, "does not take the key of edge.fleet_key (role_not_allowed); make one with"),
        (404, "refuses to list devices (route_not_found)"),
        (503, "refuses to list devices (database_unavailable)"),
        ("<html>", "does not answer as a hub of this release does: mend hub.url"),
        ("[]", "does not answer as a hub of this release does"),
        (502, "refuses to list devices (HTTP 502)"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value))[:16],
)
def test_a_hub_that_does_not_tell(file: str, monkeypatch: pytest.MonkeyPatch, reply: Any, said: str) -> None:
    codes = {401: "key_unknown", 403: "role_not_allowed", 404: "route_not_found", 503: "database_unavailable"}

    def refusal(_request: httpx.Request) -> httpx.Response:
        if isinstance(reply, str):
            return httpx.Response(200, text=reply)
        body = {"error": {"code": codes[reply], "message": "no", "fields": {}}} if reply in codes else {}
        return httpx.Response(reply, json=body)

    answer(monkeypatch, reply if callable(reply) else refusal)

    result = run(app, ["fleet", "status", "-f", file, "--json"])

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert "vf_fleet" not in result.stderr


def test_a_reason_that_looks_like_markup_is_shown_as_it_is(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, [device("dock-01", report=report(verdict=returned("recovered", "[red]no\x1b[0m[/red]")))])

    result = run(app, ["fleet", "status", "-f", file])

    assert "dock-01: release 88aa00bb11cc recovered: [red]no [0m[/red]" in result.stdout


def test_a_wrong_file(tmp_path: Path) -> None:
    assert run(app, ["fleet", "status", "-f", str(write_file(tmp_path, "hub: {port: 0}\n"))]).exit_code == 2
