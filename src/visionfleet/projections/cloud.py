"""What the Pulumi program builds: the file's cloud sections, with everything worked out and nothing of AWS called.

Plain values in, plain values out: no Pulumi here, so that the program's size does not depend on the fleet's, and tests
need no engine.
"""

from __future__ import annotations

from pathlib import Path

from visionfleet.config import DeploymentConfig
from visionfleet.config.cloud import Capacity, Cloud, ManagedNetwork, Mirror, Nat
from visionfleet.config.cluster import CPU_POOL, SYSTEM_POOL, Cluster, CpuPool, GpuPool
from visionfleet.config.dedicated import Day, Dedicated, ManualScaling, Schedule
from visionfleet.config.hub import HubOnAws
from visionfleet.config.machines import machine_of
from visionfleet.projections.images import Pin, fitting_repository, server_image
from visionfleet.projections.plans import (
    BudgetPlan,
    CloudPlan,
    ClusterPlan,
    EndpointPlan,
    HubStorePlan,
    MirrorPlan,
    NetworkPlan,
    NodePoolPlan,
    SchedulePlan,
)
from visionfleet.projections.server import server_environment

MODEL_CACHE = Path("/tmp/cache")  # noqa: S108 - in the server's container, whose root is read-only


class NoCloud(ValueError):
    """The file has no section `cloud`, so there is nothing to build: add it, with a region and an owner."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


def cloud_plan(config: DeploymentConfig) -> CloudPlan:
    """What `pulumi up` builds for the file. Raises NoCloud where the file has no section `cloud`.

    The devices of `edge` never enter it, so that the program's time and size are those of the cloud alone.
    """
    cloud = config.cloud
    if cloud is None:
        raise NoCloud
    endpoints = tuple(_endpoint(endpoint, config, cloud) for endpoint in config.dedicated)
    return CloudPlan(
        name=config.name,
        region=cloud.region,
        tags=_tags(config.name, cloud),
        log_retention_days=cloud.log_retention_days,
        network=_network(cloud),
        endpoints=endpoints,
        cluster=_cluster(config.name, config.serverless.cluster) if config.serverless.cluster else None,
        hub_store=_hub_store(config.hub.aws, config.hub.retention_days) if config.hub.aws else None,
        mirror=_mirror(cloud.mirror, config) if cloud.mirror else None,
        budget=BudgetPlan(cloud.budget.monthly_usd, cloud.budget.email) if cloud.budget else None,
    )


def _tags(name: str, cloud: Cloud) -> dict[str, str]:
    tags = {"visionfleet": name, "owner": cloud.owner}
    return tags | {"cost-centre": cloud.cost_centre} if cloud.cost_centre else tags


def _network(cloud: Cloud) -> NetworkPlan:
    network = cloud.network
    if isinstance(network, ManagedNetwork):
        return NetworkPlan(network.cidr, network.zones, network.nat is Nat.PER_ZONE, None, (), ())
    return NetworkPlan("", 0, False, network.vpc_id, network.public_subnet_ids, network.private_subnet_ids)


def _endpoint(endpoint: Dedicated, config: DeploymentConfig, cloud: Cloud) -> EndpointPlan:
    gpus = _gpus(endpoint)
    scaling = endpoint.scaling
    return EndpointPlan(
        name=endpoint.name,
        tier=endpoint.tier,
        hostname=f"{endpoint.name}.{config.domain}" if config.domain else None,
        zone=cloud.dns_zone or config.domain,
        instance_type=endpoint.instance_type,
        spot=endpoint.capacity is Capacity.SPOT,
        min_size=endpoint.least,
        max_size=endpoint.most,
        scaling=scaling.kind,
        scaling_target=None if isinstance(scaling, ManualScaling) else float(scaling.target),
        schedule=_schedule(endpoint.schedule) if endpoint.schedule else None,
        warm_pool=endpoint.warm_pool,
        volume_gb=endpoint.volume_gb,
        image=_image(endpoint, config, has_gpu=gpus > 0),
        environment=server_environment(config, config.hub.public_url, MODEL_CACHE),
        port=config.inference.port,
        api_key_secret=endpoint.api_key.name if endpoint.api_key else None,
        allowed_cidrs=endpoint.allowed_cidrs,
        ami=endpoint.ami,
        gpus=gpus,
    )


def _gpus(endpoint: Dedicated) -> int:
    machine = machine_of(endpoint.instance_type)
    return machine.gpus if machine else 0


def _image(endpoint: Dedicated, config: DeploymentConfig, *, has_gpu: bool) -> str:
    """`[registry/]repository@digest`, or `…:version`."""
    # the mirror in the account takes the place of the registry that other machines pull from
    behind_mirror = config.cloud is not None and config.cloud.mirror is not None
    registry = None if behind_mirror else config.inference.registry
    fitting = fitting_repository(config, has_gpu=has_gpu)
    return server_image(config, Pin(endpoint.image, digest=endpoint.digest), fitting, registry).reference


def _schedule(schedule: Schedule) -> SchedulePlan:
    """Cron expressions; a stop before the start is on the day after."""
    days = [list(Day).index(day) + 1 for day in schedule.days]  # Monday is 1
    stop_days = [day % 7 + 1 for day in days] if schedule.is_overnight else days
    return SchedulePlan(_cron(schedule.start, days), _cron(schedule.stop, stop_days), schedule.timezone)


def _cron(clock: str, days: list[int]) -> str:
    hour, minute = map(int, clock.split(":"))
    return f"{minute} {hour} * * {','.join(map(str, sorted(day % 7 for day in days)))}"  # Sunday is 0


def _cluster(name: str, cluster: Cluster) -> ClusterPlan:
    return ClusterPlan(
        name=name,
        version=cluster.version,
        admins=cluster.admins,
        public_access_cidrs=cluster.public_access_cidrs,
        system=_system_pool(cluster),
        cpu=_cpu_pool(cluster.nodes.cpu) if cluster.nodes.cpu else None,
        gpu=tuple(map(_gpu_pool, cluster.gpu.pools)),
        gpu_autoscaler=cluster.gpu.autoscaler,
        addons=cluster.addons.model_dump(by_alias=True),
        tier=cluster.tier,
    )


def _system_pool(cluster: Cluster) -> NodePoolPlan:
    pool = cluster.nodes.system
    return NodePoolPlan(
        name=SYSTEM_POOL,
        instance_types=pool.instance_types,
        min_size=pool.min,
        max_size=pool.max,
        spot=False,
        volume_gb=pool.volume_gb,
        gpu_product=None,
    )


def _cpu_pool(pool: CpuPool) -> NodePoolPlan:
    return NodePoolPlan(
        name=CPU_POOL,
        instance_types=pool.instance_types,
        min_size=pool.min,
        max_size=pool.max,
        spot=pool.capacity is Capacity.SPOT,
        volume_gb=pool.volume_gb,
        gpu_product=None,
    )


def _gpu_pool(pool: GpuPool) -> NodePoolPlan:
    return NodePoolPlan(
        name=pool.name,
        instance_types=pool.instance_types,
        min_size=pool.min,
        max_size=pool.max,
        spot=pool.capacity is Capacity.SPOT,
        volume_gb=pool.volume_gb,
        gpu_product=pool.label,
        gpus=pool.machine.gpus,
    )


def _hub_store(store: HubOnAws, retention_days: int) -> HubStorePlan:
    return HubStorePlan(
        tier=store.tier,
        retention_days=retention_days,
        instance_class=store.instance_class,
        storage_gb=store.storage_gb,
        backup_days=store.backup_days,
    )


def _mirror(mirror: Mirror, config: DeploymentConfig) -> MirrorPlan:
    """Each repository that a machine or a node may pull."""
    images = [_image(each, config, has_gpu=bool(_gpus(each))) for each in config.dedicated]
    repositories = [image.partition("@")[0].partition(":")[0] for image in images]
    if config.serverless.cluster is not None:
        repositories += _cluster_repositories(config, config.serverless.cluster)
    return MirrorPlan(
        upstream=mirror.upstream,
        repositories=tuple(dict.fromkeys(repositories or [config.inference.image])),
        credentials_secret=mirror.credentials.name if mirror.credentials else None,
    )


def _cluster_repositories(config: DeploymentConfig, cluster: Cluster) -> list[str]:
    pools = [*([False] if cluster.nodes.cpu else []), *([True] if cluster.gpu.pools else [])]
    return [fitting_repository(config, has_gpu=has_gpu) for has_gpu in pools]
