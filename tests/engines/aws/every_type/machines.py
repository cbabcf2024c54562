"""Machines behind a load balancer."""

import pulumi
import pulumi_aws as aws
from common import CHANGED, ZONE, image, opts, zone
from identity import profile
from network import group, ids, inline, vpc

template = aws.ec2.LaunchTemplate(
    "machine",
    image_id=image,
    instance_type="g6.2xlarge" if CHANGED else "g6.xlarge",
    update_default_version=True,
    iam_instance_profile={"arn": profile.arn},
    metadata_options={"http_endpoint": "enabled", "http_tokens": "required", "http_put_response_hop_limit": 1},
    block_device_mappings=[
        {
            "device_name": "/dev/xvda",
            "ebs": {"volume_size": 100, "volume_type": "gp3", "encrypted": "true", "delete_on_termination": "true"},
        }
    ],
    network_interfaces=[{"associate_public_ip_address": "false", "security_groups": [inline.id]}],
    monitoring={"enabled": True},
    tag_specifications=[{"resource_type": "instance", "tags": {"Name": "machine"}}],
    user_data="I2Nsb3VkLWNvbmZpZwo=",
    opts=opts,
)
balancer = aws.lb.LoadBalancer(
    "web",
    load_balancer_type="application",
    subnets=ids,
    security_groups=[group.id],
    drop_invalid_header_fields=True,
    enable_deletion_protection=False,
    idle_timeout=120 if CHANGED else 60,
    opts=opts,
)
targets = aws.lb.TargetGroup(
    "web",
    port=9001,
    protocol="HTTP",
    vpc_id=vpc.id,
    target_type="instance",
    deregistration_delay=30,
    health_check={
        "path": "/readiness",
        "matcher": "200",
        "interval": 15,
        "timeout": 5,
        "healthy_threshold": 2,
        "unhealthy_threshold": 3,
    },
    opts=opts,
)
certificate = aws.acm.Certificate("web", domain_name=f"line-3.{ZONE}", validation_method="DNS", opts=opts)
option = certificate.domain_validation_options[0]
proof = aws.route53.Record(
    "proof",
    zone_id=zone.zone_id,
    name=option.resource_record_name,
    type=option.resource_record_type,
    records=[option.resource_record_value],
    ttl=60,
    allow_overwrite=True,
    opts=opts,
)
valid = aws.acm.CertificateValidation(
    "web", certificate_arn=certificate.arn, validation_record_fqdns=[proof.fqdn], opts=opts
)
aws.lb.Listener(
    "web",
    load_balancer_arn=balancer.arn,
    port=443,
    protocol="HTTPS",
    ssl_policy="ELBSecurityPolicy-TLS13-1-2-2021-06",
    certificate_arn=valid.certificate_arn,
    default_actions=[{"type": "forward", "target_group_arn": targets.arn}],
    opts=opts,
)
aws.lb.Listener(
    "plain",
    load_balancer_arn=balancer.arn,
    port=80,
    protocol="HTTP",
    default_actions=[{"type": "redirect", "redirect": {"port": "443", "protocol": "HTTPS", "status_code": "HTTP_301"}}],
    opts=opts,
)
alias = {"name": balancer.dns_name, "zone_id": balancer.zone_id, "evaluate_target_health": True}
aws.route53.Record("web", zone_id=zone.zone_id, name="line-3", type="A", aliases=[alias], opts=opts)
machines = aws.autoscaling.Group(
    "machine",
    min_size=0,
    max_size=4,
    desired_capacity=0,
    vpc_zone_identifiers=ids,
    launch_template={"id": template.id, "version": template.latest_version.apply(str)},
    target_group_arns=[targets.arn],
    health_check_type="ELB",
    health_check_grace_period=600,
    instance_refresh={"strategy": "Rolling", "preferences": {"auto_rollback": True, "min_healthy_percentage": 90}},
    warm_pool={"pool_state": "Stopped", "min_size": 1},
    tags=[{"key": "Name", "value": "machine", "propagate_at_launch": True}],
    opts=opts,
)
mixed = aws.autoscaling.Group(
    "mixed",
    min_size=0,
    max_size=2,
    vpc_zone_identifiers=ids,
    mixed_instances_policy={
        "instances_distribution": {"on_demand_percentage_above_base_capacity": 0},
        "launch_template": {
            "launch_template_specification": {"launch_template_id": template.id, "version": "$Latest"},
            "overrides": [{"instance_type": "g6.xlarge"}, {"instance_type": "g5.xlarge"}],
        },
    },
    opts=opts,
)
aws.autoscaling.Tag(
    "mixed",
    autoscaling_group_name=mixed.name,
    tag={
        "key": "k8s.io/cluster-autoscaler/node-template/label/gpu",
        "value": "NVIDIA-L4",
        "propagate_at_launch": False,
    },
    opts=opts,
)
label = pulumi.Output.concat(balancer.arn_suffix, "/", targets.arn_suffix)
aws.autoscaling.Policy(
    "requests",
    autoscaling_group_name=machines.name,
    policy_type="TargetTrackingScaling",
    target_tracking_configuration={
        "target_value": 500 if CHANGED else 600,
        "predefined_metric_specification": {
            "predefined_metric_type": "ALBRequestCountPerTarget",
            "resource_label": label,
        },
    },
    opts=opts,
)
aws.autoscaling.Policy(
    "gpu",
    autoscaling_group_name=machines.name,
    policy_type="TargetTrackingScaling",
    target_tracking_configuration={
        "target_value": 70,
        "customized_metric_specification": {
            "metric_name": "utilization_gpu",
            "namespace": "acme",
            "statistic": "Average",
            "metric_dimensions": [{"name": "AutoScalingGroupName", "value": machines.name}],
        },
    },
    opts=opts,
)
aws.autoscaling.Schedule(
    "stop",
    scheduled_action_name="stop",
    autoscaling_group_name=machines.name,
    recurrence="0 19 * * MON-FRI",
    time_zone="Europe/Berlin",
    min_size=0,
    max_size=-1,
    desired_capacity=0,
    opts=opts,
)
