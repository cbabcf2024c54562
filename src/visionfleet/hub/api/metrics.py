"""Prometheus metrics at `/metrics`: requests by route, tasks by kind and state, devices by state, Jobs of workers."""

from __future__ import annotations

import time
from collections.abc import Iterable

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visionfleet.config.batch import Executor
from visionfleet.hub.context import Hub
from visionfleet.hub.executor.metrics import ERRORS, JOBS
from visionfleet.hub.fleet.devices import count_devices
from visionfleet.hub.store.tables import Task

METHODS = frozenset({"GET", "HEAD", "POST", "PUT"})


class _Tasks(Collector):
    """Counts the queue when it is asked, so the numbers are the database's own, whichever hub is asked."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return [_task_family()]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = _task_family()
        query = select(Task.kind, Task.state, func.count()).group_by(Task.kind, Task.state)
        with self._hub.store.read() as session:
            for kind, state, count in session.execute(query):
                family.add_metric([kind, state], count)
        return [family]


class _Devices(Collector):
    """Counts the devices when it is asked, as some grow late while nothing comes of them."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return [_device_family()]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = _device_family()
        for state, count in count_devices(self._hub).items():
            family.add_metric([state], count)
        return [family]


def install_metrics(app: FastAPI, hub: Hub) -> None:
    """Measure each request, and serve what was measured."""
    registry = CollectorRegistry()
    registry.register(_Tasks(hub))
    registry.register(_Devices(hub))
    if hub.config.batch.executor == Executor.KUBERNETES:
        registry.register(ERRORS)
        registry.register(JOBS)
    seconds = Histogram(
        "visionfleet_hub_request_seconds",
        "Time from a request to its answer",
        ["method", "route", "status"],
        registry=registry,
    )

    def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    app.add_middleware(_Measured, seconds=seconds)
    app.add_api_route("/metrics", metrics, tags=["health"])


class _Measured:
    """Times each request. Plain ASGI: a `BaseHTTPMiddleware` would copy every body through a queue."""

    def __init__(self, app: ASGIApp, seconds: Histogram) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            labels = (_method(scope), _route(scope), status)
            self._seconds.labels(*labels).observe(time.perf_counter() - started)


def _method(scope: Scope) -> str:
    """The method: a client may invent as many as it likes, and each would be a series for ever."""
    return scope["method"] if scope["method"] in METHODS else "other"


def _route(scope: Scope) -> str:
    """The route's pattern: a path itself would make a series of each batch."""
    return str(getattr(scope.get("route"), "path", "other"))


def _task_family() -> GaugeMetricFamily:
    return GaugeMetricFamily("visionfleet_hub_tasks", "Tasks by kind and state", labels=["kind", "state"])


def _device_family() -> GaugeMetricFamily:
    return GaugeMetricFamily("visionfleet_hub_devices", "Devices by state", labels=["state"])
