"""A hub with a clock that tests turn, and its HTTP API without sockets, on each kind of what it may keep things in.

`embedded` is SQLite and a folder; `served` is PostgreSQL and a bucket, where the same tests are engine tests.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fastapi.testclient import TestClient

from tests.engines import postgresql, versitygw
from tests.engines.postgresql import PostgreSQL
from tests.engines.versitygw import VersityGW
from tests.hub.support import Api, Clock, served_hub, write_config
from visionfleet.config import DeploymentConfig
from visionfleet.hub.api import create_app
from visionfleet.hub.context import Hub
from visionfleet.hub.keys import create_key

TEMPLATE = "template"


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VersityGW]:
    with versitygw.serving(tmp_path_factory.mktemp("s3")) as server, pytest.MonkeyPatch.context() as environment:
        environment.setenv("TESTS_KEY_ID", versitygw.KEY_ID)
        environment.setenv("TESTS_SECRET", versitygw.SECRET)
        environment.setenv("TESTS_SIGNING_KEY", "k" * 32)
        server.make_bucket("hub")
        yield server


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    with postgresql.serving() as server:
        yield server


class Template(NamedTuple):
    """What each test gets a copy of, a folder and a database: migrations and keys take longer than most tests."""

    folder: Path
    keys: dict[str, str]


@pytest.fixture(scope="session", params=["embedded", pytest.param("served", marks=pytest.mark.engine)])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def template(kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    folder = tmp_path_factory.mktemp("template")
    section: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as environment:
        if kind == "served":
            section = served_hub(request.getfixturevalue("s3"), TEMPLATE)
            environment.setenv("TESTS_DATABASE", request.getfixturevalue("server").create(TEMPLATE))
        config = write_config(folder, hub=section)
        Hub.open(config).close()
        roles = ("client", "worker", "server", "device", "fleet")
        keys = {role: create_key(config, name=f"test {role}", role=role)[1] for role in roles}
    yield Template(folder, keys)
    if kind == "served":  # other files may come to it again, after those of the other kind
        request.getfixturevalue("server").drop(TEMPLATE)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def deployment(
    kind: str, tmp_path: Path, template: Template, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Any]]:
    """A copy of the template in the test's folder; gives the file's section `hub`."""
    shutil.copytree(template.folder, tmp_path, dirs_exist_ok=True)
    if kind == "embedded":
        yield {}
        return
    server: PostgreSQL = request.getfixturevalue("server")
    name = f"test_{uuid.uuid4().hex}"
    monkeypatch.setenv("TESTS_DATABASE", server.create(name, TEMPLATE))
    yield served_hub(request.getfixturevalue("s3"), name)
    server.drop(name)


@pytest.fixture
def config(tmp_path: Path, deployment: dict[str, Any]) -> DeploymentConfig:
    return write_config(tmp_path, hub=deployment)


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
