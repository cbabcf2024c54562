"""The module that compares a device with the file, on a device that is a folder."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.playbooks import modules

HUB, REGISTRY = "https://hub.acme.example", "registry.acme.example"

preflight = modules.module("visionfleet_preflight")


def a_device(root: Path, *, memory_kb: int = 0, probe: Callable[[str], Any] | None = None) -> Any:
    for path, text in {
        "run/systemd/system/.keep": "",
        "usr/bin/apt-get": "",
        "etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
        "proc/meminfo": f"MemTotal:       {memory_kb} kB\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    answer = probe or (lambda _: preflight.Answer(200))
    return preflight.Device(root, "aarch64", 64, lambda: 0.0, lambda _: True, answer)


def rules(device: Any, **wanted: Any) -> list[str]:
    """The rules that the device breaks."""
    nothing = {"device_tree": [], "l4t": "", "os": "", "memory_mb": 0, "disk_mb": 0, "clock_skew_seconds": 300}
    needed = {"hardware": "raspberry-pi-5", "architecture": "aarch64", "hub_url": HUB, "registry": REGISTRY}
    return [finding.rule for finding in preflight.findings(device, {**nothing, **needed, **wanted})]


@pytest.mark.parametrize(
    ("memory_kb", "sold_mb", "expected"),
    [
        (8_056_000, 8192, []),  # a Raspberry Pi 5 of 8 GB
        (7_620_000, 8192, []),  # a Jetson Orin Nano of 8 GB
        (3_900_000, 8192, ["memory"]),
    ],
)
def test_a_kernel_sees_less_memory_than_was_sold(
    tmp_path: Path, memory_kb: int, sold_mb: int, expected: list[str]
) -> None:
    assert rules(a_device(tmp_path, memory_kb=memory_kb), memory_mb=sold_mb) == expected


def test_http_is_asked_of_a_registry_only_where_https_has_failed(tmp_path: Path) -> None:
    asked: list[str] = []

    def probe(url: str) -> Any:
        asked.append(url)
        return preflight.Answer(200)

    assert rules(a_device(tmp_path, probe=probe)) == []
    assert asked == [f"{HUB}/healthz", f"https://{REGISTRY}/v2/"]


@pytest.mark.parametrize(
    "error",
    [
        http.client.BadStatusLine("\x15\x03\x01"),  # what speaks TLS alone says to plain HTTP
        urllib.error.URLError(ssl.SSLError(1, "wrong version number")),
        http.client.InvalidURL("nonnumeric port"),
    ],
)
def test_what_speaks_no_http_does_not_answer(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("urllib.request.urlopen", fail)
    answer = preflight._probe(f"http://{REGISTRY}/v2/")
    assert answer.status == 0
    assert answer.error
