"""Section `inference`: which inference server runs, and where it listens."""

from pydantic import Field

from visionfleet.config.kinds import Digest, Host, Port, Registry, Repository, Version
from visionfleet.config.section import Section

PORT = 9001


class Inference(Section):
    """The Roboflow Inference server: one version for the whole deployment."""

    version: Version = Field(
        default="1.8.3", description="Version of the inference server, in quotes; the tag of its image."
    )
    image: Repository = Field(
        default="roboflow/roboflow-inference-server-cpu",
        description="Repository of the server's image, without registry and tag.",
    )
    digest: Digest | None = Field(default=None, description="Digest that pins the image instead of the tag.")
    registry: Registry | None = Field(
        default=None, description="Registry or pull-through mirror that the images come from, with its prefix."
    )
    host: Host = Field(default="127.0.0.1", description="Address that the server listens on.")
    port: Port = Field(default=PORT, description="Port that the server listens on.")

    @property
    def image_reference(self) -> str:
        """What an engine pulls: `[registry/]image@digest`, or `[registry/]image:version` without a digest."""
        repository = f"{self.registry}/{self.image}" if self.registry else self.image
        return f"{repository}@{self.digest}" if self.digest else f"{repository}:{self.version}"
