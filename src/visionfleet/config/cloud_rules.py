"""Rules between the section `cloud` and the sections that make something in it.

Each saves a run of `pulumi up` that fails half an hour later, or makes what nobody can reach.
"""

import re
from collections.abc import Iterator
from itertools import islice
from urllib.parse import urlsplit

from visionfleet.config.aws_kinds import range_of
from visionfleet.config.cloud import LONGEST_PREFIX, NetworkKind
from visionfleet.config.dedicated import GPU_IMAGE, image_breaches
from visionfleet.config.kinds import DOMAIN
from visionfleet.config.machines import Gpu, machine_of
from visionfleet.config.section import Breach, CrossRule, Location, entries, peek
from visionfleet.terms import GpuAutoscaler

# What components append to the deployment's name, and Pulumi after that, must fit (docs of IAM, EKS, ACM).
ROLE_CHARACTERS = 64
NODE_GROUP_CHARACTERS = 63
CERTIFICATE_CHARACTERS = 64
PULUMI_CHARACTERS = 8  # the hyphen and the seven digits that keep the names of two stacks apart
# the longest of each that a cluster has: an IAM role, and a rule that tells Karpenter of events, of 64 characters too
CLUSTER_PARTS = {
    GpuAutoscaler.NODE_GROUPS: len("-aws-ebs-csi-driver"),
    GpuAutoscaler.KARPENTER: len("-karpenter-spot-interruption"),
}
# the starts of names that AWS keeps for itself
RESERVED_STARTS = {
    "internal": "load balancers",
    "sg": "security groups",
    "sthree": "buckets",
    "amzn-s3-demo": "buckets",
}
CLUSTER_PREFIX = 20  # the longest prefix of a VPC with a cluster


def _needs_cloud(data: object) -> Iterator[Breach]:
    if peek(data, "cloud") is not None:
        return
    fix = "add the section, with region and owner: cloud: {region: eu-central-1, owner: vision-team}"
    used: dict[Location, object] = {
        ("dedicated",): peek(data, "dedicated") or None,
        ("serverless", "cluster"): peek(data, "serverless", "cluster"),
        ("hub", "aws"): peek(data, "hub", "aws"),
    }
    for location, value in used.items():
        if value is not None:
            yield Breach(location, None, "needs-cloud", "needs the section cloud, which says where in AWS it is", fix)


def _needs_domain(data: object) -> Iterator[Breach]:
    if peek(data, "dedicated") and peek(data, "domain") is None:
        rule = "needs domain: without a name there is no certificate, and keys do not travel without TLS"
        fix = "add domain, with a public zone of Route 53 that holds it, as in 'vision.acme.example'"
        yield Breach(("dedicated",), None, "needs-domain", rule, fix)


def _domain_in_zone(data: object) -> Iterator[Breach]:
    zone, domain = peek(data, "cloud", "dns_zone"), peek(data, "domain")
    if not (isinstance(zone, str) and isinstance(domain, str) and re.fullmatch(DOMAIN.pattern, zone)):
        return
    if not f".{domain}".endswith(f".{zone}"):
        rule = f"does not hold domain, '{domain}'"
        yield Breach(("cloud", "dns_zone"), zone, "zone-of-domain", rule, "name the zone that domain is in, or below")


def _hub_reachable(data: object) -> Iterator[Breach]:
    if not peek(data, "dedicated"):
        return
    url = peek(data, "hub", "url")
    fix = "write the address that machines in AWS reach, as in 'https://hub.acme.example'"
    if url is None:
        rule = "is missing: machines of dedicated ask the hub for workflows and models"
        yield Breach(("hub", "url"), None, "needs-url", rule, fix)
    elif _is_this_machine(_host(url)):
        yield Breach(("hub", "url"), url, "needs-url", "is this machine, and dedicated is in AWS", fix)


def _endpoints_unique(data: object) -> Iterator[Breach]:
    first: dict[str, int] = {}
    hub = _host(peek(data, "hub", "url"))
    for index, endpoint in _endpoints(data):
        name = peek(endpoint, "name")
        if not isinstance(name, str):
            continue
        location = ("dedicated", index, "name")
        if first.setdefault(name, index) != index:
            rule = f"is also dedicated[{first[name]}].name"
            yield Breach(location, name, "duplicate-name", rule, "give each endpoint a name of its own")
        elif hub is not None and f"{name}.{peek(data, 'domain')}" == hub:
            rule = f"gives the endpoint the host of hub.url, '{hub}'"
            yield Breach(location, name, "duplicate-name", rule, "give the endpoint another name")


def _public_subnets(data: object) -> Iterator[Breach]:
    network = peek(data, "cloud", "network")
    if peek(network, "kind") != NetworkKind.EXISTING or not peek(data, "dedicated"):
        return
    if not peek(network, "public_subnet_ids"):
        rule = "is missing, and the load balancers of dedicated are in public subnets"
        fix = "add two or more public subnets, in two zones"
        location = ("cloud", "network", "public_subnet_ids")
        yield Breach(location, None, "too-few-subnets", rule, fix)


def _images(data: object) -> Iterator[Breach]:
    """`inference.image` serves wherever an endpoint names none; left out, the image follows the machine."""
    image, digest = peek(data, "inference", "image"), peek(data, "inference", "digest")
    gpus = {
        index: machine.gpu
        for index, endpoint in _endpoints(data)
        if (machine := machine_of(peek(endpoint, "instance_type"))) and peek(endpoint, "image") is None
    }
    if isinstance(image, str):
        # one report for all: it is the one image that is wrong
        breaches = (each for index, gpu in gpus.items() for each in _image(data, index, image, gpu))
        yield from islice(breaches, 1)
    elif digest is not None and any(gpus.values()):
        index = next(index for index, gpu in gpus.items() if gpu)
        rule = f"is of the image for CPUs, as inference.image is not given, and {_machine(data, index)} has a GPU"
        fix = f"add the image that it belongs to, to inference or to dedicated[{index}], as in '{GPU_IMAGE}'"
        yield Breach(("inference", "digest"), digest, "digest-of-image", rule, fix)


def _image(data: object, index: int, image: str, gpu: Gpu | None) -> Iterator[Breach]:
    return image_breaches(("inference", "image"), image, _machine(data, index), gpu)


def _machine(data: object, index: int) -> str:
    return f"dedicated[{index}].instance_type {peek(entries(peek(data, 'dedicated'))[index], 'instance_type')}"


def _cluster_range(data: object) -> Iterator[Breach]:
    """Every pod has an address of the VPC: a zone's nodes and pods have a quarter of its range."""
    if peek(data, "serverless", "cluster") is None or peek(data, "cloud") is None:
        return
    network = range_of(peek(data, "cloud", "network", "cidr"))
    if network is not None and CLUSTER_PREFIX < network.prefixlen <= LONGEST_PREFIX:
        rule = f"leaves {network.num_addresses // 4} addresses to a zone's nodes and pods"
        fix = f"take a /{CLUSTER_PREFIX} or larger: in the cluster each pod has an address of the VPC"
        yield Breach(("cloud", "network", "cidr"), str(network), "vpc-range", rule, fix)


def _aws_name(data: object) -> Iterator[Breach]:
    name = peek(data, "name")
    if not isinstance(name, str) or peek(data, "cloud") is None:
        return
    if "--" in name:
        rule = "has '--', which names of databases and repositories in AWS cannot have"
        yield Breach(("name",), name, "aws-name", rule, f"write '{_single_hyphens(name)}'")
    start = next((start for start in RESERVED_STARTS if f"{name}-".startswith(f"{start}-")), None)
    if start is not None:
        rule = f"starts with '{start}-', and AWS keeps such names of {RESERVED_STARTS[start]} for itself"
        yield Breach(("name",), name, "aws-name", rule, "take another name, as in 'acme-vision'")


def _aws_lengths(data: object) -> Iterator[Breach]:
    name = peek(data, "name")
    if not isinstance(name, str) or peek(data, "cloud") is None:
        return
    cluster = peek(data, "serverless", "cluster")
    yield from _cluster_length(name, cluster)
    for index, endpoint in _endpoints(data):
        most = ROLE_CHARACTERS - PULUMI_CHARACTERS - len(name) - 1
        yield from _too_long(("dedicated", index, "name"), peek(endpoint, "name"), most, "IAM role")
        yield from _certificate(index, peek(endpoint, "name"), peek(data, "domain"))
    for index, pool in enumerate(entries(peek(cluster, "gpu", "pools"))):
        most = NODE_GROUP_CHARACTERS - PULUMI_CHARACTERS - len(name) - 1
        location = ("serverless", "cluster", "gpu", "pools", index, "name")
        yield from _too_long(location, peek(pool, "name"), most, "node group")


def _cluster_length(name: str, cluster: object) -> Iterator[Breach]:
    autoscaler = peek(cluster, "gpu", "autoscaler", default=GpuAutoscaler.NODE_GROUPS)
    parts = next((length for known, length in CLUSTER_PARTS.items() if known == autoscaler), 0)
    most = ROLE_CHARACTERS - PULUMI_CHARACTERS - parts
    if cluster is not None and len(name) > most:
        rule = f"is over {most} characters, which the names of the cluster's parts leave to it"
        yield Breach(("name",), name, "aws-name", rule, "shorten it")


def _too_long(location: Location, name: object, most: int, what: str) -> Iterator[Breach]:
    if isinstance(name, str) and len(name) > most:
        rule = f"is over {most} characters, which the name of the deployment leaves to it in that of its {what}"
        yield Breach(location, name, "aws-name", rule, "shorten it, or the name of the deployment")


def _certificate(index: int, name: object, domain: object) -> Iterator[Breach]:
    hostname = f"{name}.{domain}"
    if isinstance(name, str) and isinstance(domain, str) and len(hostname) > CERTIFICATE_CHARACTERS:
        rule = (
            f"makes the host name {len(hostname)} characters long, and a certificate's takes {CERTIFICATE_CHARACTERS}"
        )
        yield Breach(("dedicated", index, "name"), name, "aws-name", rule, "shorten it, or take a shorter domain")


def _single_hyphens(name: str) -> str:
    return "-".join(part for part in name.split("-") if part)


def _is_this_machine(host: str | None) -> bool:
    return host is not None and (host in ("localhost", "::1", "0.0.0.0") or host.startswith("127."))  # noqa: S104


def _host(url: object) -> str | None:
    try:
        return urlsplit(url).hostname if isinstance(url, str) else None
    except ValueError:
        return None


def _endpoints(data: object) -> Iterator[tuple[int, object]]:
    yield from enumerate(entries(peek(data, "dedicated")))


CLOUD_RULES: tuple[CrossRule, ...] = (
    *(_needs_cloud, _needs_domain, _domain_in_zone, _hub_reachable, _public_subnets, _endpoints_unique, _images),
    *(_cluster_range, _aws_name, _aws_lengths),
)
