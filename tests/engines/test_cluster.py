"""The real cluster of the tests does what they rely on: pods run, names answer, KEDA scales, and nothing stays."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.engines.cluster import Cluster
from tests.engines.cluster.images import CHECKOUT, VISIONFLEET, Image, layer, python_image, visionfleet_image
from tests.engines.cluster.kwok import FAKE_PLACEMENT, fake_nodes
from tests.engines.engine import wait_until
from tests.engines.prometheus import pods, prometheus, query

pytestmark = pytest.mark.engine

PYTHON = "python:test"
SERVE = """
import sys
from http.server import HTTPServer, SimpleHTTPRequestHandler
server = HTTPServer((sys.argv[1], int(sys.argv[2])), SimpleHTTPRequestHandler)
print(server.server_port, flush=True)
server.serve_forever()
"""
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=60).status)"
METRICS = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Metrics(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"load 4\\n")
HTTPServer(("", 8000), Metrics).serve_forever()
"""
RUN_A_POD = """
import signal, sys
from pathlib import Path
from tests.engines.cluster import cluster
from tests.engines.cluster.node import PAUSE
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have what they run in the background ignore it
with cluster(Path(sys.argv[1])) as c:
    c.kubectl("run", "idle", f"--image={PAUSE}")
    c.kubectl("wait", "pod/idle", "--for=condition=Ready", "--timeout=300s")
    print(c.worker.machine.pid, c.plane.network.link, flush=True)
    input()
"""
PARTS = {"containerd-shim-runc-v2", "etcd", "kube-apiserver", "kubelet", "sleep"}
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@pytest.fixture(scope="module")
def python(real_cluster: Cluster) -> str:
    """The name of an image with Python, which the node has."""
    real_cluster.load_image(python_image(PYTHON, entrypoint=["/usr/bin/python3", "-c"]))
    return PYTHON


def pod_spec(image: str, *arguments: str) -> dict[str, Any]:
    """One container, as the level `restricted` wants it."""
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "main", "image": image, "args": list(arguments), "securityContext": RESTRICTED}],
    }


def pod(name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A pod that is found by its name."""
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def output(cluster: Cluster, namespace: str, name: str) -> str:
    """What a pod has printed, once it has succeeded."""

    def ended() -> bool:
        return cluster.get("pod", name, f"--namespace={namespace}")["status"]["phase"] in ("Succeeded", "Failed")

    wait_until(ended, f"pod {name} ends", 300)
    said = cluster.kubectl("logs", name, f"--namespace={namespace}")
    assert cluster.get("pod", name, f"--namespace={namespace}")["status"]["phase"] == "Succeeded", said
    return said


@pytest.mark.cluster
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_stays_of_a_cluster_whose_test_is_ended(how: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN_A_POD, str(tmp_path / "cluster")]
    with subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as test:
        assert test.stdout is not None
        first, link_name = test.stdout.readline().split()
        # another run's cluster may come right after, with the same names
        link = Path("/sys/class/net", link_name, "ifindex")
        processes = [*inside_of_machine(int(first)), *psutil.Process(test.pid).children(recursive=True)]
        number = link.read_text()
        assert set(names(processes)) >= PARTS
        test.send_signal(how)
        test.wait(180)
    assert test.returncode == -how, "it has found nothing that it could not remove"
    wait_until(lambda: not any(each.is_running() for each in processes), "all processes end")
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert not link.exists() or link.read_text() != number


def names(processes: Iterable[psutil.Process]) -> Iterator[str]:
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # one that does a moment's work
            yield process.name()


def inside_of_machine(first: int) -> list[psutil.Process]:
    """The processes in the namespace of a machine's first process: shims of containers are nobody's children."""
    space = Path(f"/proc/{first}/ns/pid").readlink()
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(OSError):  # it has ended meanwhile
            if Path(f"/proc/{process.pid}/ns/pid").readlink() == space:
                found.append(process)
    return found


def test_an_indexed_job_runs_each_index_once(real_cluster: Cluster, python: str) -> None:
    namespace = real_cluster.namespace("indexed")
    template = {"spec": pod_spec(python, "import os; print(os.environ['JOB_COMPLETION_INDEX'])")}
    spec = {"completions": 4, "parallelism": 4, "completionMode": "Indexed", "template": template}
    metadata = {"name": "four", "namespace": namespace}
    real_cluster.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
    real_cluster.kubectl("wait", "job/four", "--for=condition=Complete", "--timeout=300s", f"--namespace={namespace}")
    said = real_cluster.kubectl("logs", "--selector=job-name=four", f"--namespace={namespace}")
    assert sorted(said.split()) == ["0", "1", "2", "3"]


def test_a_service_answers_by_its_name_from_a_pod_and_by_its_address_from_here(
    real_cluster: Cluster, python: str
) -> None:
    namespace = real_cluster.namespace("named")
    ports = [{"port": 80, "targetPort": 8000}]
    service = {"selector": {"app": "server"}, "ports": ports}
    metadata = {"name": "web", "namespace": namespace}
    real_cluster.apply(
        pod("server", namespace, pod_spec(python, SERVE, "", "8000")),
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
    )
    real_cluster.kubectl("wait", "pod/server", "--for=condition=Ready", "--timeout=300s", f"--namespace={namespace}")
    real_cluster.apply(pod("client", namespace, pod_spec(python, FETCH, f"http://web.{namespace}.svc:80/")))
    assert output(real_cluster, namespace, "client") == "200\n"
    address = real_cluster.get("service", "web", f"--namespace={namespace}")["spec"]["clusterIP"]
    done = subprocess.run(
        ["python3", "-c", FETCH, f"http://{address}/"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "200\n", done.stderr


def test_a_pod_reaches_a_server_of_this_machine(real_cluster: Cluster, python: str) -> None:
    namespace = real_cluster.namespace("outward")
    command = ["python3", "-c", SERVE, real_cluster.host_address, "0"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        url = f"http://{real_cluster.host_address}:{port}/"
        real_cluster.apply(pod("client", namespace, pod_spec(python, FETCH, url)))
        try:
            assert output(real_cluster, namespace, "client") == "200\n"
        finally:
            server.terminate()


def test_visionfleet_runs_restricted_and_shows_a_changed_source(real_cluster: Cluster, tmp_path: Path) -> None:
    namespace = real_cluster.namespace("ours")
    image = visionfleet_image()
    real_cluster.load_image(image)
    (tmp_path / "more.txt").write_text("changed")
    more = Image("visionfleet:more", [*image.layers, layer([(tmp_path, "/opt/more")])], image.settings)
    started = time.monotonic()
    real_cluster.load_image(more)
    assert time.monotonic() - started < 5, "layers that the node has are not loaded again"
    real_cluster.apply(pod("help", namespace, pod_spec(VISIONFLEET, "--help")))
    assert "Roboflow Inference on infrastructure that you own" in output(real_cluster, namespace, "help")


def test_a_namespace_refuses_a_pod_that_may_do_more_than_restricted(real_cluster: Cluster) -> None:
    namespace = real_cluster.namespace("refusing")
    privileged = pod("root", namespace, {"containers": [{"name": "main", "image": PYTHON}]})
    done = real_cluster.run_kubectl("apply", "--filename=-", input=json.dumps(privileged))
    assert done.returncode != 0
    assert 'violates PodSecurity "restricted:latest"' in done.stderr


def test_fake_nodes_take_the_pods_that_are_meant_for_them(real_cluster: Cluster) -> None:
    namespace = real_cluster.namespace("fake")
    spec = {"template": {"spec": {**pod_spec("nobody/runs:this"), **FAKE_PLACEMENT}}}
    metadata = {"name": "many", "namespace": namespace}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata}
    with fake_nodes(real_cluster, 20):
        real_cluster.apply({**job, "spec": {**spec, "completions": 50, "parallelism": 50}})
        complete = ("--for=condition=Complete", "--timeout=300s", f"--namespace={namespace}")
        real_cluster.kubectl("wait", "job/many", *complete)
        made = real_cluster.get("pods", f"--namespace={namespace}")["items"]
        assert len(made) == 50
        assert all(each["spec"]["nodeName"].startswith("fake-") for each in made)
    assert [each["metadata"]["name"] for each in real_cluster.get("nodes")["items"]] == [real_cluster.node]


def test_keda_scales_by_what_prometheus_has_scraped_from_pods(keda: Cluster, python: str, tmp_path: Path) -> None:
    namespace = keda.namespace("scaled")
    spec: dict[str, Any] = {**pod_spec(python, METRICS), "restartPolicy": "Always"}
    spec["containers"][0]["ports"] = [{"name": "http", "containerPort": 8000}]
    labels = {"app": "busy"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    busy = {"selector": {"matchLabels": labels}, "template": template}
    with (
        pods(keda, namespace, "http") as job,
        prometheus(tmp_path / "prometheus", keda.host_address, [job]) as url,
    ):
        metadata = {"serverAddress": url, "query": f'sum(load{{namespace="{namespace}"}})', "threshold": "2"}
        trigger = {"type": "prometheus", "metadata": metadata}
        counts = {"minReplicaCount": 1, "maxReplicaCount": 2}
        scaled = {**counts, "scaleTargetRef": {"name": "busy"}, "pollingInterval": 2, "triggers": [trigger]}
        where = {"name": "busy", "namespace": namespace}
        keda.apply(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": where, "spec": busy},
            {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": where, "spec": scaled},
        )
        ready = "--for=jsonpath={.status.readyReplicas}=2"
        keda.kubectl("wait", "deployment/busy", ready, "--timeout=300s", f"--namespace={namespace}")
        assert {each["metric"]["namespace"] for each in query(url, "load")} == {namespace}
        keda.kubectl("delete", "scaledobject/busy", f"--namespace={namespace}")
