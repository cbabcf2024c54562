"""The hub as a process: logs, socket, server."""

from __future__ import annotations

import logging
import sys

import structlog
import uvicorn
from structlog.tracebacks import ExceptionDictTransformer

from visionfleet.config import DeploymentConfig
from visionfleet.hub.api import create_app
from visionfleet.hub.context import Hub

GRACE_SECONDS = 10


def serve(config: DeploymentConfig) -> None:
    """Serve until a signal comes. Requests are not logged by the server: their query strings carry API keys."""
    set_up_logging()
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


def set_up_logging() -> None:
    """JSON lines on standard error; the libraries' own lines as they come."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            # without locals: they hold keys
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
