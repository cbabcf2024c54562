from __future__ import annotations

import json
from collections.abc import Iterator

import pulumi
import pulumi_aws as aws
import pytest

from infra.components.common import allow, encryption_key, policy_document, trust
from tests.infra.support import REGION, TAGS, Recording, options, record
from visionfleet.terms import Tier


class Machines(pulumi.ComponentResource):
    """What the transformations are for: a template, and something protected with something below it."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("visionfleet:aws:Machines", name, None, opts)
        aws.ec2.LaunchTemplate(name, instance_type="g6.xlarge", opts=pulumi.ResourceOptions(parent=self))
        database = aws.rds.Instance(
            name, instance_class="db.t4g.small", deletion_protection=True, opts=pulumi.ResourceOptions(parent=self)
        )
        aws.rds.Snapshot(
            name,
            db_instance_identifier=database.identifier,
            db_snapshot_identifier="one",
            opts=pulumi.ResourceOptions(parent=database),
        )


@pytest.fixture
def settings() -> Iterator[dict[str, str]]:
    """The stack's configuration while the test runs."""
    given: dict[str, str] = {
        "aws:profile": "acme",
        "aws:allowedAccountIds": '["123456789012"]',
        "aws:region": "us-east-1",
    }
    pulumi.runtime.set_all_config(given)
    yield given
    pulumi.runtime.set_all_config({})


def build() -> Recording:
    return record(lambda: Machines("acme", options()))


def test_the_provider_takes_the_stacks_aws_settings_and_the_files_region(settings: dict[str, str]) -> None:
    inputs = build().one("pulumi:providers:aws").inputs
    assert inputs["profile"] == "acme"
    assert json.loads(inputs["allowedAccountIds"]) == ["123456789012"]
    assert inputs["region"] == REGION
    assert json.loads(inputs["defaultTags"]) == {"tags": TAGS}


def test_a_template_tags_what_it_starts() -> None:
    specifications = build().one("aws:ec2/launchTemplate:LaunchTemplate").inputs["tagSpecifications"]
    assert [item["resourceType"] for item in specifications] == ["instance", "volume", "network-interface"]
    assert all(item["tags"] == {**TAGS, "Name": "acme"} for item in specifications)


def test_pulumi_protects_what_aws_protects_and_not_what_is_below() -> None:
    recording = build()
    assert recording.one("aws:rds/instance:Instance").protected
    assert not recording.one("aws:rds/snapshot:Snapshot").protected
    assert not recording.one("aws:ec2/launchTemplate:LaunchTemplate").protected


@pytest.mark.parametrize(("tier", "days"), [(Tier.DEVELOPMENT, 7), (Tier.PRODUCTION, 30)])
def test_a_key_rotates_and_can_be_brought_back(tier: Tier, days: int) -> None:
    class Keys(pulumi.ComponentResource):
        def __init__(self) -> None:
            super().__init__("visionfleet:aws:Keys", "keys", None, options())
            encryption_key("acme-hub", "of the hub", tier, self)

    recording = record(Keys)
    key = recording.one("aws:kms/key:Key").inputs
    assert (key["enableKeyRotation"], key["deletionWindowInDays"]) == (True, days)
    assert recording.one("aws:kms/alias:Alias").inputs["name"] == "alias/acme-hub"


def test_statements_name_what_they_are_given() -> None:
    def build() -> dict[str, pulumi.Output[str]]:
        condition = {"StringEquals": {"aws:SourceAccount": pulumi.Output.from_input("1")}}
        trusting = trust("ec2.amazonaws.com", condition=condition)
        return {"document": policy_document(allow(["s3:GetObject"], ["arn:x"]), trusting)}

    recording = record(build)
    assert json.loads(recording.outputs["document"]) == {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:x"]},
            {
                "Effect": "Allow",
                "Action": ["sts:AssumeRole"],
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Condition": {"StringEquals": {"aws:SourceAccount": "1"}},
            },
        ],
    }
