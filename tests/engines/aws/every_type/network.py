"""A network of each kind of resource."""

import pulumi_aws as aws
from common import CHANGED, invoke, opts, zones

vpc = aws.ec2.Vpc("net", cidr_block="10.40.0.0/16", enable_dns_hostnames=True, enable_dns_support=True, opts=opts)
aws.ec2.DefaultSecurityGroup("net", vpc_id=vpc.id, ingress=[], egress=[], opts=opts)
gateway = aws.ec2.InternetGateway("net", vpc_id=vpc.id, opts=opts)
subnets = [
    aws.ec2.Subnet(
        f"net-{number}",
        vpc_id=vpc.id,
        cidr_block=f"10.40.{number}.0/24",
        availability_zone=zones.names[number],
        map_public_ip_on_launch=CHANGED,
        tags={"Name": f"net-{number}"},
        opts=opts,
    )
    for number in range(2)
]
ids = [subnet.id for subnet in subnets]
found_vpc = aws.ec2.get_vpc_output(id=vpc.id, opts=invoke)
found_subnet = aws.ec2.get_subnet_output(id=ids[0], opts=invoke)
address = aws.ec2.Eip("nat", domain="vpc", opts=opts)
nat = aws.ec2.NatGateway("net", allocation_id=address.id, subnet_id=ids[0], opts=opts)
tables = [aws.ec2.RouteTable(f"table-{number}", vpc_id=vpc.id, opts=opts) for number in range(2)]
aws.ec2.Route("out", route_table_id=tables[0].id, destination_cidr_block="0.0.0.0/0", gateway_id=gateway.id, opts=opts)
aws.ec2.Route("nat", route_table_id=tables[1].id, destination_cidr_block="0.0.0.0/0", nat_gateway_id=nat.id, opts=opts)
aws.ec2.RouteTableAssociation("net-0", route_table_id=tables[0].id, subnet_id=ids[0], opts=opts)
aws.ec2.VpcEndpoint(
    "s3",
    vpc_id=vpc.id,
    service_name="com.amazonaws.eu-central-1.s3",
    vpc_endpoint_type="Gateway",
    route_table_ids=[table.id for table in (tables if CHANGED else tables[:1])],
    opts=opts,
)
group = aws.ec2.SecurityGroup("web", vpc_id=vpc.id, description="web", opts=opts)
inline = aws.ec2.SecurityGroup(
    "inline",
    vpc_id=vpc.id,
    ingress=[{"protocol": "tcp", "from_port": 443, "to_port": 443, "security_groups": [group.id]}],
    egress=[{"protocol": "-1", "from_port": 0, "to_port": 0, "cidr_blocks": ["0.0.0.0/0"]}],
    opts=opts,
)
aws.vpc.SecurityGroupIngressRule(
    "https",
    security_group_id=group.id,
    cidr_ipv4="0.0.0.0/0",
    from_port=443,
    to_port=443,
    ip_protocol="tcp",
    description="HTTPS, all" if CHANGED else "HTTPS",
    opts=opts,
)
aws.vpc.SecurityGroupEgressRule(
    "machines",
    security_group_id=group.id,
    referenced_security_group_id=inline.id,
    from_port=9001,
    to_port=9001,
    ip_protocol="tcp",
    opts=opts,
)
aws.ec2.Tag("discovery", resource_id=ids[0], key="karpenter.sh/discovery", value="acme", opts=opts)
