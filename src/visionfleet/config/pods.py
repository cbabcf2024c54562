"""What pods on Kubernetes have in common: what they ask of a node, where models are kept, how callers reach them."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Literal

from pydantic import Field

from visionfleet.config.aws_kinds import GpuProduct
from visionfleet.config.kinds import Domain, Label, PositiveCount
from visionfleet.config.kubernetes_kinds import (
    Annotations,
    LabelKey,
    Namespace,
    NodeFolder,
    NodeLabel,
    NodeLabels,
    ObjectName,
)
from visionfleet.config.section import Breach, RuledSection, Section, peek
from visionfleet.terms import AccessMode, CacheKind

CPU_MEMORY_GB, GPU_MEMORY_GB = 4, 8
CPUS, CPUS_WITH_GPU = 1.0, 2.0


class ExposureKind(StrEnum):
    """What brings callers from outside of the cluster."""

    INGRESS = "ingress"
    GATEWAY = "gateway"


class IngressExposure(Section):
    """An Ingress; its controller is there already."""

    kind: Literal[ExposureKind.INGRESS] = Field(description="`ingress`: an Ingress leads callers in.")
    host: Domain | None = Field(default=None, description="Host name; `<name>.<domain>` unless given.")
    class_name: ObjectName | None = Field(
        default=None, description="Ingress class; the cluster's default unless given."
    )
    tls_secret: ObjectName | None = Field(
        default=None, description="Secret with the certificate; the controller's own unless given."
    )
    annotations: Annotations = Field(default={}, description="Annotations of the Ingress.")


class ParentGateway(Section):
    """A Gateway that is there already."""

    name: ObjectName = Field(description="Name of the Gateway.")
    namespace: Namespace | None = Field(
        default=None, description="Namespace of the Gateway; `serverless.namespace` unless given."
    )
    listener: Label | None = Field(default=None, description="Listener of the Gateway; all unless given.")


class GatewayExposure(Section):
    """A route of the Gateway API."""

    kind: Literal[ExposureKind.GATEWAY] = Field(description="`gateway`: an HTTPRoute of the Gateway API does.")
    host: Domain | None = Field(default=None, description="Host name; `<name>.<domain>` unless given.")
    gateway: ParentGateway = Field(description="The Gateway that the route belongs to.")


Exposure = IngressExposure | GatewayExposure


class NoCache(Section):
    """Models are fetched by each pod, and go with it."""

    kind: Literal[CacheKind.NONE] = Field(description="`none`: models go with their pod.")
    size_gb: PositiveCount = Field(default=20, description="Most that a pod's models may take.")


class ClaimCache(Section):
    """Models are kept in a volume: for all pods of a pool, or for its only one."""

    kind: Literal[CacheKind.CLAIM] = Field(description="`claim`: a PersistentVolumeClaim keeps models.")
    size_gb: PositiveCount = Field(default=20, description="Size of the volume.")
    storage_class: ObjectName | None = Field(
        default=None, description="Storage class; the cluster's default unless given."
    )
    access_mode: AccessMode = Field(
        default=AccessMode.MANY, description="How many nodes mount it; ReadWriteOnce is for a single server."
    )
    claim: ObjectName | None = Field(default=None, description="A claim that is there; one is made unless given.")


class NodeCache(Section):
    """Models are kept in a folder of each node."""

    kind: Literal[CacheKind.NODE] = Field(description="`node`: a folder of each node keeps models.")
    path: NodeFolder = Field(description="The folder; it is there on each node, and group 10001 may write to it.")
    size_gb: PositiveCount = Field(default=20, description="What the folder is taken for.")


Cache = NoCache | ClaimCache | NodeCache


class TaintEffect(StrEnum):
    """What a taint does to pods, in Kubernetes' words."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class TolerationOperator(StrEnum):
    """How a taint's value is looked at, in Kubernetes' words."""

    EQUAL = "Equal"
    EXISTS = "Exists"


def _operator_of_toleration(data: object) -> Iterator[Breach]:
    """To Kubernetes a missing value is an empty one, and then the toleration fits no taint that has a value."""
    operator, value = peek(data, "operator", default=TolerationOperator.EQUAL), peek(data, "value")
    if operator == TolerationOperator.EXISTS and value is not None:
        rule = "is given, and operator is Exists, which takes any value"
        yield Breach(("value",), value, "operator-of-toleration", rule, "remove the key, or write operator: Equal")
    elif operator == TolerationOperator.EQUAL and peek(data, "key") is None:
        rule = "is missing, and operator is Equal, which looks at one taint"
        fix = "add the taint's key, as in 'sku', or write operator: Exists, for every taint"
        yield Breach(("key",), None, "operator-of-toleration", rule, fix)
    elif operator == TolerationOperator.EQUAL and value is None:
        rule = "is missing, and operator is Equal, which compares it with the taint's"
        fix = "add it, as in 'gpu', or write operator: Exists, for any value or none"
        yield Breach(("value",), None, "operator-of-toleration", rule, fix)


class Toleration(RuledSection):
    """Taints of nodes that pods put up with."""

    cross_rules = (_operator_of_toleration,)

    key: LabelKey | None = Field(
        default=None, description="Key of the taint, as in `sku`; any unless given, with `operator: Exists` alone."
    )
    operator: TolerationOperator = Field(
        default=TolerationOperator.EQUAL,
        description="`Equal`, where the taint has `value`; or `Exists`, whatever it has.",
    )
    value: NodeLabel | None = Field(
        default=None, description="Value of the taint, as in `gpu`; with `operator: Equal` alone."
    )
    effect: TaintEffect | None = Field(default=None, description="Effect of the taint; any unless given.")


Tolerations = tuple[Toleration, ...]


class Gpus(RuledSection):
    """The GPUs of a server."""

    product: GpuProduct | None = Field(
        default=None, description="Label nvidia.com/gpu.product of the nodes, as in `NVIDIA-L4`; any unless given."
    )
    gpus: int | None = Field(default=None, strict=True, ge=1, le=16, description="GPUs of a server; 1 unless given.")
    runtime_class: ObjectName | None = Field(
        default=None, description="Runtime class of the pods, where NVIDIA's is not the nodes' default."
    )


class Pod(RuledSection):
    """What a server asks of its node."""

    cpus: float | None = Field(
        default=None,
        strict=True,
        ge=0.1,
        le=256,
        description=f"Processors that a server gets; {CPUS:.0f}, with a GPU {CPUS_WITH_GPU:.0f} unless given.",
    )
    memory_gb: int | None = Field(
        default=None,
        strict=True,
        ge=1,
        le=4096,
        description=f"Memory of a server; {CPU_MEMORY_GB}, with a GPU {GPU_MEMORY_GB} unless given.",
    )
    cache: Cache = Field(
        default_factory=lambda: NoCache(kind=CacheKind.NONE),
        discriminator="kind",
        description="What keeps models when a pod goes; nothing unless given.",
    )
    node_labels: NodeLabels = Field(default={}, description="Labels that the nodes must have.")
    tolerations: Tolerations = Field(
        default=(), description="Taints that the pods put up with, beside that of nodes with GPUs where they have some."
    )
    priority_class: ObjectName | None = Field(default=None, description="Priority class of the pods.")
