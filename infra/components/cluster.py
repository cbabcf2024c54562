"""The EKS cluster: its control plane, who may enter, its add-ons, and the parts that bring nodes."""

from __future__ import annotations

import ipaddress
import re

import pulumi
import pulumi_aws as aws

from infra.components.arns import Scope
from infra.components.cluster_autoscaler import ClusterAutoscaler
from infra.components.common import KEY_DELETION_DAYS, Statement, allow, is_protected, policy_document, trust
from infra.components.karpenter import Karpenter
from infra.components.network import Network
from infra.components.node_pools import POLICIES, NodePools, Place
from infra.components.pod_role import ServiceAccount, pod_role
from visionfleet.projections.plans import ClusterPlan
from visionfleet.terms import GpuAutoscaler

LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")
ADMIN_POLICY = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
SERVICE_CIDRS = ("172.20.0.0/16", "10.100.0.0/16")  # what EKS itself takes; here always said, so that it never moves

# Add-ons that every node needs before it is ready, so they come before nodes; the others are pods that wait for nodes.
BEFORE_NODES = ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")
# The add-ons that call AWS: service account, and AWS's policy for it. V2 lets the driver touch its own volumes alone.
ADDON_ROLES = {
    "vpc-cni": ("aws-node", "AmazonEKS_CNI_Policy"),
    "aws-ebs-csi-driver": ("ebs-csi-controller-sa", "AmazonEBSCSIDriverPolicyV2"),
}
# Whoever administers keys in the account, as its IAM policies say. Nobody is allowed to decrypt: EKS does so by a
# grant, which the principal that creates the cluster makes.
KEY_ADMINISTRATION = (
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:CreateGrant",
    "kms:DeleteAlias",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:RevokeGrant",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
)


class Cluster(pulumi.ComponentResource):
    """An EKS cluster with private nodes."""

    name: pulumi.Output[str]
    endpoint: pulumi.Output[str]
    security_group_id: pulumi.Output[str]
    node_role_arn: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        plan: ClusterPlan,
        network: Network,
        log_retention_days: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("visionfleet:aws:Cluster", name, None, opts)
        self._name, self._plan, self._network = name, plan, network
        self._cluster = self._control_plane(log_retention_days)
        for admin in plan.admins:
            self._admit(admin)
        pools = self._nodes_and_addons()
        self._autoscaler()
        self.name = self._cluster.name
        self.endpoint = self._cluster.endpoint
        self.security_group_id = self._cluster.vpc_config.cluster_security_group_id.apply(lambda found: found or "")
        self.node_role_arn = pools.role_arn
        self.register_outputs({"name": self.name, "endpoint": self.endpoint, "node_role_arn": self.node_role_arn})

    def _control_plane(self, log_retention_days: int) -> aws.eks.Cluster:
        role = aws.iam.Role(
            f"{self._name}-control-plane",
            assume_role_policy=policy_document(trust("eks.amazonaws.com")),
            opts=pulumi.ResourceOptions(parent=self),
        )
        key = self._secrets_key(role)
        policy = aws.iam.RolePolicy(
            f"{self._name}-control-plane",
            role=role.name,
            policy=policy_document(*_control_plane_statements(self._plan.name, key)),
            opts=pulumi.ResourceOptions(parent=role),
        )
        logs = aws.cloudwatch.LogGroup(
            f"{self._name}-control-plane",
            name=f"/aws/eks/{self._plan.name}/cluster",  # where EKS writes; made by EKS, it would be kept for ever
            retention_in_days=log_retention_days,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return aws.eks.Cluster(
            self._name,
            name=self._plan.name,
            version=self._plan.version,
            role_arn=role.arn,
            access_config={
                "authentication_mode": "API",
                "bootstrap_cluster_creator_admin_permissions": False,  # who enters stands in the file
            },
            bootstrap_self_managed_addons=False,  # they would be unpinned
            deletion_protection=is_protected(self._plan.tier),
            enabled_cluster_log_types=list(LOG_TYPES),
            encryption_config={"provider": {"key_arn": key.arn}, "resources": ["secrets"]},
            kubernetes_network_config={"service_ipv4_cidr": self._network.cidr.apply(service_cidr)},
            vpc_config={
                "subnet_ids": self._network.private_subnet_ids,
                "endpoint_private_access": True,
                "endpoint_public_access": bool(self._plan.public_access_cidrs),
                "public_access_cidrs": list(self._plan.public_access_cidrs) or None,
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy, logs]),
        )

    def _secrets_key(self, role: aws.iam.Role) -> aws.kms.Key:
        key = aws.kms.Key(
            f"{self._name}-secrets",
            description=f"Secrets of the cluster {self._plan.name}",
            enable_key_rotation=True,
            deletion_window_in_days=KEY_DELETION_DAYS[self._plan.tier],
            policy=policy_document(_key_statement(role)),
            opts=pulumi.ResourceOptions(parent=self),
        )
        aws.kms.Alias(
            f"{self._name}-secrets",
            name_prefix=f"alias/{self._plan.name}-secrets-",
            target_key_id=key.key_id,
            opts=pulumi.ResourceOptions(parent=key),
        )
        return key

    def _admit(self, principal_arn: str) -> None:
        """Make a principal an administrator of the cluster."""
        name = f"{self._name}-{_principal_slug(principal_arn)}"
        entry = aws.eks.AccessEntry(
            name,
            cluster_name=self._cluster.name,
            principal_arn=principal_arn,
            opts=pulumi.ResourceOptions(parent=self),
        )
        aws.eks.AccessPolicyAssociation(
            name,
            cluster_name=self._cluster.name,
            principal_arn=entry.principal_arn,
            policy_arn=ADMIN_POLICY,
            access_scope={"type": "cluster"},
            opts=pulumi.ResourceOptions(parent=entry),
        )

    def _nodes_and_addons(self) -> NodePools:
        daemons = [self._addon(addon, []) for addon in self._plan.addons if addon in BEFORE_NODES]
        place = Place(self._cluster, self._network.private_subnet_ids, daemons)
        pools = NodePools(self._name, self._plan, place, pulumi.ResourceOptions(parent=self))
        for addon in self._plan.addons:
            if addon not in BEFORE_NODES:
                self._addon(addon, [pools.system])
        return pools

    def _addon(self, addon: str, after: list[pulumi.Resource]) -> aws.eks.Addon:
        """An add-on in the file's version. One that calls AWS has a role, so that nodes, and so all pods, need none."""
        name = f"{self._name}-{addon}"
        identities: list[aws.eks.AddonPodIdentityAssociationArgsDict] = []
        if addon in ADDON_ROLES:
            service_account, policy = ADDON_ROLES[addon]
            role = pod_role(name, ServiceAccount(self._plan.name, "kube-system", service_account), self)
            permission = aws.iam.RolePolicyAttachment(
                name, role=role.name, policy_arn=f"{POLICIES}/{policy}", opts=pulumi.ResourceOptions(parent=role)
            )
            identities, after = [{"role_arn": role.arn, "service_account": service_account}], [*after, permission]
        return aws.eks.Addon(
            name,
            cluster_name=self._cluster.name,
            addon_name=addon,
            addon_version=self._plan.addons[addon],
            pod_identity_associations=identities or None,
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="OVERWRITE",  # the file wins over what was changed by hand
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )

    def _autoscaler(self) -> None:
        name, opts = f"{self._name}-{self._plan.gpu_autoscaler}", pulumi.ResourceOptions(parent=self)
        if self._plan.gpu_autoscaler is GpuAutoscaler.KARPENTER:
            foreign = () if self._network.is_managed else self._network.private_subnet_ids
            Karpenter(name, self._plan, self._cluster, foreign, opts)
        else:
            ClusterAutoscaler(name, self._plan.name, self._cluster, opts)


def service_cidr(vpc_cidr: str) -> str:
    """The addresses of services: the first range that the VPC does not use."""
    vpc = ipaddress.ip_network(vpc_cidr)
    return next(cidr for cidr in SERVICE_CIDRS if not ipaddress.ip_network(cidr).overlaps(vpc))


def _key_statement(role: aws.iam.Role) -> Statement:
    account_id = role.arn.apply(lambda arn: arn.split(":")[4])
    statement = allow(KEY_ADMINISTRATION, ["*"])  # in a key's policy, `*` is this key
    return {**statement, "Principal": {"AWS": pulumi.Output.concat("arn:aws:iam::", account_id, ":root")}}


def _control_plane_statements(cluster: str, key: aws.kms.Key) -> list[Statement]:
    """What EKS asks for at least, instead of AmazonEKSClusterPolicy, which may change any load balancer and network
    interface of the account: https://docs.aws.amazon.com/eks/latest/userguide/cluster-iam-role.html

    Load balancers are made by their own controller, with a role of its own.
    """
    scope = Scope.of(key.arn)
    return [
        allow(
            ["ec2:CreateTags"],
            [scope.account("ec2", "instance/*")],
            {"ForAnyValue:StringEquals": {"aws:TagKeys": [f"kubernetes.io/cluster/{cluster}"]}},
        ),
        allow(["kms:DescribeKey"], [key.arn]),
        # EC2 has no resources for these: "Actions defined by Amazon EC2" in
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
        allow(
            [
                "ec2:DescribeAvailabilityZones",
                "ec2:DescribeDhcpOptions",
                "ec2:DescribeInstanceTopology",
                "ec2:DescribeInstances",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeVpcs",
            ],
            ["*"],
        ),
    ]


def _principal_slug(arn: str) -> str:
    """The account and name of a principal, for the names of its resources: they stay when the list is reordered."""
    return re.sub(r"[^A-Za-z0-9]+", "-", arn.split("::", 1)[-1])
