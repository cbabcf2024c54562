"""A dedicated endpoint: GPU machines of its own behind a load balancer, at a name of its own."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from infra.components.common import name_tags
from infra.components.endpoint_balancer import EndpointBalancer
from infra.components.endpoint_firewall import EndpointFirewall
from infra.components.endpoint_identity import EndpointIdentity
from infra.components.endpoint_machines import EndpointMachines, MachineParts
from infra.components.endpoint_scaling import EndpointScaling
from infra.components.network import Network
from infra.components.user_data import Machine, group_name, mirrored, render_user_data
from visionfleet.projections.plans import EndpointPlan


class DedicatedEndpoint(pulumi.ComponentResource):
    """`https://<name>.<domain>`: the inference server's API, as clients know it.

    The plan's hostname is required: a key must not travel without TLS.
    """

    def __init__(
        self,
        name: str,
        plan: EndpointPlan,
        network: Network,
        mirror_registry: pulumi.Output[str] | None,
        log_retention_days: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("visionfleet:aws:DedicatedEndpoint", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        logs = aws.cloudwatch.LogGroup(
            name,
            name=f"/visionfleet/{group_name(plan)}",
            retention_in_days=log_retention_days,
            tags=name_tags(name),
            opts=child,
        )
        firewall = EndpointFirewall(name, plan, network.vpc_id, opts=child)
        identity = EndpointIdentity(name, plan, logs, mirror_registry, opts=child)
        balancer = EndpointBalancer(name, plan, network, firewall.balancer_id, opts=child)
        parts = MachineParts(
            user_data=_user_data(plan, identity, logs.name, mirror_registry),
            instance_profile_arn=identity.instance_profile_arn,
            security_group_id=firewall.machines_id,
            target_group_arn=balancer.target_group_arn,
        )
        # a target group without a listener takes no health checks, so machines would never get healthy
        after_listener = pulumi.ResourceOptions(parent=self, depends_on=[balancer.listener])
        machines = EndpointMachines(name, plan, network, parts, opts=after_listener)
        EndpointScaling(name, plan, machines.group_name, balancer.resource_label, opts=after_listener)
        self.url = balancer.url
        self.security_group_id = firewall.machines_id
        self.secret_arn = identity.secret_arn
        self.register_outputs({"url": self.url, "secret_arn": self.secret_arn})


def _user_data(
    plan: EndpointPlan,
    identity: EndpointIdentity,
    log_group: pulumi.Output[str],
    mirror_registry: pulumi.Output[str] | None,
) -> pulumi.Output[str]:
    image = (
        pulumi.Output.from_input(plan.image)
        if mirror_registry is None
        else mirror_registry.apply(lambda registry: mirrored(plan.image, registry))
    )
    return pulumi.Output.all(image, identity.secret_arn, log_group).apply(lambda known: _rendered(plan, *known))


def _rendered(plan: EndpointPlan, image: str, secret: str, log_group: str) -> str:
    region = secret.split(":")[3]
    machine = Machine(region=region, image=image, secret=secret, log_group=log_group, group=group_name(plan))
    return render_user_data(plan, machine)
