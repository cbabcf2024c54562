"""systemd, by its commands."""

from __future__ import annotations

import os
import socket

from visionfleet_device.commands import run
from visionfleet_device.errors import DeviceError

ASK_SECONDS = 60
CHANGE_SECONDS = 300  # a unit's own limits are shorter


class Systemd:
    """What the program asks of systemd."""

    def reload(self) -> None:
        """Read the units again."""
        run(["systemctl", "daemon-reload"], ASK_SECONDS)

    def start(self, unit: str) -> None:
        """Start a unit, and wait for as long as it takes."""
        run(["systemctl", "start", unit], None)

    def restart(self, unit: str, *, wait: bool = True) -> None:
        """Stop a unit and start it. At boot nobody may wait for a unit that is ordered after the one who asks."""
        run(["systemctl", "restart", *([] if wait else ["--no-block"]), unit], CHANGE_SECONDS)

    def stop(self, unit: str) -> None:
        """Stop a unit; one that is not there is no error."""
        if self.show(unit, "LoadState")["LoadState"] != "not-found":
            run(["systemctl", "stop", unit], CHANGE_SECONDS)

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit, running or not, there or not."""
        output = run(["systemctl", "show", f"--property={','.join(properties)}", unit], ASK_SECONDS)
        said: dict[str, str] = {}
        for line in output.splitlines():
            name, _, value = line.partition("=")
            said[name] = value
        return {name: said.get(name, "") for name in properties}

    def journal(self, unit: str, lines: int) -> list[str]:
        """The last lines that the unit's own processes wrote: not what systemd says of them."""
        command = ["journalctl", "--quiet", "--no-pager", "--output=cat", f"--lines={lines}", f"_SYSTEMD_UNIT={unit}"]
        try:
            return run(command, ASK_SECONDS).splitlines()
        except DeviceError:
            return []  # a reason without its proof is still one


def notify_started(status: str) -> None:
    """Tell systemd, where it has started this process, that it runs, with a status to show (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notified:
        notified.sendto(f"READY=1\nSTATUS={status}\n".encode(), address)
