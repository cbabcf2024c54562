"""The unmodified `inference rf-cloud batch-processing restart-job`: what has failed is done again, and nothing else."""

from __future__ import annotations

import hashlib
import signal
from collections import Counter

import httpx
import pytest

from tests.e2e.stack import Stack
from tests.engines.engine import wait_until
from tests.hub.support import JOBS, jpeg

pytestmark = pytest.mark.engine

COUNT = 20
NAMES = [f"{n:03d}.jpg" for n in range(COUNT)]


@pytest.fixture
def images(stack: Stack) -> dict[str, bytes]:
    made = {name: jpeg(n, (64, 48)) for n, name in enumerate(NAMES)}
    stack.start_hub()
    stack.upload("photos", made)
    return made


def begin(stack: Stack, *options: str) -> None:
    workflow = ("--workflow-id", "look", "--save-image-outputs")
    process = ("process-images-with-workflow", "--batch-id", "photos", "--job-id", "j1")
    stack.command_line("batch-processing", *process, *workflow, *options)


def command(stack: Stack, verb: str, *options: str) -> str:
    return stack.command_line("batch-processing", verb, "--job-id", "j1", *options)


def test_images_that_failed_are_done_again_and_all_are_exported(stack: Stack, images: dict[str, bytes]) -> None:
    bad = hashlib.sha256(images["007.jpg"]).hexdigest()
    worker = stack.start_worker(stack.start_inference("--fail-on", bad), "first")
    begin(stack, "--max-image-failure-rate", "0")
    assert stack.wait_for_job("j1")["error"] is True
    assert len(stack.records("j1")) < COUNT
    stack.stop(worker)
    inference = stack.start_inference()
    stack.start_worker(inference, "second")
    done_before = len(stack.records("j1"))
    answer = command(stack, "restart-job", "--workers-per-machine", "1", "--max-runtime-seconds", "600")
    assert '"isTerminal": false' in answer
    assert stack.wait_for_job("j1")["error"] is False
    results = stack.folder / "results"
    stack.command_line("data-staging", "export-batch", "--batch-id", "j1-export-2", "--target-dir", str(results))
    lines = (results / "results" / "results.jsonl").read_text().splitlines()
    assert len(lines) == COUNT
    assert len(list((results / "annotated").glob("*.jpg"))) == COUNT
    assert httpx.get(f"{inference}/stub/stats").json()["images"] == COUNT - done_before
    shown = command(stack, "show-job-details")
    for word in ("Restart parameters override", "workersPerMachine", "j1-export-2", "🏁"):
        assert word in shown
    assert "job_restarted" in command(stack, "fetch-logs")


def test_an_aborted_job_goes_on_where_it_was(stack: Stack, images: dict[str, bytes]) -> None:
    worker = stack.start_worker(stack.start_inference("--delay", "0.1"), "first", request_images=1)
    begin(stack)
    wait_until(lambda: stack.listing("j1-processing", "annotated"), "something is done")
    assert stack.http.post(f"{JOBS}/j1/abort").status_code == 200  # the command takes as long as the job
    stack.stop(worker, signal.SIGKILL)
    kept = {file["fileName"] for file in stack.listing("j1-processing", "annotated")}
    assert 0 < len(kept) < COUNT
    inference = stack.start_inference()
    stack.start_worker(inference, "second")
    command(stack, "restart-job")
    assert stack.wait_for_job("j1")["error"] is False
    assert Counter(record["image"] for record in stack.records("j1")) == Counter(NAMES)
    assert httpx.get(f"{inference}/stub/stats").json()["images"] == COUNT - len(kept)


@pytest.mark.parametrize("when", ["runs", "is done"])
def test_a_job_that_runs_or_is_done_is_not_restarted(stack: Stack, images: dict[str, bytes], when: str) -> None:
    begin(stack)
    if when == "is done":
        stack.start_worker(stack.start_inference())
        stack.wait_for_job("j1")
    code = {"runs": "job_running", "is done": "job_complete"}[when]
    with pytest.raises(AssertionError, match=code):
        command(stack, "restart-job")
