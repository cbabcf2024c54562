"""The part of an image that says how it is run, in the form that registries and docker-archives share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def image_config(settings: Mapping[str, Any], diff_ids: Sequence[str], architecture: str = "amd64") -> bytes:
    """`settings` are those of a container, such as Entrypoint; `diff_ids` the digests of the layers, not compressed."""
    return json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "created": "2026-01-01T00:00:00Z",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        }
    ).encode()
