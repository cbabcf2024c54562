"""The addresses of a cluster of tests, and the link between this machine and the cluster's node.

    this machine 10.94.0.1 ── vf-node ═ eth0 ── 10.94.0.2 the node ── bridge ── pods 10.94.64.0/20

This machine reaches pods and Services by routes over the link, and pods reach servers of tests at `HOST_ADDRESS`. The
bridge and the rules of kube-proxy are inside of the node's network namespace.
"""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from contextlib import contextmanager

from tests.engines.engine import TOOL_SECONDS

LINK = "vf-node"  # its end on this machine
HOST_ADDRESS = "10.94.0.1"
NODE_ADDRESS = "10.94.0.2"
POD_RANGE = "10.94.64.0/20"
SERVICE_RANGE = "10.94.32.0/20"
API_SERVICE = "10.94.32.1"  # the first of the range: kubernetes.default
DNS_SERVICE = "10.94.32.10"

# run inside of the node. Where br_netfilter is not a module of the kernel's there is no second setting
UP = f"""
ip link set lo up
until ip link set eth0 up 2>/dev/null; do sleep 0.05; done
ip address add {NODE_ADDRESS}/30 dev eth0
ip route add default via {HOST_ADDRESS}
sysctl -qw net.ipv4.ip_forward=1
sysctl -qw net.bridge.bridge-nf-call-iptables=1 2>/dev/null || :
"""


@contextmanager
def linked(pid: int) -> Generator[None]:
    """A link to the network namespace of a process. It goes with the namespace, or at the end."""
    _remove()  # a test that was killed a moment ago has left the kernel to remove its own
    _ip("link", "add", LINK, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    try:
        _ip("address", "add", f"{HOST_ADDRESS}/30", "dev", LINK)
        _ip("link", "set", LINK, "up")
        for network in (POD_RANGE, SERVICE_RANGE):
            _ip("route", "add", network, "via", NODE_ADDRESS)
        yield
    finally:
        _remove()


def _remove() -> None:
    subprocess.run(["ip", "link", "delete", LINK], stdin=subprocess.DEVNULL, capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(
        ["ip", *arguments], stdin=subprocess.DEVNULL, check=True, capture_output=True, text=True, timeout=TOOL_SECONDS
    )
