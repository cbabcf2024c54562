"""Section `cloud`: where in AWS the deployment is, in whose name, in which network."""

from collections.abc import Iterator
from enum import StrEnum
from ipaddress import IPv4Network
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, Field

from visionfleet.config.aws_kinds import Cidr, Email, Region, SubnetId, TagValue, VpcId, range_of
from visionfleet.config.kinds import Domain
from visionfleet.config.secrets import AwsSecretRef
from visionfleet.config.section import Breach, RuledSection, Section, entries, peek, refusal

DEFAULT_CIDR = "10.40.0.0/16"
SHORTEST_PREFIX, LONGEST_PREFIX = 16, 23
PRIVATE_RANGES = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))
LEAST_SUBNETS = 2
DOCKER_RANGE = IPv4Network("172.17.0.0/16")
# the days that CloudWatch keeps logs for: the values of PutRetentionPolicy
LOG_RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
# ECR reads the credentials of an upstream from secrets of such names alone
MIRROR_SECRET_PREFIX = "ecr-pullthroughcache/"  # noqa: S105 - a name


class Capacity(StrEnum):
    """How machines are bought: on demand, or spot, which AWS takes back when it likes."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"


class Provider(StrEnum):
    """The clouds."""

    AWS = "aws"


class Nat(StrEnum):
    """How many NAT gateways there are: one, or one a zone, so that an outage of a zone stays there."""

    SINGLE = "single"
    PER_ZONE = "per-zone"


class NetworkKind(StrEnum):
    """Whether the VPC is made, or there."""

    MANAGED = "managed"
    EXISTING = "existing"


class Upstream(StrEnum):
    """The registries that ECR can pull through."""

    DOCKER_HUB = "registry-1.docker.io"
    GITHUB = "ghcr.io"
    GITLAB = "registry.gitlab.com"
    QUAY = "quay.io"
    ECR_PUBLIC = "public.ecr.aws"


# from the table in https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html
UPSTREAMS_WITH_ACCOUNT = (Upstream.DOCKER_HUB, Upstream.GITHUB, Upstream.GITLAB)


def _check_vpc_range(cidr: str) -> str:
    network = range_of(cidr)
    if network is None:
        return cidr
    if not any(network.subnet_of(private) for private in PRIVATE_RANGES):
        fix = "take one of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, as in '10.40.0.0/16'"
        raise refusal("vpc-range", "is not in a private range", fix)
    if not SHORTEST_PREFIX <= network.prefixlen <= LONGEST_PREFIX:
        rule = f"is not from /{SHORTEST_PREFIX} to /{LONGEST_PREFIX}"
        fix = (
            "AWS takes no larger VPC than /16, and a /24 leaves a load balancer's subnets fewer addresses than it needs"
        )
        raise refusal("vpc-range", rule, fix)
    if network.overlaps(DOCKER_RANGE):
        rule = f"overlaps {DOCKER_RANGE}, which Docker takes on every machine"
        raise refusal("vpc-range", rule, "take another range, as in '10.40.0.0/16'")
    return cidr


class ManagedNetwork(Section):
    """A VPC that is made: a public and a private subnet in each zone, NAT, flow logs."""

    kind: Literal[NetworkKind.MANAGED] = Field(description="`managed`: the VPC is made and removed with the stack.")
    cidr: Annotated[Cidr, AfterValidator(_check_vpc_range)] = Field(
        default=DEFAULT_CIDR, description="Range of the VPC's addresses, private, from /16 to /23."
    )
    zones: int = Field(default=2, strict=True, ge=2, le=3, description="Availability zones that the subnets are in.")
    nat: Nat = Field(default=Nat.SINGLE, description="NAT gateways: one, or one a zone.")


def _subnets_enough(data: object) -> Iterator[Breach]:
    for key in ("private_subnet_ids", "public_subnet_ids"):
        given, count = peek(data, key), len(entries(peek(data, key)))
        if (count or given == []) and count < LEAST_SUBNETS:
            fix = "name subnets in two zones or more: load balancers, databases and clusters ask for two"
            yield Breach((key,), given, "too-few-subnets", f"has {count} where {LEAST_SUBNETS} are needed", fix)


def _subnets_once(data: object) -> Iterator[Breach]:
    public = entries(peek(data, "public_subnet_ids"))
    for key in ("private_subnet_ids", "public_subnet_ids"):
        subnets = entries(peek(data, key))
        for index, subnet in enumerate(subnets):
            if subnet in subnets[:index]:
                yield Breach((key, index), subnet, "duplicate-name", "stands twice", "name each subnet once")
            elif key == "private_subnet_ids" and subnet in public:
                fix = "a subnet is public where its routes lead to an internet gateway, else private"
                yield Breach((key, index), subnet, "duplicate-name", "is also one of public_subnet_ids", fix)


class ExistingNetwork(RuledSection):
    """A VPC that is there, and stays."""

    cross_rules = (_subnets_enough, _subnets_once)

    kind: Literal[NetworkKind.EXISTING] = Field(description="`existing`: the VPC is there; only its ids are named.")
    vpc_id: VpcId = Field(description="Id of the VPC.")
    public_subnet_ids: tuple[SubnetId, ...] = Field(
        default=(), description="Subnets for load balancers, in two zones or more; `dedicated` needs them."
    )
    private_subnet_ids: tuple[SubnetId, ...] = Field(
        description="Subnets for machines, nodes and the database, in two zones or more, with a way out through NAT."
    )


def _mirror_credentials(data: object) -> Iterator[Breach]:
    upstream, credentials = peek(data, "upstream", default=Upstream.DOCKER_HUB), peek(data, "credentials")
    if upstream in list(UPSTREAMS_WITH_ACCOUNT) and credentials is None:
        secret = f"aws-secretsmanager:{MIRROR_SECRET_PREFIX}NAME"
        fix = f"make a secret with username and accessToken of an account there, and write '{secret}'"
        rule = f"is missing: {upstream} serves ECR with an account alone"
        yield Breach(("credentials",), None, "needs-credentials", rule, fix)
    if isinstance(credentials, str) and credentials.startswith("aws-secretsmanager:"):
        name = credentials.partition(":")[2]
        if not name.startswith(MIRROR_SECRET_PREFIX):
            rule = f"names a secret that ECR does not read: the name must start with '{MIRROR_SECRET_PREFIX}'"
            fix = f"make a secret of such a name, and write 'aws-secretsmanager:{MIRROR_SECRET_PREFIX}NAME'"
            yield Breach(("credentials",), credentials, "mirror-secret", rule, fix)


class Mirror(RuledSection):
    """A registry in the account that pulls the inference server's images through, once each."""

    cross_rules = (_mirror_credentials,)

    upstream: Upstream = Field(default=Upstream.DOCKER_HUB, description="Registry that the images come from.")
    credentials: AwsSecretRef | None = Field(
        default=None,
        description="Account at the upstream, as `aws-secretsmanager:ecr-pullthroughcache/NAME`.",
    )


class Budget(Section):
    """An alarm before the money is gone."""

    monthly_usd: int = Field(strict=True, ge=1, le=10_000_000, description="What a month may cost, in US dollars.")
    email: Email = Field(description="Address that the alarm goes to.")


def _check_retention(days: int) -> int:
    if days not in LOG_RETENTION_DAYS:
        longer = next((known for known in LOG_RETENTION_DAYS if known > days), LOG_RETENTION_DAYS[-1])
        known = ", ".join(map(str, LOG_RETENTION_DAYS))
        raise refusal("log-retention", "is no time that CloudWatch keeps logs for", f"take {longer}; known: {known}")
    return days


class Cloud(Section):
    """Where in AWS the deployment is, in whose name, in which network."""

    provider: Provider = Field(default=Provider.AWS, description="The cloud.")
    region: Region = Field(description="Region of AWS, as in `eu-central-1`.")
    owner: TagValue = Field(description="Who answers for the resources; the tag `owner` on each.")
    cost_centre: TagValue | None = Field(
        default=None, description="Who pays, in quotes where it is a number; the tag `cost-centre` on each resource."
    )
    log_retention_days: Annotated[int, Field(strict=True, ge=1, le=3653), AfterValidator(_check_retention)] = Field(
        default=30, description="Days that CloudWatch keeps logs."
    )
    dns_zone: Domain | None = Field(
        default=None, description="Public zone of Route 53 that endpoints' names are written to; `domain` unless given."
    )
    network: ManagedNetwork | ExistingNetwork = Field(
        default_factory=lambda: cast("ManagedNetwork", {"kind": NetworkKind.MANAGED}),
        discriminator="kind",
        description="The VPC: made, or there.",
    )
    mirror: Mirror | None = Field(
        default=None, description="Registry in the account that images are pulled through; none unless given."
    )
    budget: Budget | None = Field(default=None, description="Alarm on what the account spends; none unless given.")
