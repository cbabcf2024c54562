"""The network: VPC, subnets, gateways, routes, security groups, flow logs, names and certificates."""

from __future__ import annotations

from typing import Any

from tests.engines.aws.kinds import Call, Kind, Scope

RULE_INPUTS = (
    "securityGroupId cidrIpv4 cidrIpv6 fromPort toPort ipProtocol referencedSecurityGroupId prefixListId description"
)
EVERYWHERE = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


def _added(name: str, *, removed: bool = False) -> Any:
    """What an update adds to a list, or takes from it."""

    def difference(scope: Scope) -> list[str] | None:
        new, old = scope.inputs.get(name) or [], (scope.old or {}).get(name) or []
        source, other = (old, new) if removed else (new, old)
        return [item for item in source if item not in other] or None

    return difference


def _rule(scope: Scope) -> list[dict[str, Any]]:
    """The API's form of one rule that is a resource of its own."""
    return [_permission(scope.inputs)]


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
            # a changed rule is written anew; its id goes on
            Call(
                f"revoke_security_group_{direction}", {"GroupId": "$securityGroupId", "SecurityGroupRuleIds": ["$id"]}
            ),
            Call(f"authorize_security_group_{direction}", {"GroupId": "$securityGroupId", "IpPermissions": _rule}),
        ),
        read=Call("describe_security_group_rules", {"Filters": [{"Name": "group-id", "Values": ["$securityGroupId"]}]}),
        found="SecurityGroupRules[?SecurityGroupRuleId=='{id}'] | [0]",
        delete=(
            Call(
                f"revoke_security_group_{direction}", {"GroupId": "$securityGroupId", "SecurityGroupRuleIds": ["$id"]}
            ),
        ),
        replace=RULE_INPUTS.replace(" description", ""),
        by_hand=RULE_INPUTS,
        outputs={
            "securityGroupRuleId": "={id}",
            "arn": "=arn:aws:ec2:{region}:{account}:security-group-rule/{id}",
        },
        tags=True,
    )


def _expand(scope: Scope) -> str:
    """A record's full name: the zone's is appended where it is missing."""
    zone = scope.call("get_hosted_zone", Id=scope.inputs["zoneId"])["HostedZone"]["Name"].rstrip(".")
    name = scope.inputs["name"].rstrip(".")
    return name if name == zone or name.endswith(f".{zone}") else ".".join(filter(None, [name, zone]))


def _record_set(scope: Scope, inputs: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {"Name": _expand(scope), "Type": inputs["type"]}
    for alias in inputs.get("aliases") or []:
        record["AliasTarget"] = {
            "HostedZoneId": alias["zoneId"],
            "DNSName": alias["name"],
            "EvaluateTargetHealth": bool(alias["evaluateTargetHealth"]),
        }
    if inputs.get("records"):
        record |= {"TTL": int(inputs["ttl"]), "ResourceRecords": [{"Value": value} for value in inputs["records"]]}
    return record


def _change(action: str) -> Any:
    def change(scope: Scope) -> dict[str, Any]:
        return {"Changes": [{"Action": action, "ResourceRecordSet": _record_set(scope, scope.inputs)}]}

    return change


def _find_record(response: Any, scope: Scope) -> Any:
    name = _expand(scope)
    return next(
        (
            record
            for record in response["ResourceRecordSets"]
            if record["Name"].rstrip(".") == name and record["Type"] == scope.inputs["type"]
        ),
        None,
    )


def _change_record(action: str) -> Call:
    return Call("change_resource_record_sets", {"HostedZoneId": "$zoneId", "ChangeBatch": _change(action)})


VALIDATION = (
    "DomainValidationOptions[].{domainName: DomainName, resourceRecordName: ResourceRecord.Name, "
    "resourceRecordType: ResourceRecord.Type, resourceRecordValue: ResourceRecord.Value}"
)
SINGLE_TAG = Call("create_tags", {"Resources": ["$resourceId"], "Tags": [{"Key": "$key", "Value": "$value"}]})

KINDS = (
    Kind(
        "ec2.Vpc",
        "ec2",
        id="Vpc.VpcId",
        create=(Call("create_vpc", auto=True),),
        settings=tuple(
            Call("modify_vpc_attribute", {"VpcId": "$id"}, auto=True, only=name)
            for name in ("enableDnsSupport", "enableDnsHostnames")
        ),
        read=Call("describe_vpcs", {"VpcIds": ["$id"]}),
        found="Vpcs[0]",
        delete=(Call("delete_vpc", {"VpcId": "$id"}),),
        replace="cidrBlock instanceTenancy",
        outputs={
            "arn": "=arn:aws:ec2:{region}:{account}:vpc/{id}",
            "ownerId": "OwnerId",
            "cidrBlock": "CidrBlock",
            "defaultSecurityGroupId": lambda found, scope: scope.call(
                "describe_security_groups",
                Filters=[{"Name": "vpc-id", "Values": [scope.id]}, {"Name": "group-name", "Values": ["default"]}],
            )["SecurityGroups"][0]["GroupId"],
            "mainRouteTableId": lambda found, scope: scope.call(
                "describe_route_tables",
                Filters=[{"Name": "vpc-id", "Values": [scope.id]}, {"Name": "association.main", "Values": ["true"]}],
            )["RouteTables"][0]["RouteTableId"],
        },
        tags=True,
    ),
    Kind(
        "ec2.Subnet",
        "ec2",
        id="Subnet.SubnetId",
        create=(Call("create_subnet", auto=True),),
        settings=(Call("modify_subnet_attribute", {"SubnetId": "$id"}, auto=True, only="mapPublicIpOnLaunch"),),
        read=Call("describe_subnets", {"SubnetIds": ["$id"]}),
        found="Subnets[0]",
        delete=(Call("delete_subnet", {"SubnetId": "$id"}),),
        replace="vpcId cidrBlock availabilityZone availabilityZoneId",
        outputs={
            "arn": "SubnetArn",
            "ownerId": "OwnerId",
            "availabilityZone": "AvailabilityZone",
            "availabilityZoneId": "AvailabilityZoneId",
        },
        tags=True,
    ),
    Kind(
        "ec2.InternetGateway",
        "ec2",
        id="InternetGateway.InternetGatewayId",
        create=(Call("create_internet_gateway"),),
        settings=(
            Call(
                "detach_internet_gateway",
                {"InternetGatewayId": "$id", "VpcId": lambda scope: scope.old["vpcId"]},
                only="vpcId",
                when=lambda scope: (scope.old or {}).get("vpcId"),
            ),
            Call("attach_internet_gateway", {"InternetGatewayId": "$id", "VpcId": "$vpcId"}, only="vpcId"),
        ),
        read=Call("describe_internet_gateways", {"InternetGatewayIds": ["$id"]}),
        found="InternetGateways[0]",
        delete=(
            Call("detach_internet_gateway", {"InternetGatewayId": "$id", "VpcId": "$vpcId"}, only="vpcId"),
            Call("delete_internet_gateway", {"InternetGatewayId": "$id"}),
        ),
        outputs={"arn": "=arn:aws:ec2:{region}:{account}:internet-gateway/{id}"},
        tags=True,
    ),
    Kind(
        "ec2.Eip",
        "ec2",
        id="AllocationId",
        create=(Call("allocate_address", {"Domain": "$domain"}),),
        read=Call("describe_addresses", {"AllocationIds": ["$id"]}),
        found="Addresses[0]",
        delete=(Call("release_address", {"AllocationId": "$id"}),),
        replace="domain",
        outputs={
            "allocationId": "={id}",
            "publicIp": "PublicIp",
            "arn": "=arn:aws:ec2:{region}:{account}:elastic-ip/{id}",
        },
        tags=True,
    ),
    Kind(
        "ec2.NatGateway",
        "ec2",
        id="NatGateway.NatGatewayId",
        create=(
            Call("create_nat_gateway", auto=True),
            Call(
                "describe_nat_gateways",
                {"NatGatewayIds": ["$response.NatGateway.NatGatewayId"]},
                until="NatGateways[0].State=='available'",
            ),
        ),
        read=Call("describe_nat_gateways", {"NatGatewayIds": ["$id"]}),
        found="NatGateways[?State!='deleted'] | [0]",
        delete=(Call("delete_nat_gateway", {"NatGatewayId": "$id"}),),
        replace="allocationId subnetId connectivityType",
        outputs={"publicIp": "NatGatewayAddresses[0].PublicIp", "privateIp": "NatGatewayAddresses[0].PrivateIp"},
        tags=True,
    ),
    Kind(
        "ec2.RouteTable",
        "ec2",
        id="RouteTable.RouteTableId",
        create=(Call("create_route_table", auto=True),),
        read=Call("describe_route_tables", {"RouteTableIds": ["$id"]}),
        found="RouteTables[0]",
        delete=(Call("delete_route_table", {"RouteTableId": "$id"}),),
        replace="vpcId",
        outputs={"arn": "=arn:aws:ec2:{region}:{account}:route-table/{id}", "ownerId": "OwnerId"},
        tags=True,
    ),
    Kind(
        "ec2.Route",
        "ec2",
        id="=r-{routeTableId}{destinationCidrBlock}",
        create=(Call("create_route", auto=True),),
        update=(Call("replace_route", auto=True, whole=True),),
        read=Call("describe_route_tables", {"RouteTableIds": ["$routeTableId"]}),
        found="RouteTables[0].Routes[?DestinationCidrBlock=='{destinationCidrBlock}'] | [0]",
        delete=(
            Call("delete_route", {"RouteTableId": "$routeTableId", "DestinationCidrBlock": "$destinationCidrBlock"}),
        ),
        replace="routeTableId destinationCidrBlock destinationIpv6CidrBlock destinationPrefixListId",
        outputs={"origin": "Origin", "state": "State"},
    ),
    Kind(
        "ec2.RouteTableAssociation",
        "ec2",
        id="AssociationId",
        create=(Call("associate_route_table", auto=True),),
        read=Call(
            "describe_route_tables",
            {"Filters": [{"Name": "association.route-table-association-id", "Values": ["$id"]}]},
        ),
        found="RouteTables[0]",
        delete=(Call("disassociate_route_table", {"AssociationId": "$id"}),),
        replace="subnetId gatewayId routeTableId",
    ),
    Kind(
        "ec2.VpcEndpoint",
        "ec2",
        id="VpcEndpoint.VpcEndpointId",
        create=(Call("create_vpc_endpoint", auto=True),),
        update=(
            Call(
                "modify_vpc_endpoint",
                {
                    "VpcEndpointId": "$id",
                    "PolicyDocument": "$policy",
                    "AddRouteTableIds": _added("routeTableIds"),
                    "RemoveRouteTableIds": _added("routeTableIds", removed=True),
                    "AddSubnetIds": _added("subnetIds"),
                    "RemoveSubnetIds": _added("subnetIds", removed=True),
                    "AddSecurityGroupIds": _added("securityGroupIds"),
                    "RemoveSecurityGroupIds": _added("securityGroupIds", removed=True),
                },
                only="policy routeTableIds subnetIds securityGroupIds",
            ),
        ),
        read=Call("describe_vpc_endpoints", {"VpcEndpointIds": ["$id"]}),
        found="VpcEndpoints[?State!='deleted'] | [0]",
        delete=(Call("delete_vpc_endpoints", {"VpcEndpointIds": ["$id"]}),),
        replace="vpcId serviceName vpcEndpointType",
        rename={"policy": "PolicyDocument"},
        outputs={"arn": "=arn:aws:ec2:{region}:{account}:vpc-endpoint/{id}", "state": "State"},
        tags=True,
    ),
    Kind(
        "ec2.FlowLog",
        "ec2",
        id="FlowLogIds[0]",
        create=(
            Call(
                "create_flow_logs",
                {
                    "ResourceIds": ["$vpcId", "$subnetId"],
                    "ResourceType": lambda scope: "VPC" if scope.inputs.get("vpcId") else "Subnet",
                },
                auto=True,
            ),
        ),
        read=Call("describe_flow_logs", {"FlowLogIds": ["$id"]}),
        found="FlowLogs[0]",
        delete=(Call("delete_flow_logs", {"FlowLogIds": ["$id"]}),),
        replace="*",
        rename={"iamRoleArn": "DeliverLogsPermissionArn"},
        outputs={"arn": "=arn:aws:ec2:{region}:{account}:vpc-flow-log/{id}"},
        tags=True,
    ),
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
    Kind(
        "ec2.Tag",
        "ec2",
        id="={resourceId},{key}",
        create=(SINGLE_TAG,),
        update=(SINGLE_TAG,),
        read=Call(
            "describe_tags",
            {"Filters": [{"Name": "resource-id", "Values": ["$resourceId"]}, {"Name": "key", "Values": ["$key"]}]},
        ),
        found="Tags[0]",
        delete=(Call("delete_tags", {"Resources": ["$resourceId"], "Tags": [{"Key": "$key"}]}),),
        replace="resourceId key",
    ),
    Kind(
        "route53.Record",
        "route53",
        id="={zoneId}_{name}_{type}",
        create=(_change_record("UPSERT"),),
        update=(_change_record("UPSERT"),),
        read=Call("list_resource_record_sets", {"HostedZoneId": "$zoneId"}),
        found=_find_record,
        delete=(_change_record("DELETE"),),
        replace="zoneId name type",
        by_hand="zoneId name type ttl records aliases allowOverwrite",
        outputs={"fqdn": lambda found, scope: _expand(scope)},
    ),
    Kind(
        "acm.Certificate",
        "acm",
        id="CertificateArn",
        create=(Call("request_certificate", auto=True),),
        read=Call("describe_certificate", {"CertificateArn": "$id"}),
        found="Certificate",
        delete=(Call("delete_certificate", {"CertificateArn": "$id"}),),
        replace="*",
        outputs={"arn": "={id}", "status": "Status", "domainValidationOptions": VALIDATION},
        tags=True,
    ),
    Kind(
        "acm.CertificateValidation",
        "acm",
        id="=validated-{certificateArn}",
        create=(
            Call("describe_certificate", {"CertificateArn": "$certificateArn"}, until="Certificate.Status=='ISSUED'"),
        ),
        read=Call("describe_certificate", {"CertificateArn": "$certificateArn"}),
        found="Certificate",
        replace="*",
        by_hand="validationRecordFqdns",
    ),
)
