"""The ASGI application."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from visionfleet import __version__
from visionfleet.hub.api import fleet, health, platform, processing, staging, storage, worker
from visionfleet.hub.api.bodies import LimitedBodies
from visionfleet.hub.api.faults import install_fault_handlers
from visionfleet.hub.api.metrics import install_metrics
from visionfleet.hub.context import Hub
from visionfleet.hub.executor import executor_of
from visionfleet.hub.runner import Runner


def create_app(hub: Hub) -> FastAPI:
    """The hub as an application; its runner works while the application does.

    Raises HubUnavailable where the file asks for an executor that cannot be.
    """
    executor = executor_of(hub)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        runner = Runner(hub, executor)
        runner.start()
        yield
        runner.stop()
        hub.close()

    app = FastAPI(title="visionfleet hub", version=__version__, lifespan=lifespan, redoc_url=None)
    app.state.hub = hub
    install_fault_handlers(app)
    app.add_middleware(LimitedBodies)
    install_metrics(app, hub)
    # `platform` goes last: its `/{workspace}/workflows/…` would take the others' paths
    for routes in (health, storage, staging, processing, worker, fleet, platform):
        app.include_router(routes.router)
    return app
