"""The inventory of Ansible: the file's devices in groups, and the variables of the roles.

Variables stand at the widest group that they hold for: the fleet's, the class's, the group's, the release's. Ansible
lets the deeper group win, and of two alike the later name, so each variable is set by one kind of group alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from visionfleet.config import DeploymentConfig, SecretRef
from visionfleet.config.device_classes import DEVICE_CLASSES, JETPACKS, DeviceClass, Runtime
from visionfleet.config.edge import Device, DeviceGroup, Ssh
from visionfleet.projections.inventory_plan import GroupPlan, HostPlan, InventoryPlan
from visionfleet.projections.release import canonical, release_of
from visionfleet.projections.roles import (
    ContainerEngine,
    DeviceAgent,
    DeviceReport,
    InferenceServer,
    ModelCache,
    NvidiaRuntime,
    Preflight,
    role_variables,
)

FLEET = "edge"
RELEASE_VARIABLE = "visionfleet_release"
MIB_PER_GB = 1024
GPU_DISK_MB = 12_000  # an image with CUDA takes 10 GB
DISK_MB = 6_000


def inventory_plan(config: DeploymentConfig) -> InventoryPlan:
    """The inventory of the file's devices.

    Raises:
        ConfigError: a package or workflow has become wrong since the file was loaded.
    """
    groups: dict[str, GroupPlan] = {FLEET: _fleet(config)}
    hosts: list[HostPlan] = []
    for group in config.edge.groups:
        common = (_name("group", group.name), _name("hardware", group.hardware))
        groups |= {common[0]: _group(group), **_hardware(group.hardware)}
        for device in group.devices:
            release = release_of(config, group, device)
            own = [_name("release", release.id), *_labels(group, device)]
            if own[0] not in groups:
                groups[own[0]] = GroupPlan(FLEET, {RELEASE_VARIABLE: canonical(release.as_dict()).decode()})
            if site := device.site or group.site:
                own.append(_name("site", site))
            for name in own:
                groups.setdefault(name, _PLAIN)
            hosts.append(_host(device, (*common, *own)))
    return InventoryPlan(groups, tuple(hosts))


def inventory_inputs(config: DeploymentConfig, file: Path) -> Iterator[Path]:
    """All files and folders that the inventory is made of, `file` being the deployment's own, and our own sources."""
    yield file.absolute()
    for package in ("config", "projections"):
        yield from sorted((Path(__file__).parents[1] / package).glob("*.py"))
    yield config.workflows
    yield from config.workflows.glob("*.json")
    for model in config.models:
        yield model.package
        yield from (path for path in model.package.iterdir() if path.is_file())
    for golden in config.edge.goldens:
        yield from (golden.image, golden.expected)
    if config.edge.registry.ca:
        yield config.edge.registry.ca
    for group in config.edge.groups:
        yield from filter(None, (group.devices_from, group.ssh.known_hosts))


def _name(kind: str, name: str) -> str:
    """What Ansible takes as a group's name."""
    return f"{kind}_{name}".lower().replace("-", "_").replace(".", "_")


def _labels(group: DeviceGroup, device: Device) -> Iterator[str]:
    """The groups of a device's labels."""
    return (_name("label", "_".join(label)) for label in {**group.labels, **device.labels}.items())


def _host(device: Device, groups: tuple[str, ...]) -> HostPlan:
    return HostPlan(
        device.name, groups, {"ansible_host": device.address, **role_variables(DeviceAgent, name=device.name)}
    )


def _fleet(config: DeploymentConfig) -> GroupPlan:
    """What all devices have in common."""
    edge, hub_url = config.edge, config.hub.public_url
    registry = (config.inference.registry or "").partition("/")[0]
    engine = role_variables(
        ContainerEngine,
        package=edge.container_engine.package,
        version=edge.container_engine.version or "",
        registry=registry,
        registry_ca=str(edge.registry.ca or ""),
        registry_user=edge.registry.user or "",
    )
    variables: dict[str, object] = {
        **role_variables(Preflight, hub_url=hub_url, registry=registry),
        **engine,
        **role_variables(DeviceAgent, workspace=config.workspace, hub_url=hub_url),
        **role_variables(DeviceReport, interval_seconds=edge.report_seconds),
    }
    templates = {
        **role_variables(DeviceAgent, fleet_key=_secret(edge.fleet_key)),
        **role_variables(ModelCache, release=_READ_RELEASE),
        **role_variables(InferenceServer, release=_READ_RELEASE),
    }
    if edge.registry.password:
        templates |= role_variables(ContainerEngine, registry_password=_secret(edge.registry.password))
    return GroupPlan(None, variables, templates)


def _hardware(hardware: DeviceClass) -> dict[str, GroupPlan]:
    """The group of a device class, and that of its family."""
    facts = DEVICE_CLASSES[hardware]
    disk_mb = DISK_MB if facts.runtime is Runtime.CPU else GPU_DISK_MB
    preflight = role_variables(
        Preflight,
        hardware=hardware.value,
        architecture=facts.architecture,
        device_tree=facts.device_tree,
        disk_mb=disk_mb,
    )
    family = _name("class", facts.family)
    variables = {**preflight, **role_variables(NvidiaRuntime, runtime=facts.runtime.value)}
    return {family: _PLAIN, _name("hardware", hardware): GroupPlan(family, variables)}


def _group(group: DeviceGroup) -> GroupPlan:
    """What the devices of a group have in common."""
    jetpack = JETPACKS[group.jetpack] if group.jetpack else None
    memory_gb = group.memory_gb or DEVICE_CLASSES[group.hardware].memory_gb or 0
    variables: dict[str, object] = {
        **role_variables(
            Preflight,
            l4t="{}.{}".format(*jetpack.l4t) if jetpack else "",
            os=group.os.value if group.os else "",
            memory_mb=memory_gb * MIB_PER_GB,
        ),
        **role_variables(DeviceAgent, group=group.name),
        **_ssh(group.ssh),
    }
    if group.power:
        mode = -1 if group.power.mode is None else group.power.mode
        variables |= role_variables(NvidiaRuntime, power_mode=mode, clocks=group.power.clocks)
    secrets = {"ansible_password": group.ssh.password, "ansible_become_password": group.ssh.become_password}
    return GroupPlan(FLEET, variables, {name: _secret(secret) for name, secret in secrets.items() if secret})


def _ssh(ssh: Ssh) -> dict[str, object]:
    """How a group is reached. What the file does not say is left to ssh's own settings."""
    variables: dict[str, object] = {}
    if ssh.user:
        variables["ansible_user"] = ssh.user
    if "port" in ssh.model_fields_set:
        variables["ansible_port"] = ssh.port
    if ssh.private_key:
        variables["ansible_ssh_private_key_file"] = str(ssh.private_key).partition(":")[2]
    if ssh.known_hosts:
        # two readers: the shell's words, then ssh's own
        option = f'UserKnownHostsFile="{ssh.known_hosts}"'
        variables["ansible_ssh_common_args"] = f"-o {shlex.quote(option)}"
    return variables


def _secret(secret: SecretRef) -> str:
    """The template by which Ansible reads a secret when a task needs it: no inventory ever holds one."""
    kind, _, target = str(secret).partition(":")
    quoted = target.replace("\\", "\\\\").replace("'", "\\'")
    return f"{{{{ lookup('ansible.builtin.{kind}', '{quoted}') }}}}"


_PLAIN = GroupPlan(FLEET)
# text, not data: Ansible would walk through the many values of a release for each host and each task
_READ_RELEASE = f"{{{{ {RELEASE_VARIABLE} | from_json }}}}"
