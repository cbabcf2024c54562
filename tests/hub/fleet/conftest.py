"""A hub whose file has devices."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.hub.conftest import Template
from tests.hub.fleet.support import EDGE, Device, write_goldens
from tests.hub.support import Api, write_config
from visionfleet.config import DeploymentConfig


@pytest.fixture
def config(tmp_path: Path, template: Template) -> DeploymentConfig:
    shutil.copytree(template.folder, tmp_path, dirs_exist_ok=True)
    return write_config(tmp_path, edge={**EDGE, "goldens": write_goldens(tmp_path)})


@pytest.fixture
def dock(api: Api) -> Device:
    return Device(api, "dock-01")
