"""Serving by the chart, on a real cluster with the real inference server: it answers, and updates drop no request."""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from PIL import Image, ImageDraw

from tests.charts.inference import inference_server
from tests.engines.cluster import Cluster
from tests.engines.engine import free_port, running, wait_until
from tests.engines.helm import Release
from visionfleet.config import load
from visionfleet.hub.keys import create_key
from visionfleet.projections.server import server_environment

pytestmark = pytest.mark.engine

QUICKSTART = Path(__file__).resolve().parents[2] / "examples" / "quickstart"
CLIENTS = 4


@dataclass(frozen=True)
class Serving:
    """A release with one pool, and its address."""

    cluster: Cluster
    release: Release
    values: dict[str, Any]
    key: str
    image: str  # base64

    @property
    def url(self) -> str:
        service = self.cluster.get("service", "acme-serving-cpu", f"--namespace={self.release.namespace}")
        return f"http://{service['spec']['clusterIP']}:9001"

    def ask(self, client: httpx.Client) -> httpx.Response:
        """Detect on one picture."""
        body = {"model_id": "colour-cells/1", "api_key": self.key, "image": {"type": "base64", "value": self.image}}
        return client.post(f"{self.url}/infer/object_detection", json=body)

    def pods(self) -> list[str]:
        """Those that are not ending."""
        listed = self.cluster.get("pods", f"--namespace={self.release.namespace}", "--selector=visionfleet.io/pool=cpu")
        return [pod["metadata"]["name"] for pod in listed["items"] if "deletionTimestamp" not in pod["metadata"]]


@dataclass
class Counted:
    """What a client saw."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def serving(real_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("deployment")
    port = free_port()
    file = _deployment(folder, real_cluster.host_address, port)
    config = load(file)
    keys = {role: create_key(config, name=role, role=role)[1] for role in ("client", "server")}
    namespace = real_cluster.namespace("serving")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "acme-keys", "namespace": namespace}}
    real_cluster.apply({**secret, "stringData": {"server": keys["server"]}})
    cache = folder / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    values = {
        "deployment": {"name": "acme", "workspace": "acme"},
        "hub": {"enabled": False, "url": config.hub.public_url},
        "worker": {"enabled": False},
        "serving": {
            "key": {"name": "acme-keys", "key": "server"},
            "pools": {
                "cpu": {
                    **inference_server(real_cluster, namespace),
                    "environment": {
                        **server_environment(config, config.hub.public_url, Path("/cache")),
                        "HOST": "0.0.0.0",
                    },
                    "models": ["colour-cells/1"],
                    "resources": {"requests": {"cpu": "200m", "memory": "500Mi"}, "limits": {"memory": "3Gi"}},
                    "cache": {"kind": "node", "path": str(cache)},
                    "drainSeconds": 5,
                }
            },
        },
    }
    release = Release(real_cluster, "acme", namespace)
    command = [sys.executable, "-m", "visionfleet", "hub", "serve", "--file", str(file)]
    with running(command, folder / "hub.log"):
        wait_until(lambda: _answers(f"{config.hub.public_url}/readyz"), "the hub is ready")
        release.upgrade(values)
        yield Serving(real_cluster, release, values, keys["client"], _picture())
        release.uninstall()
        left = real_cluster.get("all", f"--namespace={namespace}")["items"]
        assert [each["kind"] for each in left if "deletionTimestamp" not in each["metadata"]] == []


def test_a_pod_serves_a_model_of_the_hub(serving: Serving) -> None:
    with httpx.Client(timeout=60) as client:
        answer = serving.ask(client)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"], "the picture has something on it"


def test_an_update_and_a_rollback_under_load_drop_no_request(serving: Serving) -> None:
    before = serving.pods()
    pool = serving.values["serving"]["pools"]["cpu"]
    changed = {**pool, "extra": {**pool["extra"], "podAnnotations": {"changed": "yes"}}}
    with load_on(serving) as counted:
        serving.release.upgrade({**serving.values, "serving": {**serving.values["serving"], "pools": {"cpu": changed}}})
        between = serving.pods()
        serving.release.rollback()
        time.sleep(2)
    assert counted.failures == []
    assert counted.answered > CLIENTS
    assert not set(before) & set(between), "every pod was replaced"


def test_a_pod_that_is_deleted_ends_what_it_has_begun_and_another_serves_on(serving: Serving) -> None:
    [pod] = serving.pods()
    serving.cluster.kubectl("delete", "pod", pod, f"--namespace={serving.release.namespace}", "--wait=false")
    wait_until(lambda: serving.pods() not in ([pod], []), "another pod is there")
    deployment = ("rollout", "status", "deployment/acme-serving-cpu", f"--namespace={serving.release.namespace}")
    serving.cluster.kubectl(*deployment, "--timeout=180s")
    with httpx.Client(timeout=60) as client:
        assert serving.ask(client).status_code == 200


@contextmanager
def load_on(serving: Serving) -> Iterator[Counted]:
    """Some clients that ask without a pause, each request by a connection of its own."""
    counted, stop, lock = Counted(), threading.Event(), threading.Lock()

    def ask() -> None:
        while not stop.is_set():
            try:
                with httpx.Client(timeout=60) as client:
                    status = serving.ask(client).status_code
                said = "" if status == 200 else str(status)
            except httpx.HTTPError as error:
                said = repr(error)
            with lock:
                counted.answered += not said
                counted.failures += [said] if said else []
            stop.wait(0.2)

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield counted
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _deployment(folder: Path, host: str, port: int) -> Path:
    """The quickstart's deployment, with a hub that pods reach."""
    shutil.copytree(QUICKSTART, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("state"))
    make = [sys.executable, str(folder / "make_model.py"), str(folder / "models" / "colour-cells")]
    subprocess.run(make, check=True, capture_output=True)
    file = folder / "visionfleet.yaml"
    content = yaml.safe_load(file.read_text())
    content["workspace"] = "acme"
    content["hub"] = {"host": host, "port": port}
    file.write_text(yaml.safe_dump(content))
    return file


def _picture() -> str:
    """Squares in two colours, that the generated model knows."""
    image = Image.new("RGB", (320, 320), "black")
    draw = ImageDraw.Draw(image)
    draw.rectangle((40, 40, 140, 140), fill="red")
    draw.rectangle((180, 180, 280, 280), fill="blue")
    content = io.BytesIO()
    image.save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
