"""Words of the file that the Pulumi program knows too. Nothing is imported here, so that the program starts quickly."""

from enum import StrEnum


class Tier(StrEnum):
    """What an outage costs: `production` is redundant, on demand and protected from deletion."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Scaling(StrEnum):
    """What the number of machines follows."""

    MANUAL = "manual"
    REQUESTS = "requests"
    GPU = "gpu"


class GpuAutoscaler(StrEnum):
    """Who brings GPU nodes: the cluster autoscaler with managed node groups, or Karpenter."""

    NODE_GROUPS = "node-groups"
    KARPENTER = "karpenter"
