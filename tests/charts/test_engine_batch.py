"""Batch jobs by the unmodified `inference rf-cloud`, whose workers are pods with the real inference server in them.

The hub is in pods as well, its tables in PostgreSQL and its objects in S3, and the chart's network policies are kept.
Whatever is taken away in the middle, each image has one result in the end.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.charts.deployment import Deployment, deployed
from tests.engines.cluster import Cluster
from tests.engines.cluster.policies import policies_kept
from tests.engines.engine import wait_until
from tests.hub.support import JOBS, STAGING, jpeg

pytestmark = pytest.mark.engine

COUNT = 120
NAMES = [f"{number:03d}.jpg" for number in range(COUNT)]
JOB_SECONDS = 900
SECTIONS = {"batch": {"images_per_task": 4, "workers": {"gpu": {"max": 1}}}}


@pytest.fixture(scope="module")
def vision(real_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("vision")
    with policies_kept(real_cluster), deployed(real_cluster, folder, "batch", SECTIONS) as made:
        yield made


@pytest.fixture(scope="module")
def photos(vision: Deployment) -> str:
    """A batch of pictures, staged by the command line."""
    folder = vision.folder / "photos"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        (folder / name).write_bytes(jpeg(number, (320, 240)))
    vision.rf_cloud("data-staging", "create-batch-of-images", f"--images-dir={folder}", "--batch-id=photos")
    wait_until(lambda: staged(vision) == COUNT, "all pictures are staged", 120)
    return "photos"


def staged(vision: Deployment) -> int:
    return vision.ask(f"{STAGING}/photos/count")["count"]


def begin(vision: Deployment, job: str, *options: str) -> None:
    process = ("process-images-with-workflow", "--batch-id=photos", f"--job-id={job}", "--workflow-id=count-colours")
    vision.rf_cloud("batch-processing", *process, "--max-image-failure-rate=0", *options)


def job_of(vision: Deployment, job: str) -> dict[str, Any]:
    return vision.ask(f"{JOBS}/{job}")["job"]


def stages(vision: Deployment, job: str) -> list[dict[str, Any]]:
    return vision.ask(f"{JOBS}/{job}/stages")["stages"]


def tasks_done(vision: Deployment, job: str) -> int:
    stage = stages(vision, job)[0]["processingStageId"]
    tasks = vision.ask(f"{JOBS}/{job}/stages/{stage}/tasks", pageSize="100")["tasks"]
    return sum(task["statusType"] == "success" for task in tasks)


def wait_for(vision: Deployment, job: str) -> dict[str, Any]:
    wait_until(lambda: job_of(vision, job)["isTerminal"], f"job {job} ends", JOB_SECONDS, lambda: state(vision, job))
    return job_of(vision, job)


def state(vision: Deployment, job: str) -> str:
    """What a person would look at."""
    logs = vision.rf_cloud("batch-processing", "fetch-logs", f"--job-id={job}")
    return f"{job_of(vision, job)}\n{logs}\n{vision.release.state()}"


def records(vision: Deployment, job: str, export: str = "export") -> list[dict[str, Any]]:
    """What the command line's export holds."""
    target = vision.folder / "results" / f"{job}-{export}"
    command = ("data-staging", "export-batch", f"--batch-id={job}-{export}", f"--target-dir={target}")
    vision.rf_cloud(*command)
    return [json.loads(line) for line in (target / "results" / "results.jsonl").read_text().splitlines()]


def assert_each_once(found: list[dict[str, Any]]) -> None:
    assert Counter(record["image"] for record in found) == Counter(NAMES)


def test_a_job_runs_in_pods_and_leaves_none(vision: Deployment, photos: str) -> None:
    begin(vision, "plain", "--save-image-outputs")
    seen: set[str] = set()

    def ended() -> bool:
        seen.update(pod["metadata"]["name"] for pod in vision.pods("worker"))
        return job_of(vision, "plain")["isTerminal"]

    wait_until(ended, "the job ends", JOB_SECONDS, lambda: state(vision, "plain"))
    assert job_of(vision, "plain")["error"] is False, state(vision, "plain")
    assert len(seen) == 2, "as many pods as the file allows"
    found = records(vision, "plain")
    assert_each_once(found)
    target = vision.folder / "results" / "plain-export"
    pictures = [target / record["annotated"]["part"] / record["annotated"]["name"] for record in found]
    assert all(picture.read_bytes().startswith(b"\xff\xd8") for picture in pictures)
    wait_until(lambda: vision.pods("worker") == [], "both pods end", 300, lambda: state(vision, "plain"))
    # a pod that was too slow to begin loses its Job, which then has not failed either
    assert not any("failed" in job["status"] for job in vision.jobs()), vision.jobs()
    logs = vision.rf_cloud("batch-processing", "fetch-logs", "--job-id=plain")
    assert "workers_requested" in logs


def lose_workers_and_hubs(vision: Deployment) -> None:
    """A worker is deleted and gives its tasks back; the other and both hubs are killed, and give nothing back."""
    deleted, killed = (pod["metadata"]["name"] for pod in vision.pods("worker"))
    hubs = [pod["metadata"]["name"] for pod in vision.pods("hub")]
    assert len(hubs) == 2
    delete = ("delete", "pod", f"--namespace={vision.namespace}", "--wait=false")
    vision.cluster.kubectl(*delete, deleted)
    vision.cluster.kubectl(*delete, killed, *hubs, "--force", "--grace-period=0")
    ready = ("rollout", "status", "deployment/vision-hub", f"--namespace={vision.namespace}", "--timeout=240s")
    vision.cluster.kubectl(*ready)


def drain_and_upgrade(vision: Deployment) -> None:
    """The node loses its workers, since with one node there is no other for the hub. Then hubs are replaced twice."""
    before = {job["metadata"]["uid"] for job in vision.jobs()}
    selector = "--pod-selector=app.kubernetes.io/component=worker"
    drain = ("--ignore-daemonsets", "--delete-emptydir-data", selector, "--timeout=180s")
    vision.cluster.kubectl("drain", vision.cluster.node, *drain)
    assert all(is_pending(pod) for pod in vision.pods("worker"))
    vision.cluster.kubectl("uncordon", vision.cluster.node)
    vision.upgrade({"hub": {"extra": {"podAnnotations": {"changed": "yes"}}}})
    vision.release.rollback()
    assert before <= {job["metadata"]["uid"] for job in vision.jobs()}, "the Jobs are the new hubs' from then on"


def is_pending(pod: dict[str, Any]) -> bool:
    return pod["status"]["phase"] == "Pending"


@pytest.mark.parametrize(("job", "fault"), [("lost", lose_workers_and_hubs), ("drained", drain_and_upgrade)])
def test_nothing_is_lost_or_doubled(
    vision: Deployment, photos: str, job: str, fault: Callable[[Deployment], None]
) -> None:
    begin(vision, job)
    wait_until(lambda: tasks_done(vision, job) > 0, "the first task is done", JOB_SECONDS, lambda: state(vision, job))
    assert not job_of(vision, job)["isTerminal"]
    fault(vision)
    assert wait_for(vision, job)["error"] is False, state(vision, job)
    assert_each_once(records(vision, job))
    mine = [each for each in vision.jobs() if each["metadata"]["labels"]["visionfleet.io/job"] == job]
    assert len(mine) == 1, "no Job was made twice"


def test_an_aborted_job_loses_its_pods_and_a_restart_does_what_is_left(vision: Deployment, photos: str) -> None:
    begin(vision, "again", "--max-parallel-tasks=1")
    wait_until(lambda: tasks_done(vision, "again") > 0, "the first task is done", JOB_SECONDS)
    vision.abort("again")  # the command takes as long to start as the job to end
    wait_until(lambda: vision.pods("worker") == [], "the workers end", 120, lambda: state(vision, "again"))
    kept = tasks_done(vision, "again")
    assert 0 < kept < COUNT / 4
    vision.rf_cloud("batch-processing", "restart-job", "--job-id=again")
    assert wait_for(vision, "again")["error"] is False, state(vision, "again")
    assert stages(vision, "again")[1]["tasksNumber"] <= COUNT / 4 - kept
    assert_each_once(records(vision, "again"))


def test_a_job_for_gpus_says_why_it_waits(vision: Deployment, photos: str) -> None:
    begin(vision, "gpus", "--machine-type=gpu")

    def details() -> str:
        return vision.rf_cloud("batch-processing", "show-job-details", "--job-id=gpus")

    why = "no node has a free GPU"
    wait_until(lambda: why in job_of(vision, "gpus")["lastNotification"], "the reason is told", 120, details)
    assert why in " ".join(details().replace("│", " ").split())
    assert "workers_waiting" in vision.rf_cloud("batch-processing", "fetch-logs", "--job-id=gpus")
    vision.rf_cloud("batch-processing", "abort-job", "--job-id=gpus")
    wait_until(lambda: [pod for pod in vision.pods("worker") if is_pending(pod)] == [], "its pod goes", 120)


def test_serving_answers_with_the_hubs_model(vision: Deployment) -> None:
    """The same release serves requests, and its models come from the hub in its pods."""
    wait_until(lambda: vision.pods("serving") != [], "a pod serves")
    url = f"http://{vision.address('vision-serving-cpu')}:9001/model/registry"
    answer = vision.http.get(url, params={"api_key": vision.client_key})
    assert answer.status_code == 200, answer.text
    assert "colour-cells/1" in answer.text


def test_an_uninstall_leaves_nothing_that_runs(vision: Deployment, photos: str) -> None:
    """Not even the workers of a job in the middle."""
    begin(vision, "last")
    wait_until(lambda: tasks_done(vision, "last") > 0, "the first task is done", JOB_SECONDS)
    vision.release.uninstall()

    def left() -> list[str]:
        found = vision.cluster.get("all", f"--namespace={vision.namespace}")["items"]
        return [f"{each['kind']} {each['metadata']['name']}" for each in found]

    wait_until(lambda: left() == [], "all is gone", 180, lambda: str(left()))
