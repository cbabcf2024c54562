"""Rules between the section `cloud` and the sections that make something in it.

Each saves a run of `pulumi up` that fails half an hour later, or makes what nobody can reach.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from visionfleet.config.cloud import NetworkKind
from visionfleet.config.dedicated import GPU_IMAGE, image_breaches
from visionfleet.config.machines import machine_of
from visionfleet.config.section import Breach, CrossRule, Location, entries, peek

# What components append to the deployment's name, and Pulumi after that, must fit (docs of IAM, EKS, ACM).
ROLE_CHARACTERS = 64
NODE_GROUP_CHARACTERS = 63
CERTIFICATE_CHARACTERS = 64
PULUMI_CHARACTERS = 8  # the hyphen and the seven digits that keep the names of two stacks apart
CLUSTER_ROLE_CHARACTERS = len("-aws-ebs-csi-driver")  # the longest role that a cluster has
# the starts of names that AWS keeps for itself
RESERVED_STARTS = {
    "internal": "load balancers",
    "sg": "security groups",
    "sthree": "buckets",
    "amzn-s3-demo": "buckets",
}
_LOOPBACK = ("127.", "localhost", "::1")


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
    if isinstance(zone, str) and isinstance(domain, str) and not f".{domain}".endswith(f".{zone}"):
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
    elif (_host(url) or "").startswith(_LOOPBACK):
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
    for index, endpoint in _endpoints(data):
        machine = machine_of(peek(endpoint, "instance_type"))
        if machine is None or peek(endpoint, "image") is not None:
            continue
        what = f"dedicated[{index}].instance_type {peek(endpoint, 'instance_type')}"
        if isinstance(image, str):
            yield from image_breaches(("inference", "image"), image, what, machine.gpu)
        elif digest is not None and machine.gpu is not None:
            rule = f"is of the image for CPUs, as inference.image is not given, and {what} has a GPU"
            fix = f"add the image that it belongs to, to inference or to dedicated[{index}], as in '{GPU_IMAGE}'"
            yield Breach(("inference", "digest"), digest, "digest-of-image", rule, fix)


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
    most = ROLE_CHARACTERS - PULUMI_CHARACTERS - CLUSTER_ROLE_CHARACTERS
    if cluster is not None and len(name) > most:
        rule = f"is over {most} characters, which the IAM roles of a cluster leave to it"
        yield Breach(("name",), name, "aws-name", rule, "shorten it")
    for index, endpoint in _endpoints(data):
        most = ROLE_CHARACTERS - PULUMI_CHARACTERS - len(name) - 1
        yield from _too_long(("dedicated", index, "name"), peek(endpoint, "name"), most, "IAM role")
        yield from _certificate(index, peek(endpoint, "name"), peek(data, "domain"))
    for index, pool in enumerate(entries(peek(cluster, "gpu", "pools"))):
        most = NODE_GROUP_CHARACTERS - PULUMI_CHARACTERS - len(name) - 1
        location = ("serverless", "cluster", "gpu", "pools", index, "name")
        yield from _too_long(location, peek(pool, "name"), most, "node group")


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


def _host(url: object) -> str | None:
    try:
        return urlsplit(url).hostname if isinstance(url, str) else None
    except ValueError:
        return None


def _endpoints(data: object) -> Iterator[tuple[int, object]]:
    yield from enumerate(entries(peek(data, "dedicated")))


CLOUD_RULES: tuple[CrossRule, ...] = (
    *(_needs_cloud, _needs_domain, _domain_in_zone, _hub_reachable, _public_subnets, _endpoints_unique, _images),
    *(_aws_name, _aws_lengths),
)
