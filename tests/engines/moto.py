"""AWS's API on this machine: moto's server, whose account the tests read with boto3."""

from __future__ import annotations

import os
import sys
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import jmespath

from tests.engines.aws.store import Store
from tests.engines.engine import free_port, running, wait_until

REGION = "eu-central-1"
SETTINGS = {
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",  # what roles attach
    "MOTO_ACM_VALIDATION_WAIT": "0",  # seconds until a certificate is issued
}
# how each kind of thing is listed; what AWS itself gives an account (default VPC, its own policies) is left out
NOT_DEFAULT = [{"Name": "is-default", "Values": ["false"]}]
OWN = {"Scope": "Local"}
INVENTORY: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("ec2", "describe_vpcs", {"Filters": NOT_DEFAULT}, "Vpcs[].VpcId"),
    ("ec2", "describe_subnets", {"Filters": [{"Name": "default-for-az", "Values": ["false"]}]}, "Subnets[].SubnetId"),
    ("ec2", "describe_internet_gateways", {}, "InternetGateways[].InternetGatewayId"),
    ("ec2", "describe_nat_gateways", {}, "NatGateways[?State!='deleted'].NatGatewayId"),
    ("ec2", "describe_addresses", {}, "Addresses[].AllocationId"),
    ("ec2", "describe_vpc_endpoints", {}, "VpcEndpoints[?State!='deleted'].VpcEndpointId"),
    ("ec2", "describe_flow_logs", {}, "FlowLogs[].FlowLogId"),
    ("ec2", "describe_security_groups", {}, "SecurityGroups[?GroupName!='default'].GroupId"),
    ("ec2", "describe_launch_templates", {}, "LaunchTemplates[].LaunchTemplateId"),
    ("ec2", "describe_instances", {}, "Reservations[].Instances[?State.Name!='terminated'][].InstanceId"),
    ("autoscaling", "describe_auto_scaling_groups", {}, "AutoScalingGroups[].AutoScalingGroupName"),
    ("autoscaling", "describe_policies", {}, "ScalingPolicies[].PolicyName"),
    ("autoscaling", "describe_scheduled_actions", {}, "ScheduledUpdateGroupActions[].ScheduledActionName"),
    ("elbv2", "describe_load_balancers", {}, "LoadBalancers[].LoadBalancerArn"),
    ("elbv2", "describe_target_groups", {}, "TargetGroups[].TargetGroupArn"),
    ("acm", "list_certificates", {}, "CertificateSummaryList[].CertificateArn"),
    ("iam", "list_roles", {}, "Roles[].RoleName"),
    ("iam", "list_policies", OWN, "Policies[].Arn"),
    ("iam", "list_instance_profiles", {}, "InstanceProfiles[].InstanceProfileName"),
    ("kms", "list_aliases", {}, "Aliases[?!starts_with(AliasName, 'alias/aws/')].AliasName"),
    ("s3", "list_buckets", {}, "Buckets[].Name"),
    ("rds", "describe_db_instances", {}, "DBInstances[].DBInstanceIdentifier"),
    ("rds", "describe_db_subnet_groups", {}, "DBSubnetGroups[].DBSubnetGroupName"),
    ("rds", "describe_db_parameter_groups", {}, "DBParameterGroups[].DBParameterGroupName"),
    ("secretsmanager", "list_secrets", {}, "SecretList[].Name"),
    ("eks", "list_clusters", {}, "clusters"),
    ("sqs", "list_queues", {}, "QueueUrls"),
    ("logs", "describe_log_groups", {}, "logGroups[].logGroupName"),
    ("events", "list_rules", {}, "Rules[].Name"),
    ("cloudwatch", "describe_alarms", {}, "MetricAlarms[].AlarmName"),
    ("ecr", "describe_repositories", {}, "repositories[].repositoryName"),
    ("budgets", "describe_budgets", {"AccountId": "123456789012"}, "Budgets[].BudgetName"),
)
# what every AWS client of a test is to have; the keys are moto's own placeholders
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


class Aws:
    """An empty account, and the clients that look into it."""

    def __init__(self, url: str, store: Path) -> None:
        self.url = url
        self.store = Store(store)
        self.environment = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": REGION,
            "VISIONFLEET_STANDIN_STATE": str(store),
        }

    def client(self, service: str, region: str = REGION) -> Any:
        """A boto3 client of the account."""
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )

    def inventory(self) -> dict[str, list[str]]:
        """All that is in the account, by how it is listed, and what the stand-in keeps for moto; nothing there: {}.

        Keys that wait for their deletion are not in it: AWS keeps them for days.
        """
        there: dict[str, list[str]] = {}
        for service, operation, parameters, path in INVENTORY:
            answer = getattr(self.client(service), operation)(**parameters)
            if found := jmespath.search(path, answer):
                there[f"{service}.{operation}"] = sorted(found)
        if keys := self._keys_in_use():
            there["kms.list_keys"] = keys
        return there | {token: sorted(resources) for token, resources in self.store.all().items()}

    def _keys_in_use(self) -> list[str]:
        kms = self.client("kms")
        aliases = kms.list_aliases()["Aliases"]
        of_aws = {alias.get("TargetKeyId") for alias in aliases if alias["AliasName"].startswith("alias/aws/")}
        keys = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]
        return sorted(key["KeyId"] for key in keys if key["KeyState"] == "Enabled" and key["KeyId"] not in of_aws)

    def reset(self) -> None:
        """Empties the account."""
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")).close()  # noqa: S310
        for token, resources in self.store.all().items():
            for identifier in resources:
                self.store.remove(token, identifier)


@contextmanager
def serving(folder: Path) -> Generator[Aws]:
    """moto's server, its log and what it cannot keep in `folder`."""
    port, log = free_port(), folder / "moto.log"
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("aws") / "moto_server.py"), str(port)]
    with running(command, log, {**SETTINGS, "MOTO_PORT": str(port)}) as process:
        aws = Aws(f"http://127.0.0.1:{port}", folder / "kept.json")

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(f"{aws.url}/moto-api/data.json").close()  # noqa: S310
            except OSError:
                return False
            return True

        wait_until(answers, "moto's server answers")
        yield aws
