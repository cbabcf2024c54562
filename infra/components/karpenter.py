"""What Karpenter may do in AWS, and what it hears from AWS. Karpenter itself comes from its Helm chart, and what it
may bring from the manifests of `visionfleet.projections.karpenter`.

The policy is Karpenter's published one (https://karpenter.sh/docs/reference/cloudformation/), reduced to what version
1.14 asks for with these manifests: their node classes name an instance profile, so none is made, tagged or deleted;
capacity reservations, placement groups and zonal shift are not used. Added are the subnets and security groups (those
with this cluster's discovery tag alone) and the images (AWS's alone).
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from infra.components.arns import Scope
from infra.components.common import Statement, allow, policy_document
from infra.components.node_pools import node_role
from infra.components.pod_role import ServiceAccount, associate, pod_role
from visionfleet.projections.karpenter import (
    DISCOVERY_TAG,
    NAMESPACE,
    SERVICE_ACCOUNT,
    instance_profile,
    interruption_queue,
)
from visionfleet.projections.plans import ClusterPlan

MESSAGE_SECONDS = 300  # an interruption is over by then
EVENTS = {
    "spot-interruption": ("aws.ec2", "EC2 Spot Instance Interruption Warning"),
    "rebalance": ("aws.ec2", "EC2 Instance Rebalance Recommendation"),
    "state-change": ("aws.ec2", "EC2 Instance State-change Notification"),
    "health": ("aws.health", "AWS Health Event"),
}
_LAUNCHED = ("fleet", "instance", "volume", "network-interface", "launch-template", "spot-instances-request")


class Karpenter(pulumi.ComponentResource):
    """Roles of controller and nodes, the interruption queue, and the tags by which Karpenter finds its network."""

    controller_role_arn: pulumi.Output[str]
    node_role_arn: pulumi.Output[str]
    queue_name: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        plan: ClusterPlan,
        cluster: aws.eks.Cluster,
        subnet_ids: Sequence[pulumi.Input[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`subnet_ids` are those to be tagged here: where subnets are resources of the stack, they bring the tag."""
        super().__init__("visionfleet:aws:Karpenter", name, None, opts)
        self._name, self._plan, self._cluster = name, plan, cluster
        node = self._nodes()
        queue = self._interruptions()
        controller = self._controller(node, queue)
        self._discovery(subnet_ids)
        self.controller_role_arn, self.node_role_arn, self.queue_name = controller.arn, node.arn, queue.name
        self.register_outputs(
            {
                "controller_role_arn": self.controller_role_arn,
                "node_role_arn": self.node_role_arn,
                "queue_name": self.queue_name,
            }
        )

    def _nodes(self) -> aws.iam.Role:
        role = node_role(f"{self._name}-node", self).role
        aws.iam.InstanceProfile(
            f"{self._name}-node",
            name=instance_profile(self._plan),
            role=role.name,
            opts=pulumi.ResourceOptions(parent=role),
        )
        aws.eks.AccessEntry(
            f"{self._name}-node",
            cluster_name=self._cluster.name,
            principal_arn=role.arn,
            type="EC2_LINUX",  # EKS makes this entry itself for node groups alone
            opts=pulumi.ResourceOptions(parent=role),
        )
        return role

    def _interruptions(self) -> aws.sqs.Queue:
        queue = aws.sqs.Queue(
            self._name,
            name=interruption_queue(self._plan),
            message_retention_seconds=MESSAGE_SECONDS,
            sqs_managed_sse_enabled=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        rules = [self._rule(event, queue) for event in EVENTS]
        aws.sqs.QueuePolicy(
            self._name,
            queue_url=queue.url,
            policy=policy_document(*_queue_statements(queue, rules)),
            opts=pulumi.ResourceOptions(parent=queue),
        )
        return queue

    def _rule(self, event: str, queue: aws.sqs.Queue) -> aws.cloudwatch.EventRule:
        source, detail_type = EVENTS[event]
        rule = aws.cloudwatch.EventRule(
            f"{self._name}-{event}",
            event_pattern=pulumi.Output.json_dumps({"source": [source], "detail-type": [detail_type]}),
            opts=pulumi.ResourceOptions(parent=self),
        )
        aws.cloudwatch.EventTarget(
            f"{self._name}-{event}", rule=rule.name, arn=queue.arn, opts=pulumi.ResourceOptions(parent=rule)
        )
        return rule

    def _controller(self, node: aws.iam.Role, queue: aws.sqs.Queue) -> aws.iam.Role:
        account = ServiceAccount(self._plan.name, NAMESPACE, SERVICE_ACCOUNT)
        role = pod_role(self._name, account, self)
        scope = Scope.of(self._cluster.arn)
        statements = [
            *_launching(self._plan.name, scope),
            *_ending(self._plan.name, scope),
            *_looking(self._plan.name, scope),
            allow(["iam:PassRole"], [node.arn], {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}),
            allow(["eks:DescribeCluster"], [self._cluster.arn]),
            allow(["sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"], [queue.arn]),
        ]
        aws.iam.RolePolicy(
            self._name,
            role=role.name,
            policy=policy_document(*statements),
            opts=pulumi.ResourceOptions(parent=role),
        )
        associate(self._name, account, self._cluster.name, role, self)
        return role

    def _discovery(self, subnet_ids: Sequence[pulumi.Input[str]]) -> None:
        """EKS makes the cluster's security group, so it is tagged from outside, as subnets of others are."""
        group_id = self._cluster.vpc_config.cluster_security_group_id.apply(lambda found: found or "")
        found = {"security-group": group_id}
        found |= {f"subnet-{number}": subnet_id for number, subnet_id in enumerate(subnet_ids)}
        for kind, resource_id in found.items():
            aws.ec2.Tag(
                f"{self._name}-{kind}",
                resource_id=resource_id,
                key=DISCOVERY_TAG,
                value=self._plan.name,
                opts=pulumi.ResourceOptions(parent=self),
            )


def _queue_statements(queue: aws.sqs.Queue, rules: Sequence[aws.cloudwatch.EventRule]) -> list[Statement]:
    """The rules may send, and nobody without TLS may do anything."""
    send: Statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": ["sqs:SendMessage"],
        "Resource": [queue.arn],
        "Condition": {"ArnEquals": {"aws:SourceArn": [rule.arn for rule in rules]}},
    }
    plain: Statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage"],
        "Resource": [queue.arn],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return [send, plain]


def _owned(cluster: str, of: str) -> dict[str, dict[str, str]]:
    """A condition on the tags that Karpenter gives, `of` what is made (RequestTag) or what is there (ResourceTag)."""
    return {
        "StringEquals": {f"aws:{of}/kubernetes.io/cluster/{cluster}": "owned"},
        "StringLike": {f"aws:{of}/karpenter.sh/nodepool": "*"},
    }


def _launching(cluster: str, scope: Scope) -> list[Statement]:
    start = ["ec2:RunInstances", "ec2:CreateFleet"]
    launched = [scope.account("ec2", f"{kind}/*") for kind in _LAUNCHED]
    created = _owned(cluster, "RequestTag")
    created["StringEquals"]["aws:RequestTag/eks:eks-cluster-name"] = cluster
    while_creating = {"ec2:CreateAction": ["RunInstances", "CreateFleet", "CreateLaunchTemplate"]}
    return [
        allow(start, [scope.public("ec2", "image/*")], {"StringEquals": {"ec2:Owner": "amazon"}}),
        allow(start, [scope.public("ec2", "snapshot/*")]),  # the image's
        allow(
            start,
            [scope.account("ec2", "subnet/*"), scope.account("ec2", "security-group/*")],
            {"StringEquals": {f"aws:ResourceTag/{DISCOVERY_TAG}": cluster}},
        ),
        allow(start, [scope.account("ec2", "launch-template/*")], _owned(cluster, "ResourceTag")),
        allow([*start, "ec2:CreateLaunchTemplate"], launched, created),
        allow(["ec2:CreateTags"], launched, {**created, "StringEquals": {**created["StringEquals"], **while_creating}}),
        allow(
            ["ec2:CreateTags"],
            [scope.account("ec2", "instance/*")],
            {
                **_owned(cluster, "ResourceTag"),
                "StringEqualsIfExists": {"aws:RequestTag/eks:eks-cluster-name": cluster},
                "ForAllValues:StringEquals": {
                    "aws:TagKeys": ["eks:eks-cluster-name", "karpenter.sh/nodeclaim", "Name"]
                },
            },
        ),
    ]


def _ending(cluster: str, scope: Scope) -> list[Statement]:
    return [
        allow(
            ["ec2:TerminateInstances", "ec2:DeleteLaunchTemplate"],
            [scope.account("ec2", "instance/*"), scope.account("ec2", "launch-template/*")],
            _owned(cluster, "ResourceTag"),
        )
    ]


def _looking(cluster: str, scope: Scope) -> list[Statement]:
    profiles = pulumi.Output.concat("instance-profile/karpenter/", scope.region, f"/{cluster}/*")
    profile_arn = pulumi.Output.concat("arn:", scope.partition, ":iam::", scope.account_id, ":", profiles)
    return [
        # EC2 has no resources for these: "Actions defined by Amazon EC2" in
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
        allow(
            [
                "ec2:DescribeImages",
                "ec2:DescribeInstances",
                "ec2:DescribeInstanceStatus",
                "ec2:DescribeInstanceTypeOfferings",
                "ec2:DescribeInstanceTypes",
                "ec2:DescribeLaunchTemplates",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSpotPriceHistory",
                "ec2:DescribeSubnets",
            ],
            ["*"],
            {"StringEquals": {"aws:RequestedRegion": scope.region}},
        ),
        # prices are the same for everyone, and of no resource: .../latest/reference/list_awspricelist.html
        allow(["pricing:GetProducts"], ["*"]),
        allow(["ssm:GetParameter"], [scope.public("ssm", "parameter/aws/service/*")]),
        # its garbage collector looks for profiles that it made, below this path; here it finds none
        allow(["iam:ListInstanceProfiles"], [profile_arn]),
    ]
