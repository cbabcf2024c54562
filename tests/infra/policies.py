"""What every resource of every stack must keep to, whatever the file says.

A policy takes a recording and yields a sentence for each resource that breaks it. `violations` runs them all; a
component's tests assert that it returns nothing, and so does the test of the whole program.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.infra.support import TAGS, Recording, Resource

Policy = Callable[[Recording], Iterator[str]]

ANYWHERE = ("0.0.0.0/0", "::/0")
SECURITY_GROUP = "aws:ec2/securityGroup:SecurityGroup"
DEFAULT_SECURITY_GROUP = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
OLD_RULE = "aws:ec2/securityGroupRule:SecurityGroupRule"
INGRESS_RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
LAUNCH_TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
BUCKET = "aws:s3/bucket:Bucket"
KEY = "aws:kms/key:Key"

# Actions for which AWS knows no resource, so that `*` is the only way to allow them (service authorization reference).
# A statement that allows them allows nothing else.
WITHOUT_RESOURCE = re.compile(
    r"""
    ecr:GetAuthorizationToken
    | ec2:Describe[A-Za-z]+
    | autoscaling:Describe[A-Za-z]+
    | ssm:GetParametersByPath
    | ssm:UpdateInstanceInformation
    | (?:ssmmessages|ec2messages):[A-Za-z]+
    | pricing:GetProducts
    | iam:ListInstanceProfiles
    | cloudwatch:PutMetricData    # to be narrowed by the condition cloudwatch:namespace
    | (?:xray|sts):Get[A-Za-z]+
    """,
    re.VERBOSE,
)
# AWS's own policies that a role may carry; each is made for one job. `…FullAccess` and administrators are not.
MANAGED_POLICIES = {
    "AmazonSSMManagedInstanceCore",
    "AmazonEKSClusterPolicy",
    "AmazonEKSWorkerNodePolicy",
    "AmazonEKSWorkerNodeMinimalPolicy",
    "AmazonEKS_CNI_Policy",
    "AmazonEC2ContainerRegistryPullOnly",
    "AmazonEC2ContainerRegistryReadOnly",
    "AmazonEBSCSIDriverPolicy",
    "AmazonEBSCSIDriverPolicyV2",
}
# what must be true, by type and input, for data to be encrypted where it lies
ENCRYPTED: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "aws:rds/instance:Instance": lambda inputs: inputs.get("storageEncrypted"),
    "aws:ebs/volume:Volume": lambda inputs: inputs.get("encrypted"),
    "aws:efs/fileSystem:FileSystem": lambda inputs: inputs.get("encrypted"),
    "aws:ecr/repository:Repository": lambda inputs: inputs.get("encryptionConfigurations"),
    "aws:eks/cluster:Cluster": lambda inputs: inputs.get("encryptionConfig", {}).get("resources") == ["secrets"],
    "aws:sqs/queue:Queue": lambda inputs: inputs.get("sqsManagedSseEnabled") or inputs.get("kmsMasterKeyId"),
    "aws:sns/topic:Topic": lambda inputs: inputs.get("kmsMasterKeyId"),
    KEY: lambda inputs: inputs.get("enableKeyRotation"),
    LAUNCH_TEMPLATE: lambda inputs: _disks_encrypted(inputs),  # noqa: PLW0108 - defined below
    "aws:ec2/instance:Instance": lambda inputs: inputs.get("rootBlockDevice", {}).get("encrypted"),
}
# what must be true in production
PROTECTED: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "aws:rds/instance:Instance": lambda inputs: (
        all(inputs.get(key) for key in ("deletionProtection", "multiAz", "finalSnapshotIdentifier"))
        and inputs.get("backupRetentionPeriod")
        and not inputs.get("skipFinalSnapshot")
    ),
    "aws:lb/loadBalancer:LoadBalancer": lambda inputs: inputs.get("enableDeletionProtection"),
    "aws:eks/cluster:Cluster": lambda inputs: inputs.get("deletionProtection"),
    BUCKET: lambda inputs: not inputs.get("forceDestroy"),
}
# the parts of a bucket that must be there, by type and what must be true of each
BUCKET_PARTS: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "BucketServerSideEncryptionConfiguration": lambda inputs: inputs["rules"],
    "BucketVersioning": lambda inputs: inputs["versioningConfiguration"]["status"] == "Enabled",
    "BucketPublicAccessBlock": lambda inputs: all(
        inputs.get(key) for key in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    ),
    "BucketPolicy": lambda inputs: _denies_plain_http(inputs["policy"]),
    "BucketLifecycleConfiguration": lambda inputs: any(
        rule.get("abortIncompleteMultipartUpload") for rule in inputs["rules"]
    ),
}


def violations(recording: Recording) -> list[str]:
    """What breaks a policy; empty where all is well."""
    return [f"{policy.__name__}: {violation}" for policy in POLICIES for violation in policy(recording)]


def production_violations(recording: Recording) -> list[str]:
    """The same, for a stack whose every part is of the tier `production`."""
    return [*violations(recording), *(f"protected: {violation}" for violation in protected(recording))]


def tagged(recording: Recording) -> Iterator[str]:
    """Every AWS resource belongs to a provider that tags it, and no tag of its own hides one of the file's."""
    for resource in recording.of_aws():
        if not _default_tags(recording, resource).items() >= TAGS.items():
            yield f"{resource} does not get the file's tags from its provider"
        own = resource.inputs.get("tags") or {}
        if isinstance(own, dict) and any(own.get(key, tag) != tag for key, tag in TAGS.items()):
            yield f"{resource} overrides a tag of the file"


def tagged_at_launch(recording: Recording) -> Iterator[str]:
    """Machines, and their disks, get the file's tags from the template that starts them."""
    for resource in recording.all(LAUNCH_TEMPLATE):
        kinds = {item["resourceType"]: item["tags"] for item in resource.inputs.get("tagSpecifications", [])}
        for kind in ("instance", "volume"):
            if not kinds.get(kind, {}).items() >= TAGS.items():
                yield f"{resource} starts an untagged {kind}"


def placed(recording: Recording) -> Iterator[str]:
    """Everything of AWS lies below a component, so that a stack's tree can be read. The provider alone is a root."""
    for resource in recording.of_aws():
        if resource.parent_type in ("", "pulumi:pulumi:Stack"):
            yield f"{resource} belongs to no component"


def closed(recording: Recording) -> Iterator[str]:
    """Nothing but 443 is open to the internet."""
    for resource, rule in _ingress(recording):
        sources = [*_list(rule, "cidrBlocks", "cidrIpv4"), *_list(rule, "ipv6CidrBlocks", "cidrIpv6")]
        ports = (rule.get("fromPort"), rule.get("toPort"))
        if any(source in ANYWHERE for source in sources) and ports != (443, 443):
            yield f"{resource} opens ports {ports[0]} to {ports[1]} to the internet"
    for resource in recording.all(DEFAULT_SECURITY_GROUP):
        if resource.inputs.get("ingress") or resource.inputs.get("egress"):
            yield f"{resource} is to be closed"


def private(recording: Recording) -> Iterator[str]:
    """Databases and machines have no address in the internet, and machines no SSH key."""
    for resource in recording.of_aws():
        for key in ("publiclyAccessible", "associatePublicIpAddress", "mapPublicIpOnLaunch", "keyName", "remoteAccess"):
            if resource.inputs.get(key):
                yield f"{resource} has {key}"
        for interface in resource.inputs.get("networkInterfaces") or []:
            if str(interface.get("associatePublicIpAddress", "")).lower() == "true":
                yield f"{resource} gives its machines public addresses"


def encrypted(recording: Recording) -> Iterator[str]:
    """Data is encrypted wherever it lies, and keys rotate."""
    for resource in recording.of_aws():
        if resource.type in ENCRYPTED and not ENCRYPTED[resource.type](resource.inputs):
            yield f"{resource} is not encrypted (a key: does not rotate)"


def buckets_closed(recording: Recording) -> Iterator[str]:
    """Every bucket is versioned, encrypted, closed to the public, over TLS only, and cleans up after itself."""
    for bucket in recording.all(BUCKET):
        for part, holds in BUCKET_PARTS.items():
            type_ = f"aws:s3/{part[0].lower()}{part[1:]}:{part}"
            if not any(
                p.inputs["bucket"] in (bucket.id, bucket.name) and holds(p.inputs) for p in recording.all(type_)
            ):
                yield f"{bucket} has no proper {part}"


def metadata_guarded(recording: Recording) -> Iterator[str]:
    """Instance metadata, and so the machine's role, is reached with a token and from the machine alone (IMDSv2)."""
    for resource in recording.of_aws():
        if resource.type not in (LAUNCH_TEMPLATE, "aws:ec2/instance:Instance"):
            continue
        metadata = resource.inputs.get("metadataOptions", {})
        if metadata.get("httpTokens") != "required" or metadata.get("httpPutResponseHopLimit") != 1:
            yield f"{resource} leaves its metadata open: {metadata}"


def least_privilege(recording: Recording) -> Iterator[str]:
    """No `*` action, no `*` resource where AWS has a resource, nobody let in unnamed, no exceptions."""
    for resource in recording.of_aws():
        for statement in _statements(resource.inputs):
            if resource.type == KEY:
                statement = {**statement, "Resource": resource.id}  # noqa: PLW2901 - in a key's policy, `*` is the key
            if statement["Effect"] == "Allow":
                yield from (f"{resource} {complaint}" for complaint in _excesses(statement))


def managed_policies(recording: Recording) -> Iterator[str]:
    """Of AWS's own policies, only those that are made for one job."""
    for resource in recording.of_aws():
        arns = [*_list(resource.inputs, "managedPolicyArns"), *_list(resource.inputs, "policyArn")]
        for arn in arns:
            if isinstance(arn, str) and ":aws:policy/" in arn and arn.rsplit("/", 1)[-1] not in MANAGED_POLICIES:
                yield f"{resource} has {arn}"


def logs_expire(recording: Recording) -> Iterator[str]:
    """Logs are kept for a time, not for ever."""
    for resource in recording.all("aws:cloudwatch/logGroup:LogGroup"):
        if not resource.inputs.get("retentionInDays"):
            yield f"{resource} is kept for ever"


def listeners_encrypted(recording: Recording) -> Iterator[str]:
    """Clients speak TLS 1.2 or newer."""
    for resource in recording.all("aws:lb/listener:Listener"):
        if resource.inputs.get("protocol") not in ("HTTPS", "TLS"):
            yield f"{resource} speaks {resource.inputs.get('protocol')}"
        if not re.search("TLS13|TLS-1-2", str(resource.inputs.get("sslPolicy"))):
            yield f"{resource} takes old TLS versions"


def no_secrets(recording: Recording) -> Iterator[str]:
    """No secret is an input: AWS makes it, or an operator puts it into Secrets Manager."""
    for resource in recording.of_aws():
        for key in ("password", "masterPassword", "secretString", "secretBinary", "privateKey"):
            if resource.inputs.get(key):
                yield f"{resource} is given a {key}"


def protected(recording: Recording) -> Iterator[str]:
    """What is production refuses to be deleted, survives a zone, and leaves a copy behind.

    Pulumi refuses too, before it deletes anything else; but not for what comes and goes below such a resource.
    """
    for resource in recording.of_aws():
        is_kept = resource.type in PROTECTED
        if is_kept and not PROTECTED[resource.type](resource.inputs):
            yield f"{resource} can be lost"
        if resource.protected != is_kept:
            yield f"{resource} is {'not ' if is_kept else ''}protected by Pulumi"


POLICIES: tuple[Policy, ...] = (
    tagged,
    tagged_at_launch,
    placed,
    closed,
    private,
    encrypted,
    buckets_closed,
    metadata_guarded,
    least_privilege,
    managed_policies,
    logs_expire,
    listeners_encrypted,
    no_secrets,
)


def _default_tags(recording: Recording, resource: Resource) -> Mapping[str, str]:
    for provider in recording.all("pulumi:providers:aws"):
        if resource.provider.endswith(f"::{provider.name}::{provider.id}"):
            return json.loads(provider.inputs["defaultTags"])["tags"]
    return {}


def _ingress(recording: Recording) -> Iterator[tuple[Resource, Mapping[str, Any]]]:
    """Every rule that lets traffic in, in whichever of AWS's three ways it is written."""
    for resource in recording.all(SECURITY_GROUP):
        yield from ((resource, rule) for rule in resource.inputs.get("ingress") or [])
    for resource in recording.all(INGRESS_RULE):
        yield resource, resource.inputs
    for resource in recording.all(OLD_RULE):
        if resource.inputs["type"] == "ingress":
            yield resource, resource.inputs


def _disks_encrypted(inputs: Mapping[str, Any]) -> bool:
    """The root disk is among those that are named: one that is not takes the image's word."""
    disks = [item["ebs"] for item in inputs.get("blockDeviceMappings", []) if "ebs" in item]
    return bool(disks) and all(str(disk.get("encrypted")).lower() == "true" for disk in disks)


def _denies_plain_http(policy: str) -> bool:
    return any(
        statement["Effect"] == "Deny" and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
        for statement in json.loads(policy)["Statement"]
    )


def _statements(inputs: object) -> Iterator[Mapping[str, Any]]:
    """The statements of every policy document in the inputs, wherever it stands."""
    if isinstance(inputs, str) and '"Statement"' in inputs:
        inputs = json.loads(inputs)
    if isinstance(inputs, list):
        for item in inputs:
            yield from _statements(item)
    elif isinstance(inputs, dict):
        if "Statement" in inputs:
            yield from _list(inputs, "Statement")
        else:
            yield from _statements(list(inputs.values()))


def _excesses(statement: Mapping[str, Any]) -> Iterator[str]:
    actions = _list(statement, "Action")
    if {"NotAction", "NotResource", "NotPrincipal"} & statement.keys():
        yield "allows by exception"
    for action in actions:
        if action == "*" or action.endswith(":*"):
            yield f"allows {action}"
    if "*" in _list(statement, "Resource"):
        yield from (f"allows {action} on *" for action in actions if not WITHOUT_RESOURCE.fullmatch(action))
    principal = statement.get("Principal", {})
    if principal == "*" or "*" in _list(principal, "AWS"):
        yield "lets anybody in"


def _list(mapping: Mapping[str, Any], *keys: str) -> list[Any]:
    """The values of the keys that are there, as one list, whether each is a value or a list."""
    values: list[Any] = []
    for key in keys:
        item = mapping.get(key)
        values += item if isinstance(item, list) else [] if item is None else [item]
    return values
