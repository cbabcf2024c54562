"""The addresses of a cluster of tests, and the link between this machine and the cluster's node.

    this machine 10.94.0.1 ── vf-node-0 ═ eth0 ── 10.94.0.2 the node ── bridge ── pods 10.94.64.0/20

This machine reaches pods and Services by routes over the link, and pods reach servers of tests at `host`. The bridge
and the rules of kube-proxy are inside of the node's network namespace.
"""

from __future__ import annotations

import fcntl
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network, ip_network
from pathlib import Path

from tests.engines.engine import printed

_ALL = ip_network("10.94.0.0/15")
_NETWORK_PREFIX, _RANGE_PREFIX = 17, 20
_LOCKS = "/run/visionfleet-cluster-{number}.lock"
_COUNT = 2 ** (_NETWORK_PREFIX - _ALL.prefixlen)


@dataclass(frozen=True)
class Network:
    """Names and addresses of one of the clusters that a machine may have at a time, by its number."""

    number: int

    @property
    def link(self) -> str:
        """The link's end on this machine."""
        return f"vf-node-{self.number}"

    @property
    def group(self) -> str:
        """The control group of all the node's pods, in each hierarchy."""
        return f"visionfleet-node-{self.number}"

    @property
    def host(self) -> str:
        """This machine, to the node and to pods."""
        return str(self._whole[1])

    @property
    def node(self) -> str:
        """The node, to this machine."""
        return str(self._whole[2])

    @property
    def pods(self) -> str:
        """The range of pods."""
        return str(self._ranges[4])

    @property
    def services(self) -> str:
        """The range of Services."""
        return str(self._ranges[2])

    @property
    def api_service(self) -> str:
        """The Service `kubernetes`, which is the first of the range."""
        return str(self._ranges[2][1])

    @property
    def dns_service(self) -> str:
        """The Service that pods ask for names."""
        return str(self._ranges[2][10])

    @property
    def up(self) -> str:
        """What the node's shell does. The last setting is there where the kernel has br_netfilter as a module."""
        return f"""
ip link set lo up
until ip link set eth0 up 2>/dev/null; do sleep 0.05; done
ip address add {self.node}/30 dev eth0
ip route add default via {self.host}
sysctl -qw net.ipv4.ip_forward=1
sysctl -qw net.bridge.bridge-nf-call-iptables=1 2>/dev/null || :
"""

    @contextmanager
    def linked(self, pid: int) -> Generator[None]:
        """A link to the network namespace of a process. It goes with the namespace, or at the end."""
        self._remove()  # a test that was killed a moment ago has left the kernel to remove its own
        _ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        try:
            _ip("address", "add", f"{self.host}/30", "dev", self.link)
            _ip("link", "set", self.link, "up")
            for addresses in (self.pods, self.services):
                _ip("route", "add", addresses, "via", self.node)
            yield
        finally:
            self._remove()

    def _remove(self) -> None:
        subprocess.run(["ip", "link", "delete", self.link], stdin=subprocess.DEVNULL, capture_output=True, check=False)

    @cached_property
    def _whole(self) -> IPv4Network:
        return list(_ALL.subnets(new_prefix=_NETWORK_PREFIX))[self.number]

    @cached_property
    def _ranges(self) -> list[IPv4Network]:
        return list(self._whole.subnets(new_prefix=_RANGE_PREFIX))


@contextmanager
def free_network() -> Generator[Network]:
    """A network that no other cluster of this machine has until the end; waits for one where all are taken."""
    while True:
        for number in range(_COUNT):
            with Path(_LOCKS.format(number=number)).open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield Network(number)
                return
        time.sleep(0.5)


def _ip(*arguments: str) -> None:
    printed(["ip", *arguments])
