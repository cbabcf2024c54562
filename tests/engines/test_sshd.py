"""Hosts that are an sshd and a root folder each: what a controller's cost is measured on."""

import subprocess
from pathlib import Path

import pytest

from tests.engines.debian import EDGE, root_folder
from tests.engines.engine import TOOL_SECONDS
from tests.engines.sshd import SshHost, ssh_hosts

pytestmark = pytest.mark.engine


def test_each_host_has_files_of_its_own(tmp_path: Path) -> None:
    with ssh_hosts(root_folder(EDGE), tmp_path, count=2) as hosts:
        assert [_over_ssh(host, f"echo {host.name} >/etc/name") for host in hosts] == ["", ""]
        assert [_over_ssh(host, "cat /etc/name") for host in hosts] == ["host-01\n", "host-02\n"]


def _over_ssh(host: SshHost, command: str) -> str:
    options = ["-i", str(host.key), "-o", f"UserKnownHostsFile={host.known_hosts}", "-o", "BatchMode=yes"]
    ssh = ["ssh", "-p", str(host.port), *options, "root@127.0.0.1", command]
    return subprocess.run(
        ssh, stdin=subprocess.DEVNULL, check=True, capture_output=True, text=True, timeout=TOOL_SECONDS
    ).stdout
