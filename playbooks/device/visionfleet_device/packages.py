"""The packages of models that the inference server has taken, in its own cache.

The layout is that of inference 1.8.3 (inference_models/models/auto_loaders/model_cache_paths.py):
`models-cache/<slug of the model>/<package>/<file>`, where a file may be a link into `shared-blobs/`, by the path that
the container knows.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from visionfleet_device import links
from visionfleet_device.container import CACHE
from visionfleet_device.paths import Paths

MODELS = "models-cache"
BLOBS = "shared-blobs"
CHOICES = "auto-resolution-cache"
READ_BYTES = 1024 * 1024
MAX_LINKS = 8

_SLUG_CHARACTERS = 48


def problem(paths: Paths, model: dict[str, Any]) -> str | None:
    """Why the server does not have the asked package of a model, in a sentence; None where it has."""
    if not (paths.cache / MODELS).is_dir():
        return f"the server has no folder {MODELS} in its cache, so this version of it keeps its packages elsewhere"
    folder = folder_of(paths, model["id"], model["package_id"])
    if not folder.is_dir():
        return f"the server has not taken package {model['package_id']} of model {model['id']}{_others(folder)}"
    for file in model["files"]:
        path = on_this_machine(paths, folder / file["name"])
        found = sha256_of(path) if _is_inside(paths.cache, path) else None
        if found is None:
            return f"{file['name']} of model {model['id']} is not in the server's cache"
        if found != file["sha256"]:
            return f"{file['name']} of model {model['id']} in the server's cache is not the asked one: SHA-256 {found}"
    return None


def forget_choices(paths: Paths) -> None:
    """Let the server ask anew which package a model has: for a day it would take the one of the release before."""
    links.remove_all(paths.cache / CHOICES)


def folder_of(paths: Paths, model_id: str, package_id: str) -> Path:
    """Where the server keeps a package."""
    return paths.cache / MODELS / slug(model_id) / package_id


def slug(model_id: str) -> str:
    """The server's name for a model in its cache."""
    readable = re.sub(r"[_-]{2,}", "-", re.sub(r"[^A-Za-z0-9_-]+", "-", model_id)) or "special-char-only-model-id"
    digest = hashlib.blake2s(model_id.encode(), digest_size=16).hexdigest()
    return f"v2-{readable[:_SLUG_CHARACTERS]}-{digest}"


def on_this_machine(paths: Paths, file: Path) -> Path:
    """A file of the cache, its links followed; their targets are the container's paths."""
    for _ in range(MAX_LINKS):
        if not file.is_symlink():
            break
        target = os.readlink(str(file))
        inside = target.startswith(f"{CACHE}/")
        file = paths.cache / target[len(CACHE) + 1 :] if inside else file.parent / target
    return file


def sha256_of(path: Path) -> str | None:
    """The digest of a file; None where there is none that can be read."""
    digest = hashlib.sha256()
    try:
        if not path.is_file():
            return None  # a pipe would be waited for without an end
        with path.open("rb") as file:
            for chunk in iter(lambda: file.read(READ_BYTES), b""):
                digest.update(chunk)
    except OSError:
        return None
    return digest.hexdigest()


def _is_inside(folder: Path, path: Path) -> bool:
    """Whether a path leads to something in a folder; what a container has written may lead anywhere."""
    real = os.path.realpath(str(path))
    return real.startswith(os.path.realpath(str(folder)) + os.sep)


def _others(folder: Path) -> str:
    others = sorted(other.name for other in folder.parent.glob("*") if other.is_dir())
    return f", but {', '.join(others)}" if others else ""
