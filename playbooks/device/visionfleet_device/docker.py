"""Docker, by its command."""

from __future__ import annotations

import json
from typing import Any

from visionfleet_device.commands import run
from visionfleet_device.errors import DeviceError

ASK_SECONDS = 60
PULL_SECONDS = 6 * 3600  # gigabytes over a thin line; what has come is not fetched again


class Docker:
    """What the program asks of Docker."""

    def image(self, reference: str) -> dict[str, Any] | None:
        """What `docker image inspect` says; None where the image is not here."""
        return _inspect("image", reference)

    def container(self, name: str) -> dict[str, Any] | None:
        """What `docker container inspect` says; None where there is no such container."""
        return _inspect("container", name)

    def pull(self, reference: str) -> None:
        """Fetch an image. Layers that are here are not fetched again."""
        run(["docker", "pull", "--quiet", reference], PULL_SECONDS)

    def remove_container(self, name: str) -> None:
        """Remove a container, running or not; one that is gone is no error."""
        if self.container(name) is not None:
            run(["docker", "rm", "--force", name], ASK_SECONDS)

    def remove_image(self, reference: str) -> None:
        """Remove an image with all its names; one that is gone is no error, one that a container uses is."""
        found = self.image(reference)
        if found is not None:
            run(["docker", "image", "rm", "--force", str(found["Id"])], ASK_SECONDS)


def digests_of(image: dict[str, Any]) -> list[str]:
    """The digests by which registries know an image."""
    names: list[str] = image.get("RepoDigests") or []
    return sorted({name.partition("@")[2] for name in names})


def _inspect(kind: str, name: str) -> dict[str, Any] | None:
    try:
        found: list[dict[str, Any]] = json.loads(run(["docker", kind, "inspect", name], ASK_SECONDS))
    except DeviceError as error:
        if "no such" in error.message.lower():
            return None
        raise
    return found[0] if found else None
