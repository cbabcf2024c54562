"""`visionfleet local` as a user runs it: real hub and worker, and for Docker a stand-in that runs the server's stub."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.engines.engine import free_port, running, wait_until
from tests.local import standins

pytestmark = pytest.mark.engine
NEVER_READY = "sleep 60"


class Local:
    """A deployment's folder, and the command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.docker_log = folder / "docker.log"
        self.ports = {"hub": free_port(), "inference": free_port()}
        (folder / "workflows").mkdir()
        document = {
            "name": "acme-vision",
            "workspace": "acme",
            "batch": {"workers": {"cpu": {"max": 1}, "gpu": {"max": 1}}},
            **{section: {"port": port} for section, port in self.ports.items()},
        }
        (folder / "visionfleet.yaml").write_text(json.dumps(document))
        path = standins.put(folder / "standins", "docker", standins.DOCKER).parent
        self.environment = {
            "PATH": f"{path}:{os.environ['PATH']}",
            "STANDIN_LOG": str(self.docker_log),
            "STACK_OF_TEST": str(folder),  # inherited by all that is started
            "COLUMNS": "200",
        }

    @property
    def state(self) -> dict:
        return json.loads((self.folder / "state" / "local.json").read_text())

    def command(self, name: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "visionfleet", "local", name, *arguments]

    def __call__(self, name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(name, *arguments),
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def metrics(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.ports['hub']}/metrics", trust_env=False).text

    def left(self) -> list[psutil.Process]:
        """The processes that were started from here and still run."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def active_keys(self) -> int:
        listed = subprocess.run(
            [sys.executable, "-m", "visionfleet", "hub", "keys", "list"],
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return listed.stdout.count("active")

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("STACK_OF_TEST") == str(self.folder)
        except psutil.Error:
            return False


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    local = Local(tmp_path)
    yield local
    local("down")
    for process in local.left():
        process.kill()


def test_from_up_to_down(local: Local) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    up = local("up", HTTP_PROXY=nowhere, http_proxy=nowhere, NO_PROXY="", no_proxy="")
    assert up.returncode == 0, up.stderr
    assert "inference: ready after" in up.stderr
    assert local.state["runtime"] == "docker"
    assert "acme-vision-inference" in local.docker_log.read_text()

    status = local("status")
    assert status.returncode == 0, status.stdout + status.stderr
    assert [name for name in ("hub", "inference", "worker-1") if name in status.stdout] == [
        "hub",
        "inference",
        "worker-1",
    ]

    pids = [process["pid"] for process in local.state["processes"]]
    again = local("up")
    assert again.returncode == 0
    assert "is running already: nothing was changed" in again.stderr
    assert [process["pid"] for process in local.state["processes"]] == pids

    wait_until(lambda: "worker_started" in local("logs", "worker-1").stdout, "the worker says that it has started")
    wait_until(lambda: "machine_type=gpu" in local("logs", "worker-2").stdout, "the file's GPU worker starts, too")
    assert local("logs", "nobody").returncode == 2
    no_key_in_sight(local)
    wait_until(lambda: "/worker/v1/lease" in local.metrics(), "the worker asks for tasks, past the user's proxy")

    assert local.active_keys() == 3
    down = local("down")
    assert down.returncode == 0, down.stderr
    assert local.left() == []
    assert local.active_keys() == 0
    assert "rm --force acme-vision-inference" in local.docker_log.read_text()
    assert local("down").returncode == 0
    assert "nothing was started here" in local("status").stdout


def no_key_in_sight(local: Local) -> None:
    """Neither in a command line nor in a file that is not the database."""
    keys = set()
    for process in local.left():
        assert "vf_" not in " ".join(process.cmdline())
        environment = process.environ()
        keys |= {environment[name] for name in ("ROBOFLOW_API_KEY", "VISIONFLEET_WORKER_KEY") if name in environment}
    assert len(keys) == 3
    text = "".join(path.read_text() for path in [local.docker_log, *(local.folder / "state").glob("**/*.[jl]*")])
    assert not [key for key in keys if key in text]


def test_a_child_that_died_is_reported_and_up_starts_anew(local: Local) -> None:
    assert local("up").returncode == 0
    worker = local.state["processes"][-1]["pid"]
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(worker) or local("status").returncode == 1, "the worker is gone")

    status = local("status")
    assert status.returncode == 1
    assert "worker-2 has ended; the last lines of its log" in status.stderr

    up = local("up")
    assert up.returncode == 0, up.stderr
    assert "did not end well: cleaning up" in up.stderr
    assert local("status").returncode == 0
    assert local.active_keys() == 3


@pytest.mark.parametrize("section", ["hub", "inference"])
def test_a_taken_port_is_told_before_anything_starts(local: Local, section: str) -> None:
    with socket.create_server(("127.0.0.1", local.ports[section])):
        up = local("up")
    assert up.returncode == 1
    assert f"port {local.ports[section]}" in up.stderr
    assert f"pid {os.getpid()}" in up.stderr
    assert f"change {section}.port in" in up.stderr
    assert local.left() == []


def test_a_server_that_does_not_start_takes_the_rest_with_it(local: Local) -> None:
    up = local("up", STANDIN_RUN="echo no space left on device; exit 1")
    assert up.returncode == 1
    assert "inference ended while it started" in up.stderr
    assert "no space left on device" in up.stderr
    assert local.left() == []
    assert local.active_keys() == 0
    assert not (local.folder / "state" / "local.json").exists()


def test_docker_that_cannot_is_an_error_where_it_was_asked_for(local: Local) -> None:
    up = local("up", "--runtime", "docker", STANDIN_INSPECT="1", STANDIN_PULL="1")
    assert up.returncode == 1
    assert "cannot be pulled" in up.stderr
    assert "pull roboflow/roboflow-inference-server-cpu:1.8.3" in local.docker_log.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_leaves_nothing(local: Local, number: signal.Signals) -> None:
    environment = {**local.environment, "STANDIN_RUN": NEVER_READY}
    log = local.folder / "up.log"
    with running([*local.command("up"), "--file", str(local.folder / "visionfleet.yaml")], log, environment) as up:
        wait_until(lambda: "hub: ready" in log.read_text(), "the hub is ready")
        busy = local("down")
        assert busy.returncode == 1
        assert "another 'visionfleet local' command is at work" in busy.stderr
        os.kill(up.pid, number)
        assert up.wait(120) == 128 + number
    assert local.left() == []
    assert local.active_keys() == 0
