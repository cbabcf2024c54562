"""The functions (data sources) that the stand-in answers: by moto, or computed as the real provider computes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.engines.aws.kinds import Cloud

PUBLIC_PARAMETERS = "/aws/service/"

Answer = dict[str, Any]


def availability_zones(cloud: Cloud, inputs: Answer) -> Answer:
    """The region's zones, in order."""
    zones = cloud.client("ec2").describe_availability_zones(Filters=_filters(inputs))["AvailabilityZones"]
    zones.sort(key=lambda zone: zone["ZoneName"])
    names, ids = [zone["ZoneName"] for zone in zones], [zone["ZoneId"] for zone in zones]
    return {"id": cloud.region, "names": names, "zoneIds": ids, "groupNames": [cloud.region]}


def caller_identity(cloud: Cloud, inputs: Answer) -> Answer:
    """Who calls."""
    identity = cloud.client("sts").get_caller_identity()
    return {
        "id": identity["Account"],
        "accountId": identity["Account"],
        "arn": identity["Arn"],
        "userId": identity["UserId"],
    }


def partition(cloud: Cloud, inputs: Answer) -> Answer:
    """The commercial partition: the only one that the program is for."""
    return {"id": "aws", "partition": "aws", "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"}


def region(cloud: Cloud, inputs: Answer) -> Answer:
    """The provider's region."""
    return {
        "id": cloud.region,
        "name": cloud.region,
        "region": cloud.region,
        "endpoint": f"ec2.{cloud.region}.amazonaws.com",
        "description": cloud.region,
    }


def ami(cloud: Cloud, inputs: Answer) -> Answer:
    """The image that fits; the newest one with `mostRecent`."""
    images = cloud.client("ec2").describe_images(Owners=inputs.get("owners") or [], Filters=_filters(inputs))["Images"]
    _single(images, "AMI", inputs, several=bool(inputs.get("mostRecent")))
    newest = max(images, key=lambda image: image["CreationDate"])
    return {
        "id": newest["ImageId"],
        "imageId": newest["ImageId"],
        "name": newest["Name"],
        "architecture": newest["Architecture"],
        "rootDeviceName": newest.get("RootDeviceName"),
        "ownerId": newest["OwnerId"],
        "creationDate": newest["CreationDate"],
    }


def parameter(cloud: Cloud, inputs: Answer) -> Answer:
    """A parameter of Systems Manager. For a public one of AWS that moto lacks, one of moto's images stands."""
    ssm, name = cloud.client("ssm"), inputs["name"]
    try:
        found = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]
    except ssm.exceptions.ParameterNotFound:
        if not name.startswith(PUBLIC_PARAMETERS):
            raise
        image = ami(cloud, {"owners": ["amazon"], "mostRecent": True})["id"]
        arn = f"arn:aws:ssm:{cloud.region}::parameter{name}"
        found = {"Name": name, "Value": image, "Type": "String", "Version": 1, "ARN": arn}
    return {
        "id": found["Name"],
        "name": found["Name"],
        "value": found["Value"],
        "insecureValue": found["Value"],
        "type": found["Type"],
        "version": found["Version"],
        "arn": found["ARN"],
    }


def zone(cloud: Cloud, inputs: Answer) -> Answer:
    """A hosted zone by its id or its name."""
    zones = [
        zone
        for zone in cloud.client("route53").list_hosted_zones()["HostedZones"]
        if zone["Id"].rpartition("/")[2] == inputs.get("zoneId")
        or (
            zone["Name"].rstrip(".") == (inputs.get("name") or "").rstrip(".")
            and zone["Config"]["PrivateZone"] == bool(inputs.get("privateZone"))
        )
    ]
    found = _single(zones, "Route 53 zone", inputs)
    identifier = found["Id"].rpartition("/")[2]
    return {
        "id": identifier,
        "zoneId": identifier,
        "name": found["Name"].rstrip("."),
        "arn": f"arn:aws:route53:::hostedzone/{identifier}",
        "privateZone": found["Config"]["PrivateZone"],
    }


def vpc(cloud: Cloud, inputs: Answer) -> Answer:
    """A VPC that exists."""
    chosen = {"VpcIds": [inputs["id"]]} if inputs.get("id") else {}
    vpcs = cloud.client("ec2").describe_vpcs(Filters=_filters(inputs), **chosen)["Vpcs"]
    found = _single(vpcs, "EC2 VPC", inputs)
    return {
        "id": found["VpcId"],
        "cidrBlock": found["CidrBlock"],
        "default": found["IsDefault"],
        "state": found["State"],
        "ownerId": found["OwnerId"],
        "arn": f"arn:aws:ec2:{cloud.region}:{cloud.account}:vpc/{found['VpcId']}",
        "tags": _tags(found),
        **{
            name: cloud.client("ec2").describe_vpc_attribute(VpcId=found["VpcId"], Attribute=name)[
                name[0].upper() + name[1:]
            ]["Value"]
            for name in ("enableDnsHostnames", "enableDnsSupport")
        },
    }


def subnet(cloud: Cloud, inputs: Answer) -> Answer:
    """A subnet that exists."""
    chosen = {"SubnetIds": [inputs["id"]]} if inputs.get("id") else {}
    subnets = cloud.client("ec2").describe_subnets(Filters=_filters(inputs), **chosen)["Subnets"]
    found = _single(subnets, "EC2 Subnet", inputs)
    return {
        "id": found["SubnetId"],
        "vpcId": found["VpcId"],
        "cidrBlock": found["CidrBlock"],
        "availabilityZone": found["AvailabilityZone"],
        "availabilityZoneId": found["AvailabilityZoneId"],
        "mapPublicIpOnLaunch": found["MapPublicIpOnLaunch"],
        "availableIpAddressCount": found["AvailableIpAddressCount"],
        "arn": found["SubnetArn"],
        "ownerId": found["OwnerId"],
        "state": found["State"],
        "tags": _tags(found),
    }


def secret(cloud: Cloud, inputs: Answer) -> Answer:
    """A secret that exists: its name and ARN, never its value."""
    found = cloud.client("secretsmanager").describe_secret(SecretId=inputs.get("arn") or inputs["name"])
    return {
        "id": found["ARN"],
        "arn": found["ARN"],
        "name": found["Name"],
        "description": found.get("Description", ""),
        "kmsKeyId": found.get("KmsKeyId", ""),
        "tags": _tags(found),
    }


def policy_document(cloud: Cloud, inputs: Answer) -> Answer:
    """A policy as JSON. Computed here, as the real provider does: no AWS call stands behind it."""
    statements = [_statement(statement) for statement in inputs.get("statements") or []]
    document = {"Version": inputs.get("version") or "2012-10-17", "Statement": statements}
    if inputs.get("policyId"):
        document["Id"] = inputs["policyId"]
    return {
        "id": str(len(statements)),
        "json": json.dumps(document, indent=2),
        "minifiedJson": json.dumps(document, separators=(",", ":")),
    }


def _statement(given: Answer) -> Answer:
    statement: Answer = {"Sid": given["sid"]} if given.get("sid") else {}
    statement["Effect"] = given.get("effect") or "Allow"
    for name, key in (
        ("Action", "actions"),
        ("NotAction", "notActions"),
        ("Resource", "resources"),
        ("NotResource", "notResources"),
    ):
        if given.get(key):
            statement[name] = _one_or_several(given[key])
    for name, key in (("Principal", "principals"), ("NotPrincipal", "notPrincipals")):
        if given.get(key):
            statement[name] = _principals(given[key])
    for condition in given.get("conditions") or []:
        test = statement.setdefault("Condition", {}).setdefault(condition["test"], {})
        test[condition["variable"]] = _one_or_several(condition["values"])
    return statement


def _principals(given: list[Answer]) -> str | Answer:
    if any(item["type"] == "*" for item in given):
        return "*"
    return {item["type"]: _one_or_several(item["identifiers"]) for item in given}


def _one_or_several(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else sorted(values, reverse=True)


def _filters(inputs: Answer) -> list[dict[str, Any]]:
    filters = [{"Name": item["name"], "Values": item["values"]} for item in inputs.get("filters") or []]
    filters += [{"Name": f"tag:{key}", "Values": [value]} for key, value in (inputs.get("tags") or {}).items()]
    return filters + ([{"Name": "state", "Values": [inputs["state"]]}] if inputs.get("state") else [])


def _tags(found: Answer) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in found.get("Tags") or []}


def _single(found: list[Any], what: str, inputs: Answer, *, several: bool = False) -> Any:
    """The only one. Raises LookupError in the way of the real provider."""
    if not found:
        raise LookupError(f"no matching {what} found: {inputs}")
    if len(found) > 1 and not several:
        raise LookupError(f"multiple {what}s matched; use additional constraints: {inputs}")
    return found[0]


INVOKES: dict[str, Callable[[Cloud, Answer], Answer]] = {
    "aws:index/getAvailabilityZones:getAvailabilityZones": availability_zones,
    "aws:index/getCallerIdentity:getCallerIdentity": caller_identity,
    "aws:index/getPartition:getPartition": partition,
    "aws:index/getRegion:getRegion": region,
    "aws:ec2/getAmi:getAmi": ami,
    "aws:ec2/getSubnet:getSubnet": subnet,
    "aws:ec2/getVpc:getVpc": vpc,
    "aws:iam/getPolicyDocument:getPolicyDocument": policy_document,
    "aws:route53/getZone:getZone": zone,
    "aws:secretsmanager/getSecret:getSecret": secret,
    "aws:ssm/getParameter:getParameter": parameter,
}
