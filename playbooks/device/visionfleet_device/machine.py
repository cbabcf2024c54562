"""What of the machine a release has to do with: Docker, systemd, time, and the inference server on it."""

from __future__ import annotations

import time
from typing import Callable, NamedTuple

from visionfleet_device.docker import Docker
from visionfleet_device.paths import Paths
from visionfleet_device.server import Server, read_key
from visionfleet_device.systemd import Systemd


class Clock:
    """Time."""

    def now(self) -> float:
        """Seconds that no setting of the clock moves: for waiting."""
        return time.monotonic()

    def date(self) -> int:
        """Seconds since 1970, as far as the device knows."""
        return int(time.time())

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class Machine(NamedTuple):
    """The real ones, or a test's."""

    docker: Docker
    systemd: Systemd
    clock: Clock
    server: Callable[[int], Server]  # the server on a port


def this_machine(paths: Paths) -> Machine:
    """The device that the program runs on."""

    def server(port: int) -> Server:
        return Server(port, read_key(paths))  # the key is there when the server is

    return Machine(Docker(), Systemd(), Clock(), server)
