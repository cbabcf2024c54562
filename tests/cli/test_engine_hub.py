"""`visionfleet hub serve` as a process."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest

from tests.engines.engine import free_port, running, wait_until
from tests.hub.support import write_config

pytestmark = pytest.mark.engine


def test_it_listens_where_its_options_say_and_not_where_the_file_does(tmp_path: Path) -> None:
    of_the_file, asked = free_port(), free_port()
    write_config(tmp_path, hub={"port": of_the_file})
    command = [sys.executable, "-m", "visionfleet", "hub", "serve", "--host=0.0.0.0", f"--port={asked}"]
    with running([*command, f"--file={tmp_path / 'visionfleet.yaml'}"], tmp_path / "hub.log"):
        wait_until(lambda: answers(asked), "the hub answers at its port")
        assert not answers(of_the_file)


def test_in_a_cluster_it_is_reached_by_addresses_of_either_family(tmp_path: Path) -> None:
    port = free_port()
    write_config(tmp_path)
    command = [sys.executable, "-m", "visionfleet", "hub", "serve", "--host=::", f"--port={port}"]
    with running([*command, f"--file={tmp_path / 'visionfleet.yaml'}"], tmp_path / "hub.log"):
        wait_until(lambda: answers(port), "the hub answers on IPv4")
        assert answers(port, "[::1]")


def answers(port: int, host: str = "127.0.0.1") -> bool:
    try:
        return httpx.get(f"http://{host}:{port}/healthz").status_code == 200
    except httpx.ConnectError:
        return False
