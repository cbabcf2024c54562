"""Brings all that a release needs onto the device, while another one serves on."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable

from visionfleet_device import answers, bundle, client_keys, images, links, objects, prune
from visionfleet_device.docker import Docker
from visionfleet_device.errors import DeviceError
from visionfleet_device.hub import Hub
from visionfleet_device.locks import held
from visionfleet_device.paths import Paths

MEBIBYTE = 1024 * 1024
MAX_GOLDEN_BYTES = 64 * MEBIBYTE
RESERVE_BYTES = 256 * MEBIBYTE  # stays free: logs, reports, the next release's first steps


def fetch(paths: Paths, release: dict[str, Any], docker: Docker | None = None, hub: Hub | None = None) -> bool:
    """Fetch a release; True where something changed. Where all is here already, neither hub nor registry is asked."""
    docker = docker or Docker()
    with held(paths.fetch_lock, "a fetch"):
        image = _image_here(paths, release, docker)
        missing = _missing(paths, release)
        if image is not None and not missing and _is_kept(paths, release):
            return bundle.write(paths, release, image)
        hub = hub or Hub.of(paths)
        found = answers.ask(hub, release)
        with suppress(DeviceError, OSError):  # then there is less room, and what cannot come says so
            prune.make_room(paths, docker, release)
        _check_space(paths, missing)
        _fetch_files(paths, hub, release, missing)
        image = images.fetch(docker, release["image"])
        client_keys.refresh(paths, hub)
        answers.write(paths.bundle(release["id"]), found)
        bundle.write(paths, release, image)
        return True


def _image_here(paths: Paths, release: dict[str, Any], docker: Docker) -> dict[str, Any] | None:
    """What an earlier fetch of the release pulled, where it is still here."""
    image = links.read_json(paths.bundle(release["id"]).image)
    if image is None or release["image"]["digest"] not in (None, image.get("digest")):
        return None
    return image if docker.image(str(image.get("id"))) is not None else None


def _is_kept(paths: Paths, release: dict[str, Any]) -> bool:
    kept = answers.read(paths.bundle(release["id"]))
    return kept is not None and kept.are_for(release) and bundle.is_whole(paths, release["id"])


def _missing(paths: Paths, release: dict[str, Any]) -> dict[str, int]:
    """SHA-256 of each file that is not here, or damaged, and its size. That of a golden nobody knows: it is small."""
    sizes = {file["sha256"]: file["size"] for model in release["models"] for file in model["files"]}
    for golden in release["goldens"]:
        sizes.update(dict.fromkeys((golden["image"], golden["expected"]), 0))
    return {sha256: size for sha256, size in sizes.items() if not objects.is_here(paths.object(sha256))}


def _check_space(paths: Paths, missing: dict[str, int]) -> None:
    """Each file is stored twice: here, and by the server in its cache."""
    size = sum(missing.values())
    come = sum(objects.partial_size(paths.object(sha256)) for sha256 in missing)
    needed: dict[int, int] = {}  # by disk
    for folder, more in ((_existing(paths.objects), max(size - come, 0)), (_existing(paths.cache), size)):
        disk = folder.stat().st_dev
        needed[disk] = needed.get(disk, RESERVE_BYTES) + more
        free = free_bytes(folder)
        if free < needed[disk]:
            wanted = -(-needed[disk] // MEBIBYTE)
            message = f"{folder} has {free // MEBIBYTE} MiB free, and the release needs {wanted} MiB"
            raise DeviceError(
                message, "free space on the device (`df -h`, `docker system df`), or give it fewer models"
            )


def free_bytes(folder: Path) -> int:
    """What may be written to the disk of a folder."""
    status = os.statvfs(str(folder))
    return status.f_bavail * status.f_frsize


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _fetch_files(paths: Paths, hub: Hub, release: dict[str, Any], missing: dict[str, int]) -> None:
    for model in release["models"]:
        files = [file for file in model["files"] if file["sha256"] in missing]
        signed = answers.links_of(hub, model) if files else {}
        for file in files:
            what = f"{file['name']} of model {model['id']}"
            _say(f"{what}: {file['size']} bytes")
            source = objects.Source(what, signed[file["name"]], file["size"], _signing(hub, model, file["name"]))
            objects.fetch(hub, source, paths.object(file["sha256"]))
    for golden in release["goldens"]:
        for sha256 in missing.keys() & {golden["image"], golden["expected"]}:
            source = objects.Source(f"golden '{golden['name']}'", f"/fleet/v1/files/{sha256}", MAX_GOLDEN_BYTES)
            objects.fetch(hub, source, paths.object(sha256))


def _signing(hub: Hub, model: dict[str, Any], name: str) -> Callable[[], str]:
    return lambda: answers.links_of(hub, model)[name]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
