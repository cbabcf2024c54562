"""The cluster under Pulumi's mocks: policies first, then the values that make it work."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from infra.components.cluster import Cluster, service_cidr
from infra.components.network import Network
from tests.infra.policies import production_violations
from tests.infra.support import ACCOUNT, REGION, Recording, Resource, once, options, record
from tests.projections.plans import CLUSTER as PLAN
from visionfleet.projections.karpenter import DISCOVERY_TAG, instance_profile, interruption_queue
from visionfleet.projections.plans import ClusterPlan, NetworkPlan
from visionfleet.terms import GpuAutoscaler, Tier

MANAGED = NetworkPlan("10.40.0.0/16", 2, nat_per_zone=False, vpc_id=None, public_subnet_ids=(), private_subnet_ids=())
EXISTING = NetworkPlan(
    "", 0, nat_per_zone=False, vpc_id="vpc-1", public_subnet_ids=(), private_subnet_ids=("subnet-1", "subnet-2")
)
AUTOSCALER = "acme-vision-node-groups"
KARPENTER = replace(PLAN, gpu_autoscaler=GpuAutoscaler.KARPENTER)


@once
def build(plan: ClusterPlan = PLAN, network: NetworkPlan = MANAGED) -> Recording:
    return record(lambda: _cluster(plan, network))


def _cluster(plan: ClusterPlan, network_plan: NetworkPlan) -> Cluster:
    common = options()
    network = Network("acme", network_plan, cluster_name=plan.name, opts=common)
    return Cluster(plan.name, plan, network, 30, common)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return build()


@pytest.fixture(scope="module")
def with_karpenter() -> Recording:
    return build(KARPENTER)


CLUSTER = "aws:eks/cluster:Cluster"
NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
ADDON = "aws:eks/addon:Addon"
ROLE = "aws:iam/role:Role"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"


# --- policies


@pytest.mark.parametrize("plan", [PLAN, KARPENTER], ids=["node groups", "karpenter"])
@pytest.mark.parametrize("network", [MANAGED, EXISTING], ids=["new VPC", "existing VPC"])
def test_nothing_breaks_a_policy(plan: ClusterPlan, network: NetworkPlan) -> None:
    assert production_violations(build(plan, network)) == []


@pytest.mark.parametrize("plan", [PLAN, KARPENTER], ids=["node groups", "karpenter"])
def test_stars_are_for_what_has_no_resource(plan: ClusterPlan) -> None:
    """And even there, the autoscalers are kept to their region."""
    for policy in build(plan).all(ROLE_POLICY):
        for statement in statements(policy):
            if statement["Resource"] != ["*"] or "flow-logs" in policy.name:
                continue
            assert all(re.match(r"(ec2|autoscaling):Describe|pricing:GetProducts", a) for a in statement["Action"])
            is_regional = "aws:RequestedRegion" in statement.get("Condition", {}).get("StringEquals", {})
            assert is_regional or statement["Action"] == ["pricing:GetProducts"] or "control-plane" in policy.name


@pytest.mark.parametrize("plan", [PLAN, KARPENTER], ids=["node groups", "karpenter"])
def test_nodes_have_no_more_than_nodes_need(plan: ClusterPlan) -> None:
    """The network add-on's rights are its own: every pod on a node could take the node's."""
    policies: dict[str, set[str]] = {}
    for attached in build(plan).all("aws:iam/rolePolicyAttachment:RolePolicyAttachment"):
        policies.setdefault(attached.inputs["role"], set()).add(attached.inputs["policyArn"].rpartition("/")[2])
    of_nodes = {role: names for role, names in policies.items() if role.endswith("-node")}
    assert of_nodes
    assert all(
        names == {"AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"} for names in of_nodes.values()
    )
    assert policies["acme-vision-vpc-cni"] == {"AmazonEKS_CNI_Policy"}
    assert policies["acme-vision-aws-ebs-csi-driver"] == {"AmazonEBSCSIDriverPolicyV2"}


# --- control plane


def test_secrets_have_a_key_that_nobody_may_decrypt_with(recording: Recording) -> None:
    key = recording.one("aws:kms/key:Key", "acme-vision-secrets")
    encryption = recording.one(CLUSTER).inputs["encryptionConfig"]
    assert encryption == {"provider": {"keyArn": arn_of("kms", "key", key.name)}, "resources": ["secrets"]}
    assert key.inputs["enableKeyRotation"]
    (statement,) = statements(key)
    assert statement["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert "kms:PutKeyPolicy" in statement["Action"]  # else the key could never be managed again
    assert not {"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"} & set(statement["Action"])


def test_the_endpoint_is_private_unless_cidrs_are_given(recording: Recording) -> None:
    vpc = recording.one(CLUSTER).inputs["vpcConfig"]
    assert vpc["endpointPrivateAccess"]
    assert not vpc["endpointPublicAccess"]
    assert "publicAccessCidrs" not in vpc
    assert vpc["subnetIds"] == ["acme-private-1-id", "acme-private-2-id"]
    opened = build(replace(PLAN, public_access_cidrs=("203.0.113.0/24",))).one(CLUSTER).inputs["vpcConfig"]
    assert opened["endpointPublicAccess"]
    assert opened["publicAccessCidrs"] == ["203.0.113.0/24"]


def test_only_the_admins_of_the_file_may_enter(recording: Recording) -> None:
    assert recording.one(CLUSTER).inputs["accessConfig"] == {
        "authenticationMode": "API",
        "bootstrapClusterCreatorAdminPermissions": False,
    }
    entries = recording.all("aws:eks/accessEntry:AccessEntry")
    assert {entry.inputs["principalArn"] for entry in entries} == set(PLAN.admins)
    associations = recording.all("aws:eks/accessPolicyAssociation:AccessPolicyAssociation")
    assert {association.inputs["principalArn"] for association in associations} == set(PLAN.admins)
    for association in associations:
        assert association.inputs["policyArn"].endswith(":cluster-access-policy/AmazonEKSClusterAdminPolicy")
        assert association.inputs["accessScope"] == {"type": "cluster"}


def test_admins_keep_their_resources_when_the_list_is_reordered(recording: Recording) -> None:
    def names(found: Recording) -> dict[str, str]:
        return {e.name: e.inputs["principalArn"] for e in found.all("aws:eks/accessEntry:AccessEntry")}

    assert names(build(replace(PLAN, admins=PLAN.admins[::-1]))) == names(recording)


def test_the_control_plane_logs_for_as_long_as_the_file_says(recording: Recording) -> None:
    logs = recording.one("aws:cloudwatch/logGroup:LogGroup", "acme-vision-control-plane")
    assert logs.inputs["name"] == "/aws/eks/acme-vision/cluster"
    assert logs.inputs["retentionInDays"] == 30
    cluster = recording.one(CLUSTER)
    assert set(cluster.inputs["enabledClusterLogTypes"]) >= {"api", "audit", "authenticator"}
    assert after(cluster, logs), "EKS would make the group itself, without retention"


def test_a_development_cluster_may_be_deleted() -> None:
    assert not build(replace(PLAN, tier=Tier.DEVELOPMENT)).one(CLUSTER).inputs["deletionProtection"]


@pytest.mark.parametrize(
    ("vpc", "services"),
    [("10.40.0.0/16", "172.20.0.0/16"), ("172.20.128.0/20", "10.100.0.0/16"), ("172.16.0.0/12", "10.100.0.0/16")],
)
def test_services_get_addresses_outside_the_vpc(vpc: str, services: str) -> None:
    assert service_cidr(vpc) == services


def test_the_range_of_services_is_said(recording: Recording) -> None:
    assert recording.one(CLUSTER).inputs["kubernetesNetworkConfig"] == {"serviceIpv4Cidr": "172.20.0.0/16"}


# --- add-ons


def test_add_ons_have_the_versions_of_the_file(recording: Recording) -> None:
    assert recording.one(CLUSTER).inputs["bootstrapSelfManagedAddons"] is False
    assert {a.inputs["addonName"]: a.inputs["addonVersion"] for a in recording.all(ADDON)} == PLAN.addons


def test_nodes_wait_for_the_add_ons_that_they_need_and_the_others_wait_for_nodes(recording: Recording) -> None:
    system = recording.one(NODE_GROUP, "acme-vision-system")
    addons = {addon.inputs["addonName"]: addon for addon in recording.all(ADDON)}
    for group in recording.all(NODE_GROUP):
        assert all(after(group, addons[name]) for name in ("vpc-cni", "kube-proxy", "eks-pod-identity-agent"))
        assert len([d for d in group.dependencies if "rolePolicyAttachment" in d]) == 2
    assert all(after(addons[name], system) for name in ("coredns", "aws-ebs-csi-driver"))


@pytest.mark.parametrize(
    ("addon", "account"), [("vpc-cni", "aws-node"), ("aws-ebs-csi-driver", "ebs-csi-controller-sa")]
)
def test_add_ons_that_call_aws_have_a_role_for_their_pods_alone(recording: Recording, addon: str, account: str) -> None:
    role = recording.one(ROLE, f"acme-vision-{addon}")
    (trust,) = json.loads(role.inputs["assumeRolePolicy"])["Statement"]
    assert trust["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == pod_tags(account)
    (association,) = recording.one(ADDON, f"acme-vision-{addon}").inputs["podIdentityAssociations"]
    assert association == {"roleArn": f"arn:aws:iam::{ACCOUNT}:role/{role.name}", "serviceAccount": account}


# --- node groups


def test_node_groups_follow_the_file(recording: Recording) -> None:
    groups = {group.inputs["labels"]["visionfleet/pool"]: group.inputs for group in recording.all(NODE_GROUP)}
    assert groups.keys() == {"system", "cpu", "l4", "t4"}
    assert {name: group["amiType"] for name, group in groups.items()} == {
        "system": "AL2023_x86_64_STANDARD",
        "cpu": "AL2023_x86_64_STANDARD",
        "l4": "AL2023_x86_64_NVIDIA",
        "t4": "AL2023_x86_64_NVIDIA",
    }
    assert groups["l4"]["scalingConfig"] == {"minSize": 0, "desiredSize": 0, "maxSize": 4}
    assert groups["l4"]["instanceTypes"] == ["g6.xlarge", "g6.2xlarge"]
    assert groups["l4"]["capacityType"] == "ON_DEMAND"
    assert groups["t4"]["capacityType"] == "SPOT"
    assert all(group["version"] == PLAN.version for group in groups.values())
    assert all(group["subnetIds"] == ["acme-private-1-id", "acme-private-2-id"] for group in groups.values())


def test_the_autoscaler_owns_the_number_of_nodes(recording: Recording) -> None:
    assert all("scalingConfig.desiredSize" in group.ignores for group in recording.all(NODE_GROUP))


def test_gpu_nodes_repel_what_does_not_ask_for_gpus(recording: Recording) -> None:
    """In the form that NVIDIA's device plugin and its feature discovery both tolerate (nebari issue 3074)."""
    group = recording.one(NODE_GROUP, "acme-vision-l4").inputs
    assert group["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}]
    assert group["labels"] == {
        "visionfleet/pool": "l4",
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.product": "NVIDIA-L4",
        "k8s.amazonaws.com/accelerator": "nvidia-l4",
    }


def test_gpu_nodes_start_from_zero(recording: Recording) -> None:
    """The autoscaler sees tags of the auto scaling group alone, and node groups do not hand theirs down."""
    prefix = "k8s.io/cluster-autoscaler"
    tags = [t.inputs for t in recording.all("aws:autoscaling/tag:Tag")]
    of_l4 = [tag["tag"] for tag in tags if tag["autoscalingGroupName"] == "eks-acme-vision-l4"]
    assert {tag["key"]: tag["value"] for tag in of_l4} == {
        f"{prefix}/enabled": "true",
        f"{prefix}/acme-vision": "owned",
        f"{prefix}/node-template/label/visionfleet/pool": "l4",
        f"{prefix}/node-template/label/nvidia.com/gpu.present": "true",
        f"{prefix}/node-template/label/nvidia.com/gpu.product": "NVIDIA-L4",
        f"{prefix}/node-template/label/k8s.amazonaws.com/accelerator": "nvidia-l4",
        f"{prefix}/node-template/taint/nvidia.com/gpu": "present:NoSchedule",
        f"{prefix}/node-template/resources/nvidia.com/gpu": "1",
    }
    assert not [tag for tag in tags if tag["autoscalingGroupName"] == "eks-acme-vision-system"], "its size is fixed"


def test_the_cluster_autoscaler_resizes_this_cluster_alone(recording: Recording) -> None:
    changing = [s for s in statements(recording.one(ROLE_POLICY, AUTOSCALER)) if s["Resource"] != ["*"]]
    assert changing == [
        {
            "Effect": "Allow",
            "Action": ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"],
            "Resource": [f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:*:autoScalingGroupName/*"],
            "Condition": {"StringEquals": {"aws:ResourceTag/k8s.io/cluster-autoscaler/acme-vision": "owned"}},
        },
        {
            "Effect": "Allow",
            "Action": ["eks:DescribeNodegroup"],
            "Resource": [f"arn:aws:eks:{REGION}:{ACCOUNT}:nodegroup/acme-vision/*"],
        },
    ]
    association = recording.one("aws:eks/podIdentityAssociation:PodIdentityAssociation", AUTOSCALER).inputs
    assert (association["namespace"], association["serviceAccount"]) == ("kube-system", "cluster-autoscaler")
    assert not recording.all("visionfleet:aws:Karpenter")


# --- Karpenter


def test_karpenter_brings_what_is_not_there_from_the_start(with_karpenter: Recording) -> None:
    groups = {group.inputs["labels"]["visionfleet/pool"]: group.inputs for group in with_karpenter.all(NODE_GROUP)}
    assert groups.keys() == {"system", "cpu"}
    assert groups["cpu"]["scalingConfig"] == {"minSize": 1, "desiredSize": 1, "maxSize": 1}
    assert not with_karpenter.all("aws:autoscaling/tag:Tag")
    assert not with_karpenter.all("visionfleet:aws:ClusterAutoscaler")


def test_karpenter_hears_of_interruptions_from_the_rules_alone(with_karpenter: Recording) -> None:
    queue = with_karpenter.one("aws:sqs/queue:Queue")
    assert queue.inputs["name"] == interruption_queue(PLAN)
    rules = with_karpenter.all("aws:cloudwatch/eventRule:EventRule")
    patterns = [json.loads(rule.inputs["eventPattern"]) for rule in rules]
    assert sorted((p["source"][0], p["detail-type"][0]) for p in patterns) == [
        ("aws.ec2", "EC2 Instance Rebalance Recommendation"),
        ("aws.ec2", "EC2 Instance State-change Notification"),
        ("aws.ec2", "EC2 Spot Instance Interruption Warning"),
        ("aws.health", "AWS Health Event"),
    ]
    targets = with_karpenter.all("aws:cloudwatch/eventTarget:EventTarget")
    assert {t.inputs["rule"] for t in targets} == {rule.name for rule in rules}
    assert {t.inputs["arn"] for t in targets} == {arn_of("sqs", "queue", queue.name)}
    send, deny = statements(with_karpenter.one("aws:sqs/queuePolicy:QueuePolicy"))
    assert send["Principal"] == {"Service": "events.amazonaws.com"}
    assert len(send["Condition"]["ArnEquals"]["aws:SourceArn"]) == len(rules)
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_nodes_of_karpenter_may_join(with_karpenter: Recording) -> None:
    profile = with_karpenter.one("aws:iam/instanceProfile:InstanceProfile")
    assert profile.inputs == {"name": instance_profile(PLAN), "role": "acme-vision-karpenter-node"}
    entry = with_karpenter.one("aws:eks/accessEntry:AccessEntry", "acme-vision-karpenter-node").inputs
    assert entry["type"] == "EC2_LINUX"
    assert entry["principalArn"] == f"arn:aws:iam::{ACCOUNT}:role/acme-vision-karpenter-node"


def test_karpenter_changes_only_what_is_tagged_as_this_clusters(with_karpenter: Recording) -> None:
    """Every right to change something has a condition, or names one resource."""
    for statement in statements(with_karpenter.one(ROLE_POLICY, "acme-vision-karpenter")):
        changes = [a for a in statement["Action"] if not re.search(r":(Describe|Get|List|Receive)", a)]
        is_named = not any("*" in resource for resource in statement["Resource"])
        of_snapshots = statement["Resource"] == [f"arn:aws:ec2:{REGION}::snapshot/*"]  # EC2 takes no more for images
        assert not changes or is_named or of_snapshots or statement.get("Condition"), statement


@pytest.mark.parametrize("action", ["ec2:TerminateInstances", "ec2:DeleteLaunchTemplate"])
def test_karpenter_ends_its_own_machines_alone(with_karpenter: Recording, action: str) -> None:
    found = [s for s in statements(with_karpenter.one(ROLE_POLICY, "acme-vision-karpenter")) if action in s["Action"]]
    assert [statement["Condition"] for statement in found] == [
        {
            "StringEquals": {"aws:ResourceTag/kubernetes.io/cluster/acme-vision": "owned"},
            "StringLike": {"aws:ResourceTag/karpenter.sh/nodepool": "*"},
        }
    ]


def test_karpenter_makes_no_identities(with_karpenter: Recording) -> None:
    """The one it passes on is the nodes', to machines."""
    allowed = statements(with_karpenter.one(ROLE_POLICY, "acme-vision-karpenter"))
    of_iam = [statement for statement in allowed if any(action.startswith("iam:") for action in statement["Action"])]
    assert of_iam == [
        {
            "Effect": "Allow",
            "Action": ["iam:ListInstanceProfiles"],
            "Resource": [f"arn:aws:iam::{ACCOUNT}:instance-profile/karpenter/{REGION}/acme-vision/*"],
        },
        {
            "Effect": "Allow",
            "Action": ["iam:PassRole"],
            "Resource": [f"arn:aws:iam::{ACCOUNT}:role/acme-vision-karpenter-node"],
            "Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
        },
    ]


@pytest.mark.parametrize(
    ("network", "tagged_here"),
    [(MANAGED, ["sg-cluster"]), (EXISTING, ["sg-cluster", "subnet-1", "subnet-2"])],
    ids=["new VPC", "existing VPC"],
)
def test_karpenter_finds_subnets_and_the_security_group(network: NetworkPlan, tagged_here: list[str]) -> None:
    """A subnet of the stack brings the tag itself: two resources that own one tag would undo each other."""
    recording = build(KARPENTER, network)
    tags = [tag.inputs for tag in recording.all("aws:ec2/tag:Tag") if tag.inputs["key"] == DISCOVERY_TAG]
    assert sorted(tag["resourceId"] for tag in tags) == tagged_here
    assert {tag["value"] for tag in tags} == {"acme-vision"}
    own = [s for s in recording.all("aws:ec2/subnet:Subnet") if "private" in s.name]
    assert all(subnet.inputs["tags"][DISCOVERY_TAG] == "acme-vision" for subnet in own)


# --- helpers


def after(resource: Resource, other: Resource) -> bool:
    return any(urn.endswith(f"{other.type}::{other.name}") for urn in resource.dependencies)


def statements(resource: Resource) -> list[Mapping[str, Any]]:
    return json.loads(resource.inputs["policy"])["Statement"]


def arn_of(service: str, kind: str, name: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{kind}/{name}"


def pod_tags(account: str) -> dict[str, str]:
    return {
        "aws:RequestTag/eks-cluster-name": "acme-vision",
        "aws:RequestTag/kubernetes-namespace": "kube-system",
        "aws:RequestTag/kubernetes-service-account": account,
    }
