"""Real edge hosts: Debian 12 with systemd and sshd, where Docker runs, and a registry, on a network without an exit.

    with edge_fleet(folder, count=3) as fleet:              # about 5 s; up, sshd answers, no Docker in them
        fleet.hosts                                         # dev-01, dev-02, dev-03
        fleet.address                                       # this machine as the hosts reach it: bind the hub here
        fleet.registry.host, fleet.registry_ca              # 10.93.0.2:PORT with TLS; see tests/engines/edge_image.py
        fleet.ssh_key, fleet.known_hosts                    # for root and for `edge`, who may use sudo
        host.address, host.check("docker", "ps"), host.testinfra, host.ssh("id")
        host.kill(); host.start()                           # power cut and return; stop() shuts down in order
        host.cut_network(); host.restore_network()          # the cable
        host.block(fleet.registry.address); host.unblock()  # what goes there is lost, as with a firewall that drops
        fleet.registry.stop(); fleet.registry.start()       # connections are refused
        host.fill_disk(leave_mb=100); host.free_disk()      # its disk has 10 GB, and is the host's alone

`jetsons=1` adds jet-01, with what tests/engines/tegra_standin.py stands in for; `arm64=1` adds arm-01, under qemu and
without Docker (tests/engines/arm64.py). `root=EDGE_DOCKER` gives the others Docker. Fleets that run at the same time
have other names and addresses (dev-11, …). When this process dies, so do the hosts, the registry and the interface.

What stands in for a device: the kernel is this machine's, shared; `stand-in-for-bare-metal.service` makes cgroups
writable, which they are on a machine of its own; /var/lib/docker is a mount, since Docker's layers need a file system
that is no overlay.
"""

from __future__ import annotations

import fcntl
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.engines import apt_repository
from tests.engines.arm64 import arm64_root, power_off, suit_arm64
from tests.engines.authority import Authority
from tests.engines.debian import CACHE, EDGE, EDGE_ARM64, Root, root_folder
from tests.engines.engine import TOOL_SECONDS, missing, wait_until
from tests.engines.nspawn import NETWORK, Host, made
from tests.engines.registry import Registry, registry
from tests.engines.tegra_standin import give_tegra

USER = "edge"
DISK_MB = 10_000
_FLEETS = 8  # at the same time
_HOSTS = 9  # of a fleet
_HOST_KEY = "etc/ssh/ssh_host_ed25519_key.pub"
_FILLER = "/var/filler"
_BARE_METAL = "stand-in-for-bare-metal.service"
_BARE_METAL_UNIT = """
[Unit]
Description=Stand-in for bare metal: cgroups that Docker may write
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for mount in $(findmnt -lno TARGET -t tmpfs,cgroup,cgroup2 | grep ^/sys/fs/cgroup); do \
mount -o remount,bind,rw "$mount"; done'
"""


class EdgeHost(Host):
    """A device."""

    def prepare(self, keys: str, hosts: str, source: str) -> None:
        """Before its first start: keys that may enter, lines of /etc/hosts, a line of apt's sources."""
        self.give_disk(DISK_MB)
        self.options += ["--capability=all", "--resolv-conf=off", f"--bind={self.folder}/disk/docker:/var/lib/docker"]
        self.environment = {"SYSTEMD_SECCOMP": "0"}
        self.write(f"/etc/systemd/system/{_BARE_METAL}", _BARE_METAL_UNIT)
        self.link(f"/etc/systemd/system/sysinit.target.wants/{_BARE_METAL}", f"../{_BARE_METAL}")
        self.write("/etc/hosts", f"127.0.0.1 localhost {self.name}\n{hosts}")
        self.write("/etc/resolv.conf", "# nobody to ask\n")
        self.write("/etc/apt/sources.list", source)
        self.write("/etc/ssh/keys", keys)
        self.write("/etc/ssh/sshd_config.d/keys.conf", "AuthorizedKeysFile /etc/ssh/keys\nPasswordAuthentication no\n")
        self.ssh_options: list[str] = []

    @property
    def is_arm64(self) -> bool:
        """Whether qemu runs its programs."""
        return self.root == EDGE_ARM64.folder

    def stop(self) -> None:
        """Shut down in order."""
        if self.is_arm64 and self.is_up:
            power_off(self)
        super().stop()

    def wait_until_up(self) -> None:
        """sshd answers: at the end of `start`, and for a host that reboots by itself."""
        super().wait_until_up()
        wait_until(self._greets, f"{self.name}'s sshd, see {self.log}", self.boot_seconds)

    def ssh(self, command: str, user: str = USER, seconds: float = TOOL_SECONDS) -> subprocess.CompletedProcess[str]:
        """A shell command over ssh."""
        ssh = ["ssh", *self.ssh_options, f"{user}@{self.address}", command]
        return subprocess.run(
            ssh, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False
        )

    def cut_network(self) -> None:
        """Pull the cable."""
        subprocess.run(
            ["ip", "link", "set", self.interface, "down"], stdin=subprocess.DEVNULL, check=True, timeout=TOOL_SECONDS
        )

    def restore_network(self) -> None:
        """Put the cable back: sshd answers."""
        subprocess.run(
            ["ip", "link", "set", self.interface, "up"], stdin=subprocess.DEVNULL, check=True, timeout=TOOL_SECONDS
        )
        wait_until(self._greets, f"{self.name}'s sshd", self.boot_seconds)

    def block(self, address: str) -> None:
        """Lose what goes to an address, until `unblock` or a boot."""
        nobody = f"{NETWORK}.{self.index}.254"
        self.check("ip", "neigh", "replace", nobody, "lladdr", "02:00:00:00:00:fe", "dev", "host0")
        self.check("ip", "route", "replace", f"{address}/32", "via", nobody)

    def unblock(self, address: str) -> None:
        """Let it through again."""
        self.check("ip", "route", "del", f"{address}/32")

    def fill_disk(self, leave_mb: int) -> None:
        """Reserve all of its disk but this."""
        free = int(self.check("df", "--output=avail", "--block-size=1M", "/").split()[1])
        self.check("fallocate", "--length", f"{free - leave_mb}MiB", _FILLER)

    def free_disk(self) -> None:
        """Undo `fill_disk`."""
        self.check("rm", "--force", _FILLER)

    def _greets(self) -> bool:
        try:
            with socket.create_connection((self.address, 22), timeout=2) as connection:
                return connection.recv(64).startswith(b"SSH-2.0")
        except OSError:
            return False


@dataclass(frozen=True)
class Fleet:
    """What `edge_fleet` gives."""

    address: str  # of this machine, as the hosts reach it
    registry: Registry
    hosts: list[EdgeHost]
    ssh_key: Path
    known_hosts: Path

    @property
    def registry_ca(self) -> Path:
        """What the hosts' Docker is to trust."""
        return self.registry.ca

    def host(self, name: str) -> EdgeHost:
        """By its name."""
        return next(host for host in self.hosts if host.name == name)


@contextmanager
def edge_fleet(
    folder: Path, count: int = 3, *, jetsons: int = 0, arm64: int = 0, root: Root = EDGE, login: bool = False
) -> Iterator[Fleet]:
    """Hosts that are up. `login`: the registry asks for registry.USER and PASSWORD. Skips where there can be none."""
    kinds = ["dev"] * count + ["jet"] * jetsons + ["arm"] * arm64
    assert len(kinds) <= _HOSTS, f"at most {_HOSTS} hosts"
    if tools := [tool for tool in ("ssh-keygen", "mkfs.ext4") if shutil.which(tool) is None]:
        missing("edge hosts", f"apt install openssh-client e2fsprogs ({tools})")
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        slot = stack.enter_context(_slot())
        address, registry_address = (f"{NETWORK}.0.{2 * slot + offset}" for offset in (1, 2))
        stack.enter_context(_interface(f"vf-edge{slot}", address, registry_address))
        images = stack.enter_context(
            registry(folder / "registry", registry_address, Authority(folder / "tls"), login=login)
        )
        source = stack.enter_context(apt_repository.served(apt_repository.package_folder(), address))
        names = f"{address} hub.test\n{registry_address} registry.test\n"
        key = _ssh_key(folder)
        hosts = []
        for index, kind in enumerate(kinds, start=20 * slot + 1):
            name = f"{kind}-{slot}{kinds[: index - 20 * slot].count(kind)}"
            hosts.append(_host(kind, name, folder, root, index))
            hosts[-1].prepare(key.with_suffix(".pub").read_text(), names, source)
        fleet = Fleet(address, images, hosts, key, _known_hosts(folder, hosts))
        for host in hosts:
            host.ssh_options = ["-i", str(key), "-o", f"UserKnownHostsFile={fleet.known_hosts}", "-o", "BatchMode=yes"]
            stack.callback(host.stop)
            host.start()
        yield fleet


def _host(kind: str, name: str, folder: Path, root: Root, index: int) -> EdgeHost:
    """One that is down, as its kind is."""
    files = arm64_root() if kind == "arm" else root_folder(root)
    host = made(name, files, folder, index=index, kind=EdgeHost)
    if kind == "jet":
        give_tegra(host)
    if kind == "arm":
        suit_arm64(host)
    return host


@contextmanager
def _slot() -> Iterator[int]:
    """A number that no other fleet has now; the lock goes with the process."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for slot in range(_FLEETS):
            lock = stack.enter_context((CACHE / f".edge-fleet-{slot}.lock").open("w"))
            if _locked(lock):
                yield slot
                return
        missing("a network for edge hosts", f"{_FLEETS} fleets run at the same time")


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _interface(name: str, *addresses: str) -> Iterator[None]:
    """Addresses of this machine on an interface that goes with the process: a tunnel that nobody reads."""
    tun, no_packet_information, set_interface = 0x0001, 0x1000, 0x400454CA
    with ExitStack() as stack:
        try:
            device = stack.enter_context(Path("/dev/net/tun").open("r+b", buffering=0))
            fcntl.ioctl(device, set_interface, struct.pack("16sH", name.encode(), tun | no_packet_information))
        except OSError as error:
            missing("a network for edge hosts", f"/dev/net/tun: {error}; run as root")
        for address in addresses:
            subprocess.run(
                ["ip", "addr", "add", f"{address}/32", "dev", name],
                stdin=subprocess.DEVNULL,
                check=True,
                timeout=TOOL_SECONDS,
            )
        subprocess.run(["ip", "link", "set", name, "up"], stdin=subprocess.DEVNULL, check=True, timeout=TOOL_SECONDS)
        yield


def _ssh_key(folder: Path) -> Path:
    key = folder / "ssh_key"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(key)]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=TOOL_SECONDS)
    return key


def _known_hosts(folder: Path, hosts: list[EdgeHost]) -> Path:
    """The root's key is each host's."""
    known = folder / "known_hosts"
    lines = [f"{host.address} {' '.join((host.root / _HOST_KEY).read_text().split()[:2])}\n" for host in hosts]
    known.write_text("".join(lines))
    return known
