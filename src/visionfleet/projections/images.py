"""Which image of the inference server a machine pulls: one answer for devices, endpoints and pods."""

from __future__ import annotations

from dataclasses import dataclass

from visionfleet.config import DeploymentConfig
from visionfleet.config.dedicated import CPU_IMAGE, GPU_IMAGE


@dataclass(frozen=True, slots=True)
class Pin:
    """What the file says of one server's image. None: as `inference` has it."""

    repository: str | None = None
    version: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class ServerImage:
    """An image; `repository` has its registry, and `tag` is of no account where there is a digest."""

    repository: str
    tag: str
    digest: str | None

    @property
    def reference(self) -> str:
        """What an engine pulls: `repository@digest`, or `repository:tag` without a digest."""
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


def server_image(config: DeploymentConfig, pin: Pin, fitting: str, registry: str | None) -> ServerImage:
    """The image that `pin` asks for; `fitting` is the repository where it names none.

    A digest belongs to one repository and one version: that of `inference` goes with these alone.
    """
    inference = config.inference
    repository = pin.repository or fitting
    digest = pin.digest
    if digest is None and pin.version is None and repository == inference.image:
        digest = inference.digest
    name = f"{registry}/{repository}" if registry else repository
    return ServerImage(name, pin.version or inference.version, digest)


def fitting_repository(config: DeploymentConfig, *, has_gpu: bool) -> str:
    """The repository for machines of which the file names none: `inference.image`, where the file has it."""
    if "image" in config.inference.model_fields_set:
        return config.inference.image
    return GPU_IMAGE if has_gpu else CPU_IMAGE
