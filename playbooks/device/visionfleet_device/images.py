"""The image of a release: pulled before the switch, then known by its id."""

from __future__ import annotations

from typing import Any

from visionfleet_device.docker import Docker, digests_of
from visionfleet_device.errors import DeviceError

# what Docker says -> what to do
_FIXES = (
    ("no space left", "free space below /var/lib/docker: `docker system df`, or a larger disk"),
    ("denied", "see that edge.registry has a user and a password that may pull this image"),
    ("unauthorized", "see that edge.registry has a user and a password that may pull this image"),
    ("x509", "name the registry's authority in edge.registry.ca, or set the device's clock: `timedatectl`"),
    ("no matching manifest", "the registry has this image for another architecture only: see `hardware` of the group"),
    ("not found", "see that the registry has this image and version: inference.registry, version, digest"),
    ("manifest unknown", "see that the registry has this image and version: inference.registry, version, digest"),
)
_UNREACHABLE = "see that the device reaches the registry: name, route, firewall"


def fetch(docker: Docker, image: dict[str, Any]) -> dict[str, Any]:
    """Pull the image that a release asks for where it is not here; gives {"id", "digest"}, the digest or None."""
    reference: str = image["reference"]
    found = docker.image(reference)
    if found is None:
        _pull(docker, reference)
        found = docker.image(reference)
    if found is None:
        raise DeviceError(f"image {reference} is not here in spite of its pull", "see `journalctl -u docker`")
    digests = digests_of(found)
    asked = image.get("digest")
    if asked is not None and asked not in digests:
        message = f"image {reference} has the digest {', '.join(digests) or 'none'}, and {asked} was asked for"
        raise DeviceError(message, f"remove it from the device, then release again: docker image rm {reference}")
    return {"id": found["Id"], "digest": asked or (digests[0] if digests else None)}


def _pull(docker: Docker, reference: str) -> None:
    try:
        docker.pull(reference)
    except DeviceError as error:
        said = error.message.lower()
        fix = next((fix for words, fix in _FIXES if words in said), error.fix or _UNREACHABLE)
        raise DeviceError(f"image {reference} could not be pulled: {error.message}", fix) from error
