"""A commit whose end the hub does not hear of: the database may have it all the same."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from tests.hub.processing.test_processing import call, error_code, finish, lease, records, start_job, uploaded
from tests.hub.support import Api, jpeg
from visionfleet.hub.store import Store


def test_results_that_are_committed_as_the_database_goes_away_are_kept(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        api.upload("photos", f"{n}.jpg", jpeg(n))
    start_job(api)
    held = lease(api)
    results = uploaded(api, held, held["images"][:1])
    write = Store.write

    @contextmanager
    def commit_and_break(store: Store) -> Generator[Session]:
        with write(store) as session:
            yield session
        raise OperationalError("COMMIT", None, Exception("server closed the connection unexpectedly"))

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", commit_and_break)
        assert error_code(call(api, held, "results", results=results)) == (503, "database_unavailable")
    assert call(api, held, "results", results=results).json() == {"failures": 0, "remaining": 2}, "as workers do then"
    finish(api, held)
    assert len(records(api)) == 3
