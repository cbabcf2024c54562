"""DeploymentConfig -> what a month of it costs in AWS, at the fewest and at the most machines.

What is there by the hour is counted: machines, disks, load balancers, NAT gateways, the cluster, the database. What is
used by the piece is not (NOT_COUNTED), since the file does not tell it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from visionfleet.config import DeploymentConfig
from visionfleet.projections.cloud import cloud_plan
from visionfleet.projections.plans import CloudPlan, ClusterPlan, EndpointPlan, HubStorePlan, NetworkPlan, NodePoolPlan
from visionfleet.projections.prices import Prices, RegionPrices, read_prices
from visionfleet.terms import Tier

HOURS = 730  # of a month, as AWS counts
HOURS_A_WEEK = 168
NOT_COUNTED = (
    "data transfer and what NAT and load balancers charge by the gigabyte",
    "objects in S3, images in the registry, logs",
    "backups, and growth of the database",
    "tax and discounts",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that costs, in US dollars a month."""

    section: str
    item: str
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """The lines, in the order of the file's sections, and where the prices come from."""

    region: str
    prices: Prices
    lines: tuple[Line, ...]
    has_spot: bool

    @property
    def least(self) -> float:
        """A month with the fewest machines."""
        return sum(line.least for line in self.lines)

    @property
    def most(self) -> float:
        """A month with the most machines."""
        return sum(line.most for line in self.lines)

    def sections(self) -> dict[str, tuple[Line, ...]]:
        """The lines by section."""
        names = dict.fromkeys(line.section for line in self.lines)
        return {name: tuple(line for line in self.lines if line.section == name) for name in names}


def monthly_cost(config: DeploymentConfig, prices: Prices | None = None) -> Estimate:
    """What the file costs a month.

    Raises:
        NoCloud: the file has no section `cloud`.
        PriceMissing: the table lacks the region, an instance type or an instance class.
    """
    plan, prices = cloud_plan(config), prices or read_prices()
    hours = {each.name: each.schedule.weekly_hours if each.schedule else HOURS_A_WEEK for each in config.dedicated}
    meter = _Meter(prices, prices.of_region(plan.region), plan.region)
    lines = [
        *meter.network(plan.network),
        *(line for each in plan.endpoints for line in meter.endpoint(each, plan.network, hours[each.name])),
        *(meter.cluster(plan.cluster) if plan.cluster else ()),
        *(meter.hub_store(plan.hub_store) if plan.hub_store else ()),
    ]
    return Estimate(plan.region, prices, tuple(lines), _has_spot(plan))


def _has_spot(plan: CloudPlan) -> bool:
    pools = (plan.cluster.cpu, *plan.cluster.gpu) if plan.cluster else ()
    return any(endpoint.spot for endpoint in plan.endpoints) or any(pool is not None and pool.spot for pool in pools)


@dataclass(frozen=True, slots=True)
class _Meter:
    """Lines at the prices of one region."""

    prices: Prices
    region: RegionPrices
    name: str

    def network(self, plan: NetworkPlan) -> Iterator[Line]:
        if plan.vpc_id is not None:
            return
        gateways = plan.zones if plan.nat_per_zone else 1
        hour = self.region.nat_hour + self.region.address_hour
        yield _steady("cloud.network", _count(gateways, "NAT gateway"), gateways * hour * HOURS)

    def endpoint(self, plan: EndpointPlan, network: NetworkPlan, weekly_hours: float) -> Iterator[Line]:
        section = f"dedicated {plan.name}"
        share = weekly_hours / HOURS_A_WEEK
        hour = self._machine((plan.instance_type,), spot=plan.spot)[0]
        item = f"{_range(plan.min_size, plan.max_size)} {plan.instance_type}{_details(plan.spot, share)}"
        month = hour * HOURS + plan.volume_gb * self.region.disk_gb_month + self.region.monitoring_month
        yield Line(section, item, plan.min_size * month * share, plan.max_size * month * share)
        if plan.warm_pool:
            disk = plan.volume_gb * self.region.disk_gb_month
            stopped = max(plan.max_size - plan.min_size, 1)
            yield Line(section, f"{_range(1, stopped)} stopped in the warm pool", disk, stopped * disk)
        zones = network.zones or len(network.public_subnet_ids)
        balancer = self.region.balancer_hour + zones * self.region.address_hour
        yield _steady(section, "load balancer", balancer * HOURS)
        if plan.api_key_secret is None:
            yield _steady(section, "secret", self.region.secret_month)

    def cluster(self, plan: ClusterPlan) -> Iterator[Line]:
        section = "serverless.cluster"
        yield _steady(section, "control plane", self.region.cluster_hour * HOURS + self.region.key_month)
        for pool in (plan.system, plan.cpu, *plan.gpu):
            if pool is not None:
                yield self._pool(section, pool)

    def _pool(self, section: str, pool: NodePoolPlan) -> Line:
        """Of several types AWS takes one: the cheapest counts for the least, the dearest for the most."""
        cheapest, dearest = self._machine(pool.instance_types, spot=pool.spot)
        disk = pool.volume_gb * self.region.disk_gb_month
        types = " or ".join(pool.instance_types)
        item = f"{pool.name}: {_range(pool.min_size, pool.max_size)} {types}{_details(pool.spot, 1)}"
        least = pool.min_size * (cheapest * HOURS + disk)
        return Line(section, item, least, pool.max_size * (dearest * HOURS + disk))

    def hub_store(self, plan: HubStorePlan) -> Iterator[Line]:
        zones = 2 if plan.tier is Tier.PRODUCTION else 1
        hour = self.prices.database(self.name, plan.instance_class)
        month = zones * (hour * HOURS + plan.storage_gb * self.region.database_gb_month)
        standby = ", with a standby" if zones > 1 else ""
        yield _steady("hub.aws", f"{plan.instance_class}, {plan.storage_gb} GB{standby}", month)
        secrets = 2 * self.region.secret_month  # of the database, of workers
        yield _steady("hub.aws", "key and secrets", self.region.key_month + secrets)

    def _machine(self, instance_types: tuple[str, ...], *, spot: bool) -> tuple[float, float]:
        hours = [self.prices.instance(self.name, instance_type) for instance_type in instance_types]
        share = self.prices.spot_share if spot else 1
        return min(hours) * share, max(hours) * share


def _steady(section: str, item: str, month: float) -> Line:
    return Line(section, item, month, month)


def _range(least: int, most: int) -> str:
    return f"{least} x" if least == most else f"{least} to {most} x"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _details(spot: bool, share: float) -> str:  # noqa: FBT001 - one word of a sentence
    hours = f", {share * HOURS:.0f} h" if share < 1 else ""
    return (", spot" if spot else "") + hours
