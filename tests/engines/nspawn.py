"""Real hosts: Debian with systemd as its first process, in a namespace of its own (systemd-nspawn), up in 2 seconds.

    with booted("dock-01", root_folder(EDGE), tmp_path, index=1) as host:
        host.check("systemctl", "is-system-running", "--wait")
        host.testinfra.service("ssh").is_running
        host.address                    # 10.93.1.2, from this machine and from nowhere else
        host.stop(); host.write(...); host.start()      # a reboot; files are written while it is down
    host.kill(); host.start()                       # the power goes and comes back

Many hosts share one root folder through overlays. Those are mounted in the host's own mount namespace, so nothing stays
mounted; and the host is killed with the process of the test, so nothing stays running, whatever happens. A host has
this machine's disk, or with `give_disk` one of its own, of a size, that can be full.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import testinfra.host
from testinfra.backend.base import BaseBackend, CommandResult

from tests.engines.cgroups import own_groups, remove_groups
from tests.engines.engine import TOOL_SECONDS, missing, running, wait_until

BOOT_SECONDS = 180
NAME_LENGTH = 12  # the kernel takes 15 characters for the interface ve-NAME
NETWORK = "10.93"

# a host that reboots ends systemd-nspawn with 133, and its cable is gone: both are made again
_MOUNT_AND_BOOT = """
set -e
root=$1 folder=$2 groups=$3 interface=$4 address=$5
shift 5
cd "$folder"
[ ! -e disk.img ] || mount -o loop disk.img disk
mkdir -p disk/upper disk/work disk/docker given
cp --archive --remove-destination given/. disk/upper
rm -r given
mount -t overlay overlay -o "lowerdir=$root,upperdir=$folder/disk/upper,workdir=$folder/disk/work" root
[ -z "$address" ] || ip -oneline monitor link | while read -r line; do
  case "$line" in
  Deleted*) ;;
  *" $interface@"*) ip -4 addr show dev "$interface" | grep -q inet || {
    ip addr add "$address" dev "$interface" && ip link set "$interface" up; } || : ;;
  esac
done &
for group in $groups; do echo 0 >"$group/cgroup.procs"; done
while status=0; systemd-nspawn "$@" </dev/null || status=$?; [ "$status" -eq 133 ]; do :; done
exit "$status"
"""
_MACHINE_NETWORK = """
[Match]
Name=host0
[Network]
Address={address}/24
Gateway={gateway}
LinkLocalAddressing=no
"""

HostT = TypeVar("HostT", bound="Host")


class Host:
    """One machine. Its folder keeps what it wrote from one boot to the next."""

    def __init__(self, name: str, root: Path, folder: Path, *, index: int | None = None) -> None:
        """`index`, 1 to 254, gives it an address; without one it has the loopback alone."""
        assert len(name) <= NAME_LENGTH, f"{name}: at most {NAME_LENGTH} characters"
        self.name = name
        self.root = root
        self.folder = folder / name
        self.index = index
        self.options: list[str] = []  # more of systemd-nspawn's, such as --bind=
        self.environment: Mapping[str, str] = {}  # of systemd-nspawn
        self.boot_seconds = BOOT_SECONDS
        self._process = ExitStack()
        self._unshare: int | None = None  # the process that holds the host's
        for part in ("disk", "root"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        self._prepare()

    @property
    def address(self) -> str:
        """Its IPv4 address."""
        assert self.index is not None, f"{self.name} has no network"
        return f"{NETWORK}.{self.index}.2"

    @property
    def gateway(self) -> str:
        """This machine's address on the host's cable. Through it the host reaches its others, and no more."""
        return f"{NETWORK}.{self.index}.1"

    @property
    def interface(self) -> str:
        """This machine's end of the cable."""
        return f"ve-{self.name}"

    @property
    def log(self) -> Path:
        """What the console said, boot by boot."""
        return self.folder / "console.log"

    @property
    def pid(self) -> int:
        """Of its systemd, as this machine counts; another after a reboot."""
        pid = self._systemd()
        assert pid is not None, f"{self.name} is down, or between two boots: see {self.log}"
        return pid

    @property
    def is_up(self) -> bool:
        """Whether its systemd runs: not between two boots, and not after it has shut down by itself."""
        return self._systemd() is not None

    @property
    def testinfra(self) -> testinfra.host.Host:
        """To ask how the host is. It holds for one boot."""
        backend = Nsenter(self.name, self.pid)
        host = testinfra.host.Host(backend)
        backend.set_host(host)
        return host

    def write(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        """Put a file into the host while it is down: what is mounted must not change below the mount."""
        target = self._given(path)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        target.chmod(mode)

    def link(self, path: str, target: str) -> None:
        """Put a symbolic link into the host while it is down."""
        self._given(path).symlink_to(target)

    def give_disk(self, size_mb: int) -> None:
        """A disk of its own for all that it writes, before its first start. It takes up what is written to it."""
        image = self.folder / "disk.img"
        with image.open("xb") as file:
            file.truncate(size_mb * 1024 * 1024)
        subprocess.run(
            ["mkfs.ext4", "-q", "-m", "0", str(image)], stdin=subprocess.DEVNULL, check=True, timeout=TOOL_SECONDS
        )

    def start(self) -> None:
        """Boot, until systemd takes orders."""
        # a process namespace ends with its first process, which ends with this one: whatever happens, no host stays
        command = ["unshare", "--fork", "--kill-child=KILL", "--pid", "--mount-proc"]
        groups = own_groups(self.name)
        self._process.callback(remove_groups, groups)
        cable = (self.interface, "" if self.index is None else f"{self.gateway}/24")
        places = (str(self.root), str(self.folder), " ".join(map(str, groups)))
        command += ["sh", "-c", _MOUNT_AND_BOOT, "sh", *places, *cable, *self._nspawn()]
        process = self._process.enter_context(running(command, self.log, self.environment))
        self._process.callback(self._ended)
        wait_until(
            lambda: process.poll() is not None or _systemd_below(process.pid), f"{self.name} starts", self.boot_seconds
        )
        assert process.poll() is None, f"{self.name} does not boot: {self.log.read_text(errors='replace')[-2000:]}"
        self._unshare = process.pid
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """systemd takes orders, and the cable is in: at the end of `start`, and for a host that reboots by itself."""
        wait_until(self._is_up, f"{self.name} boots, see {self.log}", self.boot_seconds)

    def kill(self) -> None:
        """Cut the power: every process of the host is gone at once. Unlike then, this machine still writes what they
        had written, so a missing fsync goes unseen."""
        os.kill(self.pid, signal.SIGKILL)
        Host.stop(self)  # there is nothing left to shut down in order

    def stop(self) -> None:
        """Shut down in order; what does not within a minute is killed."""
        pid = self._systemd()
        self._process.close()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def run(
        self, *command: str, check: bool = False, seconds: float = TOOL_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as the host's root."""
        inside = [*_inside(self.pid), *command]
        return subprocess.run(
            inside,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=check,
        )

    def check(self, *command: str, seconds: float = TOOL_SECONDS) -> str:
        """The output of a command that must succeed."""
        done = self.run(*command, seconds=seconds)
        assert done.returncode == 0, f"{self.name}: {command} failed: {done.stdout}{done.stderr}"
        return done.stdout

    def _given(self, path: str) -> Path:
        """Where a file waits for the next boot, which puts it onto the host's disk."""
        assert self._unshare is None, f"{self.name} is up"
        given = self.folder / "given" / path.lstrip("/")
        given.parent.mkdir(parents=True, exist_ok=True)
        given.unlink(missing_ok=True)
        return given

    def _prepare(self) -> None:
        """What every host has beside its root folder's files."""
        self.write("/etc/hostname", f"{self.name}\n")
        # nobody tells it what to wait for
        self.link("/etc/systemd/system/systemd-networkd-wait-online.service", "/dev/null")
        if self.index is not None:
            # before 80-container-host0.network, which asks for DHCP
            self.write(
                "/etc/systemd/network/10-host0.network",
                _MACHINE_NETWORK.format(address=self.address, gateway=self.gateway),
            )
            networkd = "systemd-networkd.service"
            self.link(f"/etc/systemd/system/multi-user.target.wants/{networkd}", f"/lib/systemd/system/{networkd}")

    def _nspawn(self) -> list[str]:
        network = "--private-network" if self.index is None else "--network-veth"
        options = ["--quiet", "--register=no", "--keep-unit", "--console=pipe", "--boot", network, *self.options]
        return [*options, f"--machine={self.name}", f"--directory={self.folder}/root"]

    def _systemd(self) -> int | None:
        return None if self._unshare is None else _systemd_below(self._unshare)

    def _is_up(self) -> bool:
        pid = self._systemd()
        if pid is None or (self.index is not None and not _has_address(self.interface, self.gateway)):
            return False
        asked = [*_inside(pid), "systemctl", "show", "--property=Version"]
        done = subprocess.run(
            asked, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=self.boot_seconds
        )
        return done.returncode == 0

    def _ended(self) -> None:
        self._unshare = None


class Nsenter(BaseBackend):
    """testinfra's way into a host: the namespaces of its first process."""

    NAME = "nsenter"

    def __init__(self, name: str, pid: int, *args: Any, **kwargs: Any) -> None:
        self.pid = pid
        super().__init__(name, *args, **kwargs)

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:  # noqa: ARG002 - the base's signature
        """Run a shell command inside."""
        inside = f"{' '.join(_inside(self.pid))} /bin/sh -c %s"
        return self.run_local(inside, self.get_command(command, *args))


PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@contextmanager
def booted(name: str, root: Path, folder: Path, *, index: int | None = None) -> Iterator[Host]:
    """A host that is up, and gone at the end."""
    host = made(name, root, folder, index=index)
    try:
        host.start()
        yield host
    finally:
        host.stop()


def made(name: str, root: Path, folder: Path, *, index: int | None = None, kind: Callable[..., HostT] = Host) -> HostT:
    """A host that is down, for files and options to be given to it. Skips the test where there can be none."""
    tools = [tool for tool in ("systemd-nspawn", "nsenter", "unshare", "ip") if shutil.which(tool) is None]
    if tools or os.geteuid() != 0:
        missing("systemd-nspawn", f"apt install systemd-container util-linux iproute2 ({tools}), and run as root")
    return kind(name, root, folder, index=index)


def _inside(pid: int) -> list[str]:
    return ["nsenter", "--target", str(pid), "--all", "--wd", "env", "-i", f"PATH={PATH}"]


def _systemd_below(pid: int) -> int | None:
    """The host's first process: unshare has started a shell, that has started systemd-nspawn, which has started it."""
    level = [pid]
    for _ in range(3):
        level = [child for parent in level for child in _children(parent)]
        for child in level:
            with suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                    return child
    return None


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _has_address(interface: str, address: str) -> bool:
    """This machine's end of the cable is in; the kernel takes it away with the host."""
    command = ["ip", "-4", "addr", "show", "dev", interface]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=TOOL_SECONDS
    )
    return f"inet {address}/" in done.stdout
