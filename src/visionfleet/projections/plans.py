"""What the Pulumi program builds, as plain values: the seam between the file, which `cloud_plan` reads, and `infra/`.

Neither Pulumi nor the file's models are imported: the program is to start quickly.
"""

from __future__ import annotations

from dataclasses import dataclass

from visionfleet.terms import GpuAutoscaler, Scaling, Tier


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """A VPC to make, or one that is there (`vpc_id` and the subnets are set, the rest is empty)."""

    cidr: str
    zones: int
    nat_per_zone: bool
    vpc_id: str | None
    public_subnet_ids: tuple[str, ...]
    private_subnet_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SchedulePlan:
    """Office hours: outside them there is no instance. Cron expressions in `timezone`."""

    start: str
    stop: str
    timezone: str


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    """One dedicated endpoint: a group of GPU machines behind a load balancer, at `hostname`."""

    name: str
    tier: Tier
    hostname: str | None
    zone: str | None  # the Route 53 zone's domain
    instance_type: str
    spot: bool
    min_size: int
    max_size: int
    scaling: Scaling
    scaling_target: float | None  # requests per target and minute, or GPU utilisation in percent
    schedule: SchedulePlan | None
    warm_pool: bool
    volume_gb: int
    image: str
    environment: dict[str, str]  # of the inference server, without secrets
    port: int
    api_key_secret: str | None  # a name in Secrets Manager that exists; None: one is made, its value set by hand
    allowed_cidrs: tuple[str, ...]
    ami: str | None = None  # None: the newest GPU image at creation, then kept
    gpus: int = 1  # of one machine; 0: it has none, and needs no NVIDIA runtime


@dataclass(frozen=True, slots=True)
class NodePoolPlan:
    """A pool of nodes. `gpu_product` is the value of the label nvidia.com/gpu.product, None for CPU nodes."""

    name: str
    instance_types: tuple[str, ...]
    min_size: int
    max_size: int
    spot: bool
    volume_gb: int
    gpu_product: str | None
    gpus: int = 0  # of one node; the types of a pool have the same number


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """The EKS cluster of `serverless`."""

    name: str
    version: str
    admins: tuple[str, ...]  # ARNs of IAM principals
    public_access_cidrs: tuple[str, ...]  # empty: the endpoint is private
    system: NodePoolPlan
    cpu: NodePoolPlan | None
    gpu: tuple[NodePoolPlan, ...]
    gpu_autoscaler: GpuAutoscaler
    addons: dict[str, str]  # name -> pinned version
    tier: Tier = Tier.PRODUCTION  # production: the cluster refuses to be deleted


@dataclass(frozen=True, slots=True)
class HubStorePlan:
    """Bucket and database of the hub."""

    tier: Tier
    retention_days: int
    instance_class: str
    storage_gb: int
    backup_days: int


@dataclass(frozen=True, slots=True)
class MirrorPlan:
    """The registry that machines and nodes pull from, instead of the public one."""

    upstream: str  # registry host
    repositories: tuple[str, ...]  # what may be pulled, such as roboflow/roboflow-inference-server-gpu; at least one
    credentials_secret: str | None  # a name in Secrets Manager, which pull-through of Docker Hub asks for


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """An alarm before the money is gone."""

    monthly_usd: int
    email: str


@dataclass(frozen=True, slots=True)
class CloudPlan:
    """Everything for one stack. `tags` go on every resource that takes tags."""

    name: str
    region: str
    tags: dict[str, str]
    log_retention_days: int
    network: NetworkPlan
    endpoints: tuple[EndpointPlan, ...]
    cluster: ClusterPlan | None
    hub_store: HubStorePlan | None
    mirror: MirrorPlan | None
    budget: BudgetPlan | None
