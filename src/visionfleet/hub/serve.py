"""The hub as a process: logs, socket, server."""

from __future__ import annotations

import resource
import socket
from contextlib import closing

import structlog
import uvicorn

from visionfleet.config import DeploymentConfig
from visionfleet.hub.api import create_app
from visionfleet.hub.context import Hub, HubUnavailable
from visionfleet.logs import log_to_stderr

GRACE_SECONDS = 10
BACKLOG = 2048
EVERY_IPV4 = "0.0.0.0"  # noqa: S104 - in place of `::`, which asks for it


def serve(config: DeploymentConfig, host: str | None = None, port: int | None = None) -> None:
    """Serve until a signal comes, at the file's host and port unless others are given. Raises HubUnavailable.

    Requests are not logged by the server: their query strings carry API keys.
    """
    log_to_stderr()
    raise_file_limit()
    hub = Hub.open(config)
    server = uvicorn.Config(
        create_app(hub),
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    with closing(hub), _listen(host or config.hub.host, port or config.hub.port) as listener:
        structlog.get_logger().info("hub_starting", url=config.hub.public_url, workspace=config.workspace)
        uvicorn.Server(server).run(sockets=[listener])


def raise_file_limit() -> None:
    """Let the process have as many files as the system allows: each connection is one.

    A thousand workers keep several connections each, and a process, also a pod's, starts with 1,024 files.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _listen(host: str, port: int) -> socket.socket:
    """The socket; `::` is every address of both families, whatever the system takes it for, or has of them."""
    has_both = host == "::" and socket.has_dualstack_ipv6()
    address = EVERY_IPV4 if host == "::" and not has_both else host
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.create_server((address, port), family=family, backlog=BACKLOG, dualstack_ipv6=has_both)
    except OSError as error:
        fix = "stop who listens there, or set hub.host and hub.port"
        raise HubUnavailable(f"the hub cannot listen on {host}:{port}: {error.strerror}; {fix}") from error
    # connections have it from here: an answer goes in two parts, and the second would wait 40 ms for the first one's
    # acknowledgement. asyncio sets it only where a socket names its protocol, and this one does not
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
