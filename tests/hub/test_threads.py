"""A storage that hangs costs those who wait for it, and nobody else."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.hub.support import EMBEDDED, JOBS, Api, job_body, jpeg
from visionfleet.hub.objects.storage import Storage

WAITING = 80  # more than the web server has threads of both kinds
LIMIT_SECONDS = 60


@EMBEDDED
def test_while_the_storage_hangs_leases_are_kept_and_the_process_answers(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.upload("b", "one.jpg", jpeg(1))
    api.post(f"{JOBS}/j1", json=job_body("b"))
    held = api.worker("/lease", worker="w").json()
    goes_on, reached = threading.Event(), threading.Semaphore(0)

    def hang(*_: Any) -> int:
        reached.release()
        assert goes_on.wait(LIMIT_SECONDS)
        return 2

    monkeypatch.setattr(Storage, "put", hang)
    with api.client, ThreadPoolExecutor(WAITING + 1) as pool:
        waiting = [pool.submit(api.client.get, "/readyz") for _ in range(WAITING)]
        assert reached.acquire(timeout=LIMIT_SECONDS)
        try:
            leases = [{"task_id": held["task_id"], "token": held["token"]}]
            kept = pool.submit(api.worker, "/heartbeat", leases=leases).result(LIMIT_SECONDS / 2)
            alive = pool.submit(api.client.get, "/healthz").result(LIMIT_SECONDS / 2)
        finally:
            goes_on.set()
        assert {answer.result().status_code for answer in waiting} == {200}
    assert (kept.status_code, alive.status_code) == (200, 200)
