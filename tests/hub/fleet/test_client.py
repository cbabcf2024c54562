"""The client of the listing, against the hub itself."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from fastapi.testclient import TestClient

from tests.hub.fleet.support import Device, report, verdict
from tests.hub.support import Api, Clock
from visionfleet.hub.fleet import client
from visionfleet.hub.fleet.client import FleetUnavailable, fetch_devices

URL = "http://hub.test"


class Through(httpx.BaseTransport):
    """Requests to an application in this process."""

    def __init__(self, client: TestClient) -> None:
        self._client = client
        self.paths: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.paths.append(request.url.raw_path.decode())
        answer = self._client.request(request.method, self.paths[-1], headers=dict(request.headers))
        return httpx.Response(answer.status_code, content=answer.content)


@pytest.fixture
def through(api: Api) -> Iterator[Through]:
    return Through(api.client)


def test_every_page_is_asked_for(
    api: Api, dock: Device, clock: Clock, through: Through, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_PAGE_SIZE", 1)
    dock.send(report(clock, verdict=verdict("returned")))
    first, second = fetch_devices(URL, api.fleet_key, through)
    assert (first.name, second.name) == ("dock-01", "dock-02")
    assert first.report is not None
    assert first.report.verdict is not None
    assert first.report.verdict.reason == "screw: no predictions"
    assert second.report is None
    assert through.paths == [
        "/fleet/v1/devices?pageSize=1",
        "/fleet/v1/devices?pageSize=1&nextPageToken=1",
    ]


@pytest.mark.parametrize("key", ["vf_wrong", "client"])
def test_a_key_that_is_not_taken_is_told_with_the_fix(api: Api, through: Through, key: str) -> None:
    with pytest.raises(FleetUnavailable, match="hub keys create --name fleet --role fleet"):
        fetch_devices(URL, api.client_key if key == "client" else key, through)
