"""The local stack: one hub, one inference server and the file's workers, started and stopped together."""

import os
import secrets
import sys
import time
from pathlib import Path
from typing import NoReturn, Protocol

from visionfleet.config import DeploymentConfig
from visionfleet.local import docker
from visionfleet.local.errors import LocalError
from visionfleet.local.locks import hold
from visionfleet.local.ports import check_port
from visionfleet.local.processes import Process, signals_held, start, stop, tail, wait_ready
from visionfleet.local.runtime import Report
from visionfleet.local.servers import RuntimeKind, choose_server, without_proxy
from visionfleet.local.state import State

HUB_READY_SECONDS = 60
INFERENCE_READY_SECONDS = 180  # 5 s where everything is compiled and in the page cache
WORKER_SETTLE_SECONDS = 1  # a worker that cannot start has ended by then
REPORT_SECONDS = 10
_VISIONFLEET = (sys.executable, "-m", "visionfleet")
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound


class Keys(Protocol):
    """The hub's keys, as the stack needs them."""

    def create(self, name: str, role: str) -> tuple[str, str]:
        """Makes a key; gives its id and the key."""
        ...

    def revoke(self, key_id: str) -> None:
        """Ends a key; one that is unknown is no error."""
        ...


class Stack:
    """What runs here from one file. Every change happens under a lock, and is written down before the next."""

    def __init__(self, config: DeploymentConfig, file: Path, keys: Keys, report: Report) -> None:
        self._config = config
        self._file = file.absolute()
        self._keys = keys
        self._report = report
        self._folder = config.hub.state
        self._mark = secrets.token_hex(8)

    def up(self, kind: RuntimeKind) -> tuple[State, bool]:
        """Starts what the file asks for; gives what runs, and whether it was started now. Raises LocalError.

        On any failure, Ctrl-C too, everything that it started is stopped again.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with hold(self._folder / "local.lock", _busy):
            state = State.read(self._folder)
            if state is not None and state.is_running:
                return state, False
            if state is not None:
                self._report("the last stack did not end well: cleaning up after it")
                self._end(state)
            state = State(file=self._file)
            try:
                self._start(state, kind)
            except BaseException:
                self._end(state)
                raise
            return state, True

    def down(self) -> bool:
        """Stops what runs and revokes its keys; False where nothing was started."""
        if not self._folder.exists():
            return False
        with hold(self._folder / "local.lock", _busy):
            state = State.read(self._folder)
            if state is None:
                return False
            self._end(state)
            return True

    def _start(self, state: State, kind: RuntimeKind) -> None:
        config = self._config
        hub_url = local_url(config.hub.host, config.hub.port)
        inference_url = local_url(config.inference.host, config.inference.port)
        check_port(config.hub.host, config.hub.port, key="hub.port", file=self._file)
        check_port(config.inference.host, config.inference.port, key="inference.port", file=self._file)
        server = choose_server(config, hub_url, kind, self._report)
        state.runtime, state.container = server.kind, server.container
        state.urls = {"hub": hub_url, "inference": inference_url}

        command = [*_VISIONFLEET, "hub", "serve", "--file", str(self._file)]
        hub = self._launch(state, "hub", command, dict(os.environ))
        self._wait(hub, f"{hub_url}/readyz", HUB_READY_SECONDS)

        environment = {**server.environment, "ROBOFLOW_API_KEY": self._key(state, "server")}
        inference = self._launch(state, "inference", server.command, environment)
        self._wait(inference, f"{inference_url}/readiness", INFERENCE_READY_SECONDS)

        command = [*_VISIONFLEET, "worker", "run", "--file", str(self._file)]
        command += ["--hub", hub_url, "--inference", inference_url]
        for number, machine_type in enumerate(_machine_types(config), 1):
            environment = without_proxy(os.environ, hub_url, inference_url)
            environment["VISIONFLEET_WORKER_KEY"] = self._key(state, "worker")
            self._launch(
                state,
                f"worker-{number}",
                [*command, "--machine-type", machine_type, "--name", f"{config.name}-{number}"],
                environment,
            )
        time.sleep(WORKER_SETTLE_SECONDS)
        _check_running(state)

    def _launch(self, state: State, name: str, command: list[str], environment: dict[str, str]) -> Process:
        log = self._folder / "logs" / f"{name}.log"
        with signals_held():
            process = start(name, command, environment=environment, log=log, mark=self._mark)
            state.processes.append(process)
            state.write(self._folder)
        return process

    def _key(self, state: State, role: str) -> str:
        with signals_held():
            key_id, key = self._keys.create(f"local-{role}", role)
            state.key_ids.append(key_id)
            state.write(self._folder)
        return key

    def _wait(self, process: Process, url: str, timeout: float) -> None:
        started = time.monotonic()
        told = started

        def on_wait() -> None:
            nonlocal told
            if time.monotonic() - told >= REPORT_SECONDS:
                told = time.monotonic()
                self._report(f"{process.name}: starting, {told - started:.0f} s")

        wait_ready(url, process, timeout=timeout, on_wait=on_wait)
        self._report(f"{process.name}: ready after {time.monotonic() - started:.1f} s")

    def _end(self, state: State) -> None:
        if state.processes:
            self._report(f"stopping {', '.join(process.name for process in state.processes)}")
        workers = [process for process in state.processes if process.name.startswith("worker-")]
        stop(workers)  # before the hub, to which they give their tasks back
        stop(process for process in state.processes if process not in workers)
        if state.container is not None:
            docker.remove(state.container)
        for key_id in state.key_ids:
            self._keys.revoke(key_id)
        State.remove(self._folder)


def local_url(host: str, port: int) -> str:
    """Where a server that listens on `host` is reached from this machine."""
    host = _WILDCARDS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _check_running(state: State) -> None:
    for process in state.processes:
        if not process.is_running:
            raise LocalError(f"{process.name} ended while it started; its log is {process.log}", tail(process.log))


def _busy() -> NoReturn:
    raise LocalError("another 'visionfleet local' command is at work on this file\n  wait until it has ended")


def _machine_types(config: DeploymentConfig) -> list[str]:
    """The machine type of each worker that the file asks for."""
    pools = config.batch.workers
    return ["cpu"] * pools.cpu.max + ["gpu"] * (pools.gpu.max if pools.gpu else 0)
