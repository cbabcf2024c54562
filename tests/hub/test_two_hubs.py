"""Two hubs on one PostgreSQL and one bucket, with real workers and the unmodified command line."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.stack import Stack
from tests.e2e.test_faults import committed
from tests.engines import postgresql, versitygw
from tests.engines.engine import free_port, wait_until
from tests.engines.postgresql import PostgreSQL
from tests.engines.versitygw import VersityGW
from tests.hub.support import jpeg, served_hub
from visionfleet.hub import tasks
from visionfleet.hub.store import Store
from visionfleet.hub.store.tables import Task

pytestmark = pytest.mark.engine
COUNT = 40
NAMES = [f"{n:03d}.jpg" for n in range(COUNT)]


@pytest.fixture
def stack(tmp_path: Path, server: PostgreSQL, s3: VersityGW, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setenv("TESTS_DATABASE", server.create("two_hubs"))
    with Stack(tmp_path, served_hub(s3, "two-hubs"), images_per_task=4) as stack:
        yield stack
    server.drop("two_hubs")


def test_two_hubs_share_a_job_and_one_that_is_killed_loses_and_doubles_nothing(stack: Stack) -> None:
    first, first_url = stack.start_hub(), stack.url
    second_port = free_port()
    stack.start_hub(second_port)
    second_url = stack.url
    images = stack.folder / "images"
    images.mkdir()
    for number, name in enumerate(NAMES):
        (images / name).write_bytes(jpeg(number, (64, 48)))
    inference = stack.start_inference("--delay", "0.3")
    run = stack.command_line

    stack.talk_to(first_url)
    run("data-staging", "create-batch-of-images", "--images-dir", str(images), "--batch-id", "many")
    stack.talk_to(second_url)
    wait_until(lambda: "'ingested'" in run("data-staging", "list-ingest-details", "--batch-id", "many"), "ingested")

    pace = {"request_images": 2, "requests_in_flight": 2}
    # before there is work: the first to come would finish it
    for name, url in (("at-first", first_url), ("at-second", second_url)):
        stack.talk_to(url)
        stack.start_worker(inference, name, **pace)
    workflow = ("--workflow-id", "look", "--save-image-outputs")
    run("batch-processing", "process-images-with-workflow", "--batch-id", "many", "--job-id", "j1", *workflow)
    wait_until(lambda: len(owners(stack)) == 2 and committed(stack, "j1") >= 8, "both hubs give tasks away")
    stack.stop(first, signal.SIGKILL)
    before = committed(stack, "j1")
    assert 0 < before < COUNT, "it was killed in the middle"
    expire_leases_of(stack, "at-first")
    job = stack.wait_for_job("j1")
    assert job["error"] is False, job
    assert Counter(record["image"] for record in stack.records("j1")) == Counter(NAMES)
    files = stack.listing("j1-processing", "annotated")
    assert len({file["fileName"] for file in files}) == len(files) == COUNT
    results = stack.folder / "results"
    run("data-staging", "export-batch", "--batch-id", "j1-export", "--target-dir", str(results))
    records = [json.loads(line) for line in (results / "results" / "results.jsonl").read_text().splitlines()]
    annotated = {results / record["annotated"]["part"] / record["annotated"]["name"] for record in records}
    assert len(annotated) == COUNT
    assert all(path.read_bytes().startswith(b"\xff\xd8") for path in annotated)
    assert httpx.get(f"{inference}/stub/stats").json()["images"] <= COUNT + 2 * 2 * 2, "in flight at the kill"
    assert_no_secrets(stack)


def owners(stack: Stack) -> set[str]:
    """The workers that have begun a task, by their logs."""
    return {log.stem for log in stack.folder.glob("worker-*.log") if "task_started" in log.read_text()}


def expire_leases_of(stack: Stack, worker: str) -> None:
    """Turn the clock back for what the worker of the hub that is gone holds: a test need not wait a minute for it."""
    store = Store.open(stack.config.hub)
    with store.write() as session:
        held = session.query(Task).filter(Task.state == "leased", Task.owner == worker)
        assert held.update({"expires_at": store.clock() - tasks.LEASE_SECONDS}) > 0
    store.close()


def assert_no_secrets(stack: Stack) -> None:
    secrets = (versitygw.SECRET, postgresql.PASSWORD, "k" * 32, stack.client_key, stack.worker_key, "X-Amz-Signature")
    for log in stack.folder.glob("*.log"):
        text = log.read_text()
        assert not [secret for secret in secrets if secret in text], log
