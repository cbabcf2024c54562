"""What tests of the fleet share: devices in the file, their keys, what they report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.hub.support import Api, Clock

PICTURE = b"a picture"
EXPECTED = json.dumps({"predictions": []}).encode()

EDGE = {
    "groups": [
        {
            "name": "docks",
            "hardware": "raspberry-pi-5",
            "site": "hamburg",
            "labels": {"ring": "stable", "line": "a"},
            "devices": [
                {"name": "dock-01", "address": "10.20.0.11", "labels": {"ring": "canary"}},
                {"name": "dock-02", "address": "10.20.0.12", "site": "bremen", "version": "1.9.0"},
            ],
        }
    ],
}


class Device:
    """A device with a key of its own."""

    def __init__(self, api: Api, name: str) -> None:
        self.name = name
        self._api = api
        self.key: str = api.fleet("POST", f"/devices/{name}/key", api.fleet_key).json()["key"]

    def post(self, *reports: Any) -> Any:
        return self._api.fleet("POST", "/reports", self.key, json={"reports": list(reports)})

    def send(self, *reports: dict[str, Any]) -> dict[str, Any]:
        answer = self.post(*reports)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        return self._api.fleet("GET", path, self.key)


def report(clock: Clock, *, ago: float = 0, **changes: Any) -> dict[str, Any]:
    """What a healthy device sends."""
    return {
        "reported_at": clock() - ago,
        "release": "3f9a1c0b7d21",
        "previous": None,
        "version": "1.8.3",
        "image": "registry.acme.example/roboflow/roboflow-inference-server-cpu:1.8.3",
        "digest": f"sha256:{'0' * 64}",
        "health": "healthy",
        "temperature_celsius": 51.5,
        "disk_free_mb": 12_000,
        "disk_total_mb": 58_000,
        "memory_available_mb": 3200,
        "memory_total_mb": 8000,
        "uptime_seconds": 86_400,
        "verdict": None,
        "queued": 0,
        "program": "1",
        **changes,
    }


def verdict(result: str, reason: str = "screw: no predictions") -> dict[str, Any]:
    """What a device has written down about its last release."""
    return {
        "trial": "6f1f1a4c2b7e4f59b0c6f6a1f0f1d2c3",
        "release": "88aa00bb11cc",
        "result": result,
        "reason": reason,
        "serving": "3f9a1c0b7d21",
        "at": 1_800_000_000,
    }


def listed(api: Api, **params: Any) -> dict[str, dict[str, Any]]:
    """The devices of one page, by name."""
    answer = api.fleet("GET", "/devices", api.fleet_key, params=params)
    assert answer.status_code == 200, answer.text
    return {device["name"]: device for device in answer.json()["devices"]}


def write_goldens(folder: Path) -> list[dict[str, Any]]:
    """A golden picture of the workflow `grey`."""
    (folder / "golden.jpg").write_bytes(PICTURE)
    (folder / "golden.json").write_bytes(EXPECTED)
    return [{"name": "screw", "image": "./golden.jpg", "workflow": "grey", "expected": "./golden.json"}]
