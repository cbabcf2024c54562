"""A deployment of real processes: hub, workers, the stub of the inference server, and the unmodified command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx

from tests.engines.engine import free_port, running, stop, wait_until
from tests.engines.rf_cloud import rf_cloud
from tests.hub.support import WORKSPACE, job_body
from visionfleet.config import load
from visionfleet.hub.keys import create_key

STUB = Path(__file__).parents[1] / "engines" / "stub_inference.py"
WORKFLOW = {
    "version": "1.0",
    "inputs": [{"type": "WorkflowImage", "name": "image"}],
    "steps": [{"type": "roboflow_core/convert_grayscale@v1", "name": "grey", "image": "$inputs.image"}],
    "outputs": [
        {"type": "JsonField", "name": "predictions", "selector": "$steps.grey.image"},
        {"type": "JsonField", "name": "annotated", "selector": "$steps.grey.image"},
    ],
}


class Stack:
    """Processes on free ports of the loopback, each with its log in `folder`."""

    def __init__(self, folder: Path, hub: Mapping[str, Any] | None = None, **batch: Any) -> None:
        self.folder = folder
        self.file = folder / "visionfleet.yaml"
        self.exits = ExitStack()
        self._write_file(hub or {}, batch)
        self.config = load(self.file)
        self.url = self.config.hub.public_url
        self.client_key = create_key(self.config, name="client", role="client")[1]
        self.worker_key = create_key(self.config, name="worker", role="worker")[1]
        self.http = self.exits.enter_context(
            httpx.Client(base_url=self.url, params={"api_key": self.client_key}, timeout=60)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.exits.close()

    def start_hub(self, port: int | None = None) -> subprocess.Popen[bytes]:
        """Start a hub on the file's port, or another one beside it, and talk to it from now on."""
        command = [sys.executable, "-m", "visionfleet", "hub", "serve", "--file", str(self.file)]
        if port is not None:
            command += ["--port", str(port)]
            self.talk_to(f"http://127.0.0.1:{port}")
        log = self.folder / f"hub{port or ''}.log"
        hub = self.exits.enter_context(running(command, log))
        wait_until(self._hub_is_ready, f"the hub is ready: {log}")
        return hub

    def talk_to(self, url: str) -> None:
        """Send what follows to the hub at `url`."""
        self.url = url
        self.http.base_url = httpx.URL(url)

    def start_inference(self, *options: str) -> str:
        """Start the stub; gives its URL."""
        log = self.folder / f"inference-{free_port()}.log"
        self.exits.enter_context(running([sys.executable, "-u", str(STUB), "--port", "0", *options], log))
        wait_until(lambda: log.read_text().strip().startswith("{"), "the stub listens")
        return f"http://127.0.0.1:{json.loads(log.read_text().splitlines()[0])['port']}"

    def start_worker(self, inference: str, name: str = "w", **options: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "visionfleet", "worker", "run", "--hub", self.url, "--inference", inference]
        for option, value in options.items():
            command += [f"--{option.replace('_', '-')}", str(value)]
        environment = {"VISIONFLEET_WORKER_KEY": self.worker_key}
        log = self.folder / f"worker-{name}.log"
        return self.exits.enter_context(running([*command, "--name", name], log, environment))

    def stop(self, process: subprocess.Popen[bytes], *how: Any) -> None:
        stop(process, *how)

    def command_line(self, *arguments: str) -> str:
        """Run the unmodified `inference rf-cloud …`; gives what it prints."""
        return rf_cloud(self.url, self.client_key, *arguments)

    def job(self, job: str) -> dict[str, Any]:
        answer = self.http.get(f"/batch-processing/v1/external/{WORKSPACE}/jobs/{job}")
        return answer.json()["job"]

    def create_job(self, job: str, batch: str, **specification: Any) -> None:
        body = job_body(batch, "look", **{f"processingSpecification__{k}": v for k, v in specification.items()})
        answer = self.http.post(f"/batch-processing/v1/external/{WORKSPACE}/jobs/{job}", json=body)
        assert answer.status_code == 200, answer.text

    def upload(self, batch: str, images: dict[str, bytes]) -> None:
        url = f"/data-staging/v1/external/{WORKSPACE}/batches/{batch}/upload/image"
        for name, data in images.items():
            answer = self.http.post(url, params={"api_key": self.client_key, "fileName": name}, files={name: data})
            assert answer.status_code == 200, answer.text

    def wait_for_job(self, job: str, seconds: float = 360) -> dict[str, Any]:
        wait_until(lambda: self.job(job)["isTerminal"], f"job {job} ends", seconds)
        return self.job(job)

    def listing(self, batch: str, part: str) -> list[dict[str, Any]]:
        url = f"/data-staging/v1/external/{WORKSPACE}/batches/{batch}/list"
        answer = self.http.get(url, params={"api_key": self.client_key, "partName": part, "pageSize": 1000})
        return answer.json()["filesMetadata"]

    def records(self, job: str) -> list[dict[str, Any]]:
        """The exported records, from the JSONL of the export stage."""
        [file] = self.listing(f"{job}-export", "results")
        return [json.loads(line) for line in httpx.get(file["downloadURL"]).text.splitlines()]

    def _write_file(self, hub: Mapping[str, Any], batch: dict[str, Any]) -> None:
        (self.folder / "workflows").mkdir()
        (self.folder / "workflows" / "look.json").write_text(json.dumps(WORKFLOW))
        document = {
            "apiVersion": "visionfleet/v1",
            "name": "e2e",
            "workspace": WORKSPACE,
            "hub": {"port": free_port(), **hub},
            "batch": batch,
        }
        self.file.write_text(json.dumps(document))

    def _hub_is_ready(self) -> bool:
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False
