"""The hosts of tests are hosts: they boot, are reached, keep their files over a reboot, and never outlive the test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines.cgroups import own_groups, remove_groups
from tests.engines.debian import EDGE, root_folder
from tests.engines.engine import wait_until
from tests.engines.nspawn import booted

pytestmark = pytest.mark.engine

ORPHAN = """
import os, sys
from pathlib import Path
from tests.engines.debian import EDGE, root_folder
from tests.engines.nspawn import made
host = made("orphan", root_folder(EDGE), Path(sys.argv[1]), index=203)
host.start()
print(host.pid, flush=True)
sys.stdin.read()
"""


def test_hosts_on_one_root_do_not_see_each_other_and_are_reached(tmp_path: Path) -> None:
    root = root_folder(EDGE)
    with booted("first", root, tmp_path, index=201) as first, booted("second", root, tmp_path, index=202) as second:
        first.check("sh", "-c", "echo mine >/etc/mark")
        assert second.run("cat", "/etc/mark").returncode != 0
        assert (first.check("hostname"), second.check("hostname")) == ("first\n", "second\n")
        for host in (first, second):
            wait_until(lambda address=host.address: _greeting(address).startswith("SSH-2.0"), f"{host.name}'s sshd")
        first.stop()
        first.write("/etc/written-while-down", "yes")
        first.start()
        assert first.check("cat", "/etc/mark", "/etc/written-while-down") == "mine\nyes"
    assert not (root / "etc/mark").exists()
    assert "first/root" not in Path("/proc/mounts").read_text()


def test_a_host_dies_with_the_test_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ORPHAN, tmp_path]
    root_folder(EDGE)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as test:
        assert test.stdout is not None
        pid = int(test.stdout.readline())
        os.kill(pid, 0)
        test.send_signal(signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the host's end")
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    remove_groups(own_groups("orphan"))  # empty ones stay


def _greeting(address: str) -> str:
    try:
        with socket.create_connection((address, 22), timeout=2) as connection:
            return connection.recv(64).decode()
    except OSError:
        return ""
