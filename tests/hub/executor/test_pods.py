"""Jobs whose workers are pods of a real cluster, by the unmodified command line: whatever goes, nothing is lost.

The inference server beside a worker is the stub: what is tested here is who works when, and what is heard of it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.stack import Stack
from tests.e2e.test_faults import expire_leases
from tests.engines.cluster import Cluster
from tests.engines.engine import free_port, wait_until
from tests.hub.executor.place import Place, load_images, pod_spec, working_pod
from tests.hub.support import jpeg

pytestmark = pytest.mark.engine

COUNT = 40
NAMES = [f"{n:03d}.jpg" for n in range(COUNT)]
WORKERS = {"cpu": {"max": 2}, "gpu": {"max": 1}}


class Deployment(Stack):
    """A hub beside the cluster, whose workers are pods."""

    def __init__(self, place: Place, folder: Path, **batch: Any) -> None:
        self.place = place
        host, port = place.cluster.host_address, free_port()
        hub = {"host": host, "port": port, "url": f"http://{host}:{port}"}  # which pods reach
        super().__init__(folder, hub, executor="kubernetes", images_per_task=4, workers=WORKERS, **batch)
        place.apply("Secret", "acme-keys", stringData={"worker": self.worker_key})

    def command(self, verb: str, *arguments: str) -> str:
        return self.command_line("batch-processing", verb, "--job-id", "j1", *arguments)

    def begin(self, **options: Any) -> None:
        """Upload the images, and start the job."""
        self.upload("photos", {name: jpeg(n, (64, 48)) for n, name in enumerate(NAMES)})
        arguments = ["--workflow-id", "look", "--save-image-outputs"]
        for option, value in options.items():
            arguments += [f"--{option.replace('_', '-')}", str(value)]
        self.command("process-images-with-workflow", "--batch-id", "photos", *arguments)

    def done(self) -> int:
        """Images with a result."""
        stages = self.http.get("/batch-processing/v1/external/acme/jobs/j1/stages").json()["stages"]
        found = [self.tasks_of(stage["processingStageId"]) for stage in stages if stage["tasksNumber"] > 1]
        return round(sum((task["progress"] or 0) * 4 for tasks in found for task in tasks))

    def tasks_of(self, stage: str) -> list[dict[str, Any]]:
        return self.http.get(f"/batch-processing/v1/external/acme/jobs/j1/stages/{stage}/tasks").json()["tasks"]

    def assert_each_image_once(self, export: str = "j1-export") -> None:
        ended = self.wait_for_job("j1", 120)
        assert ended["error"] is False, ended
        assert Counter(record["image"] for record in self.exported(export)) == Counter(NAMES)
        assert Counter(f["fileName"] for f in self.listing("j1-processing", "annotated")) == Counter(NAMES)

    def exported(self, batch: str) -> list[dict[str, Any]]:
        [file] = self.listing(batch, "results")
        return [json.loads(line) for line in httpx.get(file["downloadURL"]).text.splitlines()]

    def lease(self) -> None:
        """Take a task, as a worker that then dies."""
        headers = {"Authorization": f"Bearer {self.worker_key}"}
        answer = httpx.post(f"{self.url}/worker/v1/lease", headers=headers, json={"worker": "doomed"})
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def images(real_cluster: Cluster) -> None:
    load_images(real_cluster)


@pytest.fixture
def deployment(place: Place, images: None, tmp_path: Path) -> Iterator[Deployment]:
    with Deployment(place, tmp_path) as made:
        place.template("cpu", working_pod(made.url, delay=0.2))
        yield made


def test_pods_work_on_a_job_until_nothing_is_left(deployment: Deployment) -> None:
    deployment.start_hub()
    deployment.begin(workers_per_machine=2)
    deployment.assert_each_image_once()
    job = deployment.place.jobs()[0]
    name = job["metadata"]["name"]
    assert job["spec"]["parallelism"] == 2
    deployment.place.kubectl("wait", f"job/{name}", "--for=condition=Complete", "--timeout=60s")
    pods = deployment.place.pods()
    assert {pod["status"]["phase"] for pod in pods} == {"Succeeded"}
    logs = deployment.place.kubectl("logs", f"--selector=job-name={name}", "--all-containers", "--prefix", "--tail=-1")
    for pod in pods:
        assert f"{pod['metadata']['name']}.worker-2" in logs
    assert "workers_requested" in deployment.command("fetch-logs")


def test_an_evicted_pod_is_no_failure(deployment: Deployment) -> None:
    deployment.start_hub()
    deployment.begin(max_parallel_tasks=1)
    wait_until(lambda: deployment.done() >= 2, "the pod has done something", 120)
    [pod] = deployment.place.pods()
    name, namespace = pod["metadata"]["name"], deployment.place.namespace
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
    deployment.place.cluster.kubectl("create", "--raw", path, "--filename=-", input=json.dumps(eviction))
    deployment.assert_each_image_once()
    [job] = deployment.place.jobs()
    assert job["status"].get("failed", 0) == 0, "the failure policy ignores it"


def test_workers_that_the_hub_refuses_end_the_job_at_once_with_the_reason(deployment: Deployment) -> None:
    deployment.place.apply("Secret", "acme-keys", stringData={"worker": "vf_wrong"})
    deployment.start_hub()
    deployment.begin()
    ended = deployment.wait_for_job("j1", 120)
    assert ended["error"] is True
    for told in (deployment.command("show-job-details"), deployment.command("fetch-logs")):
        text = "".join(told.split())
        assert "workerexitedwith3:theworkerends:thehubrefusedtherequest" in text, told
        assert "key_unknown" in text
    assert len(deployment.place.pods()) <= 4, "nobody tries again"


def test_tasks_that_came_back_after_the_last_pod_had_ended_get_a_job_of_their_own(deployment: Deployment) -> None:
    """A Job makes no pod any more once one has ended well."""
    hub = deployment.start_hub()
    deployment.place.template("cpu", {**pod_spec({"image": "registry.invalid/worker:1"})})  # none runs yet
    deployment.begin()
    deployment.lease()
    wait_until(deployment.place.jobs, "the Job is made", 30)
    deployment.place.template("cpu", working_pod(deployment.url))
    deployment.place.kubectl("delete", "jobs", "--all")
    wait_until(lambda: deployment.done() == COUNT - 4, "all but the lost task is done", 120)
    [first] = deployment.place.jobs()
    deployment.place.kubectl("wait", f"job/{first['metadata']['name']}", "--for=condition=Complete", "--timeout=60s")
    deployment.stop(hub)
    expire_leases(deployment)
    deployment.start_hub()
    deployment.assert_each_image_once()
    [second] = deployment.place.jobs()
    assert second["metadata"]["name"] == first["metadata"]["name"]
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
