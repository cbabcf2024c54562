"""The inference server's own key, which the platform on this device knows, and nobody else."""

from __future__ import annotations

import secrets

from visionfleet_device import links
from visionfleet_device.paths import Paths
from visionfleet_device.server import KEY_SETTING, read_key

KEY_BYTES = 32


def write(paths: Paths) -> None:
    """Make the key where there is none. The file is in memory: each boot has a new one, each start the same."""
    if not read_key(paths):
        content = f"{KEY_SETTING}vd_{secrets.token_urlsafe(KEY_BYTES)}\n"
        links.write(paths.server_env, content.encode(), mode=0o600)
