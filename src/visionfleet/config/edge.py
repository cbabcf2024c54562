"""Section `edge`: the devices at the edge, in groups that are alike."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from visionfleet.config.device_classes import DeviceClass, Jetpack, OperatingSystem
from visionfleet.config.edge_rules import (
    SSH_PORT,
    account_whole,
    addresses_unique,
    image_of_hardware,
    jetpack_of_hardware,
    labels_apart,
    names_free,
    names_unique,
    one_question,
    os_of_hardware,
    power_of_hardware,
    something_else,
)
from visionfleet.config.kinds import (
    Account,
    Address,
    DebianPackage,
    DebianVersion,
    Digest,
    FolderPath,
    Label,
    LabelValue,
    ModelId,
    Port,
    Repository,
    User,
    Version,
    WorkflowId,
)
from visionfleet.config.secrets import SecretRef
from visionfleet.config.section import RuledSection, Section, defaults, refusal

FLEET_KEY = SecretRef("env", "VISIONFLEET_FLEET_KEY")

Labels = Mapping[Label, LabelValue]


class Exposure(StrEnum):
    """Who reaches a device's server: what runs on the device, or its whole network."""

    LOCALHOST = "localhost"
    LAN = "lan"


class Isolation(StrEnum):
    """How the server's container is kept apart from the device."""

    STRICT = "strict"
    PRIVILEGED = "privileged"


class EdgeRegistry(RuledSection):
    """What devices need to pull from `inference.registry`, beside its address."""

    cross_rules = (account_whole,)

    ca: FolderPath | None = Field(
        default=None, description="Certificate of the authority that signed the registry's, in PEM."
    )
    user: Account | None = Field(default=None, description="Account at the registry; needs `password`.")
    password: SecretRef | None = Field(
        default=None, description="Password of the account, as `env:NAME` or `file:PATH`; needs `user`."
    )


class ContainerEngine(Section):
    """The container engine of a device."""

    package: DebianPackage = Field(default="docker.io", description="Debian package of Docker.")
    version: DebianVersion | None = Field(
        default=None,
        description="Version of the package, in quotes; what the device's apt prefers unless given.",
    )


class Health(Section):
    """The health gate of a release."""

    ready_seconds: int = Field(
        default=600, strict=True, ge=10, le=7200, description="Seconds in which the server must have loaded its models."
    )
    soak_seconds: int = Field(
        default=30, strict=True, ge=0, le=3600, description="Seconds for which it must then stay well."
    )


class Golden(RuledSection):
    """A picture whose answer is known: a release that answers otherwise goes back."""

    cross_rules = (one_question,)

    name: Label = Field(description="Name of the golden picture.")
    image: FolderPath = Field(description="The picture, a file.")
    model: ModelId | None = Field(default=None, description="Model that is asked; this or `workflow`.")
    workflow: WorkflowId | None = Field(default=None, description="Workflow that is asked; this or `model`.")
    expected: FolderPath = Field(
        description="JSON file with what the answer must hold; keys that it leaves out may be anything."
    )
    tolerance: float = Field(
        default=0.05,
        strict=True,
        ge=0,
        le=1,
        description="How far a fraction may be from the expected, as a share of the larger of both, or of 1.",
    )


class Power(Section):
    """How much a Jetson may draw, and how fast it runs."""

    mode: int | None = Field(
        default=None, strict=True, ge=0, le=63, description="Mode of `nvpmodel`; as it is unless given."
    )
    clocks: bool = Field(
        default=False, strict=True, description="Whether clocks are held at the highest that the mode allows."
    )


def _check_key(key: SecretRef) -> SecretRef:
    if not str(key).startswith("file:"):
        rule = "is no file, and ssh reads keys from files alone"
        raise refusal("key-of-ssh", rule, "write 'file:PATH', as in 'file:~/.ssh/edge'")
    return key


class Ssh(Section):
    """How the controller reaches devices. What is left out is as ssh's own settings have it."""

    user: User | None = Field(default=None, description="User on the devices.")
    port: Port = Field(default=SSH_PORT, description="Port of sshd.")
    private_key: Annotated[SecretRef, AfterValidator(_check_key)] | None = Field(
        default=None, description="Private key of the user, as `file:PATH`."
    )
    password: SecretRef | None = Field(
        default=None, description="Password of the user, as `env:NAME` or `file:PATH`; better is a key."
    )
    become_password: SecretRef | None = Field(
        default=None, description="Password for sudo, as `env:NAME` or `file:PATH`; none is asked for unless given."
    )
    known_hosts: FolderPath | None = Field(default=None, description="File of the devices' host keys.")


class Device(Section):
    """A device. What it leaves out is as overrides and its group have it."""

    name: Label = Field(description="Name of the device, its own in the whole file.")
    address: Address = Field(description="Address or name under which it is reached.")
    site: Label | None = Field(default=None, description="Where it is.")
    labels: Labels = Field(default={}, description="Labels, beside those of the group.")
    version: Version | None = Field(default=None, description="Version of the inference server, in quotes.")
    digest: Digest | None = Field(default=None, description="Digest that pins the image instead of the version.")
    models: tuple[ModelId, ...] | None = Field(default=None, description="The models that it serves.")
    workflows: tuple[WorkflowId, ...] | None = Field(default=None, description="The workflows that it serves.")
    exposure: Exposure | None = Field(default=None, description="Who reaches its server.")


class DeviceGroup(RuledSection):
    """Devices of one kind, which are released to together."""

    cross_rules = (jetpack_of_hardware, os_of_hardware, power_of_hardware, image_of_hardware)

    name: Label = Field(description="Name of the group.")
    hardware: DeviceClass = Field(description="What the devices are.")
    jetpack: Jetpack | None = Field(
        default=None, description="JetPack of the devices, in quotes: of a Jetson required, of others nothing."
    )
    os: OperatingSystem | None = Field(
        default=None, description="Operating system of the devices; whatever they have unless given."
    )
    memory_gb: int | None = Field(
        default=None, strict=True, ge=1, le=1024, description="Memory of the devices; the class's least unless given."
    )
    site: Label | None = Field(default=None, description="Where the devices are.")
    labels: Labels = Field(default={}, description="Labels, which overrides match and the inventory groups by.")
    version: Version | None = Field(
        default=None, description="Version of the inference server, in quotes; `inference.version` unless given."
    )
    image: Repository | None = Field(
        default=None,
        description="Repository of the image; unless given, `inference.image`, or what fits a Jetson or an NVIDIA GPU.",
    )
    digest: Digest | None = Field(default=None, description="Digest that pins the image instead of the version.")
    models: tuple[ModelId, ...] | None = Field(
        default=None, description="The models that the devices serve; all of the file unless given."
    )
    workflows: tuple[WorkflowId, ...] | None = Field(
        default=None, description="The workflows that the devices serve; all in the folder unless given."
    )
    exposure: Exposure = Field(default=Exposure.LOCALHOST, description="Who reaches the devices' servers.")
    isolation: Isolation = Field(
        default=Isolation.STRICT,
        description="How the container is kept apart: strict has a read-only root and no capabilities.",
    )
    power: Power | None = Field(default=None, description="Power of a Jetson; as it is unless given.")
    ssh: Ssh = Field(default_factory=defaults(Ssh), description="How the controller reaches the devices.")
    devices: tuple[Device, ...] = Field(default=(), description="The devices.")
    devices_from: FolderPath | None = Field(
        default=None, description="File of further devices: .csv with a header, or .jsonl with an object a line."
    )


class Override(RuledSection):
    """What devices with certain labels have instead. A later one wins, and a device's own keys win over all."""

    cross_rules = (something_else,)

    match: Labels = Field(description="Labels that a device must have, all of them.")
    version: Version | None = Field(default=None, description="Version of the inference server, in quotes.")
    digest: Digest | None = Field(default=None, description="Digest that pins the image instead of the version.")
    models: tuple[ModelId, ...] | None = Field(default=None, description="The models that the devices serve.")
    workflows: tuple[WorkflowId, ...] | None = Field(default=None, description="The workflows that the devices serve.")
    exposure: Exposure | None = Field(default=None, description="Who reaches the devices' servers.")


class Edge(RuledSection):
    """The devices at the edge. They are no resources of the cloud."""

    cross_rules = (names_unique, names_free, labels_apart, addresses_unique)

    fleet_key: SecretRef = Field(
        default=FLEET_KEY,
        description="The hub's key of role `fleet`, which enrols devices and reads their state, as `env:NAME`.",
    )
    registry: EdgeRegistry = Field(
        default_factory=defaults(EdgeRegistry), description="How devices pull from `inference.registry`."
    )
    container_engine: ContainerEngine = Field(
        default_factory=defaults(ContainerEngine), description="What runs containers on the devices."
    )
    report_seconds: int = Field(
        default=60, strict=True, ge=15, le=86_400, description="Seconds between two reports of a device to the hub."
    )
    health: Health = Field(
        default_factory=defaults(Health), description="What a new release must show before it stays."
    )
    goldens: tuple[Golden, ...] = Field(default=(), description="Pictures whose answers are known.")
    groups: tuple[DeviceGroup, ...] = Field(default=(), description="The groups of devices.")
    overrides: tuple[Override, ...] = Field(
        default=(), description="What devices with certain labels have instead; a later one wins."
    )
