"""A release on the disk: what was asked for, the unit that runs it, the image that was pulled for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from visionfleet_device import container, links
from visionfleet_device.errors import DeviceError
from visionfleet_device.paths import Paths


def write(paths: Paths, release: dict[str, Any], image: dict[str, Any]) -> bool:
    """Write a release whose parts are all here; `image` is {"id", "digest"}. True where something changed.

    `release.json` is written last: with it, the release is whole.
    """
    bundle = paths.bundle(release["id"])
    changed = [
        _write(bundle.environment, container.environment_file(release)),
        _write(bundle.unit, container.unit(paths, release, image["id"])),
        _write(bundle.image, links.as_json(image)),
        _write(bundle.release, links.as_json(release)),
    ]
    return any(changed)


def is_whole(paths: Paths, release_id: str) -> bool:
    """Whether a release is here with all that starts it."""
    bundle = paths.bundle(release_id)
    asked = links.read_json(bundle.release)
    files = (bundle.unit, bundle.environment)
    return (
        asked is not None
        and asked.get("id") == release_id
        and "id" in (links.read_json(bundle.image) or {})
        and all(file.is_file() for file in files)
    )


def read(paths: Paths, release_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A release and its image. Raises DeviceError where it is not here, or not whole."""
    bundle = paths.bundle(release_id)
    release, image = links.read_json(bundle.release), links.read_json(bundle.image)
    if release is None or image is None or not is_whole(paths, release_id):
        message = f"release {release_id} is not on this device, or not as a whole"
        raise DeviceError(message, "fetch it: ansible-playbook playbooks/release.yml --tags model_cache")
    return release, image


def _write(path: Path, content: bytes) -> bool:
    if path.is_file() and path.read_bytes() == content:
        return False
    links.write(path, content)
    return True
