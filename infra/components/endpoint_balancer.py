"""The front of a dedicated endpoint: a name, a certificate for it, a load balancer that speaks TLS and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from infra.components.common import is_protected, name_tags
from infra.components.endpoint_firewall import HTTPS
from infra.components.network import Network
from infra.components.user_data import group_name
from visionfleet.projections.plans import EndpointPlan

TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"  # TLS 1.3, and 1.2 with forward secrecy and AEAD only
IDLE_SECONDS = 120  # a large request on a busy GPU
DRAIN_SECONDS = 60
NAME_ROOM = 24  # AWS takes 32 characters, Pulumi adds 8


class EndpointBalancer(pulumi.ComponentResource):
    """An application load balancer at the endpoint's name. Port 80 is closed: a key sent there would be readable."""

    def __init__(
        self,
        name: str,
        plan: EndpointPlan,
        network: Network,
        security_group_id: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("visionfleet:aws:EndpointBalancer", name, None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        balancer = self._balancer(name, plan, network.public_subnet_ids, security_group_id)
        targets = self._targets(name, plan, network.vpc_id)
        zone = aws.route53.get_zone_output(name=plan.zone, private_zone=False, opts=pulumi.InvokeOptions(parent=self))
        listener = self._listener(name, balancer, targets, self._certificate(name, plan, zone.zone_id))
        record = self._record(name, plan, balancer, zone.zone_id)
        self.listener = listener
        self.target_group_arn = targets.arn
        self.url = pulumi.Output.concat("https://", record.name)
        # how CloudWatch names the two together
        self.resource_label = pulumi.Output.concat(balancer.arn_suffix, "/", targets.arn_suffix)
        self.register_outputs({"url": self.url, "target_group_arn": self.target_group_arn})

    def _balancer(
        self,
        name: str,
        plan: EndpointPlan,
        subnet_ids: pulumi.Input[Sequence[pulumi.Input[str]]],
        security_group_id: pulumi.Output[str],
    ) -> aws.lb.LoadBalancer:
        return aws.lb.LoadBalancer(
            short_name(name),
            load_balancer_type="application",
            internal=False,
            subnets=subnet_ids,
            security_groups=[security_group_id],
            drop_invalid_header_fields=True,
            enable_deletion_protection=is_protected(plan.tier),
            idle_timeout=IDLE_SECONDS,
            tags=name_tags(name),
            opts=self._child,
        )

    def _targets(self, name: str, plan: EndpointPlan, vpc_id: pulumi.Input[str]) -> aws.lb.TargetGroup:
        return aws.lb.TargetGroup(
            short_name(name),
            port=plan.port,
            protocol="HTTP",
            target_type="instance",
            vpc_id=vpc_id,
            # requests take unequal time on a GPU
            load_balancing_algorithm_type="least_outstanding_requests",
            deregistration_delay=DRAIN_SECONDS,
            health_check={
                "path": "/readiness",
                "port": str(plan.port),
                "protocol": "HTTP",
                "matcher": "200",
                "interval": 10,
                "timeout": 5,
                "healthy_threshold": 2,
                "unhealthy_threshold": 3,
            },
            tags=name_tags(name),
            opts=self._child,
        )

    def _listener(
        self,
        name: str,
        balancer: aws.lb.LoadBalancer,
        targets: aws.lb.TargetGroup,
        certificate_arn: pulumi.Output[str],
    ) -> aws.lb.Listener:
        return aws.lb.Listener(
            name,
            load_balancer_arn=balancer.arn,
            port=HTTPS,
            protocol="HTTPS",
            ssl_policy=TLS_POLICY,
            certificate_arn=certificate_arn,
            default_actions=[{"type": "forward", "target_group_arn": targets.arn}],
            tags=name_tags(name),
            opts=self._child,
        )

    def _certificate(self, name: str, plan: EndpointPlan, zone_id: pulumi.Output[str]) -> pulumi.Output[str]:
        """The ARN of the certificate once it is valid."""
        certificate = aws.acm.Certificate(
            name, domain_name=group_name(plan), validation_method="DNS", tags=name_tags(name), opts=self._child
        )
        proof = certificate.domain_validation_options[0]
        record = aws.route53.Record(
            f"{name}-validation",
            zone_id=zone_id,
            name=proof.resource_record_name,
            type=proof.resource_record_type,
            records=[proof.resource_record_value],
            ttl=300,
            allow_overwrite=True,  # a certificate of the same name, in the same account, asks for the same record
            opts=self._child,
        )
        valid = aws.acm.CertificateValidation(
            name, certificate_arn=certificate.arn, validation_record_fqdns=[record.fqdn], opts=self._child
        )
        return valid.certificate_arn

    def _record(
        self, name: str, plan: EndpointPlan, balancer: aws.lb.LoadBalancer, zone_id: pulumi.Output[str]
    ) -> aws.route53.Record:
        return aws.route53.Record(
            name,
            zone_id=zone_id,
            name=group_name(plan),
            type="A",
            aliases=[{"name": balancer.dns_name, "zone_id": balancer.zone_id, "evaluate_target_health": True}],
            opts=self._child,
        )


def short_name(name: str) -> str:
    """A name that a load balancer may have, different for different names."""
    if len(name) <= NAME_ROOM:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{name[: NAME_ROOM - 7].rstrip('-')}-{digest}"
