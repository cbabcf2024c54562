"""The machines of a dedicated endpoint: what one is (launch template), how many there are (auto scaling group)."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.components.common import name_tags
from infra.components.network import Network
from infra.components.user_data import LIFECYCLE_HOOK, READY_SECONDS, group_name
from visionfleet.projections.plans import EndpointPlan

# AWS's own image with driver, Docker and container toolkit.
# https://docs.aws.amazon.com/dlami/latest/devguide/find-dlami-id.html
AMI_PARAMETER = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
ROOT_DEVICE = "/dev/sda1"  # of Ubuntu's images
# A machine counts when its server has answered (the lifecycle hook), so little is left to wait for.
GRACE_SECONDS = 60
WARMUP_SECONDS = 60


@dataclass(frozen=True, slots=True)
class MachineParts:
    """What machines are made with."""

    user_data: pulumi.Output[str]
    instance_profile_arn: pulumi.Output[str]
    security_group_id: pulumi.Output[str]
    target_group_arn: pulumi.Output[str]


class EndpointMachines(pulumi.ComponentResource):
    """An auto scaling group in the private subnets, which replaces its machines one after the other on a change.

    A new machine is in service when its inference server is ready, and only then an old one goes; if none gets ready,
    the group goes back to the launch template that it had.
    """

    def __init__(
        self,
        name: str,
        plan: EndpointPlan,
        network: Network,
        parts: MachineParts,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("visionfleet:aws:EndpointMachines", name, None, opts)
        template = self._template(name, plan, parts)
        self.group = self._group(name, plan, network, parts, template)
        self.group_name = self.group.name
        self.register_outputs({"group_name": self.group_name})

    def _template(self, name: str, plan: EndpointPlan, parts: MachineParts) -> aws.ec2.LaunchTemplate:
        return aws.ec2.LaunchTemplate(
            name,
            description=f"Machines of {plan.name}",
            image_id=plan.ami or self._newest_ami(),
            instance_type=plan.instance_type,
            iam_instance_profile={"arn": parts.instance_profile_arn},
            user_data=parts.user_data.apply(lambda text: base64.b64encode(text.encode()).decode()),
            # one hop: containers do not reach the machine's role
            metadata_options={"http_endpoint": "enabled", "http_tokens": "required", "http_put_response_hop_limit": 1},
            block_device_mappings=[{"device_name": ROOT_DEVICE, "ebs": _disk(plan.volume_gb)}],
            network_interfaces=[
                {
                    "device_index": 0,
                    "associate_public_ip_address": "false",
                    "delete_on_termination": "true",
                    "security_groups": [parts.security_group_id],
                }
            ],
            instance_market_options={"market_type": "spot"} if plan.spot else None,
            monitoring={"enabled": True},  # by the minute: scaling follows it
            update_default_version=True,
            tags=name_tags(name),
            # an image that AWS publishes is no reason to replace machines: `ami` in the file is
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=None if plan.ami else ["image_id"]),
        )

    def _newest_ami(self) -> pulumi.Output[str]:
        invoke = pulumi.InvokeOptions(parent=self)
        # `value` would be a secret in the state: SSM's parameters are, this public one is not
        return aws.ssm.get_parameter_output(name=AMI_PARAMETER, opts=invoke).insecure_value

    def _group(
        self,
        name: str,
        plan: EndpointPlan,
        network: Network,
        parts: MachineParts,
        template: aws.ec2.LaunchTemplate,
    ) -> aws.autoscaling.Group:
        return aws.autoscaling.Group(
            name,
            name=group_name(plan),  # user data and the role name it before it is there
            min_size=plan.min_size,
            max_size=plan.max_size,
            vpc_zone_identifiers=network.private_subnet_ids,
            launch_template={"id": template.id, "version": template.latest_version.apply(str)},
            target_group_arns=[parts.target_group_arn],
            health_check_type="ELB",
            health_check_grace_period=GRACE_SECONDS,
            default_instance_warmup=WARMUP_SECONDS,
            initial_lifecycle_hooks=[_ready_hook()],
            instance_refresh={"strategy": "Rolling", "preferences": _refresh()},
            # the same when a machine is found ill: first the new one
            instance_maintenance_policy={"min_healthy_percentage": 100, "max_healthy_percentage": 110},
            warm_pool=_warm_pool(plan) if plan.warm_pool else None,
            # a key that is set by hand after this cannot be waited for
            wait_for_capacity_timeout=f"{READY_SECONDS}s" if plan.api_key_secret else "0",
            tags=[{"key": "Name", "value": name, "propagate_at_launch": True}],
            opts=pulumi.ResourceOptions(
                parent=self,
                # at night the schedule has set them to none
                ignore_changes=["min_size", "max_size", "desired_capacity"] if plan.schedule else None,
            ),
        )


def _disk(size_gb: int) -> aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgsDict:
    return {"encrypted": "true", "volume_type": "gp3", "volume_size": size_gb, "delete_on_termination": "true"}


def _ready_hook() -> aws.autoscaling.GroupInitialLifecycleHookArgsDict:
    """A machine is not in service before it says that its server is ready; one that never does is thrown away."""
    return {
        "name": LIFECYCLE_HOOK,
        "lifecycle_transition": "autoscaling:EC2_INSTANCE_LAUNCHING",
        "heartbeat_timeout": READY_SECONDS,
        "default_result": "ABANDON",
    }


def _refresh() -> aws.autoscaling.GroupInstanceRefreshPreferencesArgsDict:
    return {
        "min_healthy_percentage": 100,  # never fewer than before: 110 lets one more start first
        "max_healthy_percentage": 110,
        "instance_warmup": str(WARMUP_SECONDS),
        "auto_rollback": True,
        "skip_matching": True,
    }


def _warm_pool(plan: EndpointPlan) -> aws.autoscaling.GroupWarmPoolArgsDict:
    """Stopped machines with the image on their disks: they cost the disk, and serve within a minute or two."""
    return {"pool_state": "Stopped", "min_size": 1, "max_group_prepared_capacity": plan.max_size}
