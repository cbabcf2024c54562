"""The variables of the Ansible roles: one dataclass a role, a field a variable, `<role>_<field>` its name in Ansible.

`playbooks/roles/*/` has its argument specification, defaults and README from here (`make generate`), and the inventory
gives values to these variables alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, TypeVar, cast, get_args, get_origin, get_type_hints

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Doc:
    """What a variable is for. `choices` are all that it may be; Ansible never prints one that is `secret`."""

    text: str
    choices: tuple[str, ...] = ()
    secret: bool = False


_RUNTIMES = ("cpu", "nvidia", "jetson")
_RELEASE = Doc("The release: what `visionfleet.projections.release.Release.as_dict` makes of the file.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """Compares the device with what the file says of it, and stops before anything is changed."""

    hardware: Annotated[str, Doc("Device class, as in `jetson-orin-nano`.")]
    architecture: Annotated[str, Doc("Machine that `uname -m` names.", choices=("aarch64", "x86_64"))]
    device_tree: Annotated[
        tuple[str, ...], Doc("`/proc/device-tree/model` holds one of these; empty: the class has no such file.")
    ] = ()
    l4t: Annotated[str, Doc("Release of Jetson Linux, as in `36.4`; empty: the device is no Jetson.")] = ""
    os: Annotated[str, Doc("Operating system, as in `debian-12`; empty: not asked.")] = ""
    memory_mb: Annotated[
        int, Doc("Memory in MiB that the device is sold with, of which the kernel shows less; 0: not asked.")
    ] = 0
    disk_mb: Annotated[int, Doc("Free space in MB that the first release needs.")] = 6000
    clock_skew_seconds: Annotated[int, Doc("Most that the clock may differ from the hub's.")] = 300
    hub_url: Annotated[str, Doc("URL of the hub, which the device must reach.")]
    registry: Annotated[str, Doc("Registry, `host[:port]`, that the device must reach; empty: Docker Hub.")] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerEngine:
    """Installs Docker with log rotation and live restore, at a version that stays."""

    package: Annotated[str, Doc("Package that Docker comes in.")] = "docker.io"
    version: Annotated[str, Doc("Version of the package; empty: the one that is there, else the newest.")] = ""
    registry: Annotated[str, Doc("Registry, `host[:port]`, that images come from; empty: Docker Hub.")] = ""
    registry_ca: Annotated[str, Doc("File on the controller with the registry's CA; empty: the system's CAs.")] = ""
    registry_user: Annotated[str, Doc("User of the registry; empty: no login.")] = ""
    registry_password: Annotated[str, Doc("Password of that user.", secret=True)] = ""
    log_max_size: Annotated[str, Doc("Size at which a container's log is rotated.")] = "10m"
    log_max_files: Annotated[int, Doc("Files that a container's log keeps.")] = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NvidiaRuntime:
    """Makes NVIDIA's container runtime known to Docker, and sets power and clocks of a Jetson."""

    runtime: Annotated[str, Doc("How containers reach the GPU; `cpu`: there is nothing to do.", choices=_RUNTIMES)]
    power_mode: Annotated[int, Doc("Mode for `nvpmodel`; -1: as it is.")] = -1
    clocks: Annotated[bool, Doc("Whether `jetson_clocks` holds the clocks at their highest.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAgent:
    """Installs the device's program with its units, and enrols the device with the hub."""

    name: Annotated[str, Doc("Name of the device in the file.")]
    group: Annotated[str, Doc("Group of the device in the file.")]
    workspace: Annotated[str, Doc("Workspace slug of the deployment.")]
    hub_url: Annotated[str, Doc("URL of the hub, as controller and device reach it.")]
    fleet_key: Annotated[str, Doc("Key of the hub with the role `fleet`, for enrolment.", secret=True)]
    rotate_key: Annotated[bool, Doc("Whether a device that has a key gets a new one.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCache:
    """Fetches image, models, workflows and goldens of a release while the present one serves on."""

    release: Annotated[Mapping[str, object], _RELEASE]


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceServer:
    """Switches the device to a release that is fetched; it goes back by itself where the release fails."""

    release: Annotated[Mapping[str, object], _RELEASE]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReport:
    """Lets the device tell the hub how it is, by a timer."""

    interval_seconds: Annotated[int, Doc("Seconds between two reports.")] = 60


Role = type[Preflight | ContainerEngine | NvidiaRuntime | DeviceAgent | ModelCache | InferenceServer | DeviceReport]
ROLES: tuple[Role, ...] = (
    Preflight,
    ContainerEngine,
    NvidiaRuntime,
    DeviceAgent,
    ModelCache,
    InferenceServer,
    DeviceReport,
)
"""In the order in which they run."""

_HEAD = "Generated from src/visionfleet/projections/roles.py by `make generate`; do not edit."
_KINDS: Mapping[object, str] = {str: "str", int: "int", bool: "bool", tuple: "list", Mapping: "dict"}


@dataclass(frozen=True, slots=True)
class _Variable:
    name: str
    kind: str
    default: object
    doc: Doc

    @property
    def is_required(self) -> bool:
        return self.default is MISSING


def role_name(role: Role) -> str:
    """`ContainerEngine` -> `container_engine`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", role.__name__).lower()


def role_variables(role: Role, **values: Value) -> dict[str, Value]:
    """The variables in Ansible for these fields of the role, without those that are as the role's defaults have them.

    Raises:
        ValueError: the role has no such field.
    """
    prefix = role_name(role)
    defaults = {field.name: field.default for field in fields(role)}
    unknown = values.keys() - defaults
    if unknown:
        raise ValueError(f"the role {prefix} has no {', '.join(sorted(unknown))}")
    return {f"{prefix}_{name}": value for name, value in values.items() if value != defaults[name]}


def argument_specs(role: Role) -> str:
    """`meta/argument_specs.yml`: what Ansible checks before the role's first task."""
    lines = [
        "---",
        f"# {_HEAD}",
        "argument_specs:",
        "  main:",
        f"    short_description: {_value(role.__doc__)}",
        "    options:",
    ]
    for variable in _variables(role):
        lines.append(f"      {variable.name}:")
        lines += [f"        {line}" for line in _specification(variable)]
    return "\n".join(lines) + "\n"


def role_defaults(role: Role) -> str:
    """`defaults/main.yml`: the variables that need not be given."""
    lines = [
        f"{variable.name}: {_value(variable.default)}" for variable in _variables(role) if not variable.is_required
    ]
    return "\n".join(("---", f"# {_HEAD}", *(lines or ["{}"]))) + "\n"


def role_readme(role: Role) -> str:
    """`README.md`: what the role does, and its variables."""
    name = role_name(role)
    head = (f"# Role `{name}`", "", f"<!-- {_HEAD} -->", "", str(role.__doc__), "")
    table = ("| variable | type | default | description |", "|---|---|---|---|")
    return "\n".join((*head, *table, *map(_row, _variables(role)))) + "\n"


def _variables(role: Role) -> Iterator[_Variable]:
    hints = get_type_hints(role, include_extras=True)
    prefix = role_name(role)
    for field in fields(role):
        kind, doc = cast("tuple[object, Doc]", get_args(hints[field.name]))
        yield _Variable(f"{prefix}_{field.name}", _KINDS[get_origin(kind) or kind], field.default, doc)


def _specification(variable: _Variable) -> Iterator[str]:
    yield f"description: {_value(variable.doc.text)}"
    yield f"type: {variable.kind}"
    if variable.kind == "list":
        yield "elements: str"
    yield "required: true" if variable.is_required else f"default: {_value(variable.default)}"
    if variable.doc.choices:
        yield f"choices: {_value(variable.doc.choices)}"
    if variable.doc.secret:
        yield "no_log: true"


def _row(variable: _Variable) -> str:
    default = "required" if variable.is_required else f"`{_value(variable.default)}`"
    choices = f" One of {', '.join(f'`{choice}`' for choice in variable.doc.choices)}." if variable.doc.choices else ""
    secret = " Never printed." if variable.doc.secret else ""
    return f"| `{variable.name}` | {variable.kind} | {default} | {variable.doc.text}{choices}{secret} |"


def _value(value: object) -> str:
    """JSON, which is YAML."""
    return json.dumps(value, ensure_ascii=False)
