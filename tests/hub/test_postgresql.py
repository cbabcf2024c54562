"""A hub on PostgreSQL: what it says where it cannot, and that it outlives its server."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from signal import Signals
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from tests.engines import postgresql
from tests.engines.postgresql import PASSWORD, PostgreSQL
from tests.hub.support import JOBS, SERVED, STAGING, Api, job_body, jpeg, write_config
from visionfleet.cli import app
from visionfleet.hub.api import create_app
from visionfleet.hub.context import Hub
from visionfleet.hub.keys import create_key
from visionfleet.hub.store import DatabaseUnavailable, Store, engines

ON_POSTGRESQL = {"database": "env:TESTS_DATABASE", "signing_key": "env:TESTS_SIGNING_KEY"}


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch, server: PostgreSQL) -> Iterator[str]:
    monkeypatch.setenv("TESTS_SIGNING_KEY", "k" * 32)
    monkeypatch.setenv("TESTS_DATABASE", server.create("alone"))
    yield "alone"
    server.drop("alone")


def said(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the command line says of a database."""
    write_config(folder, hub=ON_POSTGRESQL)
    monkeypatch.setenv("TESTS_DATABASE", url)
    result = CliRunner().invoke(app, ["hub", "migrate", "--file", str(folder / "visionfleet.yaml")])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert len(result.output.strip().splitlines()) == 1
    return result.output


@pytest.mark.parametrize(
    "url",
    [
        "mysql://hub:hunter2@db/hub",
        "postgresql+asyncpg://hub:hunter2@db/hub",
        "postgresql://hub:hunter2@secret@db/hub",
        "postgresql://hub:hun:ter2@db:hunter2/hub",
        "hunter2",
        "host=db password=hunter2",
        "/hunter2",
    ],
)
def test_what_is_no_url_of_a_database_is_refused_and_never_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    output = said(tmp_path, url, monkeypatch)
    assert "env:TESTS_DATABASE does not hold the URL of a PostgreSQL database" in output
    assert "postgresql://user:password@host/database" in output
    for part in ("hunter2", "secret", "ter2"):
        assert part not in output


def test_a_url_that_is_not_there_is_told_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "env:TESTS_DATABASE is not set" in said(tmp_path, "", monkeypatch)


@pytest.mark.engine
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda url: url.replace("127.0.0.1:", "127.0.0.1:1"), "invalid port|connection .*failed"),
        (lambda url: url.replace("://hub:", "://hub:un"), "password authentication failed"),
        (lambda url: url.replace("://hub:", "://nobody:"), "password authentication failed"),
        (lambda url: f"{url}2", 'database "alone2" does not exist'),
        (lambda url: f"{url}?sslmode=require", "does not support SSL"),
        (lambda url: f"{url}?sslmod=require", 'invalid connection option "sslmod"'),
        (lambda url: url.replace("127.0.0.1", "nowhere.invalid"), "resolve|not known|translate"),
    ],
    ids=["port", "password", "user", "database", "no TLS", "unknown option", "host"],
)
def test_a_database_that_cannot_be_used_is_told_with_what_to_do_and_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: PostgreSQL, database: str, change: Any, reason: str
) -> None:
    output = said(tmp_path, change(server.url(database)), monkeypatch)
    assert "see that its server runs, and that env:TESTS_DATABASE holds its URL" in output
    assert PASSWORD not in output
    assert "%40" not in output
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(output)


@pytest.mark.engine
def test_a_user_that_may_make_no_tables_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: PostgreSQL, database: str
) -> None:
    with psycopg.connect(server.url(database), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS guest")
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'guest of tests'")
    url = server.url(database, user="guest", password="guest of tests")
    assert "permission denied for schema public" in said(tmp_path, url, monkeypatch)


@pytest.mark.engine
def test_options_of_the_url_reach_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: PostgreSQL, database: str
) -> None:
    monkeypatch.setenv("TESTS_DATABASE", server.url(database, options="?sslmode=disable&application_name=tests"))
    store = Store.open(write_config(tmp_path, hub=ON_POSTGRESQL).hub)
    with store.read() as session:
        assert session.connection().exec_driver_sql("SHOW application_name").scalar() == "tests"
    store.close()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[PostgreSQL, TestClient, str]]:
    """A server of the test's own, a hub on it, and a client's key."""
    with postgresql.serving() as server:
        monkeypatch.setenv("TESTS_DATABASE", server.create("alone"))
        monkeypatch.setenv("TESTS_SIGNING_KEY", "k" * 32)
        config = write_config(tmp_path, hub=ON_POSTGRESQL)
        hub = Hub.open(config)
        client = TestClient(create_app(hub), base_url="http://hub.test", raise_server_exceptions=False)
        yield server, client, create_key(config, name="client")[1]
        hub.close()


@pytest.mark.engine
def test_while_the_server_is_away_requests_are_503_and_when_it_is_back_all_goes_on(
    own: tuple[PostgreSQL, TestClient, str],
) -> None:
    server, client, key = own
    asked = {"params": {"api_key": key}}
    assert client.get(STAGING, **asked).status_code == 200
    assert client.get("/readyz").status_code == 200
    server.stop(Signals.SIGINT)
    for path in (STAGING, JOBS, "/readyz", "/metrics"):
        answer = client.get(path, **asked)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_unavailable"), path
        assert int(answer.headers["retry-after"]) > 0
    assert client.get("/healthz").status_code == 200
    server.start()
    # the connections that the hub kept are broken, and none of them makes a request fail
    answers = [client.get(path, **asked).status_code for path in (STAGING, JOBS, "/readyz") for _ in range(8)]
    assert answers == [200] * 24


@pytest.mark.engine
def test_who_waits_too_long_for_another_writer_is_told_to_try_again(
    own: tuple[PostgreSQL, TestClient, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, client, key = own
    monkeypatch.setattr(engines, "BUSY_SECONDS", 1)
    client.app.state.hub.store.close()  # connections that are made from here on wait for a second
    files = {"one.jpg": jpeg(1)}
    upload = {"params": {"api_key": key, "fileName": "one.jpg"}, "files": files}
    with psycopg.connect(server.url("alone")) as writer:
        writer.execute("LOCK TABLE batches")
        answer = client.post(f"{STAGING}/b/upload/image", **upload)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_unavailable")
    assert client.post(f"{STAGING}/b/upload/image", **upload).status_code == 200


def test_more_requests_than_connections_are_told_to_try_again(api: Api) -> None:
    pool = api.hub.store._engine.pool
    pool._timeout = 0.1
    held = []
    while len(held) < pool.size() + pool._max_overflow:
        held.append(api.hub.store._engine.connect())
    answer = api.get(STAGING)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    for connection in held:
        connection.close()
    assert api.get(STAGING).status_code == 200


@SERVED
def test_text_that_postgresql_does_not_hold_is_the_clients_fault(api: Api) -> None:
    api.upload("b", "one.jpg", jpeg(1))
    for answer in (
        api.get(f"{STAGING}/b/list", partName="\0"),
        api.post(f"{JOBS}/j1", json=job_body("b"), name="no\0name"),
        api.worker("/tasks/%00/release", token=1),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "request_invalid")
    api.post(f"{JOBS}/j1", json=job_body("b"))
    held = api.worker("/lease", worker="w").json()
    failed = {"token": held["token"], "code": "crashed", "message": "at \0 it ended", "retryable": False}
    assert api.worker(f"/tasks/{held['task_id']}/fail", **failed).status_code == 204


@pytest.mark.engine
def test_a_server_that_has_become_a_standby_is_one_to_try_again(own: tuple[PostgreSQL, TestClient, str]) -> None:
    server, client, key = own
    asked = {"params": {"api_key": key}}
    upload = {"params": {"api_key": key, "fileName": "one.jpg"}, "files": {"one.jpg": jpeg(1)}}
    server.stop(Signals.SIGINT)
    server.become_standby()
    for _ in range(3):  # also on connections that have read before
        assert client.get(STAGING, **asked).status_code == 200
        answer = client.post(f"{STAGING}/b/upload/image", **upload)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_unavailable")
    server.promote()
    assert client.post(f"{STAGING}/b/upload/image", **upload).status_code == 200


@pytest.mark.engine
def test_a_database_that_is_to_be_read_alone_is_not_overruled(own: tuple[PostgreSQL, TestClient, str]) -> None:
    """As some providers have it while a disk is full."""
    server, client, key = own
    upload = {"params": {"api_key": key, "fileName": "one.jpg"}, "files": {"one.jpg": jpeg(1)}}
    with psycopg.connect(server.url("alone"), autocommit=True) as connection:
        connection.execute("ALTER DATABASE alone SET default_transaction_read_only = on")
        client.app.state.hub.store.close()
        for _ in range(3):
            answer = client.post(f"{STAGING}/b/upload/image", **upload)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_unavailable")
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("ALTER DATABASE alone RESET default_transaction_read_only")
    client.app.state.hub.store.close()
    assert client.post(f"{STAGING}/b/upload/image", **upload).status_code == 200


@SERVED
def test_a_server_whose_machine_has_gone_is_given_up_after_half_a_minute(api: Api) -> None:
    """Without it the kernel sends again what was not acknowledged, for a quarter of an hour."""
    with api.hub.store._engine.connect() as connection:
        descriptor = os.dup(connection.connection.driver_connection.fileno())
        with socket.socket(fileno=descriptor) as wire:
            assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000


@pytest.mark.engine
def test_a_hub_that_stands_still_in_a_transaction_gives_its_locks_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: PostgreSQL, database: str
) -> None:
    monkeypatch.setattr(engines, "IDLE_SECONDS", 1)
    store = Store.open(write_config(tmp_path, hub=ON_POSTGRESQL).hub)
    with pytest.raises(Exception, match="idle-in-transaction"), store.write() as session:
        session.connection().exec_driver_sql("LOCK TABLE batches")
        time.sleep(1.5)
        with psycopg.connect(server.url(database)) as other:
            other.execute("SET lock_timeout = '100ms'")
            other.execute("LOCK TABLE batches")
        session.connection().exec_driver_sql("SELECT 1")
    store.close()


def test_a_database_that_is_away_at_the_start_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTS_DATABASE", "postgresql://hub:hunter2@127.0.0.1:1/hub")
    with pytest.raises(DatabaseUnavailable, match=r"postgresql://127\.0\.0\.1:1/hub \(env:TESTS_DATABASE\)"):
        Store.open(write_config(tmp_path, hub=ON_POSTGRESQL).hub)
