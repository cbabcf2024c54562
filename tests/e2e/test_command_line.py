"""The unmodified `inference rf-cloud` against the hub, command by command."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.e2e.stack import Stack
from tests.engines.engine import wait_until
from tests.hub.support import jpeg

pytestmark = pytest.mark.engine


def write_images(folder: Path, count: int) -> Path:
    folder.mkdir()
    for n in range(count):
        (folder / f"{n:03d}.jpg").write_bytes(jpeg(n, (64, 48)))
    return folder


def test_a_folder_of_few_images_goes_from_upload_to_export(stack: Stack) -> None:
    stack.start_hub()
    stack.start_worker(stack.start_inference())
    images = write_images(stack.folder / "few", 12)
    run = stack.command_line
    run("data-staging", "create-batch-of-images", "--images-dir", str(images), "--batch-id", "few")
    assert "few" in run("data-staging", "list-batches")
    details = run("data-staging", "show-batch-details", "--batch-id", "few")
    assert "simple-batch" in details
    assert "12" in details
    content = run("data-staging", "list-batch-content", "--batch-id", "few")
    assert content.count("'file_name'") == 12
    workflow = ("--workflow-id", "look", "--save-image-outputs")
    run("batch-processing", "process-images-with-workflow", "--batch-id", "few", "--job-id", "j-few", *workflow)
    job = stack.wait_for_job("j-few")
    assert job["error"] is False, job
    assert "j-few" in run("batch-processing", "list-jobs")
    shown = run("batch-processing", "show-job-details", "--job-id", "j-few")
    for word in ("processing", "export", "j-few-export", "🏁"):
        assert word in shown
    assert "job_created" in run("batch-processing", "fetch-logs", "--job-id", "j-few")
    results = stack.folder / "results"
    run("data-staging", "export-batch", "--batch-id", "j-few-export", "--target-dir", str(results))
    records = [json.loads(line) for line in (results / "results" / "results.jsonl").read_text().splitlines()]
    assert sorted(record["image"] for record in records) == [f"{n:03d}.jpg" for n in range(12)]
    annotated = [results / record["annotated"]["part"] / record["annotated"]["name"] for record in records]
    assert all(path.read_bytes().startswith(b"\xff\xd8") for path in annotated)
    assert len(set(annotated)) == 12
    assert "base64" not in (results / "results" / "results.jsonl").read_text()


def test_a_folder_of_many_images_goes_in_shards_and_comes_out_as_csv(stack: Stack) -> None:
    stack.start_hub()
    stack.start_worker(stack.start_inference())
    images = write_images(stack.folder / "many", 40)
    (images / "broken.jpg").write_bytes(b"no picture")
    run = stack.command_line
    run("data-staging", "create-batch-of-images", "--images-dir", str(images), "--batch-id", "many")
    wait_until(
        lambda: "'ingested'" in run("data-staging", "list-ingest-details", "--batch-id", "many"),
        "the shard is ingested",
    )
    ingest = run("data-staging", "list-ingest-details", "--batch-id", "many")
    assert "broken.jpg" in ingest
    assert "not_an_image" in ingest
    workflow = ("--workflow-id", "look", "--aggregation-format", "csv")
    run("batch-processing", "process-images-with-workflow", "--batch-id", "many", "--job-id", "j-many", *workflow)
    assert stack.wait_for_job("j-many")["error"] is False
    results = stack.folder / "results"
    run("data-staging", "export-batch", "--batch-id", "j-many-export", "--target-dir", str(results))
    with (results / "results" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["image"] for row in rows) == [f"{n:03d}.jpg" for n in range(40)]
    assert not (results / "annotated").exists(), "image outputs were not asked for"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("batch-processing", "show-job-details", "--job-id", "nowhere"), "job_not_found"),
        (("data-staging", "show-batch-details", "--batch-id", "nowhere"), "batch_not_found"),
        (("data-staging", "show-batch-details", "--batch-id", "Upper"), "batch_id_invalid"),
    ],
)
def test_what_is_refused_is_told_with_its_code(stack: Stack, arguments: tuple[str, ...], said: str) -> None:
    stack.start_hub()
    with pytest.raises(AssertionError, match=said):
        stack.command_line(*arguments)


def test_a_wrong_key_is_told_as_such(stack: Stack) -> None:
    stack.start_hub()
    with pytest.raises(AssertionError, match="Request unauthorised"):
        stack.command_line("batch-processing", "list-jobs", "--api-key", "vf_wrong")
