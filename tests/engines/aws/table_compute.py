"""Machines behind a load balancer: launch templates, Auto Scaling groups, ELBv2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.engines.aws.kinds import Call, Kind, Scope, one
from tests.engines.aws.shapes import as_text

BALANCER_ATTRIBUTES = {
    "enableDeletionProtection": "deletion_protection.enabled",
    "idleTimeout": "idle_timeout.timeout_seconds",
    "dropInvalidHeaderFields": "routing.http.drop_invalid_header_fields.enabled",
    "enableHttp2": "routing.http2.enabled",
    "enableCrossZoneLoadBalancing": "load_balancing.cross_zone.enabled",
    "desyncMitigationMode": "routing.http.desync_mitigation_mode",
    "preserveHostHeader": "routing.http.preserve_host_header.enabled",
    "xffHeaderProcessingMode": "routing.http.xff_header_processing.mode",
    "clientKeepAlive": "client_keep_alive.seconds",
    "accessLogs.enabled": "access_logs.s3.enabled",
    "accessLogs.bucket": "access_logs.s3.bucket",
    "accessLogs.prefix": "access_logs.s3.prefix",
}
TARGET_ATTRIBUTES = {
    "deregistrationDelay": "deregistration_delay.timeout_seconds",
    "slowStart": "slow_start.duration_seconds",
    "loadBalancingAlgorithmType": "load_balancing.algorithm.type",
    "loadBalancingCrossZoneEnabled": "load_balancing.cross_zone.enabled",
    "preserveClientIp": "preserve_client_ip.enabled",
    "stickiness.enabled": "stickiness.enabled",
    "stickiness.type": "stickiness.type",
    "stickiness.cookieDuration": "stickiness.lb_cookie.duration_seconds",
}
HEALTH_CHECK = {
    "healthCheck.enabled": "HealthCheckEnabled",
    "healthCheck.interval": "HealthCheckIntervalSeconds",
    "healthCheck.timeout": "HealthCheckTimeoutSeconds",
    "healthCheck.healthyThreshold": "HealthyThresholdCount",
    "healthCheck.unhealthyThreshold": "UnhealthyThresholdCount",
    "healthCheck.matcher": "Matcher",
}
GROUP = "auto-scaling-group"
METRICS = "targetTrackingConfiguration.customizedMetricSpecification.metrics"


def _attributes(names: Mapping[str, str]) -> Callable[[Scope], list[dict[str, str]]]:
    """The API's list of keys and values, of the inputs that are set."""

    def listed(scope: Scope) -> list[dict[str, str]]:
        found = []
        for path, key in names.items():
            name, _, inner = path.partition(".")
            value = one(scope.inputs.get(name)).get(inner) if inner else scope.inputs.get(name)
            if value is not None:
                found.append({"Key": key, "Value": as_text(value)})
        return found

    return listed


def _heads(names: Mapping[str, str]) -> str:
    return " ".join(dict.fromkeys(path.partition(".")[0] for path in names))


def _suffix(kind: str) -> Callable[[Any, Scope], str]:
    """The end of an ARN that CloudWatch and target tracking name the thing by."""
    return lambda _found, scope: scope.id.partition(kind)[2] if kind == "loadbalancer/" else scope.id.rpartition(":")[2]


def _group_tags(scope: Scope) -> list[dict[str, Any]]:
    return [
        {
            "ResourceId": scope.inputs["name"],
            "ResourceType": GROUP,
            "Key": tag["key"],
            "Value": tag["value"],
            "PropagateAtLaunch": bool(tag["propagateAtLaunch"]),
        }
        for tag in scope.inputs.get("tags") or []
    ]


def _add_hooks(scope: Scope) -> None:
    """The lifecycle hooks that a group has before its first instance starts; later changes of them are ignored."""
    for hook in (scope.inputs.get("initialLifecycleHooks") or []) if scope.old is None else []:
        fields = {f"{name[0].upper()}{name[1:]}": value for name, value in hook.items() if name != "name"}
        group = {"AutoScalingGroupName": scope.id, "LifecycleHookName": hook["name"]}
        scope.call("put_lifecycle_hook", **group, **fields)


def _new_default(scope: Scope) -> None:
    """The version that was just made becomes the default one, where the program asks for that."""
    if scope.inputs.get("updateDefaultVersion") and scope.response:
        version = scope.response["LaunchTemplateVersion"]["VersionNumber"]
        scope.call("modify_launch_template", LaunchTemplateId=scope.id, DefaultVersion=str(version))


def _schedule(scope: Scope) -> dict[str, int]:
    """Sizes that stay as they are are written -1."""
    sizes = {name: scope.inputs.get(name) for name in ("minSize", "maxSize", "desiredCapacity")}
    return {name: size for name, size in sizes.items() if size is not None and size != -1}


def _size(name: str) -> Callable[[Scope], int | None]:
    return lambda scope: _schedule(scope).get(name)


def _certificates(scope: Scope) -> list[dict[str, str]] | None:
    arn = scope.inputs.get("certificateArn")
    return [{"CertificateArn": arn}] if arn else None


SCHEDULE = Call(
    "put_scheduled_update_group_action",
    {"MinSize": _size("minSize"), "MaxSize": _size("maxSize"), "DesiredCapacity": _size("desiredCapacity")},
    auto=True,
    whole=True,
)
POLICY = Call("put_scaling_policy", {"PolicyName": "$name"}, auto=True, whole=True)
SINGLE_TAG = Call(
    "create_or_update_tags",
    {
        "Tags": [
            {
                "ResourceId": "$autoscalingGroupName",
                "ResourceType": GROUP,
                "Key": "$tag.key",
                "Value": "$tag.value",
                "PropagateAtLaunch": "$tag.propagateAtLaunch",
            }
        ]
    },
)
LISTENER = {"Certificates": _certificates}

KINDS = (
    Kind(
        "ec2.LaunchTemplate",
        "ec2",
        id="LaunchTemplate.LaunchTemplateId",
        create=(
            Call(
                "create_launch_template",
                {"LaunchTemplateName": "$name", "VersionDescription": "$description"},
                auto=True,
                into="LaunchTemplateData",
            ),
        ),
        update=(
            Call(
                "create_launch_template_version",
                {"LaunchTemplateId": "$id", "VersionDescription": "$description"},
                auto=True,
                whole=True,
                into="LaunchTemplateData",
            ),
            _new_default,
        ),
        read=Call("describe_launch_templates", {"LaunchTemplateIds": ["$id"]}),
        found="LaunchTemplates[0]",
        delete=(Call("delete_launch_template", {"LaunchTemplateId": "$id"}),),
        replace="name namePrefix",
        volatile="latestVersion defaultVersion",
        rename={"vpcSecurityGroupIds": "SecurityGroupIds", "networkInterfaces.securityGroups": "Groups"},
        by_hand="updateDefaultVersion defaultVersion",
        outputs={
            "arn": "=arn:aws:ec2:{region}:{account}:launch-template/{id}",
            "latestVersion": "LatestVersionNumber",
            "defaultVersion": "DefaultVersionNumber",
        },
        tags=True,
        named="name",
        name_limit=125,
    ),
    Kind(
        "autoscaling.Group",
        "autoscaling",
        id="={name}",
        create=(Call("create_auto_scaling_group", {"AutoScalingGroupName": "$name", "Tags": _group_tags}, auto=True),),
        settings=(
            _add_hooks,
            Call(
                "enable_metrics_collection",
                {"AutoScalingGroupName": "$name", "Metrics": "$enabledMetrics", "Granularity": "1Minute"},
                only="enabledMetrics",
            ),
            Call(
                "put_warm_pool",
                {"AutoScalingGroupName": "$name"},
                auto=True,
                only="warmPool",
                spread="warmPool",
                when=lambda scope: scope.inputs.get("warmPool"),
            ),
            Call(
                "delete_warm_pool",
                {"AutoScalingGroupName": "$name"},
                only="warmPool",
                when=lambda scope: scope.old is not None and not scope.inputs.get("warmPool"),
            ),
            Call(
                "suspend_processes",
                {"AutoScalingGroupName": "$name", "ScalingProcesses": "$suspendedProcesses"},
                only="suspendedProcesses",
            ),
        ),
        update=(
            Call("update_auto_scaling_group", {"AutoScalingGroupName": "$name"}, auto=True),
            Call("create_or_update_tags", {"Tags": _group_tags}, only="tags"),
        ),
        read=Call("describe_auto_scaling_groups", {"AutoScalingGroupNames": ["$id"]}),
        found="AutoScalingGroups[0]",
        delete=(Call("delete_auto_scaling_group", {"AutoScalingGroupName": "$id", "ForceDelete": True}),),
        replace="name namePrefix",
        rename={"name": "AutoScalingGroupName", "protectFromScaleIn": "NewInstancesProtectedFromScaleIn"},
        by_hand="tags initialLifecycleHooks "
        "forceDelete waitForCapacityTimeout minElbCapacity waitForElbCapacity forceDeleteWarmPool "
        "ignoreFailedScalingActivities instanceRefresh metricsGranularity",
        outputs={"arn": "AutoScalingGroupARN", "desiredCapacity": "DesiredCapacity"},
        named="name",
    ),
    Kind(
        "autoscaling.Tag",
        "autoscaling",
        id="={autoscalingGroupName},{tag[key]}",
        create=(SINGLE_TAG,),
        update=(SINGLE_TAG,),
        read=Call(
            "describe_tags",
            {
                "Filters": [
                    {"Name": "auto-scaling-group", "Values": ["$autoscalingGroupName"]},
                    {"Name": "key", "Values": ["$tag.key"]},
                ]
            },
        ),
        found="Tags[0]",
        delete=(
            Call(
                "delete_tags",
                {"Tags": [{"ResourceId": "$autoscalingGroupName", "ResourceType": GROUP, "Key": "$tag.key"}]},
            ),
        ),
        replace="autoscalingGroupName",
    ),
    Kind(
        "autoscaling.Policy",
        "autoscaling",
        id="={name}",
        create=(POLICY,),
        update=(POLICY,),
        read=Call("describe_policies", {"AutoScalingGroupName": "$autoscalingGroupName", "PolicyNames": ["$name"]}),
        found="ScalingPolicies[0]",
        delete=(Call("delete_policy", {"AutoScalingGroupName": "$autoscalingGroupName", "PolicyName": "$name"}),),
        replace="name autoscalingGroupName",
        rename={
            "targetTrackingConfiguration.customizedMetricSpecification.metricDimensions": "Dimensions",
            f"{METRICS}.metricStat.metric.dimensions": "Dimensions",
        },
        outputs={"arn": "PolicyARN"},
        named="name",
    ),
    Kind(
        "autoscaling.Schedule",
        "autoscaling",
        id="={scheduledActionName}",
        create=(SCHEDULE,),
        update=(SCHEDULE,),
        read=Call(
            "describe_scheduled_actions",
            {"AutoScalingGroupName": "$autoscalingGroupName", "ScheduledActionNames": ["$scheduledActionName"]},
        ),
        found="ScheduledUpdateGroupActions[0]",
        delete=(
            Call(
                "delete_scheduled_action",
                {"AutoScalingGroupName": "$autoscalingGroupName", "ScheduledActionName": "$scheduledActionName"},
            ),
        ),
        replace="scheduledActionName autoscalingGroupName",
        outputs={"arn": "ScheduledActionARN"},
    ),
    Kind(
        "lb.LoadBalancer",
        "elbv2",
        id="LoadBalancers[0].LoadBalancerArn",
        create=(
            Call(
                "create_load_balancer",
                {"Scheme": lambda scope: "internal" if scope.inputs.get("internal") else "internet-facing"},
                auto=True,
            ),
        ),
        settings=(
            Call(
                "modify_load_balancer_attributes",
                {"LoadBalancerArn": "$id", "Attributes": _attributes(BALANCER_ATTRIBUTES)},
                only=_heads(BALANCER_ATTRIBUTES),
            ),
        ),
        update=(
            Call("set_subnets", {"LoadBalancerArn": "$id", "Subnets": "$subnets"}, only="subnets"),
            Call(
                "set_security_groups",
                {"LoadBalancerArn": "$id", "SecurityGroups": "$securityGroups"},
                only="securityGroups",
            ),
        ),
        read=Call("describe_load_balancers", {"LoadBalancerArns": ["$id"]}),
        found="LoadBalancers[0]",
        delete=(Call("delete_load_balancer", {"LoadBalancerArn": "$id"}),),
        replace="name namePrefix internal loadBalancerType",
        rename={"loadBalancerType": "Type"},
        by_hand="internal",
        outputs={
            "arn": "={id}",
            "arnSuffix": _suffix("loadbalancer/"),
            "dnsName": "DNSName",
            "zoneId": "CanonicalHostedZoneId",
            "vpcId": "VpcId",
        },
        tags=True,
        named="name",
        name_limit=32,
    ),
    Kind(
        "lb.TargetGroup",
        "elbv2",
        id="TargetGroups[0].TargetGroupArn",
        create=(Call("create_target_group", auto=True, spread="healthCheck"),),
        settings=(
            Call(
                "modify_target_group_attributes",
                {"TargetGroupArn": "$id", "Attributes": _attributes(TARGET_ATTRIBUTES)},
                only=_heads(TARGET_ATTRIBUTES),
            ),
        ),
        update=(
            Call("modify_target_group", {"TargetGroupArn": "$id"}, auto=True, only="healthCheck", spread="healthCheck"),
        ),
        read=Call("describe_target_groups", {"TargetGroupArns": ["$id"]}),
        found="TargetGroups[0]",
        delete=(Call("delete_target_group", {"TargetGroupArn": "$id"}),),
        replace="name namePrefix port protocol protocolVersion vpcId targetType ipAddressType",
        rename=HEALTH_CHECK,
        outputs={"arn": "={id}", "arnSuffix": _suffix("targetgroup/")},
        tags=True,
        named="name",
        name_limit=32,
    ),
    Kind(
        "lb.Listener",
        "elbv2",
        id="Listeners[0].ListenerArn",
        create=(Call("create_listener", LISTENER, auto=True),),
        update=(Call("modify_listener", {"ListenerArn": "$id", **LISTENER}, auto=True, whole=True),),
        read=Call("describe_listeners", {"ListenerArns": ["$id"]}),
        found="Listeners[0]",
        delete=(Call("delete_listener", {"ListenerArn": "$id"}),),
        replace="loadBalancerArn",
        by_hand="certificateArn",
        outputs={"arn": "={id}"},
        tags=True,
    ),
)
