"""Which program runs, by its content: what is installed may be newer than what a process was started from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from visionfleet_device.paths import PLATFORM_UNIT, Paths


def installed(paths: Paths) -> str:
    """Digest of this program's modules, in the order of their names, and of the platform's unit.

    The role device_agent works out the same of the files that it installs.
    """
    digest = hashlib.sha256()
    for module in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(module.read_bytes())
    unit = paths.units / PLATFORM_UNIT
    digest.update(unit.read_bytes() if unit.exists() else b"")
    return f"program {digest.hexdigest()}"
