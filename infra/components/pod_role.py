"""Roles that pods take through EKS Pod Identity, each for one service account of one cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.components.common import policy_document, trust

PODS = "pods.eks.amazonaws.com"


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account of a cluster."""

    cluster: pulumi.Input[str]
    namespace: str
    name: str


def pod_role(name: str, account: ServiceAccount, parent: pulumi.Resource, others: Sequence[str] = ()) -> aws.iam.Role:
    """A role for the pods of `account`, and of `others` in its namespace.

    The tags that EKS sends with the request keep other pods, and other clusters of the AWS account, from the role:
    https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
    """
    condition = {
        "StringEquals": {
            "aws:RequestTag/eks-cluster-name": account.cluster,
            "aws:RequestTag/kubernetes-namespace": account.namespace,
            "aws:RequestTag/kubernetes-service-account": [account.name, *others] if others else account.name,
        }
    }
    return aws.iam.Role(
        name,
        assume_role_policy=policy_document(trust(PODS, ("sts:AssumeRole", "sts:TagSession"), condition)),
        opts=pulumi.ResourceOptions(parent=parent),
    )


def associate(
    name: str,
    account: ServiceAccount,
    cluster_name: pulumi.Input[str],
    role: aws.iam.Role,
    parent: pulumi.Resource,
) -> aws.eks.PodIdentityAssociation:
    """Give `role` to the pods of `account`. Add-ons of EKS name their roles themselves, and need none of these."""
    return aws.eks.PodIdentityAssociation(
        name,
        cluster_name=cluster_name,
        namespace=account.namespace,
        service_account=account.name,
        role_arn=role.arn,
        opts=pulumi.ResourceOptions(parent=parent),
    )
