"""The roles' variables, and what is made of them for Ansible."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from visionfleet.projections.roles import (
    ROLES,
    ContainerEngine,
    DeviceAgent,
    ModelCache,
    NvidiaRuntime,
    Preflight,
    Role,
    argument_specs,
    role_defaults,
    role_name,
    role_readme,
    role_variables,
)

each_role = pytest.mark.parametrize("role", ROLES, ids=role_name)


def options(role: Role) -> dict[str, Any]:
    return yaml.safe_load(argument_specs(role))["argument_specs"]["main"]["options"]


def test_roles_are_called_as_their_folders() -> None:
    assert [role_name(role) for role in ROLES] == [
        "preflight",
        "container_engine",
        "nvidia_runtime",
        "device_agent",
        "model_cache",
        "inference_server",
        "device_report",
    ]


@each_role
def test_each_variable_is_described_and_has_its_role_s_name(role: Role) -> None:
    for name, option in options(role).items():
        assert name.startswith(f"{role_name(role)}_")
        assert option["description"].endswith(".")
        assert option["type"] in ("str", "int", "bool", "list", "dict")


@each_role
def test_a_variable_is_required_or_has_the_same_default_everywhere(role: Role) -> None:
    defaults = yaml.safe_load(role_defaults(role))
    optional = {name: option["default"] for name, option in options(role).items() if not option.get("required")}
    assert defaults == optional
    for name, default in optional.items():
        assert f"| `{name}` |" in role_readme(role)
        assert f"| `{json.dumps(default)}` |" in role_readme(role)


@each_role
def test_secrets_alone_are_never_printed(role: Role) -> None:
    secrets = {name for name, option in options(role).items() if option.get("no_log")}
    assert secrets == {name for name in options(role) if name.endswith(("password", "fleet_key"))}


def test_kinds_choices_and_elements_are_ansible_s() -> None:
    assert options(Preflight)["preflight_device_tree"] == {
        "description": "`/proc/device-tree/model` holds one of these; empty: the class has no such file.",
        "type": "list",
        "elements": "str",
        "default": [],
    }
    assert options(NvidiaRuntime)["nvidia_runtime_runtime"]["choices"] == ["cpu", "nvidia", "jetson"]
    assert options(NvidiaRuntime)["nvidia_runtime_clocks"]["type"] == "bool"
    assert options(ModelCache)["model_cache_release"]["type"] == "dict"


def test_values_get_the_names_of_variables_and_defaults_are_left_out() -> None:
    assert role_variables(DeviceAgent, name="dock-01", rotate_key=False) == {"device_agent_name": "dock-01"}
    assert role_variables(ContainerEngine, log_max_files=5) == {"container_engine_log_max_files": 5}


def test_a_variable_that_no_role_has_is_refused() -> None:
    with pytest.raises(ValueError, match="the role device_agent has no colour"):
        role_variables(DeviceAgent, colour="red")
