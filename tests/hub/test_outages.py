"""A bucket or a database that goes away and comes back: nothing is lost, and nothing needs a hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from tests.engines import versitygw
from tests.engines.postgresql import PostgreSQL
from tests.engines.versitygw import VersityGW
from tests.hub.processing.test_processing import call, commit, error_code, job_state, lease, records, start_job
from tests.hub.support import Api, Clock, jpeg, served_hub, write_config
from visionfleet.hub import tasks
from visionfleet.hub.api import create_app
from visionfleet.hub.context import Hub
from visionfleet.hub.housekeeping import bury_overdue
from visionfleet.hub.keys import create_key
from visionfleet.hub.objects import bucket
from visionfleet.hub.outages import Steps
from visionfleet.hub.runner import POSTPONED_SECONDS, run_next

IMAGES = 4


@pytest.fixture
def bucket_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VersityGW]:
    """A server of the test's own, which it may stop."""
    for name, value in (("KEY_ID", versitygw.KEY_ID), ("SECRET", versitygw.SECRET), ("SIGNING_KEY", "k" * 32)):
        monkeypatch.setenv(f"TESTS_{name}", value)
    monkeypatch.setattr(bucket, "_RETRIES", {"max_retries": 1})
    with versitygw.serving(tmp_path / "s3") as server:
        server.make_bucket("hub")
        yield server


@pytest.fixture
def api(
    tmp_path: Path, bucket_server: VersityGW, server: PostgreSQL, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Api]:
    """A job of some images that is about to begin."""
    monkeypatch.setenv("TESTS_DATABASE", server.create("outages"))
    config = write_config(tmp_path, hub=served_hub(bucket_server, "outages"))
    hub = Hub.open(config)
    hub.store.clock = hub.signer._clock = clock
    client = TestClient(create_app(hub), base_url="http://hub.test", raise_server_exceptions=False)
    keys = {f"{role}_key": create_key(config, name="test", role=role)[1] for role in ("client", "worker")}
    api = Api(client, hub, **keys, server_key="", device_key="", fleet_key="")
    for n in range(IMAGES):
        assert api.upload("photos", f"{n}.jpg", jpeg(n)).status_code == 200
    start_job(api)
    yield api
    hub.close()
    server.drop("outages")


@pytest.mark.engine
def test_what_a_task_had_committed_when_it_failed_waits_for_the_bucket(
    api: Api, bucket_server: VersityGW, clock: Clock
) -> None:
    held = lease(api)
    commit(api, held, held["images"][:1])
    bucket_server.stop()
    refused = call(api, held, "fail", code="too_many_failures", message="x", retryable=False)
    assert error_code(refused) == (503, "storage_unavailable")
    assert job_state(api) == (False, False), "it has not ended without its results"
    bucket_server.start()
    clock.advance(tasks.LEASE_SECONDS + 1)
    again = lease(api)
    assert len(again["images"]) == IMAGES - 1
    assert call(api, again, "fail", code="too_many_failures", message="x", retryable=False).status_code == 204
    api.run_hub_tasks()
    assert (job_state(api), len(records(api))) == ((True, True), 1)


@pytest.mark.engine
def test_what_a_vanished_worker_had_committed_waits_for_the_bucket(
    api: Api, bucket_server: VersityGW, clock: Clock
) -> None:
    for number in range(tasks.MAX_ATTEMPTS):
        held = lease(api)
        if number == 0:
            commit(api, held, held["images"][:1])
        clock.advance(tasks.LEASE_SECONDS + 1)
    bucket_server.stop()
    for _ in range(2):
        bury_overdue(api.hub)
        clock.advance(tasks.LEASE_SECONDS + 1)
    assert job_state(api) == (False, False)
    bucket_server.start()
    bury_overdue(api.hub)
    api.run_hub_tasks()
    assert (job_state(api), len(records(api))) == ((True, True), 1)


@pytest.mark.engine
def test_an_export_waits_for_the_bucket_however_long_it_is_away(
    api: Api, bucket_server: VersityGW, clock: Clock
) -> None:
    held = lease(api)
    commit(api, held, held["images"])
    assert call(api, held, "complete").status_code == 204
    bucket_server.stop()
    for _ in range(tasks.MAX_ATTEMPTS + 1):
        assert run_next(api.hub)
        assert not run_next(api.hub), "it is not tried all the time"
        clock.advance(POSTPONED_SECONDS)
    bucket_server.start()
    api.run_hub_tasks()
    assert (job_state(api), len(records(api))) == ((True, False), IMAGES)


def test_a_thread_says_once_that_something_is_away_and_once_that_it_goes_on() -> None:
    steps = Steps("look")

    def fail(error: Exception) -> None:
        raise error

    with capture_logs() as logs:
        for _ in range(3):
            assert steps.take(lambda: fail(OperationalError("SELECT 1", None, Exception("no\n  route")))) is None
        assert steps.take(lambda: 7) == steps.take(lambda: 7) == 7
        steps.take(lambda: fail(KeyError("ours")))
    assert [line["event"] for line in logs] == ["look_waits", "look_goes_on", "look_error"]
    assert "no route" in logs[0]["reason"]
