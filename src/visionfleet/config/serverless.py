"""Section `serverless`: serving and batch workers on Kubernetes."""

from pydantic import Field

from visionfleet.config.cluster import Cluster
from visionfleet.config.section import Section


class Serverless(Section):
    """Serving on Kubernetes, which scales with demand."""

    cluster: Cluster | None = Field(default=None, description="The cluster to make in AWS; none unless given.")
