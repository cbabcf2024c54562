"""A hub on a temporary folder, with a clock that tests turn, and its HTTP API without sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.hub.support import Api, Clock, write_config
from visionfleet.config import DeploymentConfig
from visionfleet.hub.api import create_app
from visionfleet.hub.context import Hub
from visionfleet.hub.keys import create_key


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def config(tmp_path: Path) -> DeploymentConfig:
    return write_config(tmp_path)


@pytest.fixture
def hub(config: DeploymentConfig, clock: Clock) -> Iterator[Hub]:
    hub = Hub.open(config)
    hub.store.clock = clock
    hub.signer._clock = clock
    yield hub
    hub.close()


@pytest.fixture
def api(hub: Hub, config: DeploymentConfig) -> Api:
    keys = {role: create_key(config, name=f"test {role}", role=role)[1] for role in ("client", "worker", "server")}
    # the application's lifespan is left out, and with it the runner: tests say when the hub works
    client = TestClient(create_app(hub), base_url="http://hub.test", raise_server_exceptions=False)
    return Api(client, hub, keys["client"], keys["worker"], keys["server"])
