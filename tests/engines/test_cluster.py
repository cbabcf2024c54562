"""The real cluster of the tests does what they rely on: pods run, names and Services answer, and nothing stays."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.engines.cluster import Cluster
from tests.engines.cluster.images import VISIONFLEET, Image, layer, python_image, visionfleet_image
from tests.engines.engine import wait_until

pytestmark = pytest.mark.engine

PYTHON = "python:test"
SERVE = """
import sys
from http.server import HTTPServer, SimpleHTTPRequestHandler
server = HTTPServer((sys.argv[1], int(sys.argv[2])), SimpleHTTPRequestHandler)
print(server.server_port, flush=True)
server.serve_forever()
"""
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).status)"
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

    wait_until(ended, f"pod {name} ends", 60)
    said = cluster.kubectl("logs", name, f"--namespace={namespace}")
    assert cluster.get("pod", name, f"--namespace={namespace}")["status"]["phase"] == "Succeeded", said
    return said


def test_an_indexed_job_runs_each_index_once(real_cluster: Cluster, python: str) -> None:
    namespace = real_cluster.namespace("indexed")
    template = {"spec": pod_spec(python, "import os; print(os.environ['JOB_COMPLETION_INDEX'])")}
    spec = {"completions": 4, "parallelism": 4, "completionMode": "Indexed", "template": template}
    metadata = {"name": "four", "namespace": namespace}
    real_cluster.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
    real_cluster.kubectl("wait", "job/four", "--for=condition=Complete", "--timeout=60s", f"--namespace={namespace}")
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
    real_cluster.kubectl("wait", "pod/server", "--for=condition=Ready", "--timeout=60s", f"--namespace={namespace}")
    real_cluster.apply(pod("client", namespace, pod_spec(python, FETCH, f"http://web.{namespace}.svc:80/")))
    assert output(real_cluster, namespace, "client") == "200\n"
    address = real_cluster.get("service", "web", f"--namespace={namespace}")["spec"]["clusterIP"]
    done = subprocess.run(["python3", "-c", FETCH, f"http://{address}/"], capture_output=True, text=True, check=False)
    assert done.stdout == "200\n", done.stderr


def test_a_pod_reaches_a_server_of_this_machine(real_cluster: Cluster, python: str) -> None:
    namespace = real_cluster.namespace("outward")
    command = ["python3", "-c", SERVE, real_cluster.host_address, "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
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
