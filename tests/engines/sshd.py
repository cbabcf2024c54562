"""Many hosts that cost little: a real sshd each, in a root folder of its own, all on this machine's loopback.

    with ssh_hosts(root_folder(EDGE), tmp_path, count=50) as hosts:
        hosts[0].port, hosts[0].folder        # what it writes lands below `folder`
        inventory_lines(hosts)                # for Ansible

They have no systemd and share this machine's network: good for what a controller does over ssh, and for nothing else.
`nspawn` has whole hosts. The overlays are mounted in each host's own mount namespace, and its processes end with it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.engines.engine import TOOL_SECONDS, free_port, missing, running, wait_until

_SERVE = """
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
mount --rbind /dev "$2/root/dev"
mkdir -p "$2/root/run/sshd"
exec chroot "$2/root" /usr/sbin/sshd -D -e -f /etc/ssh/test_config
"""
_CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey /etc/ssh/test_host_key
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
PidFile none
MaxStartups 200
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class SshHost:
    """One sshd. `folder` holds the files that differ from the root's."""

    name: str
    port: int
    folder: Path
    key: Path
    known_hosts: Path


@contextmanager
def ssh_hosts(root: Path, folder: Path, count: int) -> Generator[list[SshHost]]:
    """`count` hosts that answer; gone at the end."""
    if os.geteuid() != 0 or shutil.which("ssh-keygen") is None:
        missing("sshd in root folders", "apt install openssh-client, and run as root")
    key, host_key = _make_key(folder / "key"), _make_key(folder / "host_key")
    with ExitStack() as stack:
        hosts = [_made(f"host-{number:02}", folder, key, host_key) for number in range(1, count + 1)]
        for host in hosts:
            stack.enter_context(_serving(root, host))
        for host in hosts:
            wait_until(partial(_answers, host.port), f"sshd of {host.name} answers")
        yield hosts


def inventory_lines(hosts: Iterable[SshHost]) -> str:
    """The hosts as a static inventory of Ansible's, in INI."""
    lines = [
        f"{host.name} ansible_host=127.0.0.1 ansible_port={host.port} ansible_user=root"
        f" ansible_ssh_private_key_file={host.key} ansible_python_interpreter=/usr/bin/python3"
        f" ansible_ssh_common_args='-o UserKnownHostsFile={host.known_hosts}'"
        for host in hosts
    ]
    return "\n".join([*lines, ""])


def _made(name: str, folder: Path, key: Path, host_key: Path) -> SshHost:
    host = SshHost(name, free_port(), folder / name, key, folder / "known_hosts")
    upper = host.folder / "upper"
    for part in ("upper/etc/ssh", "upper/root/.ssh", "work", "root"):
        (host.folder / part).mkdir(parents=True)
    (upper / "etc/ssh/test_config").write_text(_CONFIG.format(port=host.port))
    shutil.copy(host_key, upper / "etc/ssh/test_host_key")
    (upper / "root/.ssh/authorized_keys").write_text(key.with_suffix(".pub").read_text())
    with host.known_hosts.open("a") as known:
        known.write(f"[127.0.0.1]:{host.port} {host_key.with_suffix('.pub').read_text()}")
    return host


@contextmanager
def _serving(root: Path, host: SshHost) -> Generator[None]:
    # the process namespace takes every child of sshd with it, whatever happens
    command = ["unshare", "--mount", "--fork", "--kill-child=KILL", "--pid"]
    with running([*command, "sh", "-c", _SERVE, "sh", str(root), str(host.folder)], host.folder / "sshd.log"):
        yield


def _make_key(path: Path) -> Path:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)],
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=TOOL_SECONDS,
    )
    return path


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
