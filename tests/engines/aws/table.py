"""All resource types that the stand-in knows, how each service takes tags, and what moto cannot do."""

from __future__ import annotations

from tests.engines.aws import (
    table_cluster,
    table_compute,
    table_events,
    table_firewall,
    table_identity,
    table_names,
    table_network,
    table_storage,
)
from tests.engines.aws.kinds import Call

KINDS = {
    kind.token: kind
    for table in (
        table_network,
        table_firewall,
        table_names,
        table_compute,
        table_identity,
        table_storage,
        table_events,
        table_cluster,
    )
    for kind in table.KINDS
}

UNSUPPORTED_BY_MOTO = {
    "aws:ecr/pullThroughCacheRule:PullThroughCacheRule": "ecr.CreatePullThroughCacheRule is not implemented",
    "aws:eks/accessEntry:AccessEntry": "eks.CreateAccessEntry is not implemented",
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": "eks.AssociateAccessPolicy is not implemented",
    "aws:eks/addon:Addon": "eks.CreateAddon is not implemented",
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": "eks.CreatePodIdentityAssociation is not implemented",
    "aws:eks/cluster:Cluster.vpcConfig": "no security group is made for a cluster: the stand-in makes one by ec2",
    "aws:eks/nodeGroup:NodeGroup.resources": "no Auto Scaling group is made for a node group: the stand-in makes it",
    "aws:ssm/getParameter:getParameter": "ssm has few of AWS's public parameters: one of moto's images stands for them",
}
"""The types of which the stand-in keeps the state itself, in a file, and what it answers itself."""

UNSUPPORTED_CHANGES = {
    ("aws:autoscaling/group:Group", "instanceRefresh"): "autoscaling.StartInstanceRefresh is not implemented",
    ("aws:budgets/budget:Budget", "limitAmount"): "budgets.UpdateBudget is not implemented",
    ("aws:budgets/budget:Budget", "notifications"): "budgets.CreateSubscriber is not implemented",
    ("aws:budgets/budget:Budget", "tags"): "budgets.TagResource is not implemented",
    ("aws:cloudwatch/logGroup:LogGroup", "kmsKeyId"): "logs.AssociateKmsKey is not implemented",
    ("aws:eks/cluster:Cluster", "version"): "eks.UpdateClusterVersion is not implemented",
    ("aws:eks/nodeGroup:NodeGroup", "tags"): "eks.TagResource knows clusters only",
    ("aws:eks/nodeGroup:NodeGroup", "version"): "eks.UpdateNodegroupVersion is not implemented",
    ("aws:rds/subnetGroup:SubnetGroup", "subnetIds"): "rds.ModifyDBSubnetGroup loses the group",
}
"""Inputs whose change reaches Pulumi's state and not moto."""

# (tag, untag) of a service, or of one type where the service names its types apart; the tags are added by their model
TAGGING: dict[str, tuple[Call, Call | None] | None] = {
    "ec2": (Call("create_tags", {"Resources": ["$id"]}), Call("delete_tags", {"Resources": ["$id"]})),
    "elbv2": (Call("add_tags", {"ResourceArns": ["$arn"]}), Call("remove_tags", {"ResourceArns": ["$arn"]})),
    "acm": (
        Call("add_tags_to_certificate", {"CertificateArn": "$id"}),
        Call("remove_tags_from_certificate", {"CertificateArn": "$id"}),
    ),
    "aws:iam/role:Role": (Call("tag_role", {"RoleName": "$id"}), Call("untag_role", {"RoleName": "$id"})),
    "aws:iam/policy:Policy": (Call("tag_policy", {"PolicyArn": "$id"}), Call("untag_policy", {"PolicyArn": "$id"})),
    "aws:iam/instanceProfile:InstanceProfile": (
        Call("tag_instance_profile", {"InstanceProfileName": "$id"}),
        Call("untag_instance_profile", {"InstanceProfileName": "$id"}),
    ),
    "kms": (Call("tag_resource", {"KeyId": "$id"}), Call("untag_resource", {"KeyId": "$id"})),
    "secretsmanager": (Call("tag_resource", {"SecretId": "$id"}), Call("untag_resource", {"SecretId": "$id"})),
    "rds": (
        Call("add_tags_to_resource", {"ResourceName": "$arn"}),
        Call("remove_tags_from_resource", {"ResourceName": "$arn"}),
    ),
    "eks": (Call("tag_resource", {"resourceArn": "$arn"}), Call("untag_resource", {"resourceArn": "$arn"})),
    "aws:eks/nodeGroup:NodeGroup": None,  # it has its tags from its making
    "ecr": (Call("tag_resource", {"resourceArn": "$arn"}), Call("untag_resource", {"resourceArn": "$arn"})),
    "logs": (Call("tag_resource", {"resourceArn": "$arn"}), Call("untag_resource", {"resourceArn": "$arn"})),
    "sqs": (Call("tag_queue", {"QueueUrl": "$id"}), Call("untag_queue", {"QueueUrl": "$id"})),
    "events": (Call("tag_resource", {"ResourceARN": "$arn"}), Call("untag_resource", {"ResourceARN": "$arn"})),
    "cloudwatch": (Call("tag_resource", {"ResourceARN": "$arn"}), Call("untag_resource", {"ResourceARN": "$arn"})),
    # all of a bucket's tags are one document
    "s3": (Call("put_bucket_tagging", {"Bucket": "$id"}), None),
}
