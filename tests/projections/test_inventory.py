"""Groups, hosts and variables that Ansible gets of the file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.config.support import write_json
from tests.projections.fleet import group_of, make_fleet, releases_of
from visionfleet.config import load
from visionfleet.config.device_classes import DEVICE_CLASSES, DeviceClass, Family
from visionfleet.projections.inventory import inventory_inputs, inventory_plan
from visionfleet.projections.inventory_plan import InventoryPlan, inputs_at, still_hold
from visionfleet.projections.roles import ROLES, argument_specs

JETSON = {"hardware": "jetson-orin-nano", "jetpack": "6.2"}


def plan_of(folder: Path, *groups: dict[str, Any], **fleet: Any) -> InventoryPlan:
    return inventory_plan(load(make_fleet(folder, *groups, **fleet)))


def variables(plan: InventoryPlan, name: str) -> dict[str, object]:
    """What a host sees: of each group, and of the groups that it is part of."""
    host = next(host for host in plan.hosts if host.name == name)
    found: dict[str, object] = {}
    for member in host.groups:
        group: str | None = member
        while group is not None:
            of_group = plan.groups[group]
            found |= {**of_group.vars, **of_group.templates}
            group = of_group.parent
    return found | dict(host.vars)


def test_a_device_is_in_a_group_for_each_thing_it_is(tmp_path: Path) -> None:
    group = group_of(
        {"name": "dock-01", "labels": {"hall": "2-b"}}, {"name": "dock-02", "site": "bremen"},
        site="hamburg-west", labels={"ring": "canary"}, **JETSON,
    )  # fmt: skip
    config = load(make_fleet(tmp_path, group))
    plan = inventory_plan(config)
    (release,) = {release.id for release in releases_of(config).values()}
    common = {"group_docks", "hardware_jetson_orin_nano", "label_ring_canary", f"release_{release}"}
    groups = {host.name: set(host.groups) for host in plan.hosts}
    assert groups == {
        "dock-01": {*common, "site_hamburg_west", "label_hall_2_b"},
        "dock-02": {*common, "site_bremen"},
    }
    assert plan.groups["hardware_jetson_orin_nano"].parent == "class_jetson"
    assert plan.groups["class_jetson"].parent == plan.groups["group_docks"].parent == "edge"
    assert plan.groups["edge"].parent is None


def test_a_group_stands_after_its_parent(tmp_path: Path) -> None:
    groups = plan_of(tmp_path, group_of({"name": "a", "labels": {"ring": "canary"}}, site="hamburg")).groups
    names = list(groups)
    parents = {name: group.parent for name, group in groups.items() if group.parent is not None}
    assert all(names.index(parent) < names.index(name) for name, parent in parents.items())


@pytest.mark.parametrize("hardware", DeviceClass)
def test_group_names_are_ansible_s_whatever_the_device_class(tmp_path: Path, hardware: DeviceClass) -> None:
    jetpack = {"jetpack": "5.1"} if DEVICE_CLASSES[hardware].family is Family.JETSON else {}
    plan = plan_of(tmp_path, group_of({"name": "dock-01"}, name="a-b", hardware=hardware, **jetpack))
    assert all(re.fullmatch("[a-z_][a-z0-9_]*", name) for name in plan.groups)


def test_each_required_variable_has_a_value_and_no_other_is_there(tmp_path: Path) -> None:
    power = {"power": {"mode": 0, "clocks": True}}
    plan = plan_of(
        tmp_path, group_of({"name": "dock-01"}, ssh={"user": "ubuntu", "port": 2222}, **power, **JETSON),
        inference={"registry": "registry.acme.example:5000/mirror"},
        edge={"registry": {"user": "robot", "password": "env:REGISTRY_PASSWORD"}, "report_seconds": 30},
    )  # fmt: skip
    options: dict[str, Any] = {}
    for role in ROLES:
        options |= yaml.safe_load(argument_specs(role))["argument_specs"]["main"]["options"]
    found = variables(plan, "dock-01")
    required = {name for name, option in options.items() if option.get("required")}
    of_ansible = {"ansible_host", "ansible_user", "ansible_port", "visionfleet_release"}
    assert required <= set(found) <= options.keys() | of_ansible


def test_no_variable_is_set_by_two_kinds_of_groups(tmp_path: Path) -> None:
    """Of two groups as deep as each other Ansible takes the later name, which nobody would think of."""
    ssh = {"user": "ubuntu", "password": "env:SSH_PASSWORD"}
    plan = plan_of(tmp_path, group_of({"name": "dock-01"}, memory_gb=16, os=None, ssh=ssh, **JETSON))
    seen: dict[str, str] = {}
    for name, group in plan.groups.items():
        for variable in (*group.vars, *group.templates):
            assert seen.setdefault(variable, name) == name


def test_a_jetson_is_described_by_its_class_and_jetpack(tmp_path: Path) -> None:
    found = variables(plan_of(tmp_path, group_of({"name": "dock-01"}, power={"clocks": True}, **JETSON)), "dock-01")
    assert found["preflight_hardware"] == "jetson-orin-nano"
    assert found["preflight_architecture"] == "aarch64"
    assert found["preflight_device_tree"] == ("Orin Nano",)
    assert found["preflight_l4t"] == "36.4"
    assert found["preflight_memory_mb"] == 8192
    assert found["preflight_disk_mb"] == 12_000
    assert found["nvidia_runtime_runtime"] == "jetson"
    assert found["nvidia_runtime_clocks"] is True
    assert "nvidia_runtime_power_mode" not in found


def test_a_raspberry_pi_says_its_system_and_needs_no_gpu(tmp_path: Path) -> None:
    group = group_of({"name": "dock-01"}, os="raspberry-pi-os-12", memory_gb=16)
    found = variables(plan_of(tmp_path, group), "dock-01")
    assert found["preflight_os"] == "raspberry-pi-os-12"
    assert found["preflight_memory_mb"] == 16_384
    assert found["nvidia_runtime_runtime"] == "cpu"
    assert "preflight_disk_mb" not in found
    assert "preflight_l4t" not in found


def test_the_registry_is_told_by_host_and_port(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\n")
    registry = {"ca": "./ca.crt", "user": "robot", "password": "file:./password"}
    plan = plan_of(
        tmp_path,
        group_of({"name": "dock-01"}),
        inference={"registry": "registry.acme.example:5000/mirror"},
        edge={"registry": registry, "container_engine": {"package": "docker-ce", "version": "5:27.5.1-1"}},
    )
    found = variables(plan, "dock-01")
    assert found["preflight_registry"] == found["container_engine_registry"] == "registry.acme.example:5000"
    assert found["container_engine_registry_ca"] == str(tmp_path / "ca.crt")
    assert found["container_engine_registry_user"] == "robot"
    assert found["container_engine_registry_password"] == (
        f"{{{{ lookup('ansible.builtin.file', '{tmp_path}/password') }}}}"
    )
    assert (found["container_engine_package"], found["container_engine_version"]) == ("docker-ce", "5:27.5.1-1")


def test_how_devices_are_reached_is_the_group_s(tmp_path: Path) -> None:
    for name in ("edge key", "known hosts"):
        (tmp_path / name).write_text("")
    ssh = {
        "user": "ubuntu",
        "port": 2222,
        "private_key": "file:./edge key",
        "become_password": "env:SUDO_PASSWORD",
        "known_hosts": "./known hosts",
    }
    plan = plan_of(tmp_path, group_of({"name": "dock-01", "address": "dock-01.acme.example"}, ssh=ssh))
    found = variables(plan, "dock-01")
    assert found["ansible_host"] == "dock-01.acme.example"
    assert (found["ansible_user"], found["ansible_port"]) == ("ubuntu", 2222)
    assert found["ansible_ssh_private_key_file"] == str(tmp_path / "edge key")
    assert found["ansible_ssh_common_args"] == f"-o 'UserKnownHostsFile=\"{tmp_path}/known hosts\"'"
    assert found["ansible_become_password"] == "{{ lookup('ansible.builtin.env', 'SUDO_PASSWORD') }}"


def test_what_the_file_does_not_say_of_ssh_is_left_to_ssh(tmp_path: Path) -> None:
    found = variables(plan_of(tmp_path, group_of({"name": "dock-01"})), "dock-01")
    assert [name for name in found if name.startswith("ansible_")] == ["ansible_host"]


def test_the_release_stands_once_as_text_in_its_group(tmp_path: Path) -> None:
    config = load(make_fleet(tmp_path, group_of({"name": "a"}, {"name": "b"}, {"name": "c", "version": "1.9.0"})))
    plan = inventory_plan(config)
    for name, release in releases_of(config).items():
        group = plan.groups[f"release_{release.id}"]
        assert json.loads(str(group.vars["visionfleet_release"])) == release.as_dict()
        assert variables(plan, name)["model_cache_release"] == "{{ visionfleet_release | from_json }}"
        assert variables(plan, name)["inference_server_release"] == "{{ visionfleet_release | from_json }}"
    assert len([name for name in plan.groups if name.startswith("release_")]) == 2


def test_a_quote_in_a_path_stays_in_the_text(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, group_of({"name": "a"}), edge={"fleet_key": "file:/keys/o'neill\\x"})
    assert plan.groups["edge"].templates["device_agent_fleet_key"] == (
        r"{{ lookup('ansible.builtin.file', '/keys/o\'neill\\x') }}"
    )


def test_a_file_without_devices_has_an_empty_fleet(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert list(plan.groups) == ["edge"]
    assert plan.hosts == ()


def test_a_plan_can_be_kept_as_text(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, group_of({"name": "a"}, ssh={"user": "ubuntu"}))
    assert InventoryPlan.of_text(plan.as_text()).as_text() == plan.as_text()


def test_a_change_of_any_input_is_seen(tmp_path: Path) -> None:
    (tmp_path / "screw.jpg").write_bytes(b"a picture")
    write_json(tmp_path / "screw.json", {})
    (tmp_path / "more.csv").write_text("name,address\nb,10.1.0.1\n", encoding="utf-8")
    golden = {"name": "screw", "model": "demo/1", "image": "./screw.jpg", "expected": "./screw.json"}
    file = make_fleet(tmp_path, group_of({"name": "a"}, devices_from="./more.csv"), edge={"goldens": [golden]})
    paths = [path for path in inventory_inputs(load(file), file) if path.is_relative_to(tmp_path)]
    everything = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {path for path in paths if path.is_file()} == everything
    inputs = inputs_at(paths)
    assert still_hold(inputs)
    for path in everything:
        before = path.read_bytes()
        path.write_bytes(before + b" ")
        assert not still_hold(inputs), path
        path.unlink()
        assert not still_hold(inputs), path
        path.write_bytes(before)
    (tmp_path / "workflows/new.json").write_text("{}")
    assert not still_hold(inputs)
