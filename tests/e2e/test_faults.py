"""What dies on the way loses nothing and doubles nothing."""

from __future__ import annotations

import re
import signal
from collections import Counter

import httpx
import pytest

from tests.e2e.stack import Stack
from tests.engines.engine import wait_until
from tests.hub.support import jpeg
from visionfleet.hub import tasks
from visionfleet.hub.store import Store
from visionfleet.hub.store.tables import Task

pytestmark = pytest.mark.engine
COUNT = 40
NAMES = [f"{n:03d}.jpg" for n in range(COUNT)]


@pytest.fixture
def images() -> dict[str, bytes]:
    return {name: jpeg(n, (64, 48)) for n, name in enumerate(NAMES)}


def committed(stack: Stack, job: str) -> int:
    """Images whose result is committed, by what the tasks say of themselves."""
    stages = stack.http.get(f"/batch-processing/v1/external/acme/jobs/{job}/stages").json()["stages"]
    stage = stages[0]["processingStageId"]
    found = stack.http.get(f"/batch-processing/v1/external/acme/jobs/{job}/stages/{stage}/tasks").json()["tasks"]
    return round(sum((task["progress"] or 0) * 10 for task in found))


def expire_leases(stack: Stack) -> None:
    """Turn the clock of every lease back: a test need not wait a minute for what a lost worker leaves."""
    store = Store.open(stack.config.hub)
    with store.write() as session:
        session.query(Task).filter(Task.state == "leased").update({"expires_at": store.clock() - tasks.LEASE_SECONDS})
    store.close()


def assert_each_image_once(stack: Stack, job: str) -> None:
    ended = stack.wait_for_job(job)
    assert ended["error"] is False, ended
    assert Counter(record["image"] for record in stack.records(job)) == Counter(NAMES)
    assert Counter(f["fileName"] for f in stack.listing(f"{job}-processing", "annotated")).most_common(1)[0][1] == 1
    assert len(stack.listing(f"{job}-processing", "annotated")) == COUNT


def test_a_killed_worker_and_a_restarted_hub_lose_and_double_nothing(stack: Stack, images: dict[str, bytes]) -> None:
    hub = stack.start_hub()
    inference = stack.start_inference("--delay", "0.05")
    stack.upload("photos", images)
    stack.create_job("j1", "photos")
    pace = {"request_images": 2, "requests_in_flight": 2}
    doomed = stack.start_worker(inference, "doomed", **pace)
    wait_until(lambda: committed(stack, "j1") >= 4, "the first worker has committed something")
    stack.stop(doomed, signal.SIGKILL)
    before = committed(stack, "j1")
    assert 0 < before < COUNT, "it was killed in the middle"
    stack.stop(hub, signal.SIGKILL)
    stack.start_hub()
    expire_leases(stack)
    stack.start_worker(inference, "heir", **pace)
    wait_until(lambda: committed(stack, "j1") > before, "the second worker goes on")
    assert_each_image_once(stack, "j1")
    stats = httpx.get(f"{inference}/stub/stats").json()
    assert stats["images"] <= COUNT + 2 * 2 * 2, "only what was in flight at the kill was done again"


def test_the_hub_goes_away_for_a_while_and_the_worker_waits(stack: Stack, images: dict[str, bytes]) -> None:
    hub = stack.start_hub()
    inference = stack.start_inference("--delay", "0.05")
    stack.upload("photos", images)
    stack.create_job("j1", "photos")
    worker = stack.start_worker(inference, request_images=2, requests_in_flight=2)
    wait_until(lambda: committed(stack, "j1") >= 4, "the worker has committed something")
    stack.stop(hub)
    stack.start_hub()
    assert_each_image_once(stack, "j1")
    assert worker.poll() is None


def test_an_inference_server_that_is_down_for_a_while_is_tried_again(stack: Stack, images: dict[str, bytes]) -> None:
    stack.start_hub()
    inference = stack.start_inference()
    httpx.post(f"{inference}/stub/faults", json={"status": 503, "count": 3})
    stack.upload("photos", images)
    stack.create_job("j1", "photos")
    stack.start_worker(inference)
    assert_each_image_once(stack, "j1")


def test_a_worker_that_is_told_to_stop_gives_its_task_back(stack: Stack, images: dict[str, bytes]) -> None:
    stack.start_hub()
    inference = stack.start_inference("--delay", "0.05")
    stack.upload("photos", images)
    stack.create_job("j1", "photos")
    polite = stack.start_worker(inference, "polite", request_images=2, requests_in_flight=2)
    wait_until(lambda: committed(stack, "j1") >= 4, "the worker has committed something")
    stack.stop(polite)
    assert polite.returncode == 0
    stack.start_worker(inference, "next")
    assert_each_image_once(stack, "j1")


def test_no_log_holds_a_key(stack: Stack, images: dict[str, bytes]) -> None:
    stack.start_hub()
    stack.upload("photos", images)
    stack.create_job("j1", "photos")
    stack.start_worker(stack.start_inference())
    stack.http.get("/nowhere")
    stack.wait_for_job("j1")
    for log in stack.folder.glob("*.log"):
        assert not re.search(f"{stack.client_key}|{stack.worker_key}|vf_", log.read_text()), log
