"""A claim of which the worker never hears, as the hub fails in between: the task is there for the next one, untried."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import pytest
from obstore.store import S3Store
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tests.hub.processing.test_processing import error_code, finish, job_state, lease, start_job
from tests.hub.support import SERVED, Api, jpeg
from visionfleet.hub import tasks
from visionfleet.hub.objects import bucket
from visionfleet.hub.store import Store
from visionfleet.hub.store.tables import Task, TaskKind

pytestmark = SERVED


@pytest.fixture(autouse=True)
def job(api: Api) -> None:
    api.upload("photos", "one.jpg", jpeg(1))
    start_job(api)


def attempts(api: Api) -> int:
    with api.hub.store.read() as session:
        return session.scalars(select(Task.attempts).where(Task.kind == TaskKind.PROCESS)).one()


def test_a_role_that_gives_no_credentials_to_sign_with_costs_no_attempt(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = {"metadata_endpoint": "http://127.0.0.1:1"}  # where a machine's role would be asked for
    client = {"allow_http": True, "connect_timeout": timedelta(seconds=1)}
    store = S3Store("hub", config=nobody, client_options=client, retry_config={"max_retries": 0})
    with monkeypatch.context() as patch:
        patch.setattr(api.hub.storage, "_links", partial(bucket.link, store))
        for _ in range(tasks.MAX_ATTEMPTS + 1):
            refused = api.worker("/lease", worker="w")
            assert error_code(refused) == (503, "storage_unavailable")
            assert "no credentials" in refused.text
    assert attempts(api) == 0
    finish(api, lease(api))
    assert job_state(api) == (True, False)


def test_a_database_that_ends_the_connection_after_the_claim_costs_no_attempt(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Store.read

    @contextmanager
    def cut_off(store: Store) -> Generator[Session]:
        with read(store) as session:
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
            yield session

    with monkeypatch.context() as patch:
        patch.setattr(Store, "read", cut_off)
        for _ in range(tasks.MAX_ATTEMPTS + 1):
            assert error_code(api.worker("/lease", worker="w")) == (503, "database_unavailable")
    assert attempts(api) == 0
    finish(api, lease(api))
    assert job_state(api) == (True, False)
