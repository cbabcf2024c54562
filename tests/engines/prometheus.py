"""Debian's Prometheus as a process of this machine, which scrapes pods of a cluster.

with prometheus(folder, c.host_address, [pods(c.kubeconfig, namespace, "http")]) as url:
    query(url, "sum(up)")
"""

from __future__ import annotations

import json
import shutil
import socket
import urllib.parse
import urllib.request
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError

from tests.engines.cluster import Cluster
from tests.engines.engine import answering, missing, running, wait_until

SCRAPE_SECONDS = 2


@contextmanager
def prometheus(folder: Path, address: str, jobs: Sequence[Mapping[str, Any]]) -> Generator[str]:
    """Its URL. `jobs` are scrape_configs. Skips the test where it is not installed."""
    if shutil.which("prometheus") is None:
        missing("Prometheus", "apt install prometheus")
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind((address, 0))
        at = f"{address}:{probe.getsockname()[1]}"
    every = {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s"}
    config = folder / "prometheus.yml"
    config.write_text(json.dumps({"global": every, "scrape_configs": jobs}))  # JSON is YAML
    command = ["prometheus", f"--config.file={config}"]
    command += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={at}"]
    log = folder / "prometheus.log"
    with running(command, log) as process:
        wait_until(lambda: process.poll() is not None or _is_ready(f"http://{at}"), "Prometheus is ready")
        assert process.poll() is None, f"Prometheus ended: {log.read_text()[-3000:]}"
        yield f"http://{at}"


@contextmanager
def pods(cluster: Cluster, namespace: str, port: str) -> Generator[Mapping[str, Any]]:
    """A job that scrapes the port of this name of each running pod of a namespace, as a PodMonitor would have it.

    Debian's Prometheus is built without Kubernetes' discovery, so it asks this process, which asks the API.
    """

    class Targets(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = cluster.get("pods", f"--namespace={namespace}", "--field-selector=status.phase=Running")["items"]
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps([target for pod in found for target in _targets(pod, port)]).encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's signature
            """Nobody reads it."""

    server = HTTPServer((cluster.host_address, 0), Targets)
    url = f"http://{cluster.host_address}:{server.server_port}/"
    with answering(server):
        yield {"job_name": f"{namespace}/{port}", "http_sd_configs": [{"url": url, "refresh_interval": "1s"}]}


def _targets(pod: Mapping[str, Any], port: str) -> Iterator[Mapping[str, Any]]:
    for container in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])):
        for each in container.get("ports", []):
            if each.get("name") == port:
                labels = {"namespace": pod["metadata"]["namespace"], "pod": pod["metadata"]["name"]}
                at = f"{pod['status']['podIP']}:{each['containerPort']}"
                yield {"targets": [at], "labels": {**labels, "container": container["name"]}}


def query(url: str, expression: str) -> list[dict[str, Any]]:
    """The samples that an expression has now: `metric` and `value`."""
    asked = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310 - a URL of this machine
        return json.load(answer)["data"]["result"]


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:  # noqa: S310 - as above
            return answer.status == 200
    except (URLError, OSError):
        return False
