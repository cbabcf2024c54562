"""A host of another architecture: what runs on devices of arm64 can be tried on one, but for Docker."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.engines.edge import edge_fleet

pytestmark = pytest.mark.engine


def test_an_arm64_host_boots_is_reached_and_survives_a_power_cut(tmp_path: Path) -> None:
    with edge_fleet(tmp_path / "edge", count=0, arm64=1) as fleet:
        [host] = fleet.hosts
        asked = "python3 -c 'import platform; print(platform.machine())'; sudo id --user --name"
        assert host.ssh(asked).stdout.split() == ["aarch64", "root"]
        assert host.run("systemctl", "is-system-running", "--wait").stdout == "running\n"
        host.check("sh", "-c", "echo kept >/etc/mark")
        host.kill()
        host.start()
        assert host.check("cat", "/etc/mark") == "kept\n"
        started = time.monotonic()
        host.stop()
        assert time.monotonic() - started < 60
