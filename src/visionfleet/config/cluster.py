"""Section `serverless.cluster`: the Kubernetes cluster to make in AWS, and its nodes."""

import re
from collections.abc import Iterator

from pydantic import Field

from visionfleet.config.aws_kinds import GPU_PRODUCT, AddonVersion, Cidr, GpuProduct, KubernetesVersion, Principal
from visionfleet.config.cloud import Capacity
from visionfleet.config.dedicated import overlap_breaches
from visionfleet.config.kinds import Label
from visionfleet.config.machines import GPU_FAMILIES, InstanceType, Machine, machine_of
from visionfleet.config.section import Breach, RuledSection, Section, defaults, entries, peek
from visionfleet.terms import GpuAutoscaler, Tier

DEFAULT_VERSION = "1.34"
LEAST_PRODUCTION_NODES = 2
SYSTEM_POOL, CPU_POOL = "system", "cpu"


def _sizes(data: object, least: int, most: int) -> Iterator[Breach]:
    low, high = peek(data, "min", default=least), peek(data, "max", default=most)
    if isinstance(low, int) and isinstance(high, int) and low > high:
        key = "min" if peek(data, "min") is not None else "max"
        rule = f"is over max, {high}" if key == "min" else f"is under min, {low}"
        yield Breach((key,), low if key == "min" else high, "min-over-max", rule, "raise max, or lower min")


def _system_sizes(data: object) -> Iterator[Breach]:
    yield from _sizes(data, 2, 3)


def _pool_sizes(data: object) -> Iterator[Breach]:
    yield from _sizes(data, 0, 4)


def _some_type(data: object) -> Iterator[Breach]:
    types = entries(peek(data, "instance_types"))
    if peek(data, "instance_types") == []:
        fix = "name one, or several alike, of which AWS has one sooner"
        yield Breach(("instance_types",), types, "no-instance-type", "has no instance type", fix)
    for index, instance_type in enumerate(types):
        if instance_type in types[:index]:
            rule = "stands twice"
            yield Breach(("instance_types", index), instance_type, "duplicate-name", rule, "name each type once")


def _no_gpu(data: object) -> Iterator[Breach]:
    for index, instance_type, machine in _machines(data):
        if machine.gpu is not None:
            rule = f"has a GPU, {machine.gpu}, and this pool is for what needs none"
            fix = "take a type without a GPU, as in 'm6i.xlarge', or make a pool in serverless.cluster.gpu.pools"
            yield Breach(("instance_types", index), instance_type, "gpu-of-instance-type", rule, fix)


class SystemPool(RuledSection):
    """The nodes of the cluster's own parts; always on demand."""

    cross_rules = (_system_sizes, _some_type, _no_gpu)

    instance_types: tuple[InstanceType, ...] = Field(
        default=("m6i.large",), description="Instance types, alike in size; AWS takes one that it has."
    )
    min: int = Field(default=2, strict=True, ge=1, le=450, description="Fewest nodes.")
    max: int = Field(default=3, strict=True, ge=1, le=450, description="Most nodes.")
    volume_gb: int = Field(default=50, strict=True, ge=20, le=16_384, description="Size of a node's disk.")


class CpuPool(RuledSection):
    """The nodes of the hub, and of workers and servers without a GPU."""

    cross_rules = (_pool_sizes, _some_type, _no_gpu)

    instance_types: tuple[InstanceType, ...] = Field(
        default=("m6i.xlarge",), description="Instance types, alike in size; AWS takes one that it has."
    )
    min: int = Field(default=0, strict=True, ge=0, le=450, description="Fewest nodes.")
    max: int = Field(default=4, strict=True, ge=1, le=450, description="Most nodes.")
    capacity: Capacity = Field(default=Capacity.ON_DEMAND, description="How nodes are bought.")
    volume_gb: int = Field(default=100, strict=True, ge=20, le=16_384, description="Size of a node's disk.")


class Nodes(Section):
    """Nodes of machines without a GPU."""

    system: SystemPool = Field(default_factory=defaults(SystemPool), description="Nodes of the cluster's own parts.")
    cpu: CpuPool | None = Field(default=None, description="Nodes of everything else without a GPU; none unless given.")


def _some_gpu(data: object) -> Iterator[Breach]:
    for index, instance_type, machine in _machines(data):
        if machine.gpu is None:
            fix = f"take a type of {', '.join(GPU_FAMILIES)}; serverless.cluster.nodes.cpu is for types without one"
            yield Breach(("instance_types", index), instance_type, "gpu-of-instance-type", "has no GPU", fix)


def _one_product(data: object) -> Iterator[Breach]:
    """The types of a pool are alike: the scheduler and the autoscaler know the pool's label, not the types."""
    product = peek(data, "product")
    machines = [each for each in _machines(data) if each[2].product is not None]
    for index, instance_type, machine in machines:
        first = machines[0][2]
        if (machine.product, machine.gpus) != (first.product, first.gpus):
            rule = f"has {machine.gpus} x {machine.product}, and the pool's first type {first.gpus} x {first.product}"
            yield Breach(("instance_types", index), instance_type, "mixed-gpus", rule, "make a pool for each kind")
    if not machines or not isinstance(product, str) or not re.fullmatch(GPU_PRODUCT.pattern, product):
        return
    _, instance_type, first = machines[0]
    known = str(first.product)
    if product != known and not product.startswith(f"{known}-"):  # -SHARED and -MIG-… are what NVIDIA appends
        rule = f"is not the GPU of instance_types: nodes of {instance_type} are labelled '{known}'"
        fix = f"write '{known}', or remove the key: it follows the types"
        yield Breach(("product",), product, "gpu-of-instance-type", rule, fix)


class GpuPool(RuledSection):
    """Nodes with GPUs, alike, from zero."""

    cross_rules = (_pool_sizes, _some_type, _some_gpu, _one_product)

    name: Label = Field(description="Name of the pool, as in `l4`.")
    product: GpuProduct | None = Field(
        default=None, description="Label nvidia.com/gpu.product of the nodes; that of the types unless given."
    )
    instance_types: tuple[InstanceType, ...] = Field(
        description="Instance types with the same GPUs; AWS takes one that it has."
    )
    min: int = Field(default=0, strict=True, ge=0, le=450, description="Fewest nodes.")
    max: int = Field(default=4, strict=True, ge=1, le=450, description="Most nodes.")
    capacity: Capacity = Field(default=Capacity.ON_DEMAND, description="How nodes are bought.")
    volume_gb: int = Field(default=100, strict=True, ge=50, le=16_384, description="Size of a node's disk.")

    @property
    def machine(self) -> Machine:
        """What the pool's types have in common."""
        machine = machine_of(self.instance_types[0])
        assert machine is not None  # noqa: S101 - the type is checked
        return machine

    @property
    def label(self) -> str | None:
        """The value of the label nvidia.com/gpu.product."""
        return self.product or self.machine.product


def _pools_unique(data: object) -> Iterator[Breach]:
    first: dict[str, int] = {}
    for index, pool in enumerate(entries(peek(data, "pools"))):
        name = peek(pool, "name")
        if not isinstance(name, str):
            continue
        location = ("pools", index, "name")
        if name in {SYSTEM_POOL, CPU_POOL}:
            rule = f"is the pool serverless.cluster.nodes.{name}"
            yield Breach(location, name, "duplicate-name", rule, "give the pool another name, as in 'l4'")
        elif first.setdefault(name, index) != index:
            rule = f"is also pools[{first[name]}].name"
            yield Breach(location, name, "duplicate-name", rule, "give each pool a name of its own")


class GpuNodes(RuledSection):
    """Nodes of machines with GPUs, and who brings them."""

    cross_rules = (_pools_unique,)

    autoscaler: GpuAutoscaler = Field(default=GpuAutoscaler.NODE_GROUPS, description="Who brings GPU nodes.")
    pools: tuple[GpuPool, ...] = Field(default=(), description="The pools.")


def _addons_of_version(data: object) -> Iterator[Breach]:
    """The versions that are known here are those of one version of Kubernetes: for another, the file names them."""
    version = peek(data, "version", default=DEFAULT_VERSION)
    if version == DEFAULT_VERSION or not isinstance(version, str):
        return
    given = peek(data, "addons")
    missing = [addon for addon in ADDONS if peek(given, addon) is None]
    if missing:
        rule = f"pins add-ons of Kubernetes {DEFAULT_VERSION}, and version is {version}: {', '.join(missing)}"
        fix = f"name their versions; `aws eks describe-addon-versions --kubernetes-version {version}` lists them"
        yield Breach(("addons",), None, "addons-of-version", rule, fix)


def _proxy_of_version(data: object) -> Iterator[Breach]:
    version, proxy = peek(data, "version", default=DEFAULT_VERSION), peek(data, "addons", "kube-proxy")
    if isinstance(version, str) and isinstance(proxy, str) and not proxy.startswith(f"v{version}."):
        rule = f"is not for Kubernetes {version}, the cluster's version"
        fix = f"take a version that starts with 'v{version}.'; `aws eks describe-addon-versions` lists them"
        yield Breach(("addons", "kube-proxy"), proxy, "addons-of-version", rule, fix)


def _some_admin(data: object) -> Iterator[Breach]:
    admins = entries(peek(data, "admins"))
    if peek(data, "admins") == []:
        fix = "name the role of those who run the cluster, as in 'arn:aws:iam::123456789012:role/vision-admin'"
        yield Breach(("admins",), admins, "no-admin", "leaves nobody who may enter the cluster", fix)
    for index, admin in enumerate(admins):
        if admin in admins[:index]:
            yield Breach(("admins", index), admin, "duplicate-name", "stands twice", "name each admin once")


def _system_of_tier(data: object) -> Iterator[Breach]:
    least = peek(data, "nodes", "system", "min", default=2)
    if peek(data, "tier", default=Tier.PRODUCTION) == Tier.PRODUCTION and least == 1:
        rule = f"is under {LEAST_PRODUCTION_NODES}, and tier production survives the loss of a node"
        fix = f"write {LEAST_PRODUCTION_NODES} or more, or serverless.cluster.tier: development"
        yield Breach(("nodes", "system", "min"), least, "tier-of-replicas", rule, fix)


def _callers(data: object) -> Iterator[Breach]:
    yield from overlap_breaches("public_access_cidrs", peek(data, "public_access_cidrs"))


def _machines(data: object) -> Iterator[tuple[int, object, Machine]]:
    """The machines of a pool, as far as its instance types are right, with their places in the list."""
    for index, instance_type in enumerate(entries(peek(data, "instance_types"))):
        machine = machine_of(instance_type)
        if machine is not None:
            yield index, instance_type, machine


class Addons(Section):
    """The cluster's add-ons, each in one version."""

    vpc_cni: AddonVersion = Field(
        default="v1.21.1-eksbuild.1", alias="vpc-cni", description="Addresses of the VPC for pods."
    )
    kube_proxy: AddonVersion = Field(
        default="v1.34.1-eksbuild.2", alias="kube-proxy", description="Services; of the cluster's own version."
    )
    coredns: AddonVersion = Field(default="v1.12.4-eksbuild.1", description="Names of services.")
    pod_identity: AddonVersion = Field(
        default="v1.3.10-eksbuild.2", alias="eks-pod-identity-agent", description="IAM roles for pods."
    )
    ebs_csi: AddonVersion = Field(
        default="v1.54.0-eksbuild.1", alias="aws-ebs-csi-driver", description="Disks for pods."
    )


ADDONS = tuple(field.alias or name for name, field in Addons.model_fields.items())


class Cluster(RuledSection):
    """An EKS cluster with private nodes."""

    cross_rules = (_addons_of_version, _proxy_of_version, _some_admin, _system_of_tier, _callers)

    tier: Tier = Field(default=Tier.PRODUCTION, description="What an outage costs; production refuses to be deleted.")
    version: KubernetesVersion = Field(default=DEFAULT_VERSION, description="Version of Kubernetes, in quotes.")
    admins: tuple[Principal, ...] = Field(description="ARNs of the IAM roles or users that may do everything in it.")
    public_access_cidrs: tuple[Cidr, ...] = Field(
        default=(), description="Ranges from which the API is reached over the internet; none unless given."
    )
    nodes: Nodes = Field(default_factory=defaults(Nodes), description="The nodes without GPUs.")
    gpu: GpuNodes = Field(default_factory=defaults(GpuNodes), description="The nodes with GPUs.")
    addons: Addons = Field(
        default_factory=defaults(Addons),
        description=f"Versions of the add-ons; those for {DEFAULT_VERSION} unless given.",
    )
