"""Other programs."""

from __future__ import annotations

import shlex
import subprocess

from visionfleet_device.errors import DeviceError


def run(command: list[str], seconds: float | None) -> str:
    """The output of a command. Raises DeviceError with the last line that it said."""
    shown = shlex.join(command[:3])
    try:
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
    except FileNotFoundError as error:
        message = f"this device has no command {command[0]}"
        raise DeviceError(message, "provision the device: ansible-playbook playbooks/site.yml") from error
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"`{shown} …` did not end within {seconds:.0f} s") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise DeviceError(f"`{shown} …` failed: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout.decode(errors="replace")
