"""The health gate: whether the release that runs is the one that was asked for, and does what it should.

In this order: the container runs the asked image; the server is ready in time; it has the asked packages and has loaded
the models; each golden is answered as expected; for a while nothing changes; each golden is answered once more.
"""

from __future__ import annotations

from typing import Any, Dict, List, cast

from visionfleet_device import golden, packages
from visionfleet_device.machine import Machine
from visionfleet_device.paths import INFERENCE, INFERENCE_UNIT, Paths

POLL_SECONDS = 1.0
MISSED_SECONDS = 15  # a server that is busy with its clients may miss a question or two
LAST_LINES = 5
MAX_LINE_CHARACTERS = 300


class GateFailed(Exception):
    """The release does not do what it should; the message says what, in a sentence."""


def judge(paths: Paths, machine: Machine, release: dict[str, Any], image: dict[str, Any]) -> None:
    """Judge the release that has just been started. Raises GateFailed."""
    _check_digest(machine, release, image)
    watch = Watch(machine, release, image)
    watch.wait_ready(release["health"]["ready_seconds"])
    _check_packages(paths, release)
    _check_loaded(machine, release)
    _check_goldens(paths, machine, release)
    watch.soak(release["health"]["soak_seconds"])
    _check_goldens(paths, machine, release)


class Watch:
    """One container of the release, from its start on: it must not be another, and not end."""

    def __init__(self, machine: Machine, release: dict[str, Any], image: dict[str, Any]) -> None:
        self._machine = machine
        self._server = machine.server(release["port"])
        self._image: str = image["id"]
        self._container = ""
        self._restarts = self._unit()["NRestarts"]

    def is_running(self) -> bool:
        """Whether the container runs, ready or not. Raises GateFailed where it has ended, or is another."""
        unit = self._unit()
        container = self._machine.docker.container(INFERENCE)
        if unit["NRestarts"] != self._restarts or unit["ActiveState"] == "failed":
            raise GateFailed(f"the server has ended by itself{_exit_code(unit)}{self._last_lines()}")
        if container is None or not container["State"]["Running"]:
            if self._container:
                raise GateFailed(f"the server's container has ended{_exit_code(unit)}{self._last_lines()}")
            return False
        if container["Image"] != self._image:
            raise GateFailed(f"the container runs image {container['Image']}, asked was {self._image}")
        if self._container not in {"", container["Id"]}:
            raise GateFailed(f"the server's container has been started anew{self._last_lines()}")
        self._container = container["Id"]
        return unit["ActiveState"] == "active"

    def is_serving(self) -> bool:
        """Whether the container runs and the server is ready. Raises GateFailed where it has ended, or is another."""
        return self.is_running() and self._server.readiness().status == 200

    def wait_ready(self, seconds: float) -> None:
        """Wait for the server. Raises GateFailed."""
        deadline = self._machine.clock.now() + seconds
        while not self.is_serving():
            if self._machine.clock.now() >= deadline:
                said = self._server.readiness().said if self._container else "its container has not been started"
                raise GateFailed(f"the server was not ready within {seconds:g} s: {said}{self._last_lines()}")
            self._machine.clock.sleep(POLL_SECONDS)

    def soak(self, seconds: float) -> None:
        """See that for a while nothing changes. Raises GateFailed."""
        clock = self._machine.clock
        start = ready = clock.now()
        while ready < start + seconds:
            if self.is_serving():
                ready = clock.now()
            elif clock.now() >= ready + MISSED_SECONDS:
                well, said = f"{ready - start:.0f}", self._server.readiness().said
                raise GateFailed(f"the server was ready for {well} s, then for {MISSED_SECONDS} s not any more: {said}")
            clock.sleep(POLL_SECONDS)

    def _unit(self) -> dict[str, str]:
        return self._machine.systemd.show(INFERENCE_UNIT, "ActiveState", "NRestarts", "ExecMainStatus")

    def _last_lines(self) -> str:
        return last_lines(self._machine)


def last_lines(machine: Machine) -> str:
    """What the server said last, to be added to a reason; empty where it said nothing."""
    lines = [line.strip()[:MAX_LINE_CHARACTERS] for line in machine.systemd.journal(INFERENCE_UNIT, LAST_LINES)]
    said = " | ".join(line for line in lines if line)
    return f"; it said last: {said}" if said else ""


def _exit_code(unit: dict[str, str]) -> str:
    return "" if unit["ExecMainStatus"] in {"", "0"} else f" with exit code {unit['ExecMainStatus']}"


def _check_digest(machine: Machine, release: dict[str, Any], image: dict[str, Any]) -> None:
    """The image's id is compared with what runs; here, that the id is the one of the asked digest."""
    asked = release["image"]["digest"]
    if asked is not None and image.get("digest") != asked:
        raise GateFailed(f"the image that was fetched has the digest {image.get('digest')}, asked was {asked}")
    if machine.docker.image(image["id"]) is None:
        raise GateFailed(f"the image {image['id']} is not on this device any more")


def _check_packages(paths: Paths, release: dict[str, Any]) -> None:
    for model in release["models"]:
        found = packages.problem(paths, model)
        if found:
            raise GateFailed(found)


def _check_loaded(machine: Machine, release: dict[str, Any]) -> None:
    """Ready is not loaded: a model that cannot be loaded at the start does not keep the server from being ready."""
    asked = [model["id"] for model in release["models"]]
    if not asked:
        return
    reply = machine.server(release["port"]).registry()
    if reply.status != 200 or not isinstance(reply.body, dict):
        raise GateFailed(f"the server does not say which models it has loaded: {reply.said}")
    loaded = _names(cast("Dict[str, Any]", reply.body))
    missing = [model for model in asked if model not in loaded]
    if missing:
        raise GateFailed(f"the server has not loaded {', '.join(missing)}{last_lines(machine)}")


def _names(registry: dict[str, Any]) -> set[str]:
    models = cast("List[Dict[str, Any]]", registry.get("models") or [])
    names: set[str] = set()
    for model in models:
        names.add(str(model.get("model_id")))
        names.update(cast("List[str]", model.get("request_aliases") or []))
    return names


def _check_goldens(paths: Paths, machine: Machine, release: dict[str, Any]) -> None:
    server = machine.server(release["port"])
    for one in release["goldens"]:
        found = golden.problem(paths, server, release, one)
        if found:
            raise GateFailed(found)
