"""examples/cluster on a real cluster: hub and workers in pods, PostgreSQL and S3 on this machine.

    with deployed(cluster, folder, "acme") as acme:
        acme.rf_cloud("batch-processing", "list-jobs")  # the unmodified command line
        acme.upgrade({"hub": {"replicas": 1}}); acme.release.rollback()

What a user would type is what runs: `hub publish`, `render helm`, `helm upgrade --install`. The file is the example's,
with less for each pod, as there is one node of two cores; the images are those that tests make.
"""

from __future__ import annotations

import secrets
import shutil
import sys
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import httpx
import yaml

from tests.charts.inference import inference_server
from tests.charts.values import Values, merged
from tests.engines import postgresql, versitygw
from tests.engines.cluster import Cluster
from tests.engines.cluster.images import VISIONFLEET, visionfleet_image
from tests.engines.engine import printed
from tests.engines.helm import Release
from tests.engines.rf_cloud import COMMAND_SECONDS, rf_cloud
from tests.hub.support import JOBS

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "cluster"
BUCKET = "vision"
SMALL = {"cpus": 0.1, "memory_gb": 3}


@dataclass(frozen=True)
class Deployment:
    """A release whose pods are ready. `environment`: the variables that the file refers to, and the client's key."""

    cluster: Cluster
    release: Release
    folder: Path
    environment: Mapping[str, str]
    client_key: str
    server: Values
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=120))

    @property
    def namespace(self) -> str:
        """That the release is in."""
        return self.release.namespace

    @cached_property
    def url(self) -> str:
        """The hub's Service, by its address."""
        return f"http://{self.address('vision-hub')}:9500"

    def address(self, service: str) -> str:
        """The address of a Service."""
        return self.cluster.get("service", service, f"--namespace={self.namespace}")["spec"]["clusterIP"]

    def visionfleet(self, *arguments: str) -> str:
        """What `visionfleet` prints, in the folder of the file."""
        command = [sys.executable, "-m", "visionfleet", *arguments]
        return printed(command, self.environment, self.folder, COMMAND_SECONDS)

    def rf_cloud(self, *arguments: str) -> str:
        """What the unmodified `inference rf-cloud` prints."""
        return rf_cloud(self.url, self.client_key, *arguments)

    def upgrade(self, changes: Values | None = None) -> None:
        """Bring the release to the file as it is now, and the changes on top of its values."""
        self.visionfleet("hub", "publish")
        values = yaml.safe_load(self.visionfleet("render", "helm"))
        self.release.upgrade(merged(values, merged(self._own(values), changes or {})))

    def pods(self, component: str) -> list[dict[str, Any]]:
        """Those of a component that have not ended, and are not about to."""
        selector = f"--selector=app.kubernetes.io/instance=vision,app.kubernetes.io/component={component}"
        found = self.cluster.get("pods", f"--namespace={self.namespace}", selector)["items"]
        alive = [pod for pod in found if pod["status"]["phase"] in ("Pending", "Running")]
        return [pod for pod in alive if "deletionTimestamp" not in pod["metadata"]]

    def jobs(self) -> list[dict[str, Any]]:
        """The Jobs of workers."""
        selector = "--selector=app.kubernetes.io/managed-by=visionfleet-hub"
        return self.cluster.get("jobs", f"--namespace={self.namespace}", selector)["items"]

    def ask(self, path: str, **query: str) -> dict[str, Any]:
        """What the hub answers a client."""
        answer = self.http.get(f"{self.url}{path}", params={**query, "api_key": self.client_key})
        assert answer.status_code == 200, answer.text
        return cast("dict[str, Any]", answer.json())

    def abort(self, job: str) -> None:
        """End a batch job at once."""
        answer = self.http.post(f"{self.url}{JOBS}/{job}/abort", params={"api_key": self.client_key})
        assert answer.status_code == 200, answer.text

    def _own(self, values: Values) -> Values:
        """Images and mounts of the tests."""
        repository, tag = VISIONFLEET.split(":")
        templates = values.get("worker", {}).get("templates", {})
        pools = values.get("serving", {}).get("pools", {})
        return {
            "image": {"repository": repository, "tag": tag},
            "worker": {"templates": {kind: {"server": self.server} for kind in templates}},
            "serving": {"pools": {name: {**self.server, "drainSeconds": 5} for name in pools}},
        }


@contextmanager
def deployed(cluster: Cluster, folder: Path, namespace: str, sections: Values | None = None) -> Generator[Deployment]:
    """The example in a namespace, gone at the end. `sections` are merged into its file."""
    with ExitStack() as running:
        database = running.enter_context(postgresql.serving(cluster.host_address))
        storage = running.enter_context(versitygw.serving(folder / "s3", cluster.host_address))
        storage.make_bucket(BUCKET)
        hub = {
            "DATABASE_URL": database.create("hub"),
            "SIGNING_KEY": secrets.token_hex(32),
            "S3_KEY_ID": versitygw.KEY_ID,
            "S3_KEY": versitygw.SECRET,
        }
        keys = {name: secrets.token_hex(32) for name in ("server", "worker", "client-office")}
        cluster.namespace(namespace)
        cluster.apply(_secret(namespace, "vision-hub", hub), _secret(namespace, "vision-keys", keys))
        cluster.load_image(visionfleet_image())
        file = _write_file(folder, merged(_sections(storage.endpoint), sections or {}))
        made = Deployment(
            cluster=cluster,
            release=Release(cluster, "vision", namespace),
            folder=file.parent,
            environment=hub,
            client_key=keys["client-office"],
            server=inference_server(cluster, namespace),
        )
        running.callback(made.http.close)
        made.upgrade()
        yield made


def _sections(endpoint: str) -> Values:
    return {
        "hub": {"s3": {"endpoint": endpoint, "region": versitygw.REGION}},
        "serverless": {"workers": {"cpu": SMALL}},
    }


def _write_file(folder: Path, sections: Values) -> Path:
    """The example's folder, with other sections."""
    place = folder / "deployment"
    shutil.copytree(EXAMPLE, place)
    file = place / "visionfleet.yaml"
    content = merged(yaml.safe_load(file.read_text()), sections)
    content["serverless"]["serving"] = [{**pool, **SMALL} for pool in content["serverless"]["serving"]]
    file.write_text(yaml.safe_dump(content))
    return file


def _secret(namespace: str, name: str, content: Mapping[str, str]) -> Values:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(content)}
