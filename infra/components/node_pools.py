"""Managed node groups: the machines that the cluster has, or that the cluster autoscaler may start from zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.components.common import policy_document, trust
from visionfleet.projections.nodes import autoscaler_tags, node_groups, node_labels, node_taints
from visionfleet.projections.plans import ClusterPlan, NodePoolPlan

CPU_IMAGE = "AL2023_x86_64_STANDARD"
GPU_IMAGE = "AL2023_x86_64_NVIDIA"  # with driver and container toolkit; the device plugin comes from its chart
ROOT_DEVICE = "/dev/xvda"
POLICIES = "arn:aws:iam::aws:policy"

# What a node itself does: join, lend pods their identity, pull images. The network add-on has a role of its own.
NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly")
_EFFECTS = {"NoSchedule": "NO_SCHEDULE", "PreferNoSchedule": "PREFER_NO_SCHEDULE", "NoExecute": "NO_EXECUTE"}


@dataclass(frozen=True, slots=True)
class NodeRole:
    """The role of machines that join a cluster, and its permissions, without which they do not."""

    role: aws.iam.Role
    permissions: Sequence[pulumi.Resource]


def node_role(name: str, parent: pulumi.Resource) -> NodeRole:
    """Make the role of machines that join a cluster."""
    role = aws.iam.Role(
        name,
        assume_role_policy=policy_document(trust("ec2.amazonaws.com")),
        opts=pulumi.ResourceOptions(parent=parent),
    )
    permissions = [
        aws.iam.RolePolicyAttachment(
            f"{name}-{policy}",
            role=role.name,
            policy_arn=f"{POLICIES}/{policy}",
            opts=pulumi.ResourceOptions(parent=role),
        )
        for policy in NODE_POLICIES
    ]
    return NodeRole(role, permissions)


@dataclass(frozen=True, slots=True)
class Place:
    """Where nodes join: the cluster, its subnets, and what must be `ready` there before a node can be.

    `ready` is said to each node group, since what a component depends on is not handed down to its children.
    """

    cluster: aws.eks.Cluster
    subnet_ids: Sequence[pulumi.Input[str]]
    ready: Sequence[pulumi.Resource]


class NodePools(pulumi.ComponentResource):
    """The node groups of a cluster, one a pool, in private subnets."""

    role_arn: pulumi.Output[str]
    system: aws.eks.NodeGroup

    def __init__(
        self,
        name: str,
        plan: ClusterPlan,
        place: Place,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("visionfleet:aws:NodePools", name, None, opts)
        self._name, self._plan, self._place = name, plan, place
        self._node = node_role(f"{name}-node", self)
        groups = {pool.name: self._group(pool) for pool in node_groups(plan)}
        self.role_arn = self._node.role.arn
        self.system = groups[plan.system.name]
        self.register_outputs({"role_arn": self.role_arn})

    def _group(self, pool: NodePoolPlan) -> aws.eks.NodeGroup:
        name = f"{self._name}-{pool.name}"
        template = self._launch_template(name, pool)
        group = aws.eks.NodeGroup(
            name,
            cluster_name=self._place.cluster.name,
            version=self._plan.version,  # nodes follow the control plane
            node_role_arn=self._node.role.arn,
            subnet_ids=self._place.subnet_ids,
            ami_type=GPU_IMAGE if pool.gpu_product else CPU_IMAGE,
            capacity_type="SPOT" if pool.spot else "ON_DEMAND",
            instance_types=list(pool.instance_types),
            launch_template={"id": template.id, "version": template.latest_version.apply(str)},
            scaling_config={
                "min_size": pool.min_size,
                "desired_size": pool.min_size,
                "max_size": max(pool.max_size, 1),  # EKS takes no 0
            },
            update_config={"max_unavailable": 1},
            labels=node_labels(pool),
            taints=[
                {"key": taint.key, "value": taint.value, "effect": _EFFECTS[taint.effect]}
                for taint in node_taints(self._plan, pool)
            ],
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*self._node.permissions, *self._place.ready],
                ignore_changes=["scalingConfig.desiredSize"],  # the autoscaler's
            ),
        )
        self._tag(name, pool, group)
        return group

    def _launch_template(self, name: str, pool: NodePoolPlan) -> aws.ec2.LaunchTemplate:
        """No security groups, so that EKS gives the cluster's own; no key pair; no image, which is EKS's choice."""
        return aws.ec2.LaunchTemplate(
            name,
            update_default_version=True,
            block_device_mappings=[
                {
                    "device_name": ROOT_DEVICE,
                    "ebs": {
                        "volume_size": pool.volume_gb,
                        "volume_type": "gp3",
                        "encrypted": "true",
                        "delete_on_termination": "true",
                    },
                }
            ],
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                "http_put_response_hop_limit": 1,  # pods do not reach the node's credentials
            },
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _tag(self, name: str, pool: NodePoolPlan, group: aws.eks.NodeGroup) -> None:
        """Tags of a node group stay on the node group, so the auto scaling group gets its own, one by one."""
        asg_name = group.resources.apply(_asg_name)
        for key, value in autoscaler_tags(self._plan, pool).items():
            aws.autoscaling.Tag(
                f"{name}-{key.removeprefix('k8s.io/cluster-autoscaler/')}",
                autoscaling_group_name=asg_name,
                tag={"key": key, "value": value, "propagate_at_launch": False},
                opts=pulumi.ResourceOptions(parent=group),
            )


def _asg_name(resources: Sequence[aws.eks.outputs.NodeGroupResource]) -> str:
    groups = resources[0].autoscaling_groups or []
    return groups[0].name or ""
