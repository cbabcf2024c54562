"""What the cluster autoscaler may do in AWS. The autoscaler itself comes from its Helm chart."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from infra.components.arns import Scope
from infra.components.common import allow, policy_document
from infra.components.pod_role import ServiceAccount, associate, pod_role

NAMESPACE = "kube-system"
SERVICE_ACCOUNT = "cluster-autoscaler"


class ClusterAutoscaler(pulumi.ComponentResource):
    """A role for the service account kube-system/cluster-autoscaler: it resizes this cluster's groups, and no other."""

    role_arn: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        cluster_name: str,
        cluster: aws.eks.Cluster,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("visionfleet:aws:ClusterAutoscaler", name, None, opts)
        account = ServiceAccount(cluster_name, NAMESPACE, SERVICE_ACCOUNT)
        role = pod_role(name, account, self)
        aws.iam.RolePolicy(
            name,
            role=role.name,
            policy=_policy(cluster_name, Scope.of(cluster.arn)),
            opts=pulumi.ResourceOptions(parent=role),
        )
        associate(name, account, cluster.name, role, self)
        self.role_arn = role.arn
        self.register_outputs({"role_arn": self.role_arn})


def _policy(cluster_name: str, scope: Scope) -> pulumi.Output[str]:
    """ "Full features" of kubernetes/autoscaler, cluster-autoscaler/cloudprovider/aws/README.md, less launch
    configurations and instance requirements: managed node groups have neither."""
    owned = {"StringEquals": {f"aws:ResourceTag/k8s.io/cluster-autoscaler/{cluster_name}": "owned"}}
    return policy_document(
        allow(
            ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"],
            [scope.account("autoscaling", "autoScalingGroup:*:autoScalingGroupName/*")],
            owned,
        ),
        allow(["eks:DescribeNodegroup"], [scope.account("eks", f"nodegroup/{cluster_name}/*")]),
        # AWS has no resources for these: "Actions defined by Amazon EC2 Auto Scaling" and "… by Amazon EC2" in
        # https://docs.aws.amazon.com/service-authorization/latest/reference/
        allow(
            [
                "autoscaling:DescribeAutoScalingGroups",
                "autoscaling:DescribeAutoScalingInstances",
                "autoscaling:DescribeScalingActivities",
                "autoscaling:DescribeTags",
                "ec2:DescribeInstanceTypes",
                "ec2:DescribeLaunchTemplateVersions",
            ],
            ["*"],
            {"StringEquals": {"aws:RequestedRegion": scope.region}},
        ),
    )
