"""The inventory as Ansible's own commands show it, run as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.config.support import write_json
from tests.projections.fleet import group_of, make_fleet, releases_of
from visionfleet.config import load
from visionfleet.projections.roles import ROLES, role_name

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {
    "VISIONFLEET_FLEET_KEY": "secret-of-the-fleet",
    "SSH_PASSWORD": "secret-of-ssh",
    "SUDO_PASSWORD": "secret-of-sudo",
    "REGISTRY_PASSWORD": "secret-of-the-registry",
}
EXAMPLE = ROOT / "examples/acme/visionfleet.yaml"


def ansible(
    command: str, *arguments: str, file: Path, folder: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's commands in a folder, with every secret of the tests in its environment."""
    path = Path(sys.executable).with_name(command)
    given = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "LANG": "C.UTF-8", "VISIONFLEET_FILE": str(file)}
    return subprocess.run(
        [path, *arguments], cwd=folder, env={**given, **SECRETS, **environment}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def listed(file: Path, *arguments: str) -> dict[str, Any]:
    done = ansible("ansible-inventory", "--list", *arguments, file=file)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def hosts(file: Path, pattern: str) -> list[str]:
    """The devices that a pattern of `--limit` leaves."""
    return sorted(listed(file, "--limit", pattern)["_meta"]["hostvars"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text("secret-in-a-file\n")
    docks = group_of(
        {"name": "dock-01", "labels": {"ring": "canary"}}, {"name": "dock-02", "site": "bremen"},
        labels={"ring": "all"}, site="hamburg", hardware="jetson-orin-nano", jetpack="6.2",
        ssh={"user": "ubuntu", "password": "env:SSH_PASSWORD", "become_password": "env:SUDO_PASSWORD"},
    )  # fmt: skip
    yard = group_of({"name": "yard-01"}, name="yard", ssh={"password": "file:./password"})
    registry = {"user": "robot", "password": "env:REGISTRY_PASSWORD"}
    inference = {"registry": "registry.acme.example:5000"}
    return make_fleet(tmp_path, docks, yard, edge={"registry": registry}, inference=inference)


def test_the_graph_has_every_group(file: Path) -> None:
    done = ansible("ansible-inventory", "--graph", file=file)
    assert (done.returncode, done.stderr) == (0, "")
    release = {name: release.id for name, release in releases_of(load(file)).items()}
    expected = f"""\
@all:
  |--@ungrouped:
  |--@edge:
  |  |--@group_docks:
  |  |  |--dock-01
  |  |  |--dock-02
  |  |--@class_jetson:
  |  |  |--@hardware_jetson_orin_nano:
  |  |  |  |--dock-01
  |  |  |  |--dock-02
  |  |--@release_{release["dock-01"]}:
  |  |  |--dock-01
  |  |  |--dock-02
  |  |--@label_ring_canary:
  |  |  |--dock-01
  |  |--@site_hamburg:
  |  |  |--dock-01
  |  |--@label_ring_all:
  |  |  |--dock-02
  |  |--@site_bremen:
  |  |  |--dock-02
  |  |--@group_yard:
  |  |  |--yard-01
  |  |--@class_raspberry_pi:
  |  |  |--@hardware_raspberry_pi_5:
  |  |  |  |--yard-01
  |  |--@release_{release["yard-01"]}:
  |  |  |--yard-01
"""
    assert done.stdout == expected


def test_the_list_has_each_device_s_variables_and_no_secret(file: Path) -> None:
    done = ansible("ansible-inventory", "--list", file=file)
    assert "secret-" not in done.stdout
    variables = json.loads(done.stdout)["_meta"]["hostvars"]
    assert sorted(variables) == ["dock-01", "dock-02", "yard-01"]
    assert variables["dock-01"]["ansible_password"] == "{{ lookup('ansible.builtin.env', 'SSH_PASSWORD') }}"
    assert variables["dock-01"]["device_agent_group"] == "docks"
    assert "__ansible_unsafe" not in done.stdout


@pytest.mark.parametrize(
    ("pattern", "devices"),
    [
        ("group_docks", ["dock-01", "dock-02"]),
        ("label_ring_canary", ["dock-01"]),
        ("class_jetson:!site_bremen", ["dock-01"]),
        ("group_docks:&label_ring_all", ["dock-02"]),
        ("*-01", ["dock-01", "yard-01"]),
        ("yard-01,dock-02", ["dock-02", "yard-01"]),
        ("edge", ["dock-01", "dock-02", "yard-01"]),
    ],
)
def test_devices_are_picked_by_their_groups(file: Path, pattern: str, devices: list[str]) -> None:
    assert hosts(file, pattern) == devices


def test_the_devices_of_a_release_are_picked_by_its_id(file: Path) -> None:
    release = releases_of(load(file))["yard-01"]
    assert hosts(file, f"release_{release.id}") == ["yard-01"]


def test_it_works_from_another_folder(file: Path, tmp_path: Path) -> None:
    done = ansible(
        "ansible-inventory", "--graph", "group_yard", file=Path("visionfleet.yaml"), folder=tmp_path,
        ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
    )  # fmt: skip
    assert done.stdout == "@group_yard:\n  |--yard-01\n", done.stderr


def test_a_file_without_devices_gives_an_empty_fleet(tmp_path: Path) -> None:
    content = listed(write_json(tmp_path / "visionfleet.yaml", {"name": "acme", "workspace": "acme"}))
    assert content["_meta"]["hostvars"] == {}


def test_the_example_has_the_inventory_of_its_file() -> None:
    content = listed(EXAMPLE)
    devices = {device.name for group in load(EXAMPLE).edge.groups for device in group.devices}
    assert set(content["_meta"]["hostvars"]) == devices


def test_ten_thousand_devices_are_listed(tmp_path: Path) -> None:
    rows = [f"device-{n},10.1.{n // 256}.{n % 256},site-{n // 100}" for n in range(10_000)]
    (tmp_path / "devices.csv").write_text("\n".join(["name,address,site", *rows]) + "\n", encoding="utf-8")
    file = make_fleet(tmp_path, {"name": "docks", "hardware": "generic-arm64", "devices_from": "./devices.csv"})
    content = listed(file)
    assert len(content["_meta"]["hostvars"]) == len(content["group_docks"]["hosts"]) == 10_000
    assert len([name for name in content if name.startswith("site_")]) == 100
    graph = ansible("ansible-inventory", "--graph", file=file).stdout
    assert graph.count("--device-9999\n") == 4


@pytest.mark.parametrize("command", [("ansible-inventory", "--list"), ("ansible", "edge", "--list-hosts")])
def test_a_file_that_is_wrong_is_no_fleet_without_devices(tmp_path: Path, command: tuple[str, ...]) -> None:
    file = make_fleet(tmp_path, group_of({"name": "dock-01"}, hardware="jetson-orin-nono"))
    done = ansible(command[0], *command[1:], file=file)
    assert done.returncode == 4
    assert done.stdout == ""
    place, fix = done.stderr.splitlines()
    assert place.endswith("edge.groups[0].hardware: 'jetson-orin-nono' is not a known device class")
    assert fix.startswith("  did you mean 'jetson-orin-nano'?")


@pytest.fixture
def shared() -> Iterator[int]:
    """A pipe as a pipeline's commands share it, which one of them has left non-blocking."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    yield read
    os.close(read)
    os.close(write)


def test_a_pipeline_whose_input_does_not_block_reads_the_file_and_the_inventory(file: Path, shared: int) -> None:
    """Ansible alone wants one that blocks, and has it in the way that the runbook names."""
    programs = Path(sys.executable).parent
    environment = {**os.environ, **SECRETS, "VISIONFLEET_FILE": str(file), "PATH": f"{programs}:{os.environ['PATH']}"}
    script = f"visionfleet validate {file} && ansible-inventory --graph group_yard </dev/null"
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, stdin=shared, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("@group_yard:\n  |--yard-01\n")


def argument_specification(role: str) -> dict[str, Any]:
    text = (ROOT / f"playbooks/roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["argument_specs"]["main"]["options"]


def test_roles_take_their_variables_with_secrets_filled_in(file: Path, tmp_path: Path) -> None:
    """Ansible's own check of arguments, with the specification of each role, for each device."""
    checks = [
        {"ansible.builtin.validate_argument_spec": {"argument_spec": argument_specification(role_name(role))}}
        for role in ROLES
    ]
    asserts = {
        "ansible.builtin.assert": {
            "that": [
                "model_cache_release == inference_server_release",
                "('release_' + model_cache_release.id) in group_names",
                "model_cache_release.models | length == 2",
                "device_agent_name == inventory_hostname",
                "device_agent_fleet_key == 'secret-of-the-fleet'",
                "container_engine_registry_password == 'secret-of-the-registry'",
                "ansible_password == ('secret-in-a-file' if inventory_hostname == 'yard-01' else 'secret-of-ssh')",
            ]
        }
    }
    play = {"hosts": "edge", "connection": "local", "gather_facts": False, "tasks": [*checks, asserts]}
    playbook = write_json(tmp_path / "check.yml", [play])
    done = ansible("ansible-playbook", str(playbook), file=file)
    assert done.returncode == 0, done.stdout + done.stderr
