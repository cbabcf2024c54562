"""What tests of the device's program share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.device.device import Device


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pulls the plug of the machine that runs the tests."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """A device with nothing on it."""
    return Device(tmp_path / "device")
