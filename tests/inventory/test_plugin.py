"""The inventory plugin in this process: what it takes, what it keeps, and how it says that a file is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader
from ansible.template import is_trusted_as_template

from tests.projections.fleet import group_of, make_fleet
from visionfleet.projections import inventory as projection

PLUGINS = Path(__file__).resolve().parents[2] / "inventory" / "plugins"
PICTURE = (PLUGINS.parents[1] / "examples/acme/golden/screw.png").read_bytes()
DOCK = {"name": "dock-01"}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    inventory_loader.add_directory(str(PLUGINS))
    monkeypatch.delenv("VISIONFLEET_FILE", raising=False)


def plugin() -> Any:
    return inventory_loader.get("visionfleet")


def source(folder: Path, **options: Any) -> Path:
    path = folder / "visionfleet.yml"
    path.write_text(json.dumps({"plugin": "visionfleet", **options}))
    return path


def read(path: Path, *, cache: bool = True) -> InventoryData:
    inventory, reader = InventoryData(), plugin()
    reader.parse(inventory, DataLoader(), str(path), cache=cache)
    if hasattr(reader, "_cache"):
        reader.update_cache_if_changed()
    return inventory


def keeping(folder: Path, **options: Any) -> Path:
    """A source whose inventory is kept in the folder `kept`."""
    kept = {"cache_plugin": "jsonfile", "cache_connection": str(folder / "kept")}
    return source(folder, file="visionfleet.yaml", cache=True, **kept, **options)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A line for each time that an inventory is made from a file."""
    lines: list[str] = []
    make = projection.inventory_plan
    monkeypatch.setattr(projection, "inventory_plan", lambda config: lines.append(config.name) or make(config))
    return lines


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("visionfleet.yml", True),
        ("lab.visionfleet.yml", True),
        ("lab.visionfleet.yaml", True),
        ("visionfleet.yaml", False),
        ("hosts.yml", False),
    ],
)
def test_a_source_is_known_by_its_name(tmp_path: Path, name: str, *, taken: bool) -> None:
    (tmp_path / name).touch()
    assert plugin().verify_file(str(tmp_path / name)) is taken
    assert not plugin().verify_file(str(tmp_path / "missing" / name))


def test_the_file_is_found_from_the_source_s_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inventory").mkdir()
    make_fleet(tmp_path, group_of(DOCK))
    monkeypatch.chdir("/")
    assert list(read(source(tmp_path / "inventory", file="../visionfleet.yaml")).hosts) == ["dock-01"]


def test_without_an_option_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    make_fleet(tmp_path, group_of(DOCK))
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("VISIONFLEET_FILE", "../visionfleet.yaml")
    assert list(read(source(tmp_path)).hosts) == ["dock-01"]
    monkeypatch.delenv("VISIONFLEET_FILE")
    monkeypatch.chdir(tmp_path)
    assert list(read(source(tmp_path)).hosts) == ["dock-01"]


def test_templates_of_the_projection_alone_are_templates(tmp_path: Path) -> None:
    """Ansible would run what a path has in braces, if it took it for a template of ours."""
    folder = tmp_path / "{{ 7 * 191 }}"
    folder.mkdir()
    group = group_of(DOCK, ssh={"password": "env:SSH_PASSWORD", "private_key": "file:./key"})
    make_fleet(folder, group)
    inventory = read(source(folder, file="visionfleet.yaml"))
    found = inventory.groups["group_docks"].vars
    assert is_trusted_as_template(found["ansible_password"])
    assert found["ansible_password"] == "{{ lookup('ansible.builtin.env', 'SSH_PASSWORD') }}"
    assert found["ansible_ssh_private_key_file"] == str(folder / "key")
    assert not is_trusted_as_template(found["ansible_ssh_private_key_file"])


def test_lists_are_lists_and_texts_are_shown_as_they_are(tmp_path: Path) -> None:
    make_fleet(tmp_path, group_of(DOCK))
    found = read(source(tmp_path, file="visionfleet.yaml")).groups["hardware_raspberry_pi_5"].vars
    assert found["preflight_device_tree"] == ["Raspberry Pi 5", "Raspberry Pi Compute Module 5"]
    assert all(is_trusted_as_template(text) for text in found["preflight_device_tree"])


def test_an_inventory_is_kept_while_nothing_changes(tmp_path: Path, made: list[str]) -> None:
    make_fleet(tmp_path, group_of(DOCK))
    path = keeping(tmp_path)
    first, second = read(path), read(path)
    assert made == ["acme-vision"]
    assert contents(first) == contents(second)


def contents(inventory: InventoryData) -> dict[str, Any]:
    members = {name: ([host.name for host in group.hosts], group.vars) for name, group in inventory.groups.items()}
    return {"groups": members, "hosts": {name: host.vars for name, host in inventory.hosts.items()}}


@pytest.mark.parametrize(
    ("changed", "before", "after"),
    [
        ("visionfleet.yaml", b"acme-vision", b"acme-other"),
        ("more.csv", b"10.1.0.1", b"10.1.0.2"),
        ("workflows/count.json", b'"count"', b'"another"'),
        ("models/demo/1/class_names.txt", b"bolt", b"screw"),
        ("models/demo/2/weights.onnx", b"detector", b"defector"),
        ("screw.png", b"IEND", b"IEND "),
        ("screw.json", b"{}", b"{ }"),
    ],
)
def test_a_change_makes_the_inventory_anew(
    tmp_path: Path, made: list[str], changed: str, before: bytes, after: bytes
) -> None:
    (tmp_path / "screw.png").write_bytes(PICTURE)
    (tmp_path / "screw.json").write_text("{}")
    (tmp_path / "more.csv").write_text("name,address\nb,10.1.0.1\n", encoding="utf-8")
    golden = {"name": "screw", "model": "demo/1", "image": "./screw.png", "expected": "./screw.json"}
    make_fleet(tmp_path, group_of(DOCK, devices_from="./more.csv"), edge={"goldens": [golden]})
    path = keeping(tmp_path)
    read(path)
    content = (tmp_path / changed).read_bytes()
    assert before in content
    (tmp_path / changed).write_bytes(content.replace(before, after))
    read(path)
    assert len(made) == 2


def test_a_new_workflow_makes_the_inventory_anew(tmp_path: Path, made: list[str]) -> None:
    make_fleet(tmp_path, group_of(DOCK))
    path = keeping(tmp_path)
    read(path)
    (tmp_path / "workflows/third.json").write_bytes((tmp_path / "workflows/count.json").read_bytes())
    read(path)
    assert len(made) == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"__payload__": "{}"}', b"\xff\xfe"])
def test_what_cannot_be_read_of_a_kept_inventory_is_made_anew(tmp_path: Path, made: list[str], content: bytes) -> None:
    make_fleet(tmp_path, group_of(DOCK))
    path = keeping(tmp_path)
    expected = contents(read(path))
    for kept in (tmp_path / "kept").iterdir():
        kept.write_bytes(content)
    assert contents(read(path)) == expected
    assert contents(read(path)) == expected
    assert len(made) == 2


def test_a_refresh_reads_the_file_again(tmp_path: Path, made: list[str]) -> None:
    make_fleet(tmp_path, group_of(DOCK))
    path = keeping(tmp_path)
    read(path)
    read(path, cache=False)
    assert len(made) == 2


def test_no_secret_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONFLEET_FLEET_KEY", "the-fleet-key")
    monkeypatch.setenv("SSH_PASSWORD", "the-password")
    make_fleet(tmp_path, group_of(DOCK, ssh={"password": "env:SSH_PASSWORD"}))
    read(keeping(tmp_path))
    (kept,) = (tmp_path / "kept").iterdir()
    assert b"SSH_PASSWORD" in kept.read_bytes()
    assert b"the-" not in kept.read_bytes()


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (
            {"hardware": "jetson-orin-nono"},
            "visionfleet.yaml:20:21: edge.groups[0].hardware: 'jetson-orin-nono' is not",
        ),
        (
            {"devices": [{"name": "localhost", "address": "10.0.0.1"}]},
            "'localhost' has a meaning of its own in Ansible",
        ),
    ],
    ids=["the file", "a name"],
)
def test_a_file_that_is_wrong_ends_ansible_with_every_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], group: dict[str, Any], said: str
) -> None:
    make_fleet(tmp_path, {**group_of(DOCK), **group})
    with pytest.raises(SystemExit) as ended:
        read(source(tmp_path, file="visionfleet.yaml"))
    assert ended.value.code == 4
    assert said in capsys.readouterr().err


def test_a_python_without_visionfleet_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_fleet(tmp_path, group_of(DOCK))
    monkeypatch.setitem(sys.modules, "visionfleet.config", None)
    with pytest.raises(AnsibleParserError, match="install visionfleet into Ansible's own Python"):
        read(source(tmp_path, file="visionfleet.yaml"))


def test_its_documentation_names_each_option_that_it_reads() -> None:
    options = yaml.safe_load(sys.modules[type(plugin()).__module__].DOCUMENTATION)["options"]
    assert set(options) == {"plugin", "file"}
    examples = sys.modules[type(plugin()).__module__].EXAMPLES
    assert [example["plugin"] for example in yaml.safe_load_all(examples)] == ["visionfleet", "visionfleet"]
