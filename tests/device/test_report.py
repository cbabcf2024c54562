"""A device tells the hub how it is; what the hub cannot take now waits, in order, and nothing blocks the queue."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.device.device import DIGEST, NEW, OLD, Device, a_release
from visionfleet.protocol import DeviceReport
from visionfleet_device import client_keys, links, state
from visionfleet_device import report as module
from visionfleet_device.errors import DeviceError
from visionfleet_device.hub import Hub, Refused, Unreachable
from visionfleet_device.report import report
from visionfleet_device.spool import LIMIT, Spool

DIGESTS = ["a" * 64]


class HubStandIn(Hub):
    """Stands in for the hub: keeps what it is sent, and fails as a test says."""

    def __init__(self) -> None:
        super().__init__("http://hub.acme.example", "vf_token", sleep=lambda _: None)
        self.batches: list[list[dict[str, Any]]] = []
        self.faults: Iterator[Exception | None] = iter(())
        self.refused: list[dict[str, Any]] = []

    def post(self, path: str, body: Any) -> dict[str, Any]:
        assert path == "/fleet/v1/reports"
        fault = next(self.faults, None)
        if fault is not None:
            raise fault
        self.batches.append(body["reports"])
        return {"stored": len(body["reports"]), "refused": self.refused}

    def get(self, path: str, **query: str) -> dict[str, Any]:  # noqa: ARG002 - the base's signature
        assert path == "/fleet/v1/client-keys"
        return {"client_keys": DIGESTS}

    @property
    def reports(self) -> list[dict[str, Any]]:
        return [one for batch in self.batches for one in batch]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> HubStandIn:
    hub = HubStandIn()
    monkeypatch.setattr(module.Hub, "of", classmethod(lambda *_: hub))
    return hub


@pytest.fixture
def kernel(device: Device) -> Device:
    """A device whose kernel says something."""
    _put(
        device,
        "proc/meminfo",
        "MemTotal:        8048280 kB\nMemFree:  1 kB\nMemAvailable:    4048280 kB\nHugePages: 0\n",
    )
    _put(device, "proc/uptime", "93784.12 180000.00\n")
    for zone, text in enumerate(("41500\n", "52250\n", "-256000\n", "200000\n", "")):
        _put(device, f"sys/class/thermal/thermal_zone{zone}/temp", text)
        _put(device, f"sys/class/thermal/thermal_zone{zone}/type", "CPU-therm\n")
    _put(device, "sys/class/thermal/thermal_zone9/temp", "100000\n")
    _put(device, "sys/class/thermal/thermal_zone9/type", "PMIC-Die\n")
    _put(device, "opt/visionfleet/.keep", "")
    return device


def _put(device: Device, path: str, text: str) -> None:
    file = device.paths.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def tell(device: Device, at: float = 1_800_000_000.0) -> None:
    report(device.paths, device.machine, lambda: at)


def waiting(device: Device) -> int:
    return len(Spool(device.paths.reports))


def test_a_report_says_what_serves_and_how_the_device_is(kernel: Device, hub: HubStandIn) -> None:
    kernel.released(OLD, NEW)
    tell(kernel)
    [sent] = hub.reports
    told = DeviceReport.model_validate(sent)
    assert (told.release, told.previous, told.version) == (NEW, OLD, a_release(NEW)["version"])
    assert (told.health, told.digest) == ("healthy", DIGEST)
    assert told.image == a_release(NEW)["image"]["reference"]
    assert told.temperature_celsius == 52.25
    assert (told.memory_total_mb, told.memory_available_mb) == (7859, 3953)
    assert told.uptime_seconds == 93784.12
    assert told.disk_total_mb is not None
    assert told.disk_free_mb is not None
    assert told.disk_total_mb >= told.disk_free_mb > 0
    assert told.verdict is not None
    assert (told.verdict.result, told.verdict.serving) == ("accepted", NEW)
    assert (told.queued, told.program) == (0, "1")
    assert waiting(kernel) == 0
    assert client_keys.read(kernel.paths) == DIGESTS


def test_a_device_that_knows_nothing_reports_that(device: Device, hub: HubStandIn) -> None:
    tell(device)
    told = DeviceReport.model_validate(hub.reports[0])
    assert told.health == "none"
    assert (told.release, told.temperature_celsius, told.memory_total_mb, told.disk_free_mb) == (None, None, None, None)


def test_health_is_what_runs(kernel: Device) -> None:
    def health() -> str:
        return str(state.read(kernel.paths, kernel.machine)["health"])

    kernel.released(NEW)
    assert health() == "healthy"
    kernel.server_of(NEW).ready_after = 1e9
    assert health() == "unready"
    kernel.running = None
    assert health() == "stopped"


def test_a_docker_that_is_down_does_not_keep_a_report_from_being_sent(kernel: Device, hub: HubStandIn) -> None:
    kernel.released(NEW)

    def fail(name: str) -> None:
        raise DeviceError("Cannot connect to the Docker daemon")

    kernel.docker.container = fail  # type: ignore[method-assign]
    tell(kernel)
    assert hub.reports[0]["health"] == "healthy"  # it goes on serving
    assert hub.reports[0]["digest"] is None


def test_reports_wait_while_the_hub_is_away_and_come_in_order(kernel: Device, hub: HubStandIn) -> None:
    hub.faults = iter([Unreachable("away")] * 250)
    for minute in range(250):
        tell(kernel, 1_800_000_000 + 60 * minute)
    assert waiting(kernel) == 250
    tell(kernel, 1_800_015_000)
    assert [len(batch) for batch in hub.batches] == [100, 100, 51]
    assert [one["queued"] for one in hub.reports] == list(range(251))
    assert waiting(kernel) == 0


def test_a_clock_that_is_set_back_loses_and_reorders_nothing(kernel: Device, hub: HubStandIn) -> None:
    hub.faults = iter([Unreachable("away")] * 3)
    times = [1_800_000_000.0, 1_000.0, 1_000.0, 1_800_000_060.0]
    for at in times:
        tell(kernel, at)
    assert [one["reported_at"] for one in hub.reports] == times


def test_the_newest_reports_are_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for number in range(LIMIT + 5):
        (tmp_path / f"{number + 1:012d}.json").write_text(f'{{"queued": {number}}}')
    spool.add({"queued": LIMIT + 5})
    assert len(spool) == LIMIT
    assert [one["queued"] for one in spool.oldest(2).values()] == [6, 7]


def test_a_report_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for number in range(3):
        spool.add({"queued": number})
    (tmp_path / "000000000002.json").write_bytes(b"\0\0\0")
    (tmp_path / "000000000004.json.new").write_bytes(b"half of one")
    assert [one["queued"] for one in spool.oldest(100).values()] == [0, 2]
    assert len(spool) == 2


def test_what_was_sent_before_the_line_broke_is_not_sent_again(kernel: Device, hub: HubStandIn) -> None:
    hub.faults = iter([Unreachable("away")] * 150)
    for _ in range(150):
        tell(kernel)
    hub.faults = iter([None, Unreachable("away")])
    tell(kernel)
    assert (len(hub.reports), waiting(kernel)) == (100, 51)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_reports_that_the_hub_does_not_understand_do_not_block_the_others(
    kernel: Device, hub: HubStandIn, status: int
) -> None:
    hub.faults = iter([Unreachable("away")] * 149)
    for _ in range(149):
        tell(kernel)
    hub.faults = iter([Refused(status, "no such field", "")])
    with pytest.raises(DeviceError, match="refused 100 reports, which are lost: no such field"):
        tell(kernel)
    assert (len(hub.reports), waiting(kernel)) == (50, 0)
    assert client_keys.read(kernel.paths) == DIGESTS


def test_a_report_that_is_refused_by_itself_is_told(kernel: Device, hub: HubStandIn) -> None:
    hub.refused = [{"index": 0, "reason": "digest: no digest"}]
    with pytest.raises(DeviceError, match="refused 1 reports, which are lost: digest: no digest"):
        tell(kernel)
    assert waiting(kernel) == 0


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_key_that_is_refused_is_an_error_and_loses_nothing(kernel: Device, hub: HubStandIn, status: int) -> None:
    hub.faults = iter([Refused(status, "this API key is not known here", "a new key")])
    with pytest.raises(DeviceError, match="not known"):
        tell(kernel)
    assert waiting(kernel) == 1


def test_a_hub_that_is_away_is_no_error_but_is_told(
    kernel: Device, hub: HubStandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.faults = iter([Unreachable("the hub does not answer at http://hub.acme.example/")])
    tell(kernel)
    assert "does not answer at http://hub.acme.example/; 1 reports wait" in capsys.readouterr().err


def test_a_disk_that_is_full_is_reported_all_the_same(
    kernel: Device, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, value: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(links, "write_json", fail)
    tell(kernel)
    assert len(hub.reports) == 1
