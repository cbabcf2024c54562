"""`visionfleet hub publish` and `visionfleet hub fetch` with a real server of S3's API, and in a real pod."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.engines import versitygw
from tests.engines.cluster import Cluster
from tests.engines.cluster.images import visionfleet_image
from tests.engines.engine import wait_until
from tests.engines.versitygw import VersityGW

pytestmark = pytest.mark.engine

ACME = Path(__file__).parents[2] / "examples" / "acme"
BUCKET = "vision"
POD_SECONDS = 360


@pytest.fixture
def file(tmp_path: Path) -> Path:
    shutil.copytree(ACME, tmp_path / "acme")
    return tmp_path / "acme" / "visionfleet.yaml"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VersityGW]:
    with versitygw.serving(tmp_path / "s3") as server:
        server.make_bucket(BUCKET)
        yield server


def variables(endpoint: str, **others: str) -> dict[str, str]:
    """What names the storage to both commands."""
    found = {
        "URL": f"s3://{BUCKET}/hub",
        "ENDPOINT": endpoint,
        "REGION": versitygw.REGION,
        "ACCESS_KEY_ID": versitygw.KEY_ID,
        "SECRET_ACCESS_KEY": versitygw.SECRET,
    }
    return {f"VISIONFLEET_STORAGE_{name}": value for name, value in (found | others).items()}


def hub(environment: Mapping[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "visionfleet", "hub", *map(str, arguments)]
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=360,
        check=False,
    )


def published(server: VersityGW, file: Path) -> str:
    done = hub(variables(server.endpoint), "publish", "--file", file)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_bucket_that_is_not_there_yet_is_waited_for(server: VersityGW, file: Path, tmp_path: Path) -> None:
    digest = published(server, file)
    server.stop()
    command = [sys.executable, "-m", "visionfleet", "hub", "fetch", "--digest", digest, "--to", str(tmp_path / "pod")]
    environment = {**os.environ, **variables(server.endpoint)}
    log = tmp_path / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment, stderr=output) as fetch,
    ):
        with pytest.raises(subprocess.TimeoutExpired):
            fetch.wait(5)
        server.start()
        assert fetch.wait(360) == 0, log.read_text()
    assert (tmp_path / "pod/visionfleet.yaml").read_bytes() == file.read_bytes()


def test_a_key_that_is_refused_ends_it_at_once_and_is_not_repeated(
    server: VersityGW, file: Path, tmp_path: Path
) -> None:
    digest = published(server, file)
    wrong = variables(server.endpoint, SECRET_ACCESS_KEY="not-the-secret")
    for arguments in (("publish", "--file", file), ("fetch", "--digest", digest, "--to", tmp_path / "pod")):
        done = hub(wrong, *arguments)
        assert done.returncode == 1
        assert "SignatureDoesNotMatch" in done.stderr
        assert "not-the-secret" not in done.stderr + done.stdout
    assert not (tmp_path / "pod").exists()


def test_a_pod_without_any_right_gets_the_folder(real_cluster: Cluster, file: Path, tmp_path: Path) -> None:
    """`restricted`: a user of no privileges, a root file system that is read-only, an emptyDir to fill."""
    real_cluster.load_image(visionfleet_image())
    namespace = real_cluster.namespace("fetch")
    with versitygw.serving(tmp_path / "s3", real_cluster.host_address) as server:
        server.make_bucket(BUCKET)
        digest = published(server, file)
        real_cluster.apply(pod(namespace, digest, variables(server.endpoint)))
        ended = ("Succeeded", "Failed")
        wait_until(lambda: status(real_cluster, namespace)["phase"] in ended, "the pod has ended", POD_SECONDS)
    logs = real_cluster.run_kubectl("logs", "fetched", f"--namespace={namespace}", "--all-containers").stdout
    assert status(real_cluster, namespace)["phase"] == "Succeeded", logs
    assert "is valid: deployment 'acme-vision'" in logs


def status(cluster: Cluster, namespace: str) -> dict[str, Any]:
    return cluster.get("pod", "fetched", f"--namespace={namespace}")["status"]


def pod(namespace: str, digest: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Fetches the deployment, and then looks whether the hub could start with it."""
    container = {
        "image": "visionfleet:test",
        "imagePullPolicy": "Never",
        "volumeMounts": [{"name": "deployment", "mountPath": "/deployment"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    fetch = {
        **container,
        "name": "fetch",
        "args": ["hub", "fetch", "--digest", digest, "--to", "/deployment"],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "fetched", "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "initContainers": [fetch],
            "containers": [{**container, "name": "look", "args": ["validate", "/deployment/visionfleet.yaml"]}],
            "volumes": [{"name": "deployment", "emptyDir": {}}],
        },
    }
