"""The VPC of a stack: made here, or one that is there and only looked up.

Machines, nodes and the database are in private subnets, which reach out through NAT; public ones hold load balancers
and NAT gateways. Where each lies follows from the CIDR alone, so that a third zone moves nothing that is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

import pulumi
import pulumi_aws as aws

from infra.components.common import allow, name_tags, policy_document, trust
from visionfleet.projections.plans import NetworkPlan

ALL_TRAFFIC = "0.0.0.0/0"
MIN_ZONES = 2  # load balancers and databases ask for two
LOG_RETENTION_DAYS = 30
# by these the AWS load balancer controller and Karpenter find the subnets of a cluster
PUBLIC_BALANCERS_TAG = "kubernetes.io/role/elb"
PRIVATE_BALANCERS_TAG = "kubernetes.io/role/internal-elb"
DISCOVERY_TAG = "karpenter.sh/discovery"


class Network(pulumi.ComponentResource):
    """A VPC with a public and a private subnet in each zone.

    `is_managed` tells whether it was made here; then its subnets already carry the tags that a cluster named
    `cluster_name` needs, and nothing else may tag them.
    """

    vpc_id: pulumi.Output[str]
    public_subnet_ids: Sequence[pulumi.Output[str]]
    private_subnet_ids: Sequence[pulumi.Output[str]]
    cidr: pulumi.Output[str]
    private_cidrs: Sequence[pulumi.Output[str]]
    is_managed: bool

    def __init__(
        self,
        name: str,
        plan: NetworkPlan,
        log_retention_days: int = LOG_RETENTION_DAYS,
        cluster_name: str | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("visionfleet:aws:Network", name, None, opts)
        self._name = name
        self.is_managed = plan.vpc_id is None
        if plan.vpc_id is None:
            self._make(plan, log_retention_days, cluster_name)
        else:
            self._look_up(plan, plan.vpc_id)
        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "public_subnet_ids": self.public_subnet_ids,
                "private_subnet_ids": self.private_subnet_ids,
                "cidr": self.cidr,
            }
        )

    def _look_up(self, plan: NetworkPlan, vpc_id: str) -> None:
        """What cannot work is said here: AWS would say it half an hour later, of some other resource."""
        vpc = aws.ec2.get_vpc_output(id=vpc_id, opts=pulumi.InvokeOutputOptions(parent=self))
        public = [self._subnet_of(vpc_id, subnet_id) for subnet_id in plan.public_subnet_ids]
        private = [self._subnet_of(vpc_id, subnet_id) for subnet_id in plan.private_subnet_ids]
        self.vpc_id = vpc.id
        self.cidr = vpc.cidr_block
        self.public_subnet_ids = _ids_over_zones("public", public)
        self.private_subnet_ids = _ids_over_zones("private", private)
        self.private_cidrs = [subnet.cidr_block for subnet in private]

    def _subnet_of(self, vpc_id: str, subnet_id: str) -> pulumi.Output[aws.ec2.GetSubnetResult]:
        def check(subnet: aws.ec2.GetSubnetResult) -> aws.ec2.GetSubnetResult:
            if subnet.vpc_id != vpc_id:
                message = f"cloud.network: subnet {subnet_id} is in {subnet.vpc_id}, not in vpc_id {vpc_id}"
                raise pulumi.RunError(f"{message}\n  name subnets of {vpc_id}, or the other VPC")
            return subnet

        found = aws.ec2.get_subnet_output(id=subnet_id, opts=pulumi.InvokeOutputOptions(parent=self))
        return found.apply(check)

    def _make(self, plan: NetworkPlan, log_retention_days: int, cluster_name: str | None) -> None:
        vpc = aws.ec2.Vpc(
            self._name,
            cidr_block=plan.cidr,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags=name_tags(self._name),
            opts=self._child(),
        )
        self._close_default_group(vpc)
        blocks = subnet_blocks(plan.cidr)[: plan.zones]
        public_tags = {PUBLIC_BALANCERS_TAG: "1"} if cluster_name else {}
        private_tags = {PRIVATE_BALANCERS_TAG: "1", DISCOVERY_TAG: cluster_name} if cluster_name else {}
        zones = self._zones(plan.zones)
        public = self._subnets("public", vpc, zones, [block.public for block in blocks], public_tags)
        private = self._subnets("private", vpc, zones, [block.private for block in blocks], private_tags)
        gateway = aws.ec2.InternetGateway(self._name, vpc_id=vpc.id, tags=name_tags(self._name), opts=self._child())
        nats = self._nats(gateway, public if plan.nat_per_zone else public[:1])
        tables = [self._public_routes(vpc, gateway, public), *self._private_routes(vpc, nats, private)]
        self._s3_endpoint(vpc, tables)
        self._flow_logs(vpc, log_retention_days)
        self.vpc_id = vpc.id
        self.cidr = vpc.cidr_block
        self.public_subnet_ids = [subnet.id for subnet in public]
        self.private_subnet_ids = [subnet.id for subnet in private]
        self.private_cidrs = [subnet.cidr_block.apply(lambda cidr: cidr or "") for subnet in private]

    def _close_default_group(self, vpc: aws.ec2.Vpc) -> None:
        """AWS makes one with each VPC, that lets its members talk to one another and to everybody."""
        tags = name_tags(f"{self._name}-default-closed")
        aws.ec2.DefaultSecurityGroup(self._name, vpc_id=vpc.id, ingress=[], egress=[], tags=tags, opts=self._child(vpc))

    def _zones(self, count: int) -> Sequence[pulumi.Output[str]]:
        """The region's first zones. Regions lack letters (us-west-1 has a and c), so AWS is asked."""

        def first(found: Sequence[str]) -> Sequence[str]:
            if len(found) < count:
                message = f"cloud.network.zones: {count} zones are asked for, the region has {len(found)}"
                raise pulumi.RunError(f"{message}\n  ask for {len(found)}, or name another cloud.region")
            return sorted(found)[:count]

        found = aws.get_availability_zones_output(
            state="available",
            # without Local Zones and Wavelength, which lack most instance types and all NAT
            filters=[{"name": "zone-type", "values": ["availability-zone"]}],
            opts=pulumi.InvokeOutputOptions(parent=self),
        )
        names = found.names.apply(first)
        return [names[index] for index in range(count)]

    def _subnets(
        self,
        kind: str,
        vpc: aws.ec2.Vpc,
        zones: Sequence[pulumi.Output[str]],
        blocks: Sequence[IPv4Network],
        tags: dict[str, str],
    ) -> list[aws.ec2.Subnet]:
        return [
            aws.ec2.Subnet(
                name := f"{self._name}-{kind}-{number}",
                vpc_id=vpc.id,
                cidr_block=str(block),
                availability_zone=zone,
                map_public_ip_on_launch=False,
                tags={**name_tags(name), **tags},
                # AWS may open a zone that sorts before the others: what is there stays where it is
                opts=self._child(vpc, ignore_changes=["availabilityZone"]),
            )
            for number, (zone, block) in enumerate(zip(zones, blocks, strict=True), start=1)
        ]

    def _nats(self, gateway: aws.ec2.InternetGateway, subnets: Sequence[aws.ec2.Subnet]) -> list[aws.ec2.NatGateway]:
        nats: list[aws.ec2.NatGateway] = []
        for number, subnet in enumerate(subnets, start=1):
            name = f"{self._name}-nat-{number}"
            address = aws.ec2.Eip(name, domain="vpc", tags=name_tags(name), opts=self._child(depends_on=[gateway]))
            nats.append(
                aws.ec2.NatGateway(
                    name,
                    allocation_id=address.id,
                    subnet_id=subnet.id,
                    tags=name_tags(name),
                    opts=self._child(depends_on=[gateway]),
                )
            )
        return nats

    def _public_routes(
        self, vpc: aws.ec2.Vpc, gateway: aws.ec2.InternetGateway, subnets: Sequence[aws.ec2.Subnet]
    ) -> aws.ec2.RouteTable:
        name = f"{self._name}-public"
        table = aws.ec2.RouteTable(name, vpc_id=vpc.id, tags=name_tags(name), opts=self._child(vpc))
        aws.ec2.Route(
            name,
            route_table_id=table.id,
            destination_cidr_block=ALL_TRAFFIC,
            gateway_id=gateway.id,
            opts=self._child(table),
        )
        for number, subnet in enumerate(subnets, start=1):
            self._associate(f"{name}-{number}", table, subnet)
        return table

    def _private_routes(
        self, vpc: aws.ec2.Vpc, nats: Sequence[aws.ec2.NatGateway], subnets: Sequence[aws.ec2.Subnet]
    ) -> list[aws.ec2.RouteTable]:
        """A table for each zone, also with one NAT gateway: more of them later change routes and no table."""
        tables: list[aws.ec2.RouteTable] = []
        for number, subnet in enumerate(subnets, start=1):
            name = f"{self._name}-private-{number}"
            table = aws.ec2.RouteTable(name, vpc_id=vpc.id, tags=name_tags(name), opts=self._child(vpc))
            aws.ec2.Route(
                name,
                route_table_id=table.id,
                destination_cidr_block=ALL_TRAFFIC,
                nat_gateway_id=nats[(number - 1) % len(nats)].id,
                opts=self._child(table),
            )
            self._associate(name, table, subnet)
            tables.append(table)
        return tables

    def _associate(self, name: str, table: aws.ec2.RouteTable, subnet: aws.ec2.Subnet) -> None:
        aws.ec2.RouteTableAssociation(name, route_table_id=table.id, subnet_id=subnet.id, opts=self._child(table))

    def _s3_endpoint(self, vpc: aws.ec2.Vpc, tables: Sequence[aws.ec2.RouteTable]) -> None:
        """Layers of images and the objects of the hub go to S3 directly: NAT charges by the gigabyte."""
        region = vpc.arn.apply(lambda arn: arn.split(":")[3])
        name = f"{self._name}-s3"
        aws.ec2.VpcEndpoint(
            name,
            vpc_id=vpc.id,
            service_name=pulumi.Output.concat("com.amazonaws.", region, ".s3"),
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.id for table in tables],
            tags=name_tags(name),
            opts=self._child(vpc),
        )

    def _flow_logs(self, vpc: aws.ec2.Vpc, retention_days: int) -> None:
        name = f"{self._name}-flow-logs"
        group = aws.cloudwatch.LogGroup(
            name, name=f"/visionfleet/{self._name}/flow-logs", retention_in_days=retention_days, opts=self._child(vpc)
        )
        # the service writes for this account alone, whoever else tells it to
        own = {"StringEquals": {"aws:SourceAccount": vpc.owner_id}}
        role = aws.iam.Role(
            name,
            description="VPC flow logs write to their log group.",
            assume_role_policy=policy_document(trust("vpc-flow-logs.amazonaws.com", condition=own)),
            opts=self._child(vpc),
        )
        write = ["logs:CreateLogStream", "logs:DescribeLogGroups", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        resources = [group.arn, pulumi.Output.concat(group.arn, ":*")]
        policy = policy_document(allow(write, resources))
        granted = aws.iam.RolePolicy(name, role=role.name, policy=policy, opts=self._child(role))
        aws.ec2.FlowLog(
            name,
            vpc_id=vpc.id,
            traffic_type="ALL",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            tags=name_tags(name),
            opts=self._child(vpc, depends_on=[granted]),
        )

    def _child(
        self,
        parent: pulumi.Resource | None = None,
        depends_on: Sequence[pulumi.Resource] = (),
        ignore_changes: list[str] | None = None,
    ) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=parent or self, depends_on=depends_on, ignore_changes=ignore_changes)


@dataclass(frozen=True, slots=True)
class Blocks:
    """The addresses of a zone."""

    public: IPv4Network
    private: IPv4Network


def subnet_blocks(cidr: str) -> list[Blocks]:
    """The blocks of each zone that there can be: a quarter of the VPC is private, a sixteenth public.

    Pods and machines take private addresses, load balancers and NAT gateways public ones. Of 10.40.0.0/16, the first
    zone has 10.40.0.0/18 and 10.40.192.0/20; a zone that is added takes what was kept free for it.
    """
    *private, last = IPv4Network(cidr).subnets(prefixlen_diff=2)
    return [Blocks(*pair) for pair in zip(last.subnets(prefixlen_diff=2), private, strict=False)]


def _ids_over_zones(kind: str, subnets: Sequence[pulumi.Output[aws.ec2.GetSubnetResult]]) -> list[pulumi.Output[str]]:
    def check(found: Sequence[aws.ec2.GetSubnetResult]) -> list[str]:
        zones = {subnet.availability_zone for subnet in found}
        if found and len(zones) < MIN_ZONES:
            message = f"cloud.network.{kind}_subnet_ids: all are in {', '.join(zones)}"
            raise pulumi.RunError(f"{message}\n  name subnets in {MIN_ZONES} zones or more: AWS asks for them")
        return [subnet.id for subnet in found]

    ids = pulumi.Output.all(*subnets).apply(check)
    return [ids[index] for index in range(len(subnets))]
