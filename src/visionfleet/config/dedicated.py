"""Section `dedicated`: endpoints on machines of their own, each at a name of its own."""

import zoneinfo
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, Field

from visionfleet.config.aws_kinds import AmiId, Cidr, Clock, range_of
from visionfleet.config.cloud import Capacity
from visionfleet.config.errors import near_miss
from visionfleet.config.kinds import Digest, Label, PositiveCount, Repository
from visionfleet.config.machines import Gpu, InstanceType, machine_of, types_with
from visionfleet.config.secrets import AwsSecretRef
from visionfleet.config.section import Breach, RuledSection, Section, defaults, entries, peek, refusal
from visionfleet.terms import Scaling, Tier

LEAST_PRODUCTION_REPLICAS = 2
MINUTES_A_DAY = 24 * 60
# AWS's GPU image for Ubuntu comes with a disk of 75 GB, the server's image takes 10 GB, twice at a change of version
LEAST_VOLUME_GB = 100
GPU_IMAGE = "roboflow/roboflow-inference-server-gpu"
CPU_IMAGE = "roboflow/roboflow-inference-server-cpu"


class Day(StrEnum):
    """The days of a week."""

    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"


WORKING_DAYS = (Day.MONDAY, Day.TUESDAY, Day.WEDNESDAY, Day.THURSDAY, Day.FRIDAY)


def _min_over_max(data: object) -> Iterator[Breach]:
    low, high = peek(data, "min"), peek(data, "max")
    if isinstance(low, int) and isinstance(high, int) and low > high:
        yield Breach(("min",), low, "min-over-max", f"is over max, {high}", "raise max, or lower min")


class Replicas(RuledSection):
    """The fewest and the most machines of an endpoint."""

    cross_rules = (_min_over_max,)

    min: PositiveCount | None = Field(
        default=None, description="Fewest machines; 2 in production, 1 in development unless given."
    )
    max: PositiveCount | None = Field(default=None, description="Most machines; as `min` unless given.")


class ManualScaling(Section):
    """Nothing changes the number of machines, but you."""

    kind: Literal[Scaling.MANUAL] = Field(description="`manual`: replicas.min machines run.")


class RequestScaling(Section):
    """As many machines as requests need."""

    kind: Literal[Scaling.REQUESTS] = Field(description="`requests`: follow the requests to a machine.")
    target: int = Field(
        strict=True, ge=1, le=1_000_000, description="Requests that a machine answers in a minute when it is busy."
    )


class GpuScaling(Section):
    """As many machines as keep the GPUs at a utilisation."""

    kind: Literal[Scaling.GPU] = Field(description="`gpu`: follow the utilisation of the GPUs.")
    target: int = Field(strict=True, ge=1, le=100, description="Utilisation of the GPUs to hold, in percent.")


def _start_is_not_stop(data: object) -> Iterator[Breach]:
    start, stop = peek(data, "start"), peek(data, "stop")
    if start == stop and isinstance(start, str):
        fix = "give the office hours a length, or remove the schedule"
        yield Breach(("stop",), stop, "empty-schedule", "is also the start", fix)


def _days_once(data: object) -> Iterator[Breach]:
    days = peek(data, "days")
    if days == []:
        fix = "name the days, or remove the key for Monday to Friday"
        yield Breach(("days",), days, "empty-schedule", "has no day", fix)
    for index, day in enumerate(entries(days)):
        if day in entries(days)[:index]:
            yield Breach(("days", index), day, "duplicate-name", "stands twice", "name each day once")


def _check_timezone(name: str) -> str:
    known = zoneinfo.available_timezones() if not _is_timezone(name) else set[str]()
    if known:  # a machine without a database of time zones knows none: then AWS judges
        fix = near_miss(name, sorted(known - {"localtime"})).partition(" Known:")[0]
        fix = fix if fix.startswith("did") else "write a name of the IANA database, as in 'Europe/Berlin'"
        raise refusal("unknown-timezone", "is not a time zone", fix)
    return name


def _is_timezone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


class Schedule(RuledSection):
    """Office hours: outside them no machine runs."""

    cross_rules = (_start_is_not_stop, _days_once)

    start: Clock = Field(description='Time of day when machines start, as in "07:00".')
    stop: Clock = Field(description="Time of day when machines stop; before `start`, it is of the next day.")
    days: tuple[Day, ...] = Field(default=WORKING_DAYS, description="Days on which machines start.")
    timezone: Annotated[str, AfterValidator(_check_timezone)] = Field(
        default="Etc/UTC", description="Time zone of `start` and `stop`, as in `Europe/Berlin`."
    )

    @property
    def is_overnight(self) -> bool:
        """Whether machines stop on the day after."""
        return self.stop < self.start

    @property
    def weekly_hours(self) -> float:
        """For how many hours of a week machines run."""
        minutes = (_minutes(self.stop) - _minutes(self.start)) % MINUTES_A_DAY
        return len(self.days) * minutes / 60


def _minutes(clock: str) -> int:
    hours, minutes = map(int, clock.split(":"))
    return 60 * hours + minutes


def _gpu_of_instance_type(data: object) -> Iterator[Breach]:
    instance_type, gpu = peek(data, "instance_type"), peek(data, "gpu")
    machine = machine_of(instance_type)
    if machine is None or gpu is None or gpu not in list(Gpu) or machine.gpu == gpu:
        return
    has = f"has {machine.gpu}" if machine.gpu else "has no GPU"
    fix = f"write gpu: {machine.gpu}, or take a type" if machine.gpu else "remove the key, or take a type"
    fix = f"{fix} of a family with {gpu}: {types_with(Gpu(str(gpu)))}"
    yield Breach(("gpu",), gpu, "gpu-of-instance-type", f"is not the GPU of instance_type: {instance_type} {has}", fix)


def _image_of_instance_type(data: object) -> Iterator[Breach]:
    image = peek(data, "image")
    machine = machine_of(peek(data, "instance_type"))
    if machine is not None and isinstance(image, str):
        yield from image_breaches(("image",), image, f"instance_type {peek(data, 'instance_type')}", machine.gpu)


def image_breaches(location: tuple[str | int, ...], image: str, what: str, gpu: Gpu | None) -> Iterator[Breach]:
    """What is wrong with an image on a machine with, or without, a GPU. Other images are taken as they are."""
    if gpu is not None and image.endswith("-cpu"):
        fix = f"remove the key: the image follows the machine; or write '{image.removesuffix('cpu')}gpu'"
        yield Breach(location, image, "image-of-gpu", f"is an image for CPUs, and {what} has a GPU, {gpu}", fix)
    elif gpu is None and image.endswith("-gpu"):
        fix = f"remove the key: the image follows the machine; or write '{image.removesuffix('gpu')}cpu'"
        yield Breach(location, image, "image-of-gpu", f"is an image for GPUs, and {what} has none", fix)


def _digest_with_image(data: object) -> Iterator[Breach]:
    if peek(data, "digest") is not None and peek(data, "image") is None:
        rule = "is missing: a digest belongs to one repository"
        yield Breach(("image",), None, "digest-of-image", rule, f"add image, as in '{GPU_IMAGE}'")


def _production(data: object) -> Iterator[Breach]:
    if peek(data, "tier") != Tier.PRODUCTION:
        return
    low, high = (peek(data, "replicas", key) for key in ("min", "max"))
    for key, count in (("min", low), ("max", high)):
        if isinstance(count, int) and count < LEAST_PRODUCTION_REPLICAS:
            rule = f"is under {LEAST_PRODUCTION_REPLICAS}, and tier production survives the loss of a machine"
            fix = f"write {LEAST_PRODUCTION_REPLICAS} or more, or tier: development"
            yield Breach(("replicas", key), count, "tier-of-replicas", rule, fix)
    if peek(data, "capacity") == Capacity.SPOT:
        rule = "is what AWS takes back at two minutes' notice, and tier is production"
        yield Breach(("capacity",), Capacity.SPOT, "tier-of-capacity", rule, "write on-demand, or tier: development")
    if peek(data, "schedule") is not None:
        rule = "stops all machines, and tier is production"
        yield Breach(("schedule",), None, "tier-of-schedule", rule, "remove the schedule, or write tier: development")


def _scaling(data: object) -> Iterator[Breach]:
    kind = peek(data, "scaling", "kind")
    instance_type = peek(data, "instance_type")
    machine = machine_of(instance_type)
    if kind == Scaling.GPU and machine is not None and machine.gpu is None:
        rule = f"needs a GPU, and instance_type {instance_type} has none"
        fix = "write kind: requests, or take a type with a GPU, as in 'g6.xlarge'"
        yield Breach(("scaling", "kind"), kind, "scaling-of-gpu", rule, fix)
    if kind not in (Scaling.GPU, Scaling.REQUESTS):
        return
    high, low = peek(data, "replicas", "max"), peek(data, "replicas", "min")
    least = low or (LEAST_PRODUCTION_REPLICAS if peek(data, "tier") == Tier.PRODUCTION else 1)
    if high is None or high == least:
        rule = "leaves scaling nothing to do: replicas.max is not over replicas.min"
        yield Breach(("scaling",), None, "nothing-to-scale", rule, "raise replicas.max, or write kind: manual")


def _warm_pool(data: object) -> Iterator[Breach]:
    if peek(data, "warm_pool") is True and peek(data, "capacity") == Capacity.SPOT:
        rule = "keeps machines ready, and AWS keeps no spot machine"
        yield Breach(("warm_pool",), True, "warm-pool-of-spot", rule, "write warm_pool: false, or capacity: on-demand")


def _clients(data: object) -> Iterator[Breach]:
    cidrs = peek(data, "allowed_cidrs")
    if cidrs == []:
        fix = "name the ranges of the clients, or remove the key for everybody who has a key"
        yield Breach(("allowed_cidrs",), cidrs, "no-clients", "leaves no client", fix)
    yield from overlap_breaches("allowed_cidrs", cidrs)


def overlap_breaches(key: str, cidrs: object) -> Iterator[Breach]:
    """Ranges of a list that lie in others of it: AWS refuses a rule that is there already."""
    ranges = [range_of(cidr) for cidr in entries(cidrs)]
    for index, inner in enumerate(ranges):
        for other, outer in enumerate(ranges):
            if inner is None or outer is None or index == other or not inner.subnet_of(outer):
                continue
            if inner != outer or other < index:
                rule = f"lies in {key}[{other}], '{outer}'"
                yield Breach((key, index), str(inner), "overlapping-ranges", rule, "remove one of the two")
                break


class Dedicated(RuledSection):
    """An endpoint on machines of its own, at `https://<name>.<domain>`."""

    cross_rules = (
        *(_gpu_of_instance_type, _image_of_instance_type, _digest_with_image, _production, _scaling),
        *(_warm_pool, _clients),
    )

    name: Label = Field(description="Name of the endpoint: the first part of its host name.")
    tier: Tier = Field(description="What an outage costs.")
    instance_type: InstanceType = Field(description="Instance type of EC2, as in `g6.xlarge`.")
    gpu: Gpu | None = Field(default=None, description="GPU of the instance type; to be sure that it is the one meant.")
    image: Repository | None = Field(
        default=None,
        description="Repository of the image; `inference.image` unless given, else the one for the machine.",
    )
    digest: Digest | None = Field(default=None, description="Digest that pins `image` instead of the version.")
    ami: AmiId | None = Field(
        default=None, description="Machine image; AWS's newest one with NVIDIA's driver unless given, and then kept."
    )
    capacity: Capacity = Field(default=Capacity.ON_DEMAND, description="How machines are bought.")
    replicas: Replicas = Field(default_factory=defaults(Replicas), description="How many machines there are.")
    scaling: ManualScaling | RequestScaling | GpuScaling = Field(
        default_factory=lambda: cast("ManualScaling", {"kind": Scaling.MANUAL}),
        discriminator="kind",
        description="What the number of machines follows.",
    )
    schedule: Schedule | None = Field(default=None, description="Office hours; around the clock unless given.")
    warm_pool: bool = Field(
        default=False, strict=True, description="Whether stopped machines are kept, which serve within a minute."
    )
    volume_gb: int = Field(
        default=LEAST_VOLUME_GB, strict=True, ge=LEAST_VOLUME_GB, le=16_384, description="Size of a machine's disk."
    )
    allowed_cidrs: tuple[Cidr, ...] = Field(
        default=("0.0.0.0/0",), description="Ranges that clients come from; everybody with a key unless given."
    )
    api_key: AwsSecretRef | None = Field(
        default=None,
        description="The server's key for the hub, as `aws-secretsmanager:NAME`; an empty secret is made unless given.",
    )

    @property
    def least(self) -> int:
        """The fewest machines that run."""
        return self.replicas.min or (LEAST_PRODUCTION_REPLICAS if self.tier is Tier.PRODUCTION else 1)

    @property
    def most(self) -> int:
        """The most machines that run."""
        return max(self.replicas.max or self.least, self.least)
