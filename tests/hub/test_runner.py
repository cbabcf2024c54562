"""The hub's own tasks: they end where they stand when the hub stops, or when nobody needs them any more."""

from __future__ import annotations

import threading
import time

import pytest

from tests.hub.support import JOBS, STAGING, Api, archive, job_body, jpeg
from visionfleet.hub import runner, tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.store.tables import Task, TaskKind


@pytest.fixture
def stopping() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


def start_export(api: Api) -> None:
    """A job of one image, as far as its export."""
    api.upload("b", "one.jpg", jpeg(1))
    api.post(f"{JOBS}/j1", json=job_body("b"))
    held = api.worker("/lease", worker="w").json()
    call = f"/tasks/{held['task_id']}"
    results = [{"image_id": held["images"][0]["id"], "record": {"n": 1}}]
    assert api.worker(f"{call}/results", token=held["token"], results=results).status_code == 200
    assert api.worker(f"{call}/complete", token=held["token"]).status_code == 204


def only_task(hub: Hub, kind: TaskKind) -> Task:
    with hub.store.read() as session:
        return session.query(Task).filter(Task.kind == kind).one()


def test_an_ingest_is_given_back_when_the_hub_stops(api: Api, stopping: threading.Event) -> None:
    api.upload_shard("b", archive({"one.jpg": jpeg(1)}))
    assert runner.run_next(api.hub, stopping)
    task = only_task(api.hub, TaskKind.INGEST)
    assert (task.state, task.attempts) == ("queued", 0), "it is due at once, and the attempt is not counted"
    assert api.get(f"{STAGING}/b/count").json() == {"count": 0}
    api.run_hub_tasks()
    assert api.get(f"{STAGING}/b/count").json() == {"count": 1}


def test_an_export_is_given_back_when_the_hub_stops(api: Api, stopping: threading.Event) -> None:
    start_export(api)
    assert runner.run_next(api.hub, stopping)
    task = only_task(api.hub, TaskKind.EXPORT)
    assert (task.state, task.attempts) == ("queued", 0)
    assert not [key for key, _ in api.hub.storage.list("batches") if key.endswith("results/results.jsonl")]
    api.run_hub_tasks()
    assert api.get(f"{JOBS}/j1").json()["job"]["lastNotification"] == "done"


def test_an_export_of_an_aborted_job_ends_where_it_stands(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    start_export(api)

    def export(_hub: Hub, _task: Task, check: tasks.Check) -> None:
        assert api.post(f"{JOBS}/j1/abort").status_code == 200
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            check()
            time.sleep(0.01)
        pytest.fail("nobody told the export that its job has ended")

    monkeypatch.setattr(runner, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(runner, "RUN", {TaskKind.EXPORT: export})
    assert runner.run_next(api.hub)
    assert only_task(api.hub, TaskKind.EXPORT).state == "cancelled"
