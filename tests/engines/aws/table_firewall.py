"""Security groups and their rules."""

from __future__ import annotations

from typing import Any

from tests.engines.aws.kinds import Call, Kind, Scope

RULE_INPUTS = (
    "securityGroupId cidrIpv4 cidrIpv6 fromPort toPort ipProtocol referencedSecurityGroupId prefixListId description"
)
EVERYWHERE = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


def _rule(scope: Scope) -> list[dict[str, Any]]:
    """The API's form of one rule that is a resource of its own."""
    return [_permission(scope.inputs)]


def _changed_rule(scope: Scope) -> list[dict[str, Any]]:
    rule = {
        "ReferencedGroupId" if name == "referencedSecurityGroupId" else name[0].upper() + name[1:]: scope.inputs[name]
        for name in RULE_INPUTS.split()[1:]
        if name in scope.inputs
    }
    return [{"SecurityGroupRuleId": scope.id, "SecurityGroupRule": rule}]


def _permission(rule: dict[str, Any]) -> dict[str, Any]:
    about = {"Description": rule["description"]} if rule.get("description") else {}
    sources = {
        "IpRanges": [("CidrIp", item) for item in _listed(rule, "cidrIpv4", "cidrBlocks")],
        "Ipv6Ranges": [("CidrIpv6", item) for item in _listed(rule, "cidrIpv6", "ipv6CidrBlocks")],
        "UserIdGroupPairs": [
            ("GroupId", item) for item in _listed(rule, "referencedSecurityGroupId", "securityGroups")
        ],
        "PrefixListIds": [("PrefixListId", item) for item in _listed(rule, "prefixListId", "prefixListIds")],
    }
    permission: dict[str, Any] = {"IpProtocol": str(rule.get("ipProtocol") or rule["protocol"])}
    permission |= {name: [{key: item, **about} for key, item in pairs] for name, pairs in sources.items() if pairs}
    ports = {"FromPort": rule.get("fromPort"), "ToPort": rule.get("toPort")}
    return permission | {name: int(port) for name, port in ports.items() if port is not None}


def _listed(rule: dict[str, Any], single: str, several: str) -> list[str]:
    return [rule[single]] if rule.get(single) else list(rule.get(several) or [])


def _inline(direction: str) -> Any:
    """Sets the rules that a group holds itself."""

    def apply(scope: Scope) -> None:
        old, new = (scope.old or {}).get(direction) or [], scope.inputs.get(direction) or []
        if old != new:
            for operation, rules in (
                (f"revoke_security_group_{direction}", old),
                (f"authorize_security_group_{direction}", new),
            ):
                if rules:
                    scope.call(operation, GroupId=scope.id, IpPermissions=[_permission(rule) for rule in rules])

    return apply


def _close(scope: Scope) -> None:
    """A new group allows all that goes out; the provider takes that away, so that only the program's rules hold."""
    if scope.old is None:
        scope.call("revoke_security_group_egress", GroupId=scope.id, IpPermissions=EVERYWHERE)


def _take_over(scope: Scope) -> None:
    if scope.old is None:
        group = scope.call("describe_security_groups", GroupIds=[scope.id])["SecurityGroups"][0]
        for direction, rules in (("ingress", group["IpPermissions"]), ("egress", group["IpPermissionsEgress"])):
            if rules:
                scope.call(f"revoke_security_group_{direction}", GroupId=scope.id, IpPermissions=rules)


def _group_rule(direction: str) -> Kind:
    return Kind(
        f"vpc.SecurityGroup{direction.title()}Rule",
        "ec2",
        id="SecurityGroupRules[0].SecurityGroupRuleId",
        create=(
            Call(f"authorize_security_group_{direction}", {"GroupId": "$securityGroupId", "IpPermissions": _rule}),
        ),
        update=(
            Call(
                "modify_security_group_rules",
                {"GroupId": "$securityGroupId", "SecurityGroupRules": _changed_rule},
                only=RULE_INPUTS,
            ),
        ),
        read=Call("describe_security_group_rules", {"Filters": [{"Name": "group-id", "Values": ["$securityGroupId"]}]}),
        found="SecurityGroupRules[?SecurityGroupRuleId=='{id}'] | [0]",
        delete=(
            Call(
                f"revoke_security_group_{direction}", {"GroupId": "$securityGroupId", "SecurityGroupRuleIds": ["$id"]}
            ),
        ),
        replace="securityGroupId",
        by_hand=RULE_INPUTS,
        outputs={
            "securityGroupRuleId": "={id}",
            "arn": "=arn:aws:ec2:{region}:{account}:security-group-rule/{id}",
        },
        tags=True,
    )


KINDS = (
    Kind(
        "ec2.SecurityGroup",
        "ec2",
        id="GroupId",
        create=(
            Call(
                "create_security_group",
                {"Description": lambda scope: scope.inputs.get("description") or "Managed by Pulumi"},
                auto=True,
            ),
        ),
        settings=(
            _close,
            _inline("ingress"),
            _inline("egress"),
        ),
        read=Call("describe_security_groups", {"GroupIds": ["$id"]}),
        found="SecurityGroups[0]",
        delete=(Call("delete_security_group", {"GroupId": "$id"}),),
        replace="name namePrefix description vpcId",
        rename={"name": "GroupName"},
        by_hand="ingress egress description revokeRulesOnDelete",
        outputs={
            "arn": "=arn:aws:ec2:{region}:{account}:security-group/{id}",
            "ownerId": "OwnerId",
            "vpcId": "VpcId",
            "description": "Description",
        },
        tags=True,
        named="name",
    ),
    # it is not made, but taken over, and emptied of what the program does not name
    Kind(
        "ec2.DefaultSecurityGroup",
        "ec2",
        id="SecurityGroups[0].GroupId",
        create=(
            Call(
                "describe_security_groups",
                {"Filters": [{"Name": "vpc-id", "Values": ["$vpcId"]}, {"Name": "group-name", "Values": ["default"]}]},
            ),
        ),
        settings=(_take_over, _inline("ingress"), _inline("egress")),
        read=Call("describe_security_groups", {"GroupIds": ["$id"]}),
        found="SecurityGroups[0]",
        replace="vpcId",
        by_hand="ingress egress revokeRulesOnDelete",
        outputs={"arn": "=arn:aws:ec2:{region}:{account}:security-group/{id}", "ownerId": "OwnerId"},
        tags=True,
    ),
    _group_rule("ingress"),
    _group_rule("egress"),
)
