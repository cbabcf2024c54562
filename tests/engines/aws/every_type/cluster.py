"""A cluster."""

import pulumi_aws as aws
from common import CHANGED, opts, trust
from identity import key, role
from machines import template
from network import ids

control = aws.iam.Role("cluster", assume_role_policy=trust("eks.amazonaws.com"), opts=opts)
cluster = aws.eks.Cluster(
    "acme",
    name="acme",
    version="1.34",
    role_arn=control.arn,
    vpc_config={"subnet_ids": ids, "endpoint_private_access": True, "endpoint_public_access": False},
    encryption_config={"provider": {"key_arn": key.arn}, "resources": ["secrets"]},
    enabled_cluster_log_types=["api", "audit"],
    access_config={"authentication_mode": "API", "bootstrap_cluster_creator_admin_permissions": False},
    bootstrap_self_managed_addons=False,
    opts=opts,
)
nodes = aws.eks.NodeGroup(
    "gpu",
    cluster_name=cluster.name,
    node_group_name_prefix="gpu-",
    node_role_arn=role.arn,
    subnet_ids=ids,
    ami_type="AL2023_x86_64_NVIDIA",
    capacity_type="SPOT",
    instance_types=["g6.xlarge"],
    scaling_config={"min_size": 0, "desired_size": 0, "max_size": 8 if CHANGED else 4},
    update_config={"max_unavailable": 1},
    labels={"gpu": "NVIDIA-L4"},
    taints=[{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}],
    launch_template={"id": template.id, "version": "1"},
    opts=opts,
)
aws.eks.Addon("cni", cluster_name=cluster.name, addon_name="vpc-cni", addon_version="v1.20.4-eksbuild.2", opts=opts)
aws.eks.AccessEntry("admin", cluster_name=cluster.name, principal_arn="arn:aws:iam::123456789012:role/admin", opts=opts)
aws.eks.AccessPolicyAssociation(
    "admin",
    cluster_name=cluster.name,
    principal_arn="arn:aws:iam::123456789012:role/admin",
    policy_arn="arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
    access_scope={"type": "cluster"},
    opts=opts,
)
aws.eks.PodIdentityAssociation(
    "karpenter",
    cluster_name=cluster.name,
    namespace="kube-system",
    service_account="karpenter",
    role_arn=role.arn,
    opts=opts,
)
