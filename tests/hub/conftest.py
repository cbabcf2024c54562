"""A hub on a temporary folder, with a clock that tests turn, and its HTTP API without sockets."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from fastapi.testclient import TestClient

from tests.hub.support import Api, Clock, write_config
from visionfleet.config import DeploymentConfig, load
from visionfleet.hub.api import create_app
from visionfleet.hub.context import Hub
from visionfleet.hub.keys import create_key


class Template(NamedTuple):
    """A deployment folder that each test gets a copy of: migrations and keys take longer than most tests."""

    folder: Path
    keys: dict[str, str]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    folder = tmp_path_factory.mktemp("template")
    config = write_config(folder)
    Hub.open(config).close()
    roles = ("client", "worker", "server", "device", "fleet")
    return Template(folder, {role: create_key(config, name=f"test {role}", role=role)[1] for role in roles})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def config(tmp_path: Path, template: Template) -> DeploymentConfig:
    shutil.copytree(template.folder, tmp_path, dirs_exist_ok=True)
    return load(tmp_path / "visionfleet.yaml")


@pytest.fixture
def hub(config: DeploymentConfig, clock: Clock) -> Iterator[Hub]:
    hub = Hub.open(config)
    hub.store.clock = clock
    hub.signer._clock = clock
    yield hub
    hub.close()


@pytest.fixture
def api(hub: Hub, template: Template) -> Api:
    # the application's lifespan is left out, and with it the runner: tests say when the hub works
    client = TestClient(create_app(hub), base_url="http://hub.test", raise_server_exceptions=False)
    return Api(client, hub, **{f"{role}_key": key for role, key in template.keys.items()})
