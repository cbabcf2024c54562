"""A release of the chart that serves with the real inference server, its hub, and clients that count what they get.

with serving(cluster, folder, namespace, pool) as served:
    with load_on(served) as counted:
        served.release.upgrade(served.with_new_pods())
    assert counted.failures == []
"""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import yaml
from PIL import Image, ImageDraw

from tests.charts.inference import inference_server
from tests.engines.cluster import Cluster
from tests.engines.engine import free_port, running, wait_until
from tests.engines.helm import Release
from visionfleet.config import load
from visionfleet.hub.keys import create_key
from visionfleet.projections.server import server_environment

QUICKSTART = Path(__file__).resolve().parents[2] / "examples" / "quickstart"
NAME = "acme-serving-cpu"
CLIENTS = 4
PAUSE_SECONDS = 0.2
ANSWER_SECONDS = 120  # a guard against what hangs: a slow answer is no failure


@dataclass(frozen=True)
class Serving:
    """A release with one pool, and its address."""

    cluster: Cluster
    release: Release
    values: dict[str, Any]
    key: str
    image: str  # base64

    @cached_property
    def url(self) -> str:
        """The pool's Service."""
        service = self.cluster.get("service", NAME, f"--namespace={self.release.namespace}")
        return f"http://{service['spec']['clusterIP']}:9001"

    def ask(self, client: httpx.Client, picture_url: str = "") -> httpx.Response:
        """Detect on one picture: what is at the URL, or the one that goes along."""
        image = {"type": "url", "value": picture_url} if picture_url else {"type": "base64", "value": self.image}
        body = {"model_id": "colour-cells/1", "api_key": self.key, "image": image}
        return client.post(f"{self.url}/infer/object_detection", json=body)

    def downloads(self) -> int:
        """How often the hub was asked for the content of a model's file."""
        route = r'method="GET",route="[^"]*/objects/[^"]*",status="20[06]"'
        counted = re.compile(rf"^visionfleet_hub_request_seconds_count\{{{route}\}} ([0-9]+)", re.MULTILINE)
        metrics = httpx.get(f"{self.values['hub']['url']}/metrics", timeout=ANSWER_SECONDS).text
        return sum(int(found) for found in counted.findall(metrics))

    def pods(self) -> list[str]:
        """Those that are not ending."""
        listed = self.cluster.get("pods", f"--namespace={self.release.namespace}", "--selector=visionfleet.io/pool=cpu")
        return [pod["metadata"]["name"] for pod in listed["items"] if "deletionTimestamp" not in pod["metadata"]]

    def with_new_pods(self) -> dict[str, Any]:
        """Values that differ in what the pods carry, so that each of them is replaced."""
        values = self.values["serving"]
        pool = values["pools"]["cpu"]
        changed = {**pool, "extra": {**pool["extra"], "podAnnotations": {"changed": "yes"}}}
        return {**self.values, "serving": {**values, "pools": {"cpu": changed}}}


@dataclass
class Counted:
    """What a client saw."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)


@contextmanager
def serving(
    cluster: Cluster,
    folder: Path,
    namespace: str,
    pool: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    **more: Any,
) -> Generator[Serving]:
    """Ready to answer, with these values of its pool, its servers and the chart; at the end nothing of it is left."""
    port = free_port()
    file = _deployment(folder, cluster.host_address, port)
    config = load(file)
    keys = {role: create_key(config, name=role, role=role)[1] for role in ("client", "server")}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "acme-keys", "namespace": namespace}}
    cluster.apply({**secret, "stringData": {"server": keys["server"]}})
    cache = folder / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    own = {
        **inference_server(cluster, namespace),
        "environment": {
            **server_environment(config, config.hub.public_url, Path("/cache")),
            "HOST": "0.0.0.0",
            **(environment or {}),
        },
        "models": ["colour-cells/1"],
        "resources": {"requests": {"cpu": "200m", "memory": "500Mi"}, "limits": {"memory": "3Gi"}},
        "cache": {"kind": "node", "path": str(cache)},
        "drainSeconds": 5,
    }
    values = {
        "deployment": {"name": "acme", "workspace": "acme"},
        "hub": {"enabled": False, "url": config.hub.public_url},
        "worker": {"enabled": False},
        "serving": {"key": {"name": "acme-keys", "key": "server"}, "pools": {"cpu": {**own, **(pool or {})}}},
        **more,
    }
    release = Release(cluster, "acme", namespace)
    command = [sys.executable, "-m", "visionfleet", "hub", "serve", "--file", str(file)]
    with running(command, folder / "hub.log"):
        wait_until(lambda: _answers(f"{config.hub.public_url}/readyz"), "the hub is ready")
        release.upgrade(values)
        yield Serving(cluster, release, values, keys["client"], base64.b64encode(picture()).decode())
        release.uninstall()
        left = cluster.get("all", f"--namespace={namespace}")["items"]
        assert [each["kind"] for each in left if "deletionTimestamp" not in each["metadata"]] == []


@contextmanager
def load_on(serving: Serving, clients: int = CLIENTS, picture_url: str = "") -> Generator[Counted]:
    """Clients that ask again and again, each request by a connection of its own."""
    counted, stop, lock = Counted(), threading.Event(), threading.Lock()

    def ask() -> None:
        with httpx.Client(timeout=ANSWER_SECONDS, limits=httpx.Limits(max_keepalive_connections=0)) as client:
            while not stop.is_set():
                try:
                    status = serving.ask(client, picture_url).status_code
                    said = "" if status == 200 else str(status)
                except httpx.HTTPError as error:
                    said = repr(error)
                with lock:
                    counted.answered += not said
                    counted.failures += [said] if said else []
                stop.wait(PAUSE_SECONDS)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield counted
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def picture() -> bytes:
    """Squares in two colours, that the generated model knows."""
    image = Image.new("RGB", (320, 320), "black")
    draw = ImageDraw.Draw(image)
    draw.rectangle((40, 40, 140, 140), fill="red")
    draw.rectangle((180, 180, 280, 280), fill="blue")
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def _deployment(folder: Path, host: str, port: int) -> Path:
    """The quickstart's deployment, with a hub that pods reach."""
    shutil.copytree(QUICKSTART, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("state"))
    make = [sys.executable, str(folder / "make_model.py"), str(folder / "models" / "colour-cells")]
    subprocess.run(make, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    file = folder / "visionfleet.yaml"
    content = yaml.safe_load(file.read_text())
    content["workspace"] = "acme"
    content["hub"] = {"host": host, "port": port}
    file.write_text(yaml.safe_dump(content))
    return file


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
