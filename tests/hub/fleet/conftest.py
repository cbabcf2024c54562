"""A hub whose file has devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.hub.fleet.support import EDGE, Device, write_goldens
from tests.hub.support import Api, write_config
from visionfleet.config import DeploymentConfig


@pytest.fixture
def config(tmp_path: Path, deployment: dict[str, Any]) -> DeploymentConfig:
    return write_config(tmp_path, hub=deployment, edge={**EDGE, "goldens": write_goldens(tmp_path)})


@pytest.fixture
def dock(api: Api) -> Device:
    return Device(api, "dock-01")
