"""EKS: the cluster, its node groups, add-ons and who may use it."""

from __future__ import annotations

from typing import Any

from tests.engines.aws.kinds import Call, Kind, Scope, one

NODE_GROUP = {"clusterName": "$clusterName", "nodegroupName": "$nodeGroupName"}


def _logging(scope: Scope) -> dict[str, Any] | None:
    types = scope.inputs.get("enabledClusterLogTypes")
    return {"clusterLogging": [{"types": types, "enabled": True}]} if types else None


def _open_group(scope: Scope) -> None:
    """EKS makes a security group for each cluster. moto does not: it is made here, under EKS's name for it."""
    ec2, subnets = scope.cloud.client("ec2"), one(scope.inputs["vpcConfig"])["subnetIds"]
    vpc = ec2.describe_subnets(SubnetIds=subnets[:1])["Subnets"][0]["VpcId"]
    ec2.create_security_group(GroupName=f"eks-cluster-sg-{scope.id}", Description="EKS created", VpcId=vpc)


def _close_group(scope: Scope) -> None:
    scope.cloud.client("ec2").delete_security_group(GroupId=scope.state["vpcConfig"]["clusterSecurityGroupId"])


def _vpc_config(_found: Any, scope: Scope) -> dict[str, Any]:
    """What the program gave, and what EKS adds to it."""
    named = [{"Name": "group-name", "Values": [f"eks-cluster-sg-{scope.id}"]}]
    group = scope.cloud.client("ec2").describe_security_groups(Filters=named)["SecurityGroups"][0]
    given = one(scope.inputs["vpcConfig"])
    return {**given, "clusterSecurityGroupId": group["GroupId"], "vpcId": group["VpcId"]}


def _group_name(scope: Scope) -> str:
    return scope.find()["resources"]["autoScalingGroups"][0]["name"]


def _start_group(scope: Scope) -> None:
    """EKS makes an Auto Scaling group for each node group. moto only names one: it is made here, and stays empty."""
    autoscaling, name = scope.cloud.client("autoscaling"), _group_name(scope)
    autoscaling.create_launch_configuration(
        LaunchConfigurationName=name, ImageId="ami-12c6146b", InstanceType="m6i.large"
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchConfigurationName=name,
        MinSize=0,
        MaxSize=0,
        VPCZoneIdentifier=",".join(scope.inputs["subnetIds"]),
    )


def _stop_group(scope: Scope) -> None:
    autoscaling, name = scope.cloud.client("autoscaling"), _group_name(scope)
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
    autoscaling.delete_launch_configuration(LaunchConfigurationName=name)


def _labels(scope: Scope) -> dict[str, Any]:
    new, old = scope.inputs.get("labels") or {}, (scope.old or {}).get("labels") or {}
    return {"addOrUpdateLabels": new, "removeLabels": [name for name in old if name not in new]}


def _taints(scope: Scope) -> dict[str, Any]:
    new, old = scope.inputs.get("taints") or [], (scope.old or {}).get("taints") or []
    return {"addOrUpdateTaints": new, "removeTaints": [taint for taint in old if taint not in new]}


KINDS = (
    Kind(
        "eks.Cluster",
        "eks",
        id="={name}",
        create=(
            Call("create_cluster", {"logging": _logging}, auto=True),
            _open_group,
            Call("describe_cluster", {"name": "$name"}, until="cluster.status=='ACTIVE'"),
        ),
        update=(
            Call("update_cluster_config", {"name": "$name"}, auto=True, only="vpcConfig"),
            Call("update_cluster_config", {"name": "$name", "logging": _logging}, only="enabledClusterLogTypes"),
        ),
        read=Call("describe_cluster", {"name": "$id"}),
        found="cluster",
        delete=(Call("delete_cluster", {"name": "$id"}), _close_group),
        replace="name roleArn encryptionConfig kubernetesNetworkConfig bootstrapSelfManagedAddons",
        rename={"vpcConfig": "resourcesVpcConfig"},
        by_hand="enabledClusterLogTypes defaultAddonsToRemoves forceUpdateVersion",
        outputs={
            "arn": "arn",
            "endpoint": "endpoint",
            "status": "status",
            "platformVersion": "platformVersion",
            "certificateAuthority": "certificateAuthority",
            "identities": "[{oidcs: [identity.oidc]}]",
            "vpcConfig": _vpc_config,
        },
        tags=True,
        named="name",
        name_limit=100,
    ),
    Kind(
        "eks.NodeGroup",
        "eks",
        id="={clusterName}:{nodeGroupName}",
        create=(
            Call("create_nodegroup", {"tags": "$tags"}, auto=True),
            Call("describe_nodegroup", NODE_GROUP, until="nodegroup.status=='ACTIVE'"),
            _start_group,
        ),
        update=(
            Call("update_nodegroup_config", NODE_GROUP, auto=True, only="scalingConfig updateConfig nodeRepairConfig"),
            Call("update_nodegroup_config", {**NODE_GROUP, "labels": _labels}, only="labels"),
            Call("update_nodegroup_config", {**NODE_GROUP, "taints": _taints}, only="taints"),
        ),
        read=Call("describe_nodegroup", NODE_GROUP),
        found="nodegroup",
        delete=(_stop_group, Call("delete_nodegroup", NODE_GROUP)),
        replace="clusterName nodeGroupName nodeGroupNamePrefix nodeRoleArn subnetIds instanceTypes amiType "
        "capacityType diskSize",
        rename={"nodeRoleArn": "nodeRole", "subnetIds": "subnets"},
        by_hand="forceUpdateVersion",
        outputs={
            "arn": "nodegroupArn",
            "status": "status",
            "resources": "resources.autoScalingGroups && [{autoscalingGroups: resources.autoScalingGroups}]",
        },
        tags=True,
        named="nodeGroupName",
        name_limit=63,
    ),
    Kind(
        "eks.Addon",
        "eks",
        id="={clusterName}:{addonName}",
        replace="clusterName addonName",
        outputs={"arn": "=arn:aws:eks:{region}:{account}:addon/{clusterName}/{addonName}/stand-in"},
        tags=True,
    ),
    Kind(
        "eks.AccessEntry",
        "eks",
        id="={clusterName}:{principalArn}",
        replace="clusterName principalArn type",
        outputs={"accessEntryArn": "=arn:aws:eks:{region}:{account}:access-entry/{clusterName}/stand-in"},
        tags=True,
    ),
    Kind(
        "eks.AccessPolicyAssociation",
        "eks",
        id="={clusterName}#{principalArn}#{policyArn}",
        replace="*",
    ),
    Kind(
        "eks.PodIdentityAssociation",
        "eks",
        id="={clusterName},{namespace},{serviceAccount}",
        replace="clusterName namespace serviceAccount",
        outputs={
            "associationId": "=a-{clusterName}-{namespace}-{serviceAccount}",
            "associationArn": "=arn:aws:eks:{region}:{account}:podidentityassociation/{clusterName}/{serviceAccount}",
        },
        tags=True,
    ),
)
