from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Network
from itertools import combinations

import pulumi
import pytest

from infra.components.network import Network, subnet_blocks
from tests.infra.policies import production_violations
from tests.infra.support import ACCOUNT, REGION, Recording, once, options, record
from visionfleet.projections.plans import NetworkPlan

MANAGED = NetworkPlan(
    cidr="10.40.0.0/16", zones=2, nat_per_zone=False, vpc_id=None, public_subnet_ids=(), private_subnet_ids=()
)
EXISTING = NetworkPlan(
    cidr="",
    zones=0,
    nat_per_zone=False,
    vpc_id="vpc-1",
    public_subnet_ids=("subnet-1", "subnet-2"),
    private_subnet_ids=("subnet-3", "subnet-4"),
)


@once
def build(plan: NetworkPlan, cluster_name: str | None = None) -> Recording:
    return record(lambda: Network("acme", plan, 14, cluster_name, opts=options()))


def subnet(recording: Recording, name: str) -> tuple[str, str]:
    inputs = recording.one("aws:ec2/subnet:Subnet", name).inputs
    return inputs["cidrBlock"], inputs["availabilityZone"]


def test_a_public_and_a_private_subnet_in_each_zone() -> None:
    recording = build(MANAGED)
    assert subnet(recording, "acme-private-1") == ("10.40.0.0/18", f"{REGION}a")
    assert subnet(recording, "acme-private-2") == ("10.40.64.0/18", f"{REGION}b")
    assert subnet(recording, "acme-public-1") == ("10.40.192.0/20", f"{REGION}a")
    assert subnet(recording, "acme-public-2") == ("10.40.208.0/20", f"{REGION}b")
    assert recording.outputs["public_subnet_ids"] == ["acme-public-1-id", "acme-public-2-id"]
    assert recording.outputs["private_subnet_ids"] == ["acme-private-1-id", "acme-private-2-id"]
    assert recording.outputs["private_cidrs"] == ["10.40.0.0/18", "10.40.64.0/18"]
    assert (recording.outputs["vpc_id"], recording.outputs["cidr"]) == ("acme-id", "10.40.0.0/16")


@pytest.mark.parametrize("plan", [MANAGED, replace(MANAGED, zones=3, nat_per_zone=True), EXISTING])
def test_every_policy_holds(plan: NetworkPlan) -> None:
    assert production_violations(build(plan, "acme")) == []


@pytest.mark.parametrize("cidr", ["10.40.0.0/16", "172.16.0.0/20", "192.168.4.0/22"])
def test_blocks_never_overlap_and_lie_in_the_vpc(cidr: str) -> None:
    blocks = [block for zone in subnet_blocks(cidr) for block in (zone.public, zone.private)]
    assert len(blocks) == 6
    assert all(block.subnet_of(IPv4Network(cidr)) for block in blocks)
    assert not any(one.overlaps(other) for one, other in combinations(blocks, 2))


def test_a_third_zone_moves_no_subnet() -> None:
    two, three = (build(replace(MANAGED, zones=zones)) for zones in (2, 3))
    for name in ("acme-private-1", "acme-private-2", "acme-public-1", "acme-public-2"):
        assert subnet(two, name) == subnet(three, name)
    assert subnet(three, "acme-private-3") == ("10.40.128.0/18", f"{REGION}c")


def test_a_subnet_stays_in_its_zone_when_aws_opens_another() -> None:
    recording = build(MANAGED)
    assert all(subnet.ignores == ("availabilityZone",) for subnet in recording.all("aws:ec2/subnet:Subnet"))


def test_one_nat_gateway_serves_all_zones() -> None:
    recording = build(MANAGED)
    assert [nat.inputs["subnetId"] for nat in recording.all("aws:ec2/natGateway:NatGateway")] == ["acme-public-1-id"]
    for name in ("acme-private-1", "acme-private-2"):
        assert recording.one("aws:ec2/route:Route", name).inputs["natGatewayId"] == "acme-nat-1-id"


def test_each_zone_may_have_its_own_nat_gateway() -> None:
    recording = build(replace(MANAGED, nat_per_zone=True))
    assert len(recording.all("aws:ec2/natGateway:NatGateway")) == 2
    for number in (1, 2):
        route = recording.one("aws:ec2/route:Route", f"acme-private-{number}").inputs
        assert route["natGatewayId"] == f"acme-nat-{number}-id"
        assert route["routeTableId"] == f"acme-private-{number}-id"


def test_only_public_subnets_are_routed_to_the_internet() -> None:
    recording = build(MANAGED)
    gateway = recording.one("aws:ec2/internetGateway:InternetGateway").id
    direct = [r.name for r in recording.all("aws:ec2/route:Route") if r.inputs.get("gatewayId") == gateway]
    assert direct == ["acme-public"]
    associated = {
        a.inputs["subnetId"]: a.inputs["routeTableId"]
        for a in recording.all("aws:ec2/routeTableAssociation:RouteTableAssociation")
    }
    assert associated == {
        "acme-public-1-id": "acme-public-id",
        "acme-public-2-id": "acme-public-id",
        "acme-private-1-id": "acme-private-1-id",
        "acme-private-2-id": "acme-private-2-id",
    }


def test_s3_is_reached_without_nat_from_every_subnet() -> None:
    endpoint = build(MANAGED).one("aws:ec2/vpcEndpoint:VpcEndpoint").inputs
    assert endpoint["serviceName"] == f"com.amazonaws.{REGION}.s3"
    assert endpoint["vpcEndpointType"] == "Gateway"
    assert sorted(endpoint["routeTableIds"]) == ["acme-private-1-id", "acme-private-2-id", "acme-public-id"]


def test_the_default_security_group_lets_nothing_through() -> None:
    group = build(MANAGED).one("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup").inputs
    assert (group["ingress"], group["egress"], group["vpcId"]) == ([], [], "acme-id")


def test_flow_logs_are_kept_as_long_as_the_file_says() -> None:
    recording = build(MANAGED)
    log = recording.one("aws:ec2/flowLog:FlowLog").inputs
    group = recording.one("aws:cloudwatch/logGroup:LogGroup")
    assert (log["trafficType"], log["vpcId"]) == ("ALL", "acme-id")
    assert group.inputs["retentionInDays"] == 14
    role = recording.one("aws:iam/role:Role", "acme-flow-logs").inputs
    (trusting,) = json.loads(role["assumeRolePolicy"])["Statement"]
    assert trusting["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    policy = json.loads(recording.one("aws:iam/rolePolicy:RolePolicy", "acme-flow-logs").inputs["policy"])
    assert log["logDestination"] in policy["Statement"][0]["Resource"]


def test_a_cluster_finds_the_subnets_by_their_tags() -> None:
    recording = build(MANAGED, "acme-cluster")
    public = recording.one("aws:ec2/subnet:Subnet", "acme-public-1").inputs["tags"]
    private = recording.one("aws:ec2/subnet:Subnet", "acme-private-1").inputs["tags"]
    assert public == {"Name": "acme-public-1", "kubernetes.io/role/elb": "1"}
    assert private["kubernetes.io/role/internal-elb"] == "1"
    assert private["karpenter.sh/discovery"] == "acme-cluster"


def test_without_a_cluster_there_are_no_tags_for_one() -> None:
    tags = [resource.inputs["tags"] for resource in build(MANAGED).all("aws:ec2/subnet:Subnet")]
    assert [list(tag) for tag in tags] == [["Name"]] * 4


def test_zones_are_those_of_the_region_in_order_of_their_names() -> None:
    zones = {"aws:index/getAvailabilityZones:getAvailabilityZones": lambda _: {"id": "x", "names": ["r-c", "r-a"]}}
    recording = record(lambda: Network("acme", MANAGED, opts=options()), calls=zones)
    assert [subnet(recording, f"acme-private-{n}")[1] for n in (1, 2)] == ["r-a", "r-c"]
    ((_, asked),) = recording.calls
    assert asked["filters"] == [{"name": "zone-type", "values": ["availability-zone"]}]


def test_a_region_with_too_few_zones_is_named() -> None:
    zones = {"aws:index/getAvailabilityZones:getAvailabilityZones": lambda _: {"id": "x", "names": ["r-a"]}}
    with pytest.raises(pulumi.RunError, match=r"cloud.network.zones: 2 zones are asked for, the region has 1"):
        record(lambda: Network("acme", MANAGED, opts=options()), calls=zones)


def test_an_existing_vpc_is_only_looked_up() -> None:
    recording = build(EXISTING)
    assert list(recording.of_aws()) == []
    assert recording.outputs["vpc_id"] == "vpc-1"
    assert recording.outputs["cidr"] == "10.0.0.0/16"
    assert recording.outputs["public_subnet_ids"] == ["subnet-1", "subnet-2"]
    assert recording.outputs["private_subnet_ids"] == ["subnet-3", "subnet-4"]
    assert recording.outputs["private_cidrs"] == ["10.0.3.0/24", "10.0.4.0/24"]


def test_a_subnet_of_another_vpc_is_named() -> None:
    plan = replace(EXISTING, vpc_id="vpc-2")
    with pytest.raises(pulumi.RunError, match=r"subnet subnet-\d is in vpc-1, not in vpc_id vpc-2"):
        build(plan)


def test_subnets_of_one_zone_are_too_few() -> None:
    plan = replace(EXISTING, private_subnet_ids=("subnet-3", "subnet-6"))
    with pytest.raises(pulumi.RunError, match=r"private_subnet_ids: all are in eu-central-1a"):
        build(plan)


def test_subnets_hang_below_their_vpc_in_the_tree() -> None:
    recording = build(MANAGED)
    assert {resource.parent_type for resource in recording.all("aws:ec2/subnet:Subnet")} == {"aws:ec2/vpc:Vpc"}
    assert recording.one("aws:ec2/vpc:Vpc").parent_type == "visionfleet:aws:Network"
