"""Section `serverless.serving`: the inference servers on Kubernetes, in pools that are alike."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from visionfleet.config.kinds import Count, Digest, Label, ModelId, PositiveCount, Repository, Version
from visionfleet.config.pods import Exposure, ExposureKind, Gpus, Pod
from visionfleet.config.section import Breach, Location, RuledSection, Section, defaults, entries, peek
from visionfleet.terms import AccessMode, ScalingMetric

Seconds = Annotated[int, Field(strict=True, ge=1, le=7200)]
Percent = Annotated[int, Field(strict=True, ge=1, le=100)]


class Hardware(StrEnum):
    """What a server computes on."""

    CPU = "cpu"
    GPU = "gpu"


class RequestScaling(Section):
    """As many servers as requests need."""

    kind: Literal[ScalingMetric.REQUESTS] = Field(description="`requests`: follow the requests in flight.")
    target: PositiveCount = Field(description="Requests that a server has in flight when it is busy.")


class GpuScaling(Section):
    """As many servers as keep their GPUs at a utilisation."""

    kind: Literal[ScalingMetric.GPU] = Field(description="`gpu`: follow the utilisation of the GPUs.")
    target: Percent = Field(description="Utilisation of the GPUs to hold, in percent.")


class CpuScaling(Section):
    """As many servers as keep their processors at a utilisation."""

    kind: Literal[ScalingMetric.CPU] = Field(description="`cpu`: follow the utilisation of the processors.")
    target: Percent = Field(description="Utilisation to hold, in percent of `cpus`.")


def _min_over_max(data: object) -> Iterator[Breach]:
    low, high = peek(data, "min", default=1), peek(data, "max")
    if isinstance(low, int) and isinstance(high, int) and low > high:
        key, value = ("min", low) if peek(data, "min") is not None else ("max", high)
        rule = f"is over max, {high}" if key == "min" else f"is under min, {low}"
        yield Breach((key,), value, "min-over-max", rule, "raise max, or lower min")


class ServingReplicas(RuledSection):
    """The fewest and the most servers of a pool."""

    cross_rules = (_min_over_max,)

    min: Count = Field(default=1, description="Fewest servers; 0 needs KEDA with its HTTP add-on.")
    max: PositiveCount | None = Field(default=None, description="Most servers; as `min` unless given.")

    @property
    def most(self) -> int:
        """The most servers that run."""
        return max(self.max or self.min, 1)


def _version_or_digest(data: object) -> Iterator[Breach]:
    if peek(data, "version") is None and peek(data, "digest") is None:
        rule = "is missing, and digest is, too: the second version would be the first"
        yield Breach(("version",), None, "empty-canary", rule, 'add the version to try, as in "1.8.4", or its digest')


class Canary(RuledSection):
    """A second version that gets a part of the requests."""

    cross_rules = (_version_or_digest,)

    version: Version | None = Field(default=None, description="Its version, in quotes.")
    digest: Digest | None = Field(default=None, description="Digest that pins its image instead of the version.")
    weight: int = Field(
        strict=True,
        ge=0,
        le=99,
        description="Percent of the requests; without a Gateway, of the servers, as near as their number lets it be. "
        "Begin with 0 at a Gateway, which fails requests to a version that is not ready.",
    )


def _of_hardware(data: object) -> Iterator[Breach]:
    """What only a server with a GPU has."""
    if peek(data, "hardware") != Hardware.CPU:
        return
    for key in ("product", "gpus", "runtime_class", "spare_gpus"):
        if peek(data, key) is not None:
            rule = "is about GPUs, and hardware is cpu"
            yield Breach((key,), peek(data, key), "gpu-of-hardware", rule, "remove the key, or write hardware: gpu")
    if peek(data, "scaling", "kind") == ScalingMetric.GPU:
        rule = "follows GPUs, and hardware is cpu"
        fix = "write kind: requests or cpu, or hardware: gpu"
        yield Breach(("scaling", "kind"), ScalingMetric.GPU, "scaling-of-gpu", rule, fix)


def _image_of_hardware(data: object) -> Iterator[Breach]:
    yield from image_breaches(("image",), peek(data, "image"), peek(data, "hardware"), "hardware")


def image_breaches(location: Location, image: object, hardware: object, where: str) -> Iterator[Breach]:
    """What is wrong with one of Roboflow's images on the hardware that `where` names. Others are taken as they are."""
    for known, other in ((Hardware.CPU, "gpu"), (Hardware.GPU, "cpu")):
        if hardware == known and isinstance(image, str) and image.endswith(f"-{other}"):
            rule = f"is an image for {other.upper()}s, and {where} is {known}"
            yield Breach(location, image, "image-of-gpu", rule, "remove the key: the image follows the hardware")


def _something_to_scale(data: object) -> Iterator[Breach]:
    low, most = _replicas(data)
    scaling = peek(data, "scaling")
    if low is None or most is None:
        return
    if low == most and scaling is not None:
        rule = "leaves scaling nothing to do: replicas.max is not over replicas.min"
        yield Breach(("scaling",), None, "nothing-to-scale", rule, "raise replicas.max, or remove scaling")
    elif low < most and scaling is None:
        rule = "is missing, and replicas.max is over replicas.min"
        fix = "add it, as in {kind: requests, target: 4}, or remove replicas.max"
        yield Breach(("scaling",), None, "nothing-to-scale", rule, fix)


def _from_zero(data: object) -> Iterator[Breach]:
    kind = peek(data, "scaling", "kind")
    if _replicas(data)[0] == 0 and kind in (ScalingMetric.GPU, ScalingMetric.CPU):
        rule = "cannot start the first server: with replicas.min 0, nothing is busy before a request comes"
        fix = "write kind: requests, or replicas.min: 1"
        yield Breach(("scaling", "kind"), kind, "scaling-from-zero", rule, fix)


def _canary_has_room(data: object) -> Iterator[Breach]:
    if peek(data, "canary") is None:
        return
    low, most = _replicas(data)
    if low == 0:
        rule = "is beside servers that go down to replicas.min 0, of which a request starts one version alone"
        yield Breach(("canary",), None, "canary-of-replicas", rule, "write replicas.min: 1 or more, or remove canary")
    elif most == 1 and peek(data, "expose", "kind") != ExposureKind.GATEWAY:
        rule = "cannot be made: without a Gateway it is a share of the servers, and replicas.max is 1"
        fix = "raise replicas.max, or write expose: {kind: gateway, …}, which splits requests"
        yield Breach(("canary", "weight"), peek(data, "canary", "weight"), "canary-of-replicas", rule, fix)
    elif peek(data, "canary", "weight") == 0 and peek(data, "expose", "kind") != ExposureKind.GATEWAY:
        rule = "cannot be made: without a Gateway each server gets requests"
        fix = "raise it, or write expose: {kind: gateway, …}, which splits requests"
        yield Breach(("canary", "weight"), 0, "canary-of-replicas", rule, fix)


def _cache_has_room(data: object) -> Iterator[Breach]:
    """A volume of one node keeps pods on every other node waiting."""
    _, most = _replicas(data)
    several = (most is not None and most > 1) or peek(data, "canary") is not None
    if several and peek(data, "cache", "access_mode") == AccessMode.ONCE:
        yield one_node_breach(("cache", "access_mode"), "the pool may have more than one server")


def one_node_breach(location: Location, why: str) -> Breach:
    """A claim that one node mounts, for pods that are on several."""
    rule = f"is a volume of one node, and {why}: on other nodes they would wait for it"
    fix = "write ReadWriteMany, or cache: {kind: node, …}, which is a folder of each node"
    return Breach(location, AccessMode.ONCE, "cache-of-replicas", rule, fix)


def _replicas(data: object) -> tuple[int | None, int | None]:
    """The fewest and the most servers, in data that nothing has checked yet; None where it is no number."""
    low, high = peek(data, "replicas", "min", default=1), peek(data, "replicas", "max")
    least = low if isinstance(low, int) else None
    if high is None and least is not None:
        return least, max(least, 1)
    return least, high if isinstance(high, int) else None


def _models_once(data: object) -> Iterator[Breach]:
    models = entries(peek(data, "models"))
    for index, model in enumerate(models):
        if model in models[:index]:
            yield Breach(("models", index), model, "duplicate-name", "stands twice", "name each model once")


class _Named(RuledSection):
    """What stands first in a pool."""

    name: Label = Field(description="Name of the pool; in the cluster it answers at `<deployment>-serving-<name>`.")
    hardware: Hardware = Field(description="What the servers compute on.")


class ServingPool(Pod, Gpus, _Named):
    """Servers that are alike, behind one name."""

    cross_rules = (
        *(_of_hardware, _image_of_hardware, _something_to_scale, _from_zero, _canary_has_room, _cache_has_room),
        _models_once,
    )

    models: tuple[ModelId, ...] | None = Field(
        default=None, description="Models that are loaded before a server is ready; all of the file unless given."
    )
    version: Version | None = Field(
        default=None, description="Version of the inference server, in quotes; `inference.version` unless given."
    )
    image: Repository | None = Field(
        default=None,
        description="Repository of the image; `inference.image` unless given, else the one for the hardware.",
    )
    digest: Digest | None = Field(default=None, description="Digest that pins the image instead of the version.")
    replicas: ServingReplicas = Field(
        default_factory=defaults(ServingReplicas), description="How many servers there are."
    )
    scaling: RequestScaling | GpuScaling | CpuScaling | None = Field(
        default=None,
        discriminator="kind",
        description="What the number of servers follows; nothing unless given.",
    )
    scale_up_seconds: int = Field(
        default=0, strict=True, ge=0, le=3600, description="Seconds for which more must be needed before more start."
    )
    scale_down_seconds: int = Field(
        default=300,
        strict=True,
        ge=0,
        le=3600,
        # the rate of a minute loses what ended pods have answered
        description="Seconds for which fewer must do before one is ended; with less than 60, an update may end one.",
    )
    start_seconds: Seconds = Field(
        default=600, description="Longest that a server may take to be ready: image, models, engines."
    )
    cold_start_seconds: Seconds = Field(
        default=120, description="What it takes as measured; who waits for the first server waits so long."
    )
    drain_seconds: Seconds = Field(default=30, description="Longest request that an ending server sees to its end.")
    spare_gpus: int | None = Field(
        default=None,
        strict=True,
        ge=0,
        le=64,
        description="GPUs that are free for a new version beside the old; "
        "worked out from `serverless.cluster` unless given, else 0.",
    )
    canary: Canary | None = Field(default=None, description="A second version; none unless given.")
    expose: Exposure | None = Field(
        default=None,
        discriminator="kind",
        description="How callers outside of the cluster reach it; not at all unless given.",
    )
