"""The network: VPC, subnets, gateways, routes, endpoints, flow logs."""

from __future__ import annotations

from typing import Any

from tests.engines.aws.kinds import Call, Kind, Scope

SINGLE_TAG = Call("create_tags", {"Resources": ["$resourceId"], "Tags": [{"Key": "$key", "Value": "$value"}]})


def _added(name: str, *, removed: bool = False) -> Any:
    """What an update adds to a list, or takes from it."""

    def difference(scope: Scope) -> list[str] | None:
        new, old = scope.inputs.get(name) or [], (scope.old or {}).get(name) or []
        source, other = (old, new) if removed else (new, old)
        return [item for item in source if item not in other] or None

    return difference


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
            "defaultSecurityGroupId": lambda _found, scope: scope.call(
                "describe_security_groups",
                Filters=[{"Name": "vpc-id", "Values": [scope.id]}, {"Name": "group-name", "Values": ["default"]}],
            )["SecurityGroups"][0]["GroupId"],
            "mainRouteTableId": lambda _found, scope: scope.call(
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
        delete=(
            # moto deletes the routes of its tables, also of those that came later and for which it made none
            Call(
                "modify_vpc_endpoint",
                {"VpcEndpointId": "$id", "RemoveRouteTableIds": "$routeTableIds"},
                only="routeTableIds",
            ),
            Call("delete_vpc_endpoints", {"VpcEndpointIds": ["$id"]}),
        ),
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
)
