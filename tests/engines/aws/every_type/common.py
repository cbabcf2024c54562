"""The program's settings, provider and functions."""

import json

import pulumi
import pulumi_aws as aws

CHANGED = pulumi.Config("visionfleet").get_bool("changed") or False
ZONE = pulumi.Config("visionfleet").require("zone")
SECRET = pulumi.Config("visionfleet").require_secret("secret")


def trust(service: str) -> str:
    """The policy by which a service takes a role."""
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": service}}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def allow(action: str, resource: str) -> str:
    """A policy of one statement."""
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


tags = {"tags": {"owner": "vision-team", **({"cost-centre": "4711"} if CHANGED else {})}}
opts = pulumi.ResourceOptions(provider=aws.Provider("aws", region="eu-central-1", default_tags=tags))
invoke = pulumi.InvokeOutputOptions(provider=opts.provider)

# functions
zones = aws.get_availability_zones_output(
    state="available", filters=[{"name": "zone-type", "values": ["availability-zone"]}], opts=invoke
)
account = aws.get_caller_identity_output(opts=invoke).account_id
partition = aws.get_partition_output(opts=invoke).partition
region = aws.get_region_output(opts=invoke).region
ami = aws.ec2.get_ami_output(
    owners=["amazon"], most_recent=True, filters=[{"name": "architecture", "values": ["x86_64"]}], opts=invoke
)
image = aws.ssm.get_parameter_output(
    name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64", opts=invoke
).insecure_value
document = aws.iam.get_policy_document_output(
    statements=[
        {
            "actions": ["s3:GetObject", "s3:PutObject"],
            "resources": ["arn:aws:s3:::acme/*"],
            "conditions": [{"test": "StringEquals", "variable": "aws:SourceAccount", "values": [account]}],
        },
        {
            "sid": "Tls",
            "effect": "Deny",
            "actions": ["s3:*"],
            "resources": ["*"],
            "principals": [{"type": "*", "identifiers": ["*"]}],
        },
    ],
    opts=invoke,
).json
zone = aws.route53.get_zone_output(name=ZONE, opts=invoke)
given = aws.secretsmanager.get_secret_output(name="given", opts=invoke)
