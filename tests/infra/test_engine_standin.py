"""The real engine with the provider stand-in, on small programs: what the tests of the components rely on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engines.aws.invokes import INVOKES
from tests.engines.aws.table import KINDS, UNSUPPORTED_BY_MOTO, UNSUPPORTED_CHANGES
from tests.engines.moto import Aws
from tests.engines.pulumi import REAL_PLUGIN, Pulumi, Stack, program

pytestmark = pytest.mark.engine
pytest_plugins = ("tests.engines.cloud",)

EVERY_TYPE = Path(__file__).parents[1] / "engines" / "aws" / "every_type"
SECRET = "a-password-for-tests"
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
pulumi.export("version", template.latest_version)
"""
VALUES = {"CIDR": "10.40.0.0/16", "SUBNET": "net-a", "INSTANCE": "g6.xlarge"}


def write(folder: Path, **values: str) -> Path:
    """The small program, with other values."""
    source = SMALL
    for name, value in {**VALUES, **values}.items():
        source = source.replace(name, value)
    return program(folder, source)


@pytest.fixture
def stack(tmp_path: Path, pulumi: Pulumi) -> Stack:
    """A stack of the small program, not up yet."""
    return pulumi.stack(write(tmp_path / "program"))


def test_up_creates_and_a_second_up_changes_nothing(aws: Aws, stack: Stack) -> None:
    assert stack.preview().changes == {"create": 7}
    assert aws.inventory() == {}, "a preview creates nothing"
    assert stack.up().changes == {"create": 7}
    tagged = [{"Name": "tag:owner", "Values": ["vision-team"]}]
    assert [vpc["CidrBlock"] for vpc in aws.client("ec2").describe_vpcs(Filters=tagged)["Vpcs"]] == ["10.40.0.0/16"]
    assert [bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]] == [stack.outputs()["bucket"]]
    assert stack.up().is_unchanged
    assert stack.refresh().is_unchanged


def test_a_change_updates_in_place_or_replaces(tmp_path: Path, aws: Aws, stack: Stack) -> None:
    stack.up()
    before = aws.inventory()
    write(tmp_path / "program", SUBNET="net-b", INSTANCE="g6.2xlarge")
    preview, up = stack.preview(), stack.up()
    assert preview.changes == up.changes == {"update": 2}
    assert up.names("update") == ["machine", "net-a"]
    assert stack.outputs()["version"] == 2
    assert aws.inventory() == before

    write(tmp_path / "program", CIDR="10.40.0.0/17", SUBNET="net-b", INSTANCE="g6.2xlarge")
    replaced = stack.up()
    assert replaced.changes == {"replace": 2}, "the VPC, and the subnet in it"
    assert replaced.names("create-replacement") == ["net", "net-a"]
    assert len(aws.inventory()["ec2.describe_vpcs"]) == 1


def test_refresh_notices_what_was_changed_behind_its_back(aws: Aws, stack: Stack) -> None:
    stack.up()
    ec2, name = aws.client("ec2"), stack.outputs()["bucket"]
    aws.client("s3").delete_bucket(Bucket=name)
    (vpc,) = aws.inventory()["ec2.describe_vpcs"]
    ec2.modify_subnet_attribute(
        SubnetId=aws.inventory()["ec2.describe_subnets"][0], MapPublicIpOnLaunch={"Value": True}
    )
    assert stack.refresh().names("refresh", "s3/bucket") == ["store"]
    assert stack.resources("s3/bucket") == []
    assert stack.up().changes == {"create": 1}
    assert [bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]] != [name]
    assert aws.inventory()["ec2.describe_vpcs"] == [vpc]


def test_destroy_leaves_nothing(aws: Aws, stack: Stack) -> None:
    stack.up()
    aws.client("s3").put_object(Bucket=stack.outputs()["bucket"], Key="forgotten", Body=b"x")
    assert stack.destroy().changes == {"delete": 7}
    assert aws.inventory() == {}
    assert stack.resources() == []


def test_an_interrupted_up_goes_on_where_it_stopped(aws: Aws, stack: Stack) -> None:
    assert stack.interrupted_up(after=1).code != 0
    created = stack.resources("aws:")
    assert 0 < len(created) < 5, "some, not all of the resources"
    resumed = stack.up()
    assert len(resumed.names("create", "aws:")) == 5 - len(created)
    assert stack.up().is_unchanged
    stack.destroy()
    assert aws.inventory() == {}


@pytest.mark.skipif(REAL_PLUGIN, reason="the real plugin knows every type")
@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('aws.sns.Topic("news", opts=opts)', "aws:sns/topic:Topic"),
        ('aws.s3.Bucket("old", acl="private", opts=opts); aws.ec2.Eip("a", instance="i-1", opts=opts)', "instance"),
        (
            "aws.get_billing_service_account(opts=pulumi.InvokeOptions(provider=opts.provider))",
            "getBillingServiceAccount",
        ),
    ],
    ids=["type", "input", "function"],
)
def test_what_the_table_lacks_fails_by_its_name(tmp_path: Path, pulumi: Pulumi, line: str, named: str) -> None:
    stack = pulumi.stack(program(tmp_path / "program", SMALL.replace("CIDR", "10.40.0.0/16") + line))
    failed = stack.preview(fails=True)
    assert "the AWS stand-in does not know" in failed.text
    assert named in failed.text


def test_every_type_of_the_table(aws: Aws, pulumi: Pulumi, capsys: pytest.CaptureFixture[str]) -> None:
    """Each one is created, left alone, read back without a difference, changed, and deleted."""
    aws.client("route53").create_hosted_zone(Name="acme.example", CallerReference="test")
    aws.client("secretsmanager").create_secret(Name="given", SecretString="x")
    before = aws.inventory()
    stack = pulumi.stack(EVERY_TYPE, {"visionfleet:zone": "acme.example"})
    stack.configure({}, secrets={"visionfleet:secret": SECRET})

    up = stack.up()
    assert {step.type for step in up.steps if step.type.startswith("aws:")} == set(KINDS)
    assert all(stack.outputs().values()), "each function and each computed output has a value"
    assert stack.up().is_unchanged
    assert stack.refresh().is_unchanged
    assert SECRET not in str(stack.export()), "secrets are encrypted in the state"

    stack.configure({"visionfleet:changed": "true"})
    preview, changed = stack.preview(), stack.up()
    assert preview.changes == changed.changes
    assert set(changed.changes) == {"update"}
    assert stack.up().is_unchanged
    assert stack.refresh().is_unchanged
    stack.destroy()
    assert aws.inventory() == before

    with capsys.disabled():
        print(_report())


def _report() -> str:
    """What these tests cannot show, for everybody to see."""
    kept = [f"  {token}: {why}" for token, why in UNSUPPORTED_BY_MOTO.items()]
    lost = [f"  {token}, a change of {name}: {why}" for (token, name), why in UNSUPPORTED_CHANGES.items()]
    known = f"The provider stand-in knows {len(KINDS)} types and {len(INVOKES)} functions."
    lines = [known, "moto does not have these, so the stand-in keeps them:", *kept, "moto does not see these:", *lost]
    return "\n" + "\n".join(lines)
