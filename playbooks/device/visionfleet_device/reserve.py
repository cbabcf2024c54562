"""A little room that is kept free on the disk, so that a full one still takes a verdict.

It is a file that is there for nothing but to be removed.
"""

from __future__ import annotations

from pathlib import Path

from visionfleet_device import links
from visionfleet_device.paths import Paths

RESERVE_BYTES = 64 * 1024  # a verdict is much smaller


def keep(paths: Paths) -> None:
    """Keep room free. Raises OSError where there is none."""
    if not links.exists(paths.reserve):
        links.write(paths.reserve, b"\0" * RESERVE_BYTES, mode=0o600)


def write_json(paths: Paths, path: Path, value: object) -> None:
    """Put a JSON file in place, on a full disk, too: what is kept free goes for it, until there is room again."""
    try:
        links.write_json(path, value)
    except OSError:
        if not links.exists(paths.reserve):
            raise
        links.remove(paths.reserve)
        links.write_json(path, value)
