"""A job in a queue of Kueue's on a real cluster, by the unmodified command line: held, admitted, preempted, admitted.

Kueue's controller is stood in for by what it does to a Job: it sets and takes back `suspend`. The cluster then does as
it does for Kueue: it ends the pods of a suspended Job, and makes new ones for a Job that is resumed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.engines.cluster import Cluster
from tests.engines.engine import wait_until
from tests.hub.executor.place import Place, load_images, working_pod
from tests.hub.executor.test_pods import COUNT, Deployment

pytestmark = pytest.mark.engine

QUEUE = "team-a"
WAITS = f"waits in the queue '{QUEUE}' until Kueue admits it"


class Queued(Deployment):
    """A deployment whose Jobs wait in a queue; what Kueue would do to the one Job."""

    def admit(self) -> None:
        self._patch({"suspend": False})

    def preempt(self) -> None:
        self._patch({"suspend": True})

    def _patch(self, spec: Mapping[str, Any]) -> None:
        [job] = self.place.jobs()
        self.place.kubectl("patch", "job", job["metadata"]["name"], f"--patch={json.dumps({'spec': spec})}")

    def wait_until_held(self) -> None:
        """No pod is there, and the job says what it waits for."""
        wait_until(lambda: self.place.pods() == [], "no pod is there", 60)
        wait_until(lambda: self.job("j1")["lastNotification"] == WAITS, "the job says that it waits", 60)


@pytest.fixture(scope="module")
def images(real_cluster: Cluster) -> None:
    load_images(real_cluster)


@pytest.fixture
def deployment(place: Place, images: None, tmp_path: Path) -> Iterator[Queued]:
    with Queued(place, tmp_path, queue=QUEUE) as made:
        place.template("cpu", working_pod(made.url, delay=1.5))
        made.start_hub()
        yield made


def test_a_job_in_a_queue_is_a_suspended_job_that_says_why_nothing_runs(deployment: Queued) -> None:
    deployment.begin()
    wait_until(deployment.place.jobs, "the Job is made", 30)
    [job] = deployment.place.jobs()
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == QUEUE
    deployment.wait_until_held()
    for verb in ("show-job-details", "fetch-logs"):  # which wrap lines
        assert "".join(WAITS.split()) in "".join(deployment.command(verb).split())
    assert deployment.done() == 0


def test_a_job_that_is_preempted_and_admitted_again_loses_and_doubles_nothing(deployment: Queued) -> None:
    deployment.begin()
    wait_until(deployment.place.jobs, "the Job is made", 30)
    [job] = deployment.place.jobs()
    deployment.admit()
    wait_until(lambda: deployment.done() >= 4, "the pods have done something", 120)
    wait_until(lambda: WAITS not in deployment.job("j1")["lastNotification"], "the job waits no more")
    deployment.preempt()
    deployment.wait_until_held()
    before = deployment.done()
    assert before < COUNT, "it was suspended in the middle"
    deployment.admit()
    deployment.assert_each_image_once()
    [same] = deployment.place.jobs()
    assert same["metadata"]["uid"] == job["metadata"]["uid"], "the hub leaves the Job to Kueue"
    assert same["status"].get("failed", 0) == 0, "a worker that was preempted has not failed"


def test_a_job_that_is_aborted_while_it_waits_leaves_the_queue(deployment: Queued) -> None:
    deployment.begin()
    wait_until(deployment.place.jobs, "the Job is made", 30)
    deployment.command("abort-job")
    wait_until(lambda: deployment.place.jobs() == [], "the Job is gone", 30)
