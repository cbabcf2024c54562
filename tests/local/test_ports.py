"""Ports that are taken, on real sockets."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.engines.engine import free_port
from visionfleet.local.errors import LocalError
from visionfleet.local.ports import check_port

pytestmark = pytest.mark.engine
FILE = Path("visionfleet.yaml")


def test_a_free_port_is_well() -> None:
    check_port("127.0.0.1", free_port(), key="hub.port", file=FILE)


def test_a_taken_port_names_holder_key_and_file() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(LocalError) as failure:
            check_port("127.0.0.1", port, key="hub.port", file=FILE)
    message = str(failure.value)
    assert f"127.0.0.1 port {port}" in message
    assert f"pid {os.getpid()}" in message
    assert "change hub.port in visionfleet.yaml" in message


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(LocalError, match=r"cannot listen on 192\.0\.2\.1"):
        check_port("192.0.2.1", free_port(), key="hub.port", file=FILE)
