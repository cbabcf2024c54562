"""Is the port free that a server is going to listen on?"""

import socket
from pathlib import Path

import psutil

from visionfleet.local.errors import LocalError


def check_port(host: str, port: int, *, key: str, file: Path) -> None:
    """Raises LocalError naming the port, who holds it (where that can be seen) and the key of the file to change."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # as the servers do: a port in TIME_WAIT is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise LocalError(
                f"cannot listen on {host} port {port}: {error.strerror}{_holder(port)}\n"
                f"  stop it, or change {key} in {file}"
            ) from None


def _holder(port: int) -> str:
    """` (held by NAME, pid N)`, or nothing: processes of other users are not shown to everybody."""
    try:
        for connection in psutil.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f" (held by {psutil.Process(connection.pid).name()}, pid {connection.pid})"
    except psutil.Error:
        return ""
    return ""
