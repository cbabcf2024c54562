"""A program that uses each type and each function of the stand-in's table. `visionfleet:changed` changes some of it.

What it builds makes no sense as a whole; the inputs are those that the project's components give.
"""

import pulumi
from cluster import cluster, nodes
from common import account, ami, given, partition, region
from events import queue
from machines import proof, template
from network import found_subnet, found_vpc, vpc
from storage import database, repository

for name, value in {
    "account": account,
    "ami": ami.id,
    "authority": cluster.certificate_authority.data,
    "cidr": found_vpc.cidr_block,
    "cluster_group": cluster.vpc_config.cluster_security_group_id,
    "database": database.endpoint,
    "fqdn": proof.fqdn,
    "given": given.arn,
    "issuer": cluster.identities[0].oidcs[0].issuer,
    "node_groups": nodes.resources[0].autoscaling_groups[0].name,
    "partition": partition,
    "queue": queue.url,
    "region": region,
    "registry": repository.repository_url,
    "subnet_vpc": found_subnet.vpc_id,
    "version": template.latest_version,
    "vpc": vpc.id,
}.items():
    pulumi.export(name, value)
