"""What is a machine of its own to the node of a cluster: namespaces for processes, mounts and network.

The namespaces end with their first process, and that one with the test's process: no container, mount, interface or
rule of a node can stay, whatever happens. Folders that container runtimes use by fixed names are the machine's own.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.engines.cgroups import remove_groups
from tests.engines.cluster.network import Network
from tests.engines.engine import missing, printed, running, wait_until

END_SECONDS = 90
# The processor's, by the names of both versions of control groups. Four times what a group has by default: all the pods
# of a node are in one, and would get no more than a single session of other tests.
_SHARES = {"cpu.shares": "4096", "cpu.weight": "400"}
_TOOLS = ("unshare", "nsenter", "ip", "sysctl")
_LOGS = "/var/log"
_OWN = (
    *("/opt/containerd", "/run/containerd", "/run/netns", "/var/lib/cni", "/var/lib/containerd", "/var/lib/kubelet"),
    _LOGS,
)
# the shell stays as the first process, and collects whoever has lost its parent
_FIRST = """
set -e
folder=$1
up=$2
shift 2
mount --make-rshared /
for place; do
  mkdir -p "$place" "$folder$place"
  mount --bind "$folder$place" "$place"
done
eval "$up"
touch "$folder/up"
sleep infinity &
wait
"""


@dataclass(frozen=True)
class Machine:
    """Its folder on this machine, its network, and its first process as this machine counts."""

    folder: Path
    network: Network
    pid: int

    def inside(self, *command: str) -> Sequence[str]:
        """The command that runs another one in the machine."""
        # not the root and working directory, which are this machine's
        return ["nsenter", f"--target={self.pid}", "--pid", "--mount", "--net", *command]

    def run(self, *command: str) -> str:
        """What a small command prints that runs in the machine; it must succeed."""
        return printed(self.inside(*command))


@contextmanager
def machine(folder: Path, network: Network) -> Generator[Machine]:
    """A machine that is up, and gone at the end. Skips the test where there can be none."""
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if absent or os.geteuid() != 0:
        missing("a machine for a node", f"apt install util-linux iproute2 procps ({absent}), and run as root")
    folder.mkdir()
    groups = _groups(network.group)
    command = ["unshare", "--fork", "--kill-child=KILL", "--mount-proc", "--pid", "--mount", "--net"]
    command += ["sh", "-c", _FIRST, "sh", str(folder), network.up, *_OWN]
    try:
        with running(command, folder / "machine.log") as process:
            first = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            wait_until(lambda: first.exists() and first.read_text(), "the node's machine starts")
            made = Machine(folder, network, int(first.read_text()))
            with network.linked(made.pid):
                wait_until((folder / "up").exists, f"the node's machine is up, see {folder}/machine.log")
                yield made
    finally:
        _remove(groups)
        for place in _OWN:
            if place != _LOGS:  # images of gigabytes, which nobody looks at
                shutil.rmtree(f"{folder}{place}", ignore_errors=True)


def _groups(name: str) -> list[Path]:
    """A group in each hierarchy: kubelet wants it to be there, and makes those of pods below it."""
    mounts = Path("/sys/fs/cgroup")
    hierarchies = (
        [mounts] if (mounts / "cgroup.procs").exists() else [each for each in mounts.iterdir() if each.is_dir()]
    )
    groups = [each / name for each in hierarchies]
    remove_groups(groups)
    for group in groups:
        group.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # empty at first, and then nobody may enter
            if group.parent.name == "cpuset":
                (group / setting).write_text((group.parent / setting).read_text())
        for setting, value in _SHARES.items():
            if (group / setting).exists():
                (group / setting).write_text(value)
    return groups


def _remove(groups: list[Path]) -> None:
    """Processes end a moment after their namespace's first one, and hold their groups until then."""
    deadline = time.monotonic() + END_SECONDS
    while any(group.exists() for group in groups):
        remove_groups(groups)
        assert time.monotonic() < deadline, f"processes of the node hold its control groups: {groups[0]}"
        time.sleep(0.05)
