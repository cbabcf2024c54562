"""The hub as a process: logs, socket, server."""

from __future__ import annotations

import structlog
import uvicorn

from visionfleet.config import DeploymentConfig
from visionfleet.hub.api import create_app
from visionfleet.hub.context import Hub
from visionfleet.logs import log_to_stderr

GRACE_SECONDS = 10


def serve(config: DeploymentConfig) -> None:
    """Serve until a signal comes. Requests are not logged by the server: their query strings carry API keys."""
    log_to_stderr()
    hub = Hub.open(config)
    structlog.get_logger().info("hub_starting", url=config.hub.public_url, workspace=config.workspace)
    uvicorn.run(
        create_app(hub),
        host=config.hub.host,
        port=config.hub.port,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
