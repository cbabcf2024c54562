"""What the stand-in decides without a call: names, tags, replacements, and how inputs become parameters."""

from __future__ import annotations

import boto3
import pytest

from tests.engines.aws.checks import compare, complete
from tests.engines.aws.invokes import policy_document
from tests.engines.aws.shapes import UnknownInput, convert, find_member, simplify
from tests.engines.aws.table import KINDS

URN = "urn:pulumi:test::small::aws:ec2/vpc:Vpc::net"
VPC, ROLE, ALIAS = (KINDS[token] for token in ("aws:ec2/vpc:Vpc", "aws:iam/role:Role", "aws:kms/alias:Alias"))


def shape(service: str, operation: str):
    """A model of botocore's."""
    client = boto3.client(service, region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x")
    return client.meta.service_model.operation_model(operation).input_shape


def test_default_tags_stand_below_a_resources_own() -> None:
    inputs = complete(VPC, URN, {"tags": {"owner": "me"}}, {}, {"owner": "team", "cost": "1"}, "")
    assert inputs["tags"] == {"owner": "me", "cost": "1"}
    assert "tags" not in complete(KINDS["aws:ec2/route:Route"], URN, {}, {}, {"owner": "team"}, "")


def test_a_made_up_name_stays_and_a_given_one_is_taken() -> None:
    first = complete(ROLE, URN, {}, {}, {}, "net-1a2b3c4")
    assert first["name"] == "net-1a2b3c4"
    assert complete(ROLE, URN, {}, first, {}, "net-other")["name"] == first["name"]
    assert complete(ROLE, URN, {"name": "mine"}, first, {}, "") == {"name": "mine"}
    assert len(complete(ROLE, f"{URN}{'x' * 90}", {}, {}, {}, "")["name"]) <= 64
    assert complete(ALIAS, URN, {"namePrefix": "alias/net-"}, {}, {}, "")["name"].startswith("alias/net-")


def test_a_change_updates_or_replaces() -> None:
    old = {"cidrBlock": "10.0.0.0/16", "tags": {"a": "1"}}
    assert compare(VPC, old, old).changed == []
    assert compare(VPC, old, {**old, "tags": {}}).replacing == []
    assert compare(VPC, old, {**old, "cidrBlock": "10.1.0.0/16"}).replacing == ["cidrBlock"]


def test_what_keeps_its_given_name_goes_before_its_replacement_comes() -> None:
    given = {"name": "mine", "path": "/"}
    assert compare(ROLE, given, {**given, "path": "/other/"}).delete_first
    made_up = {**given, "__defaults": ["name"]}
    assert not compare(ROLE, made_up, {**made_up, "path": "/other/"}).delete_first


@pytest.mark.parametrize(
    ("operation", "name", "member"),
    [
        ("CreateVpc", "cidrBlock", "CidrBlock"),
        ("CreateFlowLogs", "iamRoleArn", None),
        ("CreateLaunchTemplate", "tagSpecifications", "TagSpecifications"),
    ],
)
def test_members_are_found_by_rule(operation: str, name: str, member: str | None) -> None:
    assert find_member(shape("ec2", operation), name) == member


def test_values_take_the_form_that_the_model_asks_for() -> None:
    data = shape("ec2", "CreateLaunchTemplate").members["LaunchTemplateData"]
    block = {"deviceName": "/dev/xvda", "ebs": {"volumeSize": 20, "encrypted": "true"}}
    given = {
        "blockDeviceMappings": [block],
        "metadataOptions": {"httpTokens": "required"},
        "tagSpecifications": [{"resourceType": "instance", "tags": {"Name": "a"}}],
    }
    assert convert(given, data, "data") == {
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "Encrypted": True}}],
        "MetadataOptions": {"HttpTokens": "required"},
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "a"}]}],
    }
    subnets = shape("autoscaling", "CreateAutoScalingGroup").members["VPCZoneIdentifier"]
    assert convert(["subnet-1", "subnet-2"], subnets, "subnets") == "subnet-1,subnet-2"
    switch = shape("ec2", "ModifyVpcAttribute").members["EnableDnsHostnames"]
    assert convert(True, switch, "enableDnsHostnames") == {"Value": True}
    assert simplify({"size": 20.0, "ratio": 0.5}) == {"size": 20, "ratio": 0.5}


def test_an_unknown_nested_name_fails_by_its_path() -> None:
    data = shape("ec2", "CreateLaunchTemplate").members["LaunchTemplateData"]
    with pytest.raises(UnknownInput, match=r"data\.metadataOptions\.httpWord "):
        convert({"metadataOptions": {"httpWord": "required"}}, data, "data")


def test_a_policy_document_is_written_as_the_provider_writes_it() -> None:
    statement = {
        "sid": "Tls",
        "effect": "Deny",
        "actions": ["s3:*"],
        "resources": ["arn:b", "arn:a"],
        "principals": [{"type": "*", "identifiers": ["*"]}],
        "conditions": [{"test": "Bool", "variable": "aws:SecureTransport", "values": ["false"]}],
    }
    assert policy_document(None, {"statements": [statement]})["minifiedJson"] == (  # type: ignore[arg-type]
        '{"Version":"2012-10-17","Statement":[{"Sid":"Tls","Effect":"Deny","Action":"s3:*",'
        '"Resource":["arn:b","arn:a"],"Principal":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}'
    )
