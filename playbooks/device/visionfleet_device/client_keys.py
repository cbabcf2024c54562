"""The keys of clients, as digests: who may ask the inference server on this device, with the hub or without."""

from __future__ import annotations

import hashlib
import re
from typing import Any, cast

from visionfleet_device import links
from visionfleet_device.errors import DeviceError
from visionfleet_device.hub import Hub
from visionfleet_device.paths import Paths

_SHA256 = re.compile(r"[0-9a-f]{64}")


def refresh(paths: Paths, hub: Hub) -> bool:
    """Take over the hub's client keys. True where they differ from those that were known."""
    digests = hub.get("/fleet/v1/client-keys").get("client_keys")
    if not _are_digests(digests):
        raise DeviceError(
            "the hub's answer to /fleet/v1/client-keys is not understood", "bring hub and device up to date"
        )
    if digests == read(paths):
        return False
    links.write(paths.client_keys, links.as_json({"client_keys": digests}), mode=0o600)
    return True


def read(paths: Paths) -> list[str]:
    """SHA-256 of each key that a client may use; none where the hub has never told."""
    digests = (links.read_json(paths.client_keys) or {}).get("client_keys")
    return cast("list[str]", digests) if _are_digests(digests) else []


def digest(key: str) -> str:
    """The digest by which a key is known."""
    return hashlib.sha256(key.encode()).hexdigest()


def _are_digests(value: Any) -> bool:
    entries = cast("list[object]", value) if isinstance(value, list) else [None]
    return all(isinstance(entry, str) and _SHA256.fullmatch(entry) for entry in entries)
