"""Addresses beyond the node of a cluster of tests: what stands for the internet and for a cloud's metadata.

They are in a network namespace of their own, with a link to the node: nothing that is meant for them leaves this
machine. Nobody listens there. Whoever reaches one is refused at once, and whoever is kept from it waits in vain.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.engines.cluster.machine import Machine
from tests.engines.engine import printed, running, wait_until

INTERNET = "203.0.113.10"  # RFC 5737: for documentation
METADATA = "169.254.169.254"
_LINK = "vf-outside"  # its end in the node
_NEAR, _FAR = "198.51.100.1", "198.51.100.2"


@contextmanager
def outside(machine: Machine, log: Path) -> Generator[None]:
    """The addresses, which pods of the node reach by a route of the node's. They go at the end."""
    with running(["unshare", "--net", "sleep", "infinity"], log) as process:
        inside = ["nsenter", f"--target={process.pid}", "--net"]
        wait_until(lambda: not _is_ours(process.pid), "the namespace is made")
        end = ("netns", str(machine.pid), "type", "veth", "peer", "name", "eth0", "netns", str(process.pid))
        printed(["ip", "link", "add", _LINK, *end])
        machine.run("ip", "address", "add", f"{_NEAR}/30", "dev", _LINK)
        machine.run("ip", "link", "set", _LINK, "up")
        printed([*inside, "ip", "address", "add", f"{_FAR}/30", "dev", "eth0"])
        for link in ("lo", "eth0"):
            printed([*inside, "ip", "link", "set", link, "up"])
        printed([*inside, "ip", "route", "add", "default", "via", _NEAR])
        for address in (INTERNET, METADATA):
            printed([*inside, "ip", "address", "add", f"{address}/32", "dev", "lo"])
            machine.run("ip", "route", "add", f"{address}/32", "via", _FAR)
        yield


def _is_ours(pid: int) -> bool:
    return Path(f"/proc/{pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink()
