"""Words of the file that the Pulumi program or the chart's values know too.

Nothing is imported here, so that the program starts quickly.
"""

from enum import StrEnum

NAMESPACE = "visionfleet"
"""Of hub and workers in a cluster, unless the file names another; their roles in AWS are tied to it."""


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


class Scaler(StrEnum):
    """Who owns the number of replicas: nobody (it is `min`), a HorizontalPodAutoscaler, KEDA."""

    NONE = "none"
    HPA = "hpa"
    KEDA = "keda"


class ScalingMetric(StrEnum):
    """What the number of replicas follows: requests in flight, or how busy the GPU or CPU is."""

    REQUESTS = "requests"
    GPU = "gpu"
    CPU = "cpu"


class AccessMode(StrEnum):
    """How many nodes mount a claim: several, or one."""

    MANY = "ReadWriteMany"
    ONCE = "ReadWriteOnce"


class CacheKind(StrEnum):
    """What keeps models across pods: nothing, a claim for each pool, a folder of each node."""

    NONE = "none"
    CLAIM = "claim"
    NODE = "node"
