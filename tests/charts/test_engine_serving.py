"""Serving by the chart, on a real cluster with the real inference server: it answers, and updates drop no request."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.charts.serving import ANSWER_SECONDS, CLIENTS, NAME, Serving, load_on, serving
from tests.engines.cluster import Cluster
from tests.engines.engine import wait_until

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def served(real_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    namespace = real_cluster.namespace("serving")
    with serving(real_cluster, tmp_path_factory.mktemp("deployment"), namespace) as made:
        yield made


def test_a_pod_serves_a_model_of_the_hub(served: Serving) -> None:
    with httpx.Client(timeout=ANSWER_SECONDS) as client:
        answer = served.ask(client)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"], "the picture has something on it"


def test_an_update_and_a_rollback_under_load_drop_no_request(served: Serving) -> None:
    before = served.pods()
    with load_on(served) as counted:
        served.release.upgrade(served.with_new_pods())
        between = served.pods()
        served.release.rollback()
        time.sleep(2)
    assert counted.failures == []
    assert counted.answered > CLIENTS
    assert not set(before) & set(between), "every pod was replaced"


def test_a_pod_that_is_deleted_ends_what_it_has_begun_and_another_serves_on(served: Serving) -> None:
    """Of a warm node: the models are there, and none is fetched again."""
    [pod] = served.pods()
    before = served.downloads()
    assert before > 0, "the first pod has fetched them"
    served.cluster.kubectl("delete", "pod", pod, f"--namespace={served.release.namespace}", "--wait=false")
    wait_until(lambda: served.pods() not in ([pod], []), "another pod is there")
    deployment = ("rollout", "status", f"deployment/{NAME}", f"--namespace={served.release.namespace}")
    served.cluster.kubectl(*deployment, "--timeout=540s")
    with httpx.Client(timeout=ANSWER_SECONDS) as client:
        assert served.ask(client).status_code == 200
    assert served.downloads() == before
