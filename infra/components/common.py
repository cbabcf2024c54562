"""What the resources of a stack have in common, applied here and nowhere else: tags, encryption, deletion protection.

- Tags: the stack's provider puts the file's tags on every resource that takes tags; components add `name_tags` at most.
  What a launch template starts is no resource of the stack: a transformation writes its tags into the template.
- Encryption: `encryption_key` makes a key that rotates; what needs no key of its own is encrypted by AWS's.
- Deletion protection: `is_protected` answers for every resource that AWS can protect. A transformation has Pulumi
  protect the same ones, so that the preview of a destroy fails: AWS refuses late, when routes and roles are gone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from visionfleet.terms import Tier

LAUNCH_TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
TAGGED_AT_LAUNCH = ("instance", "volume", "network-interface")
# the inputs by which AWS is told to keep a resource, or what it holds
PROTECTING = {"deletion_protection": True, "enable_deletion_protection": True, "force_destroy": False}
KEY_DELETION_DAYS = {Tier.DEVELOPMENT: 7, Tier.PRODUCTION: 30}  # AWS takes 7 to 30

# A provider made by a program takes no stack configuration by itself. These keys of `aws:` work as everywhere else; the
# region and the tags are the file's.
_PASSED_ON = (
    "profile",
    "assume_roles",
    "allowed_account_ids",
    "forbidden_account_ids",
    "endpoints",
    "s3_use_path_style",
    "skip_credentials_validation",
    "skip_metadata_api_check",
    "skip_requesting_account_id",
)

Statement = Mapping[str, Any]
Condition = Mapping[str, Mapping[str, pulumi.Input[str] | Sequence[pulumi.Input[str]]]]


def stack_options(region: str, tags: Mapping[str, str]) -> pulumi.ResourceOptions:
    """The options of every top-level component: its provider, and the tags of what its machines start."""
    passed_on = {key: value for key in _PASSED_ON if (value := _setting(key)) is not None}
    provider = aws.Provider("aws", region=region, default_tags={"tags": dict(tags)}, **passed_on)
    return pulumi.ResourceOptions(providers=[provider], transformations=[_tag_at_launch(tags), _protect])


def name_tags(name: str) -> dict[str, str]:
    """The tag that AWS's console shows as the resource's name."""
    return {"Name": name}


def is_protected(tier: Tier) -> bool:
    """Whether a resource of `tier` refuses to be deleted, and leaves a copy of its data when it is."""
    return tier is Tier.PRODUCTION


def encryption_key(name: str, description: str, tier: Tier, parent: pulumi.Resource) -> aws.kms.Key:
    """A key of the account's own. Its policy is AWS's default one: IAM policies say who may use it."""
    key = aws.kms.Key(
        name,
        description=description,
        enable_key_rotation=True,
        deletion_window_in_days=KEY_DELETION_DAYS[tier],
        opts=pulumi.ResourceOptions(parent=parent),
    )
    aws.kms.Alias(name, name=f"alias/{name}", target_key_id=key.key_id, opts=pulumi.ResourceOptions(parent=key))
    return key


def allow(
    actions: Sequence[str],
    resources: Sequence[pulumi.Input[str]],
    condition: Condition | None = None,
) -> Statement:
    """An IAM statement. Name actions and resources: the tests refuse `*` where AWS has a resource."""
    statement: dict[str, Any] = {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return {**statement, "Condition": condition} if condition else statement


def trust(
    service: str,
    actions: Sequence[str] = ("sts:AssumeRole",),
    condition: Condition | None = None,
) -> Statement:
    """The statement of an assume-role policy by which an AWS service, such as `ec2.amazonaws.com`, takes the role."""
    statement: dict[str, Any] = {"Effect": "Allow", "Action": list(actions), "Principal": {"Service": service}}
    return {**statement, "Condition": condition} if condition else statement


def policy_document(*statements: Statement) -> pulumi.Output[str]:
    """An IAM policy document, as JSON."""
    return pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": list(statements)})


def _setting(key: str) -> Any:
    """A key of `aws:` in the stack's configuration; what is a list there comes as JSON."""
    value = getattr(aws.config, key)
    return json.loads(value) if isinstance(value, str) and value.startswith("[") else value


def _tag_at_launch(
    tags: Mapping[str, str],
) -> Callable[[pulumi.ResourceTransformationArgs], pulumi.ResourceTransformationResult | None]:
    def apply(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if args.type_ != LAUNCH_TEMPLATE:
            return None
        launched = {**tags, **name_tags(args.name)}
        specifications = [{"resource_type": kind, "tags": launched} for kind in TAGGED_AT_LAUNCH]
        props = {**args.props, "tag_specifications": specifications}
        return pulumi.ResourceTransformationResult(props=props, opts=args.opts)

    return apply


def _protect(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
    """Said of every resource, since it else takes its parent's: the nodes of a protected cluster come and go."""
    protects = any(args.props.get(key) is value for key, value in PROTECTING.items())
    opts = pulumi.ResourceOptions.merge(args.opts, pulumi.ResourceOptions(protect=args.opts.protect or protects))
    return pulumi.ResourceTransformationResult(props=args.props, opts=opts)
