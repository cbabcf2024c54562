"""Jobs in a queue of Kueue's on a real cluster, by the unmodified command line: held, admitted, preempted, admitted.

Kueue itself decides, with its webhooks. The queue of a test has quota for the two pods of one Job.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.cluster import Cluster
from tests.engines.cluster.kueue import URGENT, queue
from tests.engines.cluster.node import PAUSE
from tests.engines.engine import wait_until
from tests.hub.executor.place import Place, load_images, pod_spec, working_pod
from tests.hub.executor.test_pods import COUNT, Deployment

pytestmark = pytest.mark.engine

QUEUE = "team-a"
USED = "others use its quota of cpu"
WAITS = f"waits in the queue '{QUEUE}' until Kueue admits it"
LABEL = "kueue.x-k8s.io/queue-name"
RIVAL = "rival"
CPU = {"resources": {"requests": {"cpu": "100m"}}}


class Queued(Deployment):
    """A deployment whose Jobs wait in a queue, and what takes the queue's quota from them."""

    def compete(self, **labels: str) -> None:
        """Let another Job into the queue, which wants all of its quota and does not end by itself."""
        idle = {**pod_spec({"image": PAUSE, **CPU}), "terminationGracePeriodSeconds": 0, "restartPolicy": "Never"}
        metadata = {"name": RIVAL, "namespace": self.place.namespace, "labels": {LABEL: QUEUE, **labels}}
        spec = {"suspend": True, "parallelism": 2, "template": {"spec": idle}}
        self.place.cluster.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
        self.place.kubectl("wait", f"job/{RIVAL}", "--for=jsonpath={.status.ready}=2", "--timeout=120s")

    def compete_urgently(self) -> None:
        self.compete(**{"kueue.x-k8s.io/priority-class": URGENT})

    def withdraw(self) -> None:
        self.place.kubectl("delete", "job", RIVAL)

    def hold(self) -> None:
        """Admit no Job, and take the quota from those that run."""
        self._set_stop_policy("HoldAndDrain")

    def release(self) -> None:
        self._set_stop_policy("None")

    def workers_job(self) -> dict[str, Any]:
        wait_until(self.workers_jobs, "the Job is made", 30)
        [job] = self.workers_jobs()
        return job

    def workers_jobs(self) -> list[dict[str, Any]]:
        return self.place.get("jobs", "--selector=visionfleet.io/stage")["items"]

    def workers(self) -> list[dict[str, Any]]:
        return self.place.get("pods", "--selector=visionfleet.io/stage")["items"]

    def workloads(self) -> list[dict[str, Any]]:
        """What Kueue keeps about Jobs."""
        return self.place.get("workloads")["items"]

    def wait_until_held(self, why: str) -> None:
        """No worker is there, and the job says what it waits for."""
        wait_until(lambda: self.workers() == [], "no worker is there", 60)
        told = f"{WAITS}: {why}"
        wait_until(lambda: self.told() == told, f"the job says '{told}'", 60, self.told)

    def told(self) -> str:
        return self.job("j1")["lastNotification"]

    def why_held(self) -> str:
        return f"the ClusterQueue '{self.place.namespace}' admits nothing: its status tells why"

    def _set_stop_policy(self, policy: str) -> None:
        """Of the queue that has the quota."""
        patch = json.dumps({"spec": {"stopPolicy": policy}})
        name = self.place.namespace
        self.place.cluster.kubectl("patch", "clusterqueue", name, "--type=merge", f"--patch={patch}")


@pytest.fixture(scope="module")
def images(kueue: Cluster) -> None:
    load_images(kueue)


@pytest.fixture
def deployment(place: Place, images: None, tmp_path: Path) -> Iterator[Queued]:
    place.cluster.apply(*queue(QUEUE, place.namespace, cpu="200m"))
    with Queued(place, tmp_path, queue=QUEUE) as made:
        pod = working_pod(made.url, delay=1.0)
        pod["containers"][0] |= CPU
        place.template("cpu", pod)
        made.start_hub()
        yield made


def test_a_job_waits_for_quota_and_is_admitted_as_the_hub_made_it(deployment: Queued) -> None:
    deployment.compete()
    deployment.begin(max_runtime_seconds=900)
    made = deployment.workers_job()
    deployment.wait_until_held(USED)
    for verb in ("show-job-details", "fetch-logs"):  # which wrap lines
        assert "".join(f"{WAITS}: {USED}".split()) in "".join(deployment.command(verb).split())
    assert deployment.done() == 0
    deployment.withdraw()
    deployment.assert_each_image_once()
    admitted = deployment.workers_job()
    changed = {"suspend": False, "template": admitted["spec"]["template"]}
    assert "activeDeadlineSeconds" in made["spec"]
    assert admitted["spec"] == made["spec"] | changed, "pods at once, deadline and failure policy are the hub's"
    placed = {"nodeSelector": {"kubernetes.io/hostname": deployment.place.cluster.node}}  # the flavor's
    assert admitted["spec"]["template"]["spec"] == made["spec"]["template"]["spec"] | placed


@pytest.mark.parametrize(
    ("take", "give_back", "why"),
    [
        (Queued.compete_urgently, Queued.withdraw, lambda _: USED),
        (Queued.hold, Queued.release, Queued.why_held),
    ],
    ids=["by a more urgent Job", "by a queue that is drained"],
)
def test_a_job_that_is_preempted_and_admitted_again_loses_and_doubles_nothing(
    deployment: Queued,
    take: Callable[[Queued], None],
    give_back: Callable[[Queued], None],
    why: Callable[[Queued], str],
) -> None:
    deployment.begin()
    job = deployment.workers_job()
    wait_until(lambda: deployment.done() >= 4, "the pods have done something", 120)
    assert WAITS not in deployment.told(), "the job waits no more"
    take(deployment)
    deployment.wait_until_held(why(deployment))
    assert deployment.done() < COUNT, "it was preempted in the middle"
    give_back(deployment)
    deployment.assert_each_image_once()
    same = deployment.workers_job()
    assert same["metadata"]["uid"] == job["metadata"]["uid"], "the hub leaves the Job to Kueue"
    assert same["status"].get("failed", 0) == 0, "a worker that was preempted has not failed"


def test_a_job_that_is_aborted_while_it_waits_leaves_the_queue(deployment: Queued) -> None:
    deployment.hold()
    deployment.begin()
    wait_until(deployment.workloads, "Kueue knows of the Job", 30)
    deployment.wait_until_held(deployment.why_held())
    deployment.command("abort-job")
    wait_until(lambda: deployment.workers_jobs() == [], "the Job is gone", 30)
    wait_until(lambda: deployment.workloads() == [], "nothing of it waits", 30)
