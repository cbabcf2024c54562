"""The real inference server 1.8.3 on a device whose hub is away: it loads, answers and knows its clients.

The hub is real and runs while the release is fetched; then it is stopped. Docker alone stands in: nothing is pulled,
and the server runs natively, so what the container knows by names of its own (platform, cache) it knows by this
machine's.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from PIL import Image

from tests.device.device import Device
from tests.device.fetching import RegistryStandIn
from tests.engines.engine import free_port, missing, running, stop, wait_until
from tests.examples.test_quickstart import QUICKSTART, make_package
from visionfleet.config import DeploymentConfig, load
from visionfleet.hub.keys import create_key
from visionfleet.local.runtime import locate
from visionfleet.local.servers import SCRIPT
from visionfleet.projections.release import release_of
from visionfleet_device import links, packages, server_key
from visionfleet_device.fetch import fetch
from visionfleet_device.report import report
from visionfleet_device.server import Server, read_key
from visionfleet_device.spool import Spool

PROGRAM = Path(__file__).parents[2] / "playbooks/device"
PLATFORM = """
import sys
from ipaddress import IPv4Interface
from visionfleet_device.paths import Paths
from visionfleet_device.platform_server import Server
Server(Paths(sys.argv[1]), IPv4Interface("127.0.0.1/8"), int(sys.argv[2])).serve_forever()
"""
MODEL = "colour-cells/1"
NAME = "dock-01"
READY_SECONDS = 360  # generous: the machine may be busy with other tests

pytestmark = pytest.mark.engine


class Edge:
    """A hub, and a device with a release of it, all on this machine."""

    def __init__(self, folder: Path, exits: ExitStack) -> None:
        self._folder, self._exits = folder, exits
        self.config = load(_write_file(folder))
        self.device = Device(folder / "device")
        self.paths = self.device.paths
        self.client_key = create_key(self.config, name="client", role="client")[1]
        self.fleet_key = create_key(self.config, name="fleet", role="fleet")[1]
        self.docker = RegistryStandIn()
        self._platform_port = free_port()
        self.release = self._release()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.release['port']}"

    def start_hub(self) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "visionfleet",
            "hub",
            "serve",
            "--file",
            str(self._folder / "visionfleet.yaml"),
        ]
        hub = self._exits.enter_context(running(command, self._folder / "hub.log"))
        wait_until(lambda: _is_up(f"{self.config.hub.public_url}/readyz"), "the hub is ready")
        return hub

    def enrol(self) -> None:
        """As the role device_agent does."""
        answer = self.ask_hub("POST", f"/fleet/v1/devices/{NAME}/key")
        links.write(self.paths.key, answer["key"].encode(), 0o600)
        links.write_json(self.paths.device, {"name": NAME, "hub_url": self.config.hub.public_url})

    def ask_hub(self, method: str, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.fleet_key}"}
        answer = httpx.request(method, self.config.hub.public_url + path, headers=headers, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fetch(self) -> bool:
        return fetch(self.paths, self.release, self.docker)

    def start_platform(self) -> None:
        server_key.write(self.paths)
        links.point(self.paths.current, f"releases/{self.release['id']}")
        command = [sys.executable, "-c", PLATFORM, str(self.paths.root), str(self._platform_port)]
        environment = {"PYTHONPATH": str(PROGRAM)}
        self._exits.enter_context(running(command, self._folder / "platform.log", environment))
        wait_until(lambda: _is_up(f"http://127.0.0.1:{self._platform_port}/", 401), "the platform listens")

    def start_server(self) -> subprocess.Popen[bytes]:
        runtime = locate(self.config.inference.version)
        environment = {"ROBOFLOW_API_KEY": read_key(self.paths), "CUDA_VISIBLE_DEVICES": ""}
        command = [str(runtime.python), str(SCRIPT)]
        log = self._folder / "server.log"
        server = self._exits.enter_context(running(command, log, {**self.release["environment"], **environment}))
        wait_until(lambda: _is_up(f"{self.url}/readiness"), f"the server is ready: {log}", READY_SECONDS)
        return server

    def detect(self, key: str) -> httpx.Response:
        body = {"model_id": MODEL, "image": _picture(), "api_key": key}
        return httpx.post(f"{self.url}/infer/object_detection", json=body, timeout=360, trust_env=False)

    def count(self, key: str) -> httpx.Response:
        body = {"inputs": {"image": _picture()}, "api_key": key}
        path = f"/infer/workflows/{self.config.workspace}/count-colours"
        return httpx.post(self.url + path, json=body, timeout=360, trust_env=False)

    def _release(self) -> dict[str, Any]:
        """The file's release, with what the container knows by other names."""
        release = _release_of(self.config)
        platform = f"http://127.0.0.1:{self._platform_port}"
        here = {"HOST": "127.0.0.1", "API_BASE_URL": platform, "ROBOFLOW_API_HOST": platform}
        folders = {"MODEL_CACHE_DIR": str(self.paths.cache), "HOME": str(self._folder)}
        return {**release, "environment": {**release["environment"], **here, **folders}}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """The release is fetched, the hub is gone, the server has started."""
    if not locate("1.8.3").is_installed:
        missing("the inference server 1.8.3", "`make runtime` installs it")
    with ExitStack() as exits:
        edge = Edge(tmp_path_factory.mktemp("edge"), exits)
        hub = edge.start_hub()
        edge.enrol()
        assert edge.fetch()
        stop(hub)
        edge.start_platform()
        first = edge.start_server()
        _check_answers(edge)
        stop(first)
        shutil.rmtree(edge.paths.cache)
        edge.start_server()
        yield edge


def test_it_answers_with_an_empty_cache_too(edge: Edge) -> None:
    _check_answers(edge)
    [model] = edge.release["models"]
    assert packages.problem(edge.paths, model) is None


def test_it_knows_its_clients_and_no_strangers(edge: Edge) -> None:
    assert edge.detect(edge.client_key).status_code == 200
    assert edge.detect("vf_stranger").status_code == 401
    assert edge.count("vf_stranger").status_code == 401
    assert edge.fleet_key not in (edge.paths.root / "var/lib/visionfleet/client-keys.json").read_text()
    assert edge.detect(edge.fleet_key).status_code == 401


def test_a_second_fetch_needs_no_hub(edge: Edge) -> None:
    assert not edge.fetch()


def test_reports_wait_for_the_hub(edge: Edge) -> None:
    machine = edge.device.machine._replace(server=lambda port: Server(port, read_key(edge.paths)))
    report(edge.paths, machine)
    report(edge.paths, machine)
    assert len(Spool(edge.paths.reports)) == 2
    hub = edge.start_hub()
    try:
        report(edge.paths, machine)
        [listed] = edge.ask_hub("GET", "/fleet/v1/devices")["devices"]
    finally:
        stop(hub)
    assert len(Spool(edge.paths.reports)) == 0
    assert listed["report"]["health"] == "healthy"
    assert listed["report"]["release"] == listed["release"] == edge.release["id"]
    assert listed["report"]["queued"] == 2


def test_its_own_offline_mode_would_have_no_keys(edge: Edge) -> None:
    """Decision 34 rests on this: when a version of the server can do both, the decision is to be made again."""
    runtime = locate("1.8.3")
    environment = {**edge.release["environment"], "OFFLINE_MODE": "True", "PORT": str(free_port())}
    command = [str(runtime.python), str(SCRIPT)]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=READY_SECONDS,
        check=False,
    )
    assert done.returncode != 0
    assert "OFFLINE_MODE is not supported together with dedicated" in done.stderr


def _check_answers(edge: Edge) -> None:
    found = edge.detect(read_key(edge.paths))
    assert found.status_code == 200, found.text
    assert {one["class"] for one in found.json()["predictions"]} == {"red"}
    counted = edge.count(edge.client_key)
    assert counted.status_code == 200, counted.text
    assert counted.json()["outputs"]


def _write_file(folder: Path) -> Path:
    """The quickstart with a device."""
    make_package(folder / "models" / "colour-cells")
    shutil.copytree(QUICKSTART / "workflows", folder / "workflows")
    document = yaml.safe_load((QUICKSTART / "visionfleet.yaml").read_text())
    document["hub"]["port"], document["inference"]["port"] = free_port(), free_port()
    group = {"name": "docks", "hardware": "generic-x86_64", "devices": [{"name": NAME, "address": "10.20.0.11"}]}
    document["edge"] = {"groups": [group]}
    file = folder / "visionfleet.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def _release_of(config: DeploymentConfig) -> dict[str, Any]:
    [group] = config.edge.groups
    [device] = group.devices
    return release_of(config, group, device).as_dict()


def _picture() -> dict[str, str]:
    """A red square on grey."""
    picture = Image.new("RGB", (320, 320), (128, 128, 128))
    picture.paste((255, 25, 25), (40, 40, 160, 160))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return {"type": "base64", "value": base64.b64encode(buffer.getvalue()).decode()}


def _is_up(url: str, status: int = 200) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == status
    except httpx.TransportError:
        return False
