"""The section `edge`: its tables of devices, and the rules over what lies beside the file."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.config.support import make_graph, make_package, problems_of, write_file, write_json
from visionfleet.config import load
from visionfleet.config import model_memory as memory
from visionfleet.config.device_classes import (
    DEVICE_CLASSES,
    JETPACKS,
    DeviceClass,
    Family,
    Jetpack,
    Runtime,
    facts_of,
)
from visionfleet.config.secrets import SecretRef

MODELS = """\
models:
  - {id: big/1, architecture: yolov8, package: ./big}
  - {id: small/1, architecture: yolov8, package: ./small}
"""


def write_models(folder: Path) -> None:
    """A model with 3000 weights of four bytes, and one with none."""
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [3000], [0.0] * 3000)
    make_package(folder / "big", make_graph(initializers=[weights]))
    make_package(folder / "small")


@pytest.fixture
def small_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gigabyte has 10,000 bytes here, and the server takes 2000."""
    monkeypatch.setattr(memory, "GIBIBYTE", 10_000)
    monkeypatch.setattr(memory, "SERVER_BYTES", 2_000)


def test_the_tables_are_whole() -> None:
    assert set(DEVICE_CLASSES) == set(DeviceClass)
    assert set(JETPACKS) == set(Jetpack)
    for hardware, facts in DEVICE_CLASSES.items():
        is_jetson = facts.family is Family.JETSON
        assert hardware.startswith(facts.family)
        assert (facts.runtime is Runtime.JETSON) == is_jetson == bool(facts.jetpacks)
        assert is_jetson == (facts.compute_capability is not None)
        assert (facts.device_tree == ()) == (facts.memory_gb is None) == (facts.family is Family.GENERIC)


def test_images_have_no_tag_and_no_jetpack_is_of_python_3_6() -> None:
    assert all(":" not in facts.image and facts.l4t[0] >= 35 for facts in JETPACKS.values())


@given(st.text() | st.none() | st.lists(st.text()) | st.sampled_from([*DeviceClass]))
def test_facts_are_those_of_a_class_alone(hardware: object) -> None:
    assert (facts_of(hardware) is not None) == (hardware in list(DeviceClass))


def test_everything_of_the_edge_has_a_default(tmp_path: Path) -> None:
    group = "{name: a, hardware: raspberry-pi-5, devices: [{name: b, address: 10.0.0.1}]}"
    edge = load(write_file(tmp_path, f"edge: {{groups: [{group}]}}\n")).edge

    assert edge.fleet_key == SecretRef("env", "VISIONFLEET_FLEET_KEY")
    assert (edge.container_engine.package, edge.report_seconds, edge.health.soak_seconds) == ("docker.io", 60, 30)
    (group,) = edge.groups
    assert (group.exposure, group.isolation, group.ssh.port, group.models) == ("localhost", "strict", 22, None)
    assert (group.labels, group.devices[0].labels, group.devices[0].exposure) == ({}, {}, None)


def test_keys_and_files_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "hosts").touch()
    ssh = "{private_key: file:./key, known_hosts: ./hosts}"
    (group,) = load(
        write_file(tmp_path, f"edge: {{groups: [{{name: a, hardware: raspberry-pi-5, ssh: {ssh}}}]}}\n")
    ).edge.groups

    assert str(group.ssh.private_key) == f"file:{tmp_path}/key"
    assert group.ssh.known_hosts == tmp_path / "hosts"


@pytest.mark.usefixtures("small_machines")
@pytest.mark.parametrize(
    ("group", "path"),
    [
        ("memory_gb: 3", "edge.groups[0].memory_gb"),
        ("memory_gb: 3, models: [big/1]", "edge.groups[0].models"),
        ("memory_gb: 3, models: [small/1], devices: [{name: b, address: b, models: [big/1]}]", "devices[0].models"),
        ("memory_gb: 3, models: [small/1], devices: [{name: b, address: b, labels: {r: x}}]", "overrides[1].models"),
        ("memory_gb: 3, models: [small/1], devices: [{name: b, address: b, labels: {r: y}}]", "overrides[2].models"),
        ("memory_gb: 3, models: [small/1], labels: {r: x}, devices: [{name: b, address: b, models: []}]", ""),
        ("memory_gb: 3, models: [small/1]", ""),
        ("memory_gb: 4", ""),
    ],
)
def test_models_are_too_large_for_the_memory(group: str, path: str, tmp_path: Path) -> None:
    write_models(tmp_path)
    overrides = "[{match: {r: x}, models: []}, {match: {r: x}, models: [big/1]}, {match: {r: y}, models: [big/1]}]"
    known = ", ".join(f"{{name: {value}, address: {value}, labels: {{r: {value}}}}}" for value in ("x", "y"))
    edge = (
        f"edge:\n  overrides: {overrides}\n  groups:\n    - {{name: a, hardware: raspberry-pi-5, {group}}}\n"
        f"    - {{name: known, hardware: generic-arm64, devices: [{known}]}}\n"
    )

    problems = problems_of(write_file(tmp_path, MODELS + edge))

    assert [problem.code for problem in problems] == (["models-too-large"] if path else [])
    if path:
        assert problems[0].path.endswith(path)
        assert "big/1 is the largest" in problems[0].fix


@pytest.mark.usefixtures("small_machines")
def test_the_memory_of_a_class_is_its_least(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_models(tmp_path)
    monkeypatch.setattr(memory, "GIBIBYTE", 9_000)
    text = f"{MODELS}edge: {{groups: [{{name: a, hardware: raspberry-pi-4}}, {{name: b, hardware: generic-arm64}}]}}\n"

    (problem,) = problems_of(write_file(tmp_path, text))

    assert (problem.path, problem.value) == ("edge.groups[0].hardware", "raspberry-pi-4")
    assert problem.rule.startswith("has 4 GB of memory, and the models need ")


def test_the_real_numbers_leave_the_server_its_place() -> None:
    assert memory.SERVER_BYTES == 1.5 * memory.GIBIBYTE
    assert memory.MEMORY_PER_WEIGHT == 3


@pytest.mark.parametrize(
    ("content", "rule"),
    [("", "holds no certificate"), (None, "does not exist"), ("-----BEGIN CERTIFICATE-----\n", None)],
)
def test_the_authority_of_the_registry_is_a_certificate(content: str | None, rule: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "ca.crt").write_text(content, encoding="utf-8")
    text = "inference: {registry: registry.acme.example}\nedge: {registry: {ca: ./ca.crt}}\n"

    problems = problems_of(write_file(tmp_path, text))

    assert [problem.rule for problem in problems] == ([rule] if rule else [])


def test_goldens_ask_what_there_is(tmp_path: Path) -> None:
    write_json(tmp_path / "expected.json", {"predictions": []})
    (tmp_path / "list.json").write_text("[1]", encoding="utf-8")
    make_package(tmp_path / "small")
    model = "models: [{id: small/1, architecture: yolov8, package: ./small}]\n"
    golden = "{name: a, image: ./expected.json, model: small/1, expected: ./expected.json, tolerance: 0}"
    broken = "{name: b, image: ./expected.json, model: small/1, expected: ./list.json}"

    assert load(write_file(tmp_path, f"{model}edge: {{goldens: [{golden}]}}\n")).edge.goldens[0].tolerance == 0
    (problem,) = problems_of(write_file(tmp_path, f"{model}edge: {{goldens: [{golden}, {broken}]}}\n"))
    assert (problem.code, Path(problem.file).name, problem.line) == ("json-kind", "list.json", 1)


def test_labels_of_a_device_win_over_those_of_its_group(tmp_path: Path) -> None:
    device = "{name: b, address: b, labels: {ring: canary}}"
    text = (
        f"edge:\n  groups: [{{name: a, hardware: raspberry-pi-5, labels: {{ring: stable}}, devices: [{device}]}}]\n"
        '  overrides: [{match: {ring: stable}, version: "1.8.3"}]\n'
    )

    (problem,) = problems_of(write_file(tmp_path, text))

    assert (problem.value, problem.rule) == ("stable", "is the label 'ring' of no device")
    assert problem.fix == "Known: canary"
