"""Who may talk to whom around a dedicated endpoint: clients to the load balancer, the load balancer to the machines."""

from __future__ import annotations

from urllib.parse import urlsplit

import pulumi
import pulumi_aws as aws

from infra.components.common import name_tags
from visionfleet.projections.plans import EndpointPlan

ANYWHERE = "0.0.0.0/0"
HTTPS = 443
DEFAULT_PORTS = {"https": HTTPS, "http": 80}


class EndpointFirewall(pulumi.ComponentResource):
    """Two security groups, each rule of its own, what goes out named as well as what comes in."""

    def __init__(
        self, name: str, plan: EndpointPlan, vpc_id: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("visionfleet:aws:EndpointFirewall", name, None, opts)
        balancer = self._group(f"{name}-balancer", f"Load balancer of {plan.name}", vpc_id)
        machines = self._group(f"{name}-machines", f"Machines of {plan.name}", vpc_id)
        for cidr in plan.allowed_cidrs:
            self._clients(f"{name}-clients-{cidr}", balancer, cidr)
        self._between(name, balancer, machines, plan.port)
        for port, what in sorted(outgoing_ports(plan).items()):
            self._outgoing(f"{name}-out-{port}", machines, port, what)
        self.balancer_id = balancer.id
        self.machines_id = machines.id
        self.register_outputs({"balancer_id": self.balancer_id, "machines_id": self.machines_id})

    def _group(self, name: str, description: str, vpc_id: pulumi.Input[str]) -> aws.ec2.SecurityGroup:
        return aws.ec2.SecurityGroup(
            name, description=description, vpc_id=vpc_id, tags=name_tags(name), opts=pulumi.ResourceOptions(parent=self)
        )

    def _clients(self, name: str, balancer: aws.ec2.SecurityGroup, cidr: str) -> None:
        aws.vpc.SecurityGroupIngressRule(
            name,
            security_group_id=balancer.id,
            description="Clients, TLS",
            ip_protocol="tcp",
            from_port=HTTPS,
            to_port=HTTPS,
            cidr_ipv4=None if ":" in cidr else cidr,
            cidr_ipv6=cidr if ":" in cidr else None,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _between(self, name: str, balancer: aws.ec2.SecurityGroup, machines: aws.ec2.SecurityGroup, port: int) -> None:
        aws.vpc.SecurityGroupEgressRule(
            f"{name}-to-machines",
            security_group_id=balancer.id,
            description="To the inference server",
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            referenced_security_group_id=machines.id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-from-balancer",
            security_group_id=machines.id,
            description="From the load balancer, to the inference server",
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            referenced_security_group_id=balancer.id,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _outgoing(self, name: str, machines: aws.ec2.SecurityGroup, port: int, what: str) -> None:
        aws.vpc.SecurityGroupEgressRule(
            name,
            security_group_id=machines.id,
            description=what,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            cidr_ipv4=ANYWHERE,
            opts=pulumi.ResourceOptions(parent=self),
        )


def outgoing_ports(plan: EndpointPlan) -> dict[int, str]:
    """What machines call, by port. Name resolution, time and the metadata service pass security groups anyway."""
    ports = {80: "Images that requests name by http URL", HTTPS: "AWS, image registry, images by https URL"}
    hub = urlsplit(plan.environment.get("API_BASE_URL", ""))
    hub_port = hub.port or DEFAULT_PORTS.get(hub.scheme, HTTPS)
    return {hub_port: "The hub", **ports}
