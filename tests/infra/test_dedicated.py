from __future__ import annotations

import base64
import json
from typing import Any

import pulumi
import pytest

from infra.components.dedicated import DedicatedEndpoint
from infra.components.endpoint_balancer import short_name
from infra.components.endpoint_firewall import outgoing_ports
from infra.components.network import Network
from tests.infra.endpoints import DIGEST, HOSTNAME, MIRROR, OFFICE_HOURS, SECRET, development, production
from tests.infra.policies import production_violations, violations
from tests.infra.support import ACCOUNT, REGION, Recording, once, options, record
from visionfleet.projections.plans import EndpointPlan, NetworkPlan
from visionfleet.terms import Scaling

NETWORK = NetworkPlan(
    "", 0, nat_per_zone=False, vpc_id="vpc-1", public_subnet_ids=("a", "b"), private_subnet_ids=("c", "d")
)
GROUP = "aws:autoscaling/group:Group"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
AMI = "aws:ssm/getParameter:getParameter"
CALLS = {
    AMI: lambda args: {"insecureValue": "ami-newest", "value": "ami-newest", "name": args["name"]},
    "aws:secretsmanager/getSecret:getSecret": lambda args: {"arn": SECRET, "name": args["name"]},
    "aws:route53/getZone:getZone": lambda args: {"zoneId": "Z1", "name": args["name"]},
    "aws:ec2/getSubnet:getSubnet": lambda args: {
        "id": args["id"],
        "vpcId": "vpc-1",
        "cidrBlock": "10.0.1.0/24",
        "availabilityZone": f"{REGION}{args['id']}",
    },
}
OUTPUTS = {
    "aws:acm/certificate:Certificate": lambda _: {
        "domainValidationOptions": [
            {"resourceRecordName": "_1.example", "resourceRecordType": "CNAME", "resourceRecordValue": "_2.aws"}
        ]
    },
    "aws:lb/loadBalancer:LoadBalancer": lambda _: {"arnSuffix": "app/line-3/1", "dnsName": "lb.aws", "zoneId": "Z2"},
    "aws:lb/targetGroup:TargetGroup": lambda _: {"arnSuffix": "targetgroup/line-3/2"},
    TEMPLATE: lambda _: {"latestVersion": 7},
    "aws:secretsmanager/secret:Secret": lambda _: {"arn": SECRET},
}


@once
def build(plan: EndpointPlan, mirror: str | None = None) -> Recording:
    def program() -> DedicatedEndpoint:
        network = Network("acme", NETWORK, opts=options())
        registry = None if mirror is None else pulumi.Output.from_input(mirror)
        return DedicatedEndpoint("line-3", plan, network, registry, 14, opts=options())

    return record(program, outputs=OUTPUTS, calls=CALLS)


def statements(recording: Recording) -> dict[str, Any]:
    """Resource and condition by action."""
    policy = json.loads(recording.one("aws:iam/rolePolicy:RolePolicy").inputs["policy"])
    return {
        action: (statement["Resource"], statement.get("Condition"))
        for statement in policy["Statement"]
        for action in statement["Action"]
    }


def user_data(recording: Recording) -> str:
    return base64.b64decode(recording.one(TEMPLATE).inputs["userData"]).decode()


@pytest.fixture(scope="module")
def recording() -> Recording:
    return build(production(), MIRROR)


@pytest.mark.parametrize("mirror", [None, MIRROR])
def test_production_keeps_to_every_policy(mirror: str | None) -> None:
    assert production_violations(build(production(warm_pool=True, scaling=Scaling.GPU), mirror)) == []


def test_development_keeps_to_every_policy() -> None:
    assert violations(build(development())) == []


def test_clients_speak_tls_at_the_endpoints_name(recording: Recording) -> None:
    assert recording.outputs["url"] == f"https://{HOSTNAME}"
    listener = recording.one("aws:lb/listener:Listener").inputs
    assert (listener["port"], listener["protocol"]) == (443, "HTTPS")
    assert listener["sslPolicy"].startswith("ELBSecurityPolicy-TLS13-")
    assert recording.one("aws:acm/certificate:Certificate").inputs["domainName"] == HOSTNAME
    proof = recording.one("aws:route53/record:Record", "line-3-validation").inputs
    assert (proof["name"], proof["type"], proof["records"]) == ("_1.example", "CNAME", ["_2.aws"])
    alias = recording.one("aws:route53/record:Record", "line-3").inputs
    assert (alias["name"], alias["aliases"][0]["name"], alias["zoneId"]) == (HOSTNAME, "lb.aws", "Z1")


def test_a_machine_is_in_service_when_its_server_is_ready(recording: Recording) -> None:
    check = recording.one("aws:lb/targetGroup:TargetGroup").inputs["healthCheck"]
    assert (check["path"], check["port"], check["matcher"]) == ("/readiness", "9001", "200")
    (hook,) = recording.one(GROUP).inputs["initialLifecycleHooks"]
    assert hook["lifecycleTransition"] == "autoscaling:EC2_INSTANCE_LAUNCHING"
    assert hook["defaultResult"] == "ABANDON"
    assert f"--lifecycle-hook-name {hook['name']}" in user_data(recording)
    assert f"--auto-scaling-group-name {recording.one(GROUP).inputs['name']} " in user_data(recording)


def test_a_change_replaces_machines_one_after_the_other_and_goes_back_if_they_fail(recording: Recording) -> None:
    group = recording.one(GROUP).inputs
    preferences = group["instanceRefresh"]["preferences"]
    assert preferences["autoRollback"] is True
    assert (preferences["minHealthyPercentage"], preferences["maxHealthyPercentage"]) == (100, 110)
    assert group["launchTemplate"]["version"] == "7"  # AWS rolls back from a version, not from `$Latest`
    assert (group["healthCheckType"], group["vpcZoneIdentifiers"]) == ("ELB", ["c", "d"])


def test_machines_reach_nothing_but_what_is_named_and_are_reached_by_the_balancer_alone(recording: Recording) -> None:
    into = recording.all("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    machines = [rule.inputs for rule in into if rule.inputs["securityGroupId"] == "line-3-machines-id"]
    assert [(rule["fromPort"], rule["toPort"], rule["referencedSecurityGroupId"]) for rule in machines] == [
        (9001, 9001, "line-3-balancer-id")
    ]
    out = recording.all("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule")
    balancer = [rule.inputs for rule in out if rule.inputs["securityGroupId"] == "line-3-balancer-id"]
    assert [(rule["fromPort"], rule["referencedSecurityGroupId"]) for rule in balancer] == [
        (9001, "line-3-machines-id")
    ]
    assert {rule.inputs["fromPort"] for rule in out} == {80, 443, 9001, 9500}
    assert recording.outputs["security_group_id"] == "line-3-machines-id"


def test_clients_are_those_of_the_file() -> None:
    recording = build(production(allowed_cidrs=("10.0.0.0/8", "2001:db8::/32")))
    rules = [rule.inputs for rule in recording.all("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")]
    clients = {rule.get("cidrIpv4") or rule.get("cidrIpv6"): rule["toPort"] for rule in rules}
    assert clients == {"10.0.0.0/8": 443, "2001:db8::/32": 443, None: 9001}  # None: from the balancer's group


@pytest.mark.parametrize(
    ("hub", "ports"),
    [("https://hub.example", {80, 443}), ("http://hub.example", {80, 443}), ("http://10.0.0.1:9500", {80, 443, 9500})],
)
def test_the_hub_is_reached_wherever_it_listens(hub: str, ports: set[int]) -> None:
    assert outgoing_ports(production(environment={"API_BASE_URL": hub})).keys() == ports


def test_the_role_reads_one_secret_and_writes_one_log_group(recording: Recording) -> None:
    allowed = statements(recording)
    logs = recording.one("aws:cloudwatch/logGroup:LogGroup")
    assert allowed["secretsmanager:GetSecretValue"] == ([SECRET], None)
    assert allowed["logs:PutLogEvents"] == ([f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:loggroup/{logs.name}:*"], None)
    assert allowed["cloudwatch:PutMetricData"] == (["*"], {"StringEquals": {"cloudwatch:namespace": "visionfleet"}})
    (group,) = allowed["autoscaling:CompleteLifecycleAction"][0]
    assert group == f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:*:autoScalingGroupName/{HOSTNAME}"
    assert logs.inputs["retentionInDays"] == 14


def test_the_mirror_is_pulled_from_only_where_there_is_one(recording: Recording) -> None:
    (below,) = statements(recording)["ecr:BatchGetImage"][0]
    assert below == f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/docker-hub/*"
    assert f"{MIRROR}/roboflow/roboflow-inference-server-gpu@{DIGEST}" in user_data(recording)
    without = build(production())
    assert not [action for action in statements(without) if action.startswith("ecr:")]
    assert MIRROR not in user_data(without)


def test_a_key_that_is_not_there_yet_is_waited_for_by_the_machines_alone() -> None:
    recording = build(development())
    assert recording.one("aws:secretsmanager/secret:Secret").inputs["recoveryWindowInDays"] == 7
    assert recording.outputs["secret_arn"] == SECRET
    assert recording.one(GROUP).inputs["waitForCapacityTimeout"] == "0"
    assert build(production()).all("aws:secretsmanager/secret:Secret") == []


def test_an_image_that_aws_publishes_replaces_no_machine() -> None:
    template = build(production()).one(TEMPLATE)
    assert (template.inputs["imageId"], template.ignores) == ("ami-newest", ("imageId",))
    pinned = build(production(ami="ami-0123456789abcdef0"))
    assert pinned.one(TEMPLATE).inputs["imageId"] == "ami-0123456789abcdef0"
    assert pinned.one(TEMPLATE).ignores == ()
    assert AMI not in [token for token, _ in pinned.calls]


def test_office_hours_are_the_schedules_and_pulumi_leaves_them_alone() -> None:
    recording = build(development())
    stop, start = sorted(
        (item.inputs for item in recording.all("aws:autoscaling/schedule:Schedule")), key=lambda item: item["minSize"]
    )
    assert (stop["recurrence"], stop["maxSize"], stop["desiredCapacity"]) == (OFFICE_HOURS.stop, 0, 0)
    assert (start["recurrence"], start["maxSize"], start["desiredCapacity"]) == (OFFICE_HOURS.start, 1, 1)
    assert {stop["timeZone"], start["timeZone"]} == {"Europe/Berlin"}
    assert set(recording.one(GROUP).ignores) == {"minSize", "maxSize", "desiredCapacity"}
    assert recording.one(TEMPLATE).inputs["instanceMarketOptions"] == {"marketType": "spot"}


def test_scaling_follows_requests_or_the_gpu_or_nothing() -> None:
    policy = "aws:autoscaling/policy:Policy"
    target = build(production()).one(policy).inputs["targetTrackingConfiguration"]
    assert target["targetValue"] == 600
    label = target["predefinedMetricSpecification"]["resourceLabel"]
    assert label == "app/line-3/1/targetgroup/line-3/2"
    gpu = build(production(scaling=Scaling.GPU, scaling_target=70)).one(policy).inputs["targetTrackingConfiguration"]
    metric = gpu["customizedMetricSpecification"]
    assert (metric["namespace"], metric["metricName"]) == ("visionfleet", "nvidia_smi_utilization_gpu")
    assert metric["metricDimensions"] == [{"name": "Endpoint", "value": HOSTNAME}]
    assert build(development()).all(policy) == []


def test_a_warm_pool_keeps_machines_stopped_with_the_image_on_their_disks() -> None:
    assert build(production(warm_pool=True)).one(GROUP).inputs["warmPool"]["poolState"] == "Stopped"
    assert "warmPool" not in build(production()).one(GROUP).inputs


@pytest.mark.parametrize(
    "name", ["line-3", "a" * 24, "a-name-that-is-longer-than-that", "a-name-that-is-longer-than-this"]
)
def test_load_balancers_get_names_that_aws_takes(name: str) -> None:
    assert len(short_name(name)) <= 24
    assert not short_name(name).endswith("-")
    assert short_name(name) != short_name(f"{name}x")
