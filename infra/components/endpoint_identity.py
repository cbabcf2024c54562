"""What the machines of a dedicated endpoint may do in AWS: read one secret, write one log group, say they are ready."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from infra.components.common import Statement, allow, name_tags, policy_document, trust
from infra.components.user_data import METRICS_NAMESPACE, group_name
from visionfleet.projections.plans import EndpointPlan

RECOVERY_DAYS = 7  # AWS takes 7 to 30


class EndpointIdentity(pulumi.ComponentResource):
    """The role of the machines, and the secret that holds the inference server's key.

    No one else's secrets, no S3, no EC2. People reach a machine through Session Manager, so it has no SSH key.
    """

    def __init__(
        self,
        name: str,
        plan: EndpointPlan,
        log_group: aws.cloudwatch.LogGroup,
        mirror_registry: pulumi.Output[str] | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("visionfleet:aws:EndpointIdentity", name, None, opts)
        self.secret_arn = self._secret(name, plan)
        group = group_name(plan)
        statements = [
            allow(["secretsmanager:GetSecretValue"], [self.secret_arn]),
            allow(
                ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                [log_group.arn.apply(lambda arn: f"{arn}:*")],  # its streams
            ),
            # metrics are no resources in AWS; the namespace is what can be named
            allow(["cloudwatch:PutMetricData"], ["*"], {"StringEquals": {"cloudwatch:namespace": METRICS_NAMESPACE}}),
            allow(
                ["autoscaling:CompleteLifecycleAction"],
                [self.secret_arn.apply(lambda arn: scaling_group_arn(arn, group))],
            ),
        ]
        if mirror_registry is not None:
            statements += pull_statements(mirror_registry)
        self.instance_profile_arn = self._profile(name, statements)
        self.register_outputs({"secret_arn": self.secret_arn, "instance_profile_arn": self.instance_profile_arn})

    def _secret(self, name: str, plan: EndpointPlan) -> pulumi.Output[str]:
        if plan.api_key_secret is not None:
            invoke = pulumi.InvokeOptions(parent=self)
            return aws.secretsmanager.get_secret_output(name=plan.api_key_secret, opts=invoke).arn
        secret = aws.secretsmanager.Secret(
            f"{name}-api-key",
            description=f"Key of {plan.name}'s inference server; set its value by hand",
            recovery_window_in_days=RECOVERY_DAYS,
            tags=name_tags(f"{name}-api-key"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return secret.arn

    def _profile(self, name: str, statements: list[Statement]) -> pulumi.Output[str]:
        child = pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role(
            name,
            description="Machines of a dedicated inference endpoint",
            assume_role_policy=policy_document(trust("ec2.amazonaws.com")),
            tags=name_tags(name),
            opts=child,
        )
        aws.iam.RolePolicy(name, role=role.name, policy=policy_document(*statements), opts=child)
        aws.iam.RolePolicyAttachment(
            f"{name}-session-manager",
            role=role.name,
            policy_arn=aws.iam.ManagedPolicy.AMAZON_SSM_MANAGED_INSTANCE_CORE,
            opts=child,
        )
        return aws.iam.InstanceProfile(name, role=role.name, tags=name_tags(name), opts=child).arn


def scaling_group_arn(neighbour_arn: str, group: str) -> str:
    """The ARN of an auto scaling group by its name; partition, region and account are those of `neighbour_arn`."""
    _, partition, _, region, account, *_ = neighbour_arn.split(":")
    return f"arn:{partition}:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName/{group}"


def pull_statements(registry: pulumi.Output[str]) -> list[Statement]:
    """Leave to pull from the mirror; a pull-through cache fetches what it does not have in the puller's name."""
    actions = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    cache = ["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"]
    return [
        allow([*actions, *cache], [registry.apply(repositories_arn)]),
        allow(["ecr:GetAuthorizationToken"], ["*"]),  # a token is for the whole registry: AWS has no resource here
    ]


def repositories_arn(registry: str) -> str:
    """`123456789012.dkr.ecr.eu-central-1.amazonaws.com/prefix` -> the ARN of every repository below it."""
    host, _, prefix = registry.partition("/")
    account, _, _, region, *_ = host.split(".")
    partition = "aws-cn" if host.endswith(".cn") else "aws"
    below = f"{prefix}/*" if prefix else "*"
    return f"arn:{partition}:ecr:{region}:{account}:repository/{below}"
