"""What a machine of a dedicated endpoint reads at its first boot: cloud-init, rendered. Pure; no Pulumi here.

No secret stands in it: user data is kept by cloud-init, is in the launch template, and whoever may describe instances
may read it. The machine fetches the inference server's key itself, at each start of the unit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from visionfleet.projections.plans import EndpointPlan

MAX_USER_DATA_BYTES = 16_384  # EC2's limit, before base64
METRICS_NAMESPACE = "visionfleet"  # of the CloudWatch agent's metrics
METRICS_DIMENSION = "Endpoint"
GPU_METRIC = (
    "nvidia_smi_utilization_gpu"  # the agent puts nvidia_smi_ before each measurement of its section nvidia_gpu
)
LIFECYCLE_HOOK = "ready"
READY_SECONDS = 1800  # pulling the image (about 10 GB) and loading the server

_TEMPLATES = Path(__file__).parents[1] / "templates"
_WORD = re.compile(r"[A-Za-z0-9_./:@+=-]+")  # what neither the shell nor systemd reads as anything else


@dataclass(frozen=True, slots=True)
class Machine:
    """What the plan cannot know, since AWS gives it."""

    region: str
    image: str  # with the mirror's registry, where there is a mirror
    secret: str  # name or ARN in Secrets Manager; its value is the key, plain
    log_group: str
    group: str  # the auto scaling group, which waits until the machine says that it is ready; metrics carry its name


class UserDataError(ValueError):
    """The plan does not fit into user data."""


def render_user_data(plan: EndpointPlan, machine: Machine) -> str:
    """The cloud-config of one machine. Raises UserDataError where EC2 or the machine would not take it."""
    cache = plan.environment["MODEL_CACHE_DIR"]
    for word in (machine.region, machine.image, machine.secret, machine.log_group, machine.group, cache):
        if not _WORD.fullmatch(word):
            raise UserDataError(f"{plan.name}: {word!r} cannot stand in a script as it is")
    template = _jinja().get_template("user-data.yaml.j2")
    text = template.render(
        plan=plan,
        machine=machine,
        environment=_container_environment(plan),
        cache=cache,
        login_registry=_login_registry(machine.image),
        namespace=METRICS_NAMESPACE,
        dimension=METRICS_DIMENSION,
        lifecycle_hook=LIFECYCLE_HOOK,
        ready_seconds=READY_SECONDS,
    )
    size = len(text.encode())
    if size > MAX_USER_DATA_BYTES:
        raise UserDataError(f"user data of {plan.name} is {size} bytes, EC2 takes {MAX_USER_DATA_BYTES}")
    return text


def group_name(plan: EndpointPlan) -> str:
    """The name of the endpoint's auto scaling group: the hostname, which one account has once."""
    if plan.hostname is None:
        raise UserDataError(
            f"{plan.name} has no hostname: set `domain` in the file, since a key does not travel without TLS"
        )
    return plan.hostname


def mirrored(image: str, registry: str | None) -> str:
    """The image as the mirror serves it: the registry's host is replaced, the rest of the name stays."""
    if registry is None:
        return image
    host, slash, rest = image.partition("/")
    names_host = bool(slash) and ("." in host or ":" in host or host == "localhost")
    return f"{registry}/{rest if names_host else image}"


def _jinja() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - YAML and shell, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _container_environment(plan: EndpointPlan) -> dict[str, str]:
    """The server's settings inside its container, where the root is read-only and only /tmp and the cache are not."""
    environment = {"MPLCONFIGDIR": "/tmp/matplotlib", "HOME": "/tmp"}  # noqa: S108 - the container's own
    environment |= plan.environment
    environment |= {"HOST": "0.0.0.0", "PORT": str(plan.port)}  # noqa: S104 - of the container's own network
    for name, value in environment.items():
        if not value.isprintable():  # Docker reads a line a variable, without quotes
            raise UserDataError(f"{plan.name}: the value of {name} has a line break or a control character")
    return dict(sorted(environment.items()))


def _login_registry(image: str) -> str | None:
    """The ECR registry that asks for a login."""
    host = image.partition("/")[0]
    return host if ".dkr.ecr." in host else None
