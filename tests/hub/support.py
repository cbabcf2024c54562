"""What the hub's tests say and send: the API with a key of each role, pictures, archives, jobs."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import event

from tests.engines import versitygw
from tests.engines.versitygw import VersityGW
from visionfleet.config import DeploymentConfig, load
from visionfleet.hub.context import Hub
from visionfleet.hub.runner import run_next
from visionfleet.hub.staging.arrivals import Arrivals

WORKSPACE = "acme"
STAGING = f"/data-staging/v1/external/{WORKSPACE}/batches"
JOBS = f"/batch-processing/v1/external/{WORKSPACE}/jobs"

WORKFLOW = {
    "version": "1.0",
    "inputs": [
        {"type": "WorkflowImage", "name": "image"},
        {"type": "WorkflowParameter", "name": "threshold", "default_value": 10},
    ],
    "steps": [{"type": "roboflow_core/convert_grayscale@v1", "name": "grey", "image": "$inputs.image"}],
    "outputs": [{"type": "JsonField", "name": "grey", "coordinates_system": "own", "selector": "$steps.grey.image"}],
}


EMBEDDED = pytest.mark.parametrize("kind", ["embedded"], indirect=True)
"""For what SQLite alone, or links of the hub's own, can show."""

SERVED = pytest.mark.parametrize("kind", [pytest.param("served", marks=pytest.mark.engine)], indirect=True)
"""For what PostgreSQL or a bucket alone can show."""


class Clock:
    """Seconds since the epoch, as far as the hub knows."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Api:
    """The hub's HTTP API with a key of each role."""

    client: TestClient
    hub: Hub
    client_key: str
    worker_key: str
    server_key: str
    device_key: str
    fleet_key: str

    def get(self, path: str, **params: Any) -> Any:
        return self.client.get(path, params={"api_key": self.client_key, **params})

    def post(self, path: str, json: Any = None, **params: Any) -> Any:
        return self.client.post(path, params={"api_key": self.client_key, **params}, json=json)

    def upload(self, batch: str, name: str, data: bytes) -> Any:
        params = {"api_key": self.client_key, "fileName": name, "displayName": batch}
        return self.client.post(f"{STAGING}/{batch}/upload/image", params=params, files={name: data})

    def upload_shard(self, batch: str, archive: bytes) -> str:
        """Register a shard and PUT its archive, as the command line does; gives the shard's id."""
        answer = self.post(f"{STAGING}/{batch}/bulk-upload/image-files", displayName=batch).json()
        details = answer["signedURLDetails"]
        put = self.link("PUT", details["uploadURL"], headers=details["extensionHeaders"], content=archive)
        assert put.status_code == 200, put.text
        self.look()
        return answer["shardId"]

    def link(self, method: str, url: str, **request: Any) -> Any:
        """Use a signed link, to the hub or past it."""
        if url.startswith(str(self.client.base_url)):
            return self.client.request(method, url, **request)
        return httpx.request(method, url, **request)

    def download(self, url: str) -> bytes:
        """What a signed link leads to."""
        answer = self.link("GET", url)
        assert answer.status_code == 200, answer.text
        return answer.content

    def look(self) -> None:
        """See what has come past the hub, as its runner would do soon."""
        if self.hub.storage.direct:
            Arrivals(self.hub).look()

    def worker(self, path: str, **body: Any) -> Any:
        return self.client.post(f"/worker/v1{path}", headers=_bearer(self.worker_key), json=body)

    def fleet(self, method: str, path: str, key: str, **request: Any) -> Any:
        headers = {**_bearer(key), "Content-Type": "application/json"}
        return self.client.request(method, f"/fleet/v1{path}", headers=headers, **request)

    def run_hub_tasks(self) -> int:
        """Do what the hub's runner would do now; gives the number of tasks."""
        done = 0
        while run_next(self.hub):
            done += 1
        return done


def served_hub(s3: VersityGW, prefix: str) -> dict[str, Any]:
    """The section `hub` for a database whose URL is in TESTS_DATABASE, and a folder of the bucket."""
    return {
        "database": "env:TESTS_DATABASE",
        "signing_key": "env:TESTS_SIGNING_KEY",
        "storage": f"s3://hub/{prefix}",
        "s3": {
            "endpoint": s3.endpoint,
            "region": versitygw.REGION,
            "access_key_id": "env:TESTS_KEY_ID",
            "secret_access_key": "env:TESTS_SECRET",
        },
    }


def write_config(folder: Path, **sections: Any) -> DeploymentConfig:
    """A deployment folder with one workflow, `grey`."""
    (folder / "workflows").mkdir(exist_ok=True)
    (folder / "workflows" / "grey.json").write_text(json.dumps({"specification": WORKFLOW}))
    document = {"apiVersion": "visionfleet/v1", "name": "test", "workspace": WORKSPACE, **sections}
    (folder / "visionfleet.yaml").write_text(json.dumps(document))
    return load(folder / "visionfleet.yaml")


def jpeg(seed: int = 0, size: tuple[int, int] = (32, 24)) -> bytes:
    """A small picture of its own for each seed."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (seed * 37 % 256, seed * 91 % 256, seed * 13 % 256)).save(buffer, "JPEG")
    return buffer.getvalue()


def archive(files: dict[str, bytes]) -> bytes:
    """A plain tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@contextmanager
def statements_of(hub: Hub) -> Iterator[list[tuple[str, Any]]]:
    """The statements that the database gets meanwhile, each with its values."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        seen.append((statement, tuple(values.values()) if isinstance(values, dict) else values))

    event.listen(hub.store._engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(hub.store._engine, "before_cursor_execute", note)


@contextmanager
def plans_of(hub: Hub) -> Iterator[list[str]]:
    """How SQLite finds the rows of the queries that it gets meanwhile: for each, the lines of its plan."""
    plans: list[str] = []
    with statements_of(hub) as seen:
        yield plans
    with hub.store._engine.connect() as connection:
        for statement, values in seen:
            if statement.startswith("SELECT"):
                rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
                plans.append("; ".join(row[3] for row in rows))


def job_body(batch: str, workflow: str = "grey", **changes: Any) -> dict[str, Any]:
    """What the command line sends for `process-images-with-workflow`."""
    body = {
        "type": "simple-image-processing-v1",
        "jobInput": {"type": "staging-batch-input-v1", "batchId": batch},
        "computeConfiguration": {"type": "compute-configuration-v2"},
        "processingSpecification": {
            "type": "workflows-processing-specification-v1",
            "workspace": WORKSPACE,
            "workflowId": workflow,
            "persistImagesOutputs": True,
        },
    }
    for path, value in changes.items():
        *folders, leaf = path.split("__")
        target = body
        for folder in folders:
            target = target[folder]
        target[leaf] = value
    return body


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
