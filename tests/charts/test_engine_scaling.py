"""A pool that KEDA scales by the requests that Prometheus has seen in flight, with the real inference server.

It is the chart's own ScaledObject. Of what it asks for in production, only the window on the way down is shorter here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.charts.serving import NAME, Serving, load_on, picture, serving
from tests.engines.cluster import Cluster
from tests.engines.engine import running, wait_until
from tests.engines.prometheus import pods, prometheus

pytestmark = pytest.mark.engine

NAMESPACE = "scaling"
MOST = 3
# Pictures come from a slow store: requests are in flight, and this machine has time for all the servers. Those that
# ended pods have answered do not count any more: there must be enough in the moment after an update.
CLIENTS = 12
STORE_SECONDS = 2
SCALE_SECONDS = 300  # several times what it takes: the machine may be busy
POOL = {
    # three servers, and a fourth during an update, share what this machine has
    "resources": {"requests": {"cpu": "100m", "memory": "500Mi"}, "limits": {"cpu": "1", "memory": "3Gi"}},
    "scaling": {"scaler": "keda", "min": 1, "max": MOST, "metric": "requests", "target": 1, "scaleDownSeconds": 5},
}
# the store is a server of this machine
ENVIRONMENT: dict[str, str] = dict.fromkeys(
    ("ALLOW_NON_HTTPS_URL_INPUT", "ALLOW_URL_INPUT_WITHOUT_FQDN", "ALLOW_URL_TO_NON_GLOBAL_ADDRESSES"), "True"
)


@pytest.fixture
def served(keda: Cluster, tmp_path: Path) -> Iterator[Serving]:
    namespace = keda.namespace(NAMESPACE)
    with pods(keda, namespace, "http") as found:
        # the Service's name is what a ServiceMonitor gives to what is behind it
        job = {**found, "relabel_configs": [{"target_label": "service", "replacement": NAME}]}
        with (
            prometheus(tmp_path / "prometheus", keda.host_address, [job]) as url,
            serving(
                keda, tmp_path / "deployment", namespace, POOL, ENVIRONMENT, monitoring={"prometheus": url}
            ) as made,
        ):
            yield made


@pytest.fixture
def store(keda: Cluster) -> Iterator[str]:
    """The URL of a picture that comes late."""

    class Store(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(STORE_SECONDS)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(picture())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's signature
            """Nobody reads it."""

    with ThreadingHTTPServer((keda.host_address, 0), Store) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{keda.host_address}:{server.server_port}/picture.png"
        server.shutdown()


def test_load_takes_serving_from_one_to_three_and_back_and_an_update_at_three_keeps_them_and_drops_no_request(
    served: Serving, store: str, tmp_path: Path
) -> None:
    with replicas(served, tmp_path / "replicas.log") as asked_for:
        with load_on(served, CLIENTS, store) as busy:
            wait_for(served, MOST)
            before, at = served.pods(), len(asked_for())
            served.release.upgrade(served.with_new_pods())
            after, during = served.pods(), asked_for()[at:]
        # a client that needs one replica alone, and meets those that are ending
        with load_on(served, clients=1) as idle:
            wait_for(served, 1)
            [left] = served.pods()
            gone = [f"pod/{each}" for each in after if each != left]
            served.cluster.kubectl("wait", *gone, "--for=delete", "--timeout=300s", f"--namespace={NAMESPACE}")
    assert busy.failures == []
    assert idle.failures == []
    assert busy.answered > CLIENTS
    assert idle.answered > 1
    assert len(before) == len(after) == MOST
    assert not set(before) & set(after), "every pod was replaced"
    assert set(during) == {MOST}, "an update sets no count where a scaler owns it"
    assert asked_for()[0] == 1, "it began with one"


@contextmanager
def replicas(served: Serving, log: Path) -> Generator[Callable[[], list[int]]]:
    """The counts that the Deployment was told: one for each time that anything of it has changed."""
    columns = "--output=jsonpath={.spec.replicas}{'\\n'}"
    command = ["kubectl", "get", f"deployment/{NAME}", f"--namespace={NAMESPACE}", "--watch", columns]

    def seen() -> list[int]:
        return [int(line) for line in log.read_text().splitlines()]

    with running(command, log, served.cluster.environment):
        wait_until(seen, "the Deployment is watched")
        yield seen


def wait_for(served: Serving, count: int) -> None:
    """Until so many replicas are asked for and are ready."""
    for path in ("{.spec.replicas}", "{.status.readyReplicas}"):
        condition = (f"--for=jsonpath={path}={count}", f"--timeout={SCALE_SECONDS}s")
        waited = served.cluster.run_kubectl("wait", f"deployment/{NAME}", *condition, f"--namespace={NAMESPACE}")
        assert waited.returncode == 0, f"not {count} replicas: {waited.stderr}{state(served.cluster)}"


def state(cluster: Cluster) -> str:
    """What a person would look at."""
    commands = (("describe", "hpa"), ("describe", f"scaledobject/{NAME}"), ("get", "pods"))
    return "\n".join(cluster.run_kubectl(*each, f"--namespace={NAMESPACE}").stdout for each in commands)
