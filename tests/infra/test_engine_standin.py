"""The real engine with the provider stand-in, on a small program: what the tests of the components rely on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engines.aws.table import KINDS, UNSUPPORTED_BY_MOTO, UNSUPPORTED_CHANGES
from tests.engines.moto import Aws
from tests.engines.pulumi import REAL_PLUGIN, Pulumi, Run, Stack, program

pytestmark = pytest.mark.engine
pytest_plugins = ("tests.engines.cloud",)

SMALL = """
import json
import pulumi
import pulumi_aws as aws

opts = pulumi.ResourceOptions(
    provider=aws.Provider("aws", region="eu-central-1", default_tags={"tags": {"owner": "vision-team"}})
)
vpc = aws.ec2.Vpc("net", cidr_block="CIDR", enable_dns_hostnames=True, tags={"Name": "net"}, opts=opts)
aws.ec2.Subnet("net-a", vpc_id=vpc.id, cidr_block="10.40.0.0/24", tags={"Name": "SUBNET"}, opts=opts)
bucket = aws.s3.Bucket("store", force_destroy=True, opts=opts)
trust = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}]}
role = aws.iam.Role("machine", assume_role_policy=json.dumps({"Version": "2012-10-17", **trust}), opts=opts)
template = aws.ec2.LaunchTemplate(
    "machine",
    image_id="ami-12c6146b",
    instance_type="INSTANCE",
    metadata_options={"http_tokens": "required", "http_put_response_hop_limit": 1},
    block_device_mappings=[{"device_name": "/dev/xvda", "ebs": {"volume_size": 20, "encrypted": "true"}}],
    opts=opts,
)
pulumi.export("bucket", bucket.bucket)
pulumi.export("arn", bucket.arn)
pulumi.export("version", template.latest_version)
"""
VALUES = {"CIDR": "10.40.0.0/16", "SUBNET": "net-a", "INSTANCE": "g6.xlarge"}


def write(folder: Path, **values: str) -> Path:
    source = SMALL
    for name, value in {**VALUES, **values}.items():
        source = source.replace(name, value)
    return program(folder, source)


@pytest.fixture
def stack(tmp_path: Path, pulumi: Pulumi) -> Stack:
    return pulumi.stack(write(tmp_path / "program"))


def test_up_creates_what_moto_then_has_and_a_second_up_changes_nothing(aws: Aws, stack: Stack) -> None:
    assert stack.preview().changes == {"create": 7}
    assert stack.up().changes == {"create": 7}
    vpc = aws.client("ec2").describe_vpcs(Filters=[{"Name": "tag:owner", "Values": ["vision-team"]}])["Vpcs"]
    assert [item["CidrBlock"] for item in vpc] == ["10.40.0.0/16"]
    assert stack.outputs()["bucket"] == aws.client("s3").list_buckets()["Buckets"][0]["Name"]
    assert stack.up().is_unchanged
    assert stack.refresh().is_unchanged
