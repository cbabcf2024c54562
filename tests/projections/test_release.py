"""What a device runs: what the file's layers make of it, how it is called, and what it is made of."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.config.support import WORKFLOW, write_json
from tests.projections.fleet import group_of, make_fleet, release, releases_of
from visionfleet.config import load
from visionfleet.config.packages import read_package
from visionfleet.projections import release as release_module
from visionfleet.projections.release import canonical, release_of

DIGEST, OTHER = (f"sha256:{letter * 64}" for letter in "ab")
DOCK = {"name": "dock-01"}
OVERRIDE = {"match": {"ring": "all"}, "version": "1.9.0"}
CPU = "roboflow/roboflow-inference-server-cpu"


def test_a_release_holds_all_that_a_device_needs(tmp_path: Path) -> None:
    group = group_of(DOCK, exposure="lan", isolation="privileged")
    told = release(tmp_path, group, inference={"port": 9100}, edge={"health": {"soak_seconds": 5}}).as_dict()
    assert list(told) == [
        "id",
        "bind",
        "environment",
        "goldens",
        "health",
        "image",
        "isolation",
        "models",
        "port",
        "runtime",
        "version",
        "workflows",
        "workspace",
    ]
    assert told["bind"] == "0.0.0.0"
    assert (told["port"], told["isolation"], told["runtime"]) == (9100, "privileged", "cpu")
    assert (told["workspace"], told["version"]) == ("acme", "1.8.3")
    assert told["health"] == {"ready_seconds": 600, "soak_seconds": 5}
    assert told["image"] == {"reference": f"{CPU}:1.8.3", "digest": None}


def test_it_is_called_by_the_digest_of_all_the_rest(tmp_path: Path) -> None:
    told = release(tmp_path).as_dict()
    rest = {key: value for key, value in told.items() if key != "id"}
    assert told["id"] == hashlib.sha256(canonical(rest)).hexdigest()[:12]
    assert json.loads(json.dumps(told)) == told


def test_devices_that_are_alike_have_one_release(tmp_path: Path) -> None:
    one = group_of({"name": "a"}, {"name": "b", "site": "hamburg", "labels": {"ring": "canary"}}, models=["demo/1"])
    two = group_of({"name": "c", "models": ["demo/1"]}, name="yard", hardware="generic-arm64", memory_gb=8)
    assert len({r.id for r in releases_of(load(make_fleet(tmp_path, one, two))).values()}) == 1


def test_the_order_in_which_models_are_listed_makes_no_other_release(tmp_path: Path) -> None:
    group = group_of(
        {"name": "a", "models": ["demo/2", "demo/1"], "workflows": ["sort", "count"]},
        {"name": "b", "models": ["demo/1", "demo/2"], "workflows": ["count", "sort"]},
        {"name": "c"},
    )
    assert len({r.id for r in releases_of(load(make_fleet(tmp_path, group))).values()}) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1.9.0"},
        {"digest": DIGEST},
        {"models": ["demo/1"]},
        {"models": []},
        {"workflows": ["count"]},
        {"exposure": "lan"},
    ],
    ids=str,
)
def test_a_device_with_settings_of_its_own_has_a_release_of_its_own(tmp_path: Path, change: dict[str, Any]) -> None:
    config = load(make_fleet(tmp_path, group_of({"name": "a"}, {"name": "b", **change})))
    releases = releases_of(config)
    assert releases["a"].id != releases["b"].id


def test_groups_then_overrides_in_order_then_the_device_decide(tmp_path: Path) -> None:
    group = group_of(
        {"name": "plain"},
        {"name": "canary", "labels": {"ring": "canary"}},
        {"name": "both", "labels": {"ring": "canary", "hall": "2"}},
        {"name": "own", "labels": {"ring": "canary", "hall": "2"}, "version": "1.9.4"},
        {"name": "out", "labels": {"ring": "late"}},
        version="1.9.1",
        labels={"ring": "all"},
    )
    overrides = [
        {"match": {"ring": "canary"}, "version": "1.9.2", "exposure": "lan"},
        {"match": {"ring": "canary", "hall": "2"}, "version": "1.9.3"},
        {"match": {"ring": "late"}, "models": []},
    ]
    releases = releases_of(load(make_fleet(tmp_path, group, edge={"overrides": overrides})))
    versions = {name: release.version for name, release in releases.items()}
    assert versions == {"plain": "1.9.1", "canary": "1.9.2", "both": "1.9.3", "own": "1.9.4", "out": "1.9.1"}
    assert {name for name, release in releases.items() if release.bind == "0.0.0.0"} == {"canary", "both", "own"}
    assert [name for name, release in releases.items() if not release.models] == ["out"]


@pytest.mark.parametrize(
    ("group", "inference", "reference"),
    [
        ({}, {}, f"{CPU}:1.8.3"),
        ({}, {"registry": "registry.acme.example:5000/mirror"}, f"registry.acme.example:5000/mirror/{CPU}:1.8.3"),
        ({}, {"image": "acme/server"}, "acme/server:1.8.3"),
        ({}, {"digest": DIGEST}, f"{CPU}@{DIGEST}"),
        ({"version": "1.9.0"}, {"digest": DIGEST}, f"{CPU}:1.9.0"),
        ({"image": "acme/server"}, {"digest": DIGEST}, "acme/server:1.8.3"),
        ({"image": "acme/server", "digest": OTHER}, {"digest": DIGEST}, f"acme/server@{OTHER}"),
        ({"hardware": "generic-x86_64-nvidia"}, {}, "roboflow/roboflow-inference-server-gpu:1.8.3"),
        ({"hardware": "generic-x86_64-nvidia"}, {"digest": DIGEST}, "roboflow/roboflow-inference-server-gpu:1.8.3"),
        (
            {"hardware": "jetson-orin-nano", "jetpack": "6.2"},
            {"image": "acme/server", "digest": DIGEST},
            "roboflow/roboflow-inference-server-jetson-6.2.0:1.8.3",
        ),
        (
            {"hardware": "jetson-xavier-nx", "jetpack": "5.1", "version": "1.8.0"},
            {},
            "roboflow/roboflow-inference-server-jetson-5.1.1:1.8.0",
        ),
    ],
    ids=str,
)
def test_the_image_is_the_one_for_the_device(
    tmp_path: Path, group: dict[str, Any], inference: dict[str, Any], reference: str
) -> None:
    image = release(tmp_path, group_of(DOCK, **group), inference=inference).image
    assert image.reference == reference
    assert image.digest == (reference.partition("@")[2] or None)


def test_a_digest_ends_where_another_version_is_asked(tmp_path: Path) -> None:
    group = group_of(
        {"name": "pinned"},
        {"name": "newer", "version": "1.9.0"},
        {"name": "both", "version": "1.9.0", "digest": OTHER},
        digest=DIGEST,
    )
    digests = {name: release.image.digest for name, release in releases_of(load(make_fleet(tmp_path, group))).items()}
    assert digests == {"pinned": DIGEST, "newer": None, "both": OTHER}


def test_the_server_knows_the_device_s_platform_alone(tmp_path: Path) -> None:
    environment = release(tmp_path, inference={"host": "127.0.0.1"}).environment
    assert environment["API_BASE_URL"] == environment["ROBOFLOW_API_HOST"] == "http://visionfleet-device:9501"
    assert environment["HOST"] == "0.0.0.0"
    assert environment["MODEL_CACHE_DIR"] == "/cache"
    assert environment["PRELOAD_MODELS"] == "demo/1,demo/2"
    assert not [name for name in environment if "KEY" in name]


def test_a_device_without_models_loads_none(tmp_path: Path) -> None:
    assert "PRELOAD_MODELS" not in release(tmp_path, group_of({"name": "a", "models": []})).environment


def test_models_and_workflows_are_told_by_digest(tmp_path: Path) -> None:
    told = release(tmp_path, group_of(DOCK, models=["demo/2"], workflows=["sort"])).as_dict()
    package = read_package(load(tmp_path / "visionfleet.yaml").models[1])
    (model,) = told["models"]
    assert (model["id"], model["package_id"]) == ("demo/2", package.package_id)
    weights = (tmp_path / "models/demo/2/weights.onnx").read_bytes()
    first = {"name": "weights.onnx", "sha256": hashlib.sha256(weights).hexdigest(), "size": len(weights)}
    assert model["files"][0] == first
    (workflow,) = told["workflows"]
    specification = WORKFLOW | {"version": "sort"}
    assert workflow == {"id": "sort", "sha256": hashlib.sha256(canonical(specification)).hexdigest()}


def test_how_a_workflow_s_file_is_written_makes_no_other_release(tmp_path: Path) -> None:
    before = release(tmp_path)
    path = tmp_path / "workflows/count.json"
    specification = json.loads(path.read_text())
    path.write_text(json.dumps({"specification": dict(reversed(specification.items()))}))
    assert release(tmp_path).id == before.id
    path.write_text(json.dumps(specification | {"version": "2.0"}))
    assert release(tmp_path).id != before.id


def test_goldens_are_those_of_what_the_device_serves(tmp_path: Path) -> None:
    (tmp_path / "screw.jpg").write_bytes(b"a picture")
    expected = write_json(tmp_path / "screw.json", {"predictions": []})
    files = {"image": "./screw.jpg", "expected": "./screw.json"}
    goldens = [
        {"name": "one", "model": "demo/1", **files},
        {"name": "two", "model": "demo/2", **files},
        {"name": "three", "workflow": "count", "tolerance": 0.5, **files},
        {"name": "four", "workflow": "sort", **files},
    ]
    group = group_of(DOCK, models=["demo/1"], workflows=["count"])
    told = release(tmp_path, group, edge={"goldens": goldens}).as_dict()["goldens"]
    digests = {
        "image": hashlib.sha256(b"a picture").hexdigest(),
        "expected": hashlib.sha256(expected.read_bytes()).hexdigest(),
    }
    of_model = {"model": "demo/1", "task": "object-detection", "workflow": None, "image_input": None}
    of_workflow = {"model": None, "task": None, "workflow": "count", "image_input": "image"}
    assert told == [
        {"name": "one", **of_model, **digests, "tolerance": 0.05},
        {"name": "three", **of_workflow, **digests, "tolerance": 0.5},
    ]


def test_a_package_is_read_once_whatever_the_number_of_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(release_module, "read_package", lambda model: read.append(model.id) or read_package(model))
    devices = [{"name": f"a-{n}", "version": f"1.9.{n % 3}"} for n in range(30)]
    config = load(make_fleet(tmp_path, group_of(*devices)))
    assert len({release.id for release in releases_of(config).values()}) == 3
    releases_of(config)
    assert read == ["demo/1", "demo/2"]


def test_another_configuration_is_resolved_anew(tmp_path: Path) -> None:
    before = release(tmp_path)
    (tmp_path / "models/demo/1/class_names.txt").write_text("screw\nnail\n", encoding="utf-8")
    assert release(tmp_path).id != before.id


def test_ten_thousand_devices_take_well_below_a_second(tmp_path: Path) -> None:
    devices = [{"name": f"a-{n}", "address": f"10.1.{n // 256}.{n % 256}"} for n in range(10_000)]
    config = load(make_fleet(tmp_path, group_of(*devices, labels={"ring": "all"}), edge={"overrides": [OVERRIDE]}))
    (group,) = config.edge.groups
    start = time.process_time()
    ids = {release_of(config, group, device).id for device in group.devices}
    assert len(ids) == 1
    assert time.process_time() - start < 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    )
)
def test_canonical_json_is_the_same_whatever_the_order_of_keys(value: Any) -> None:
    def reverse(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: reverse(inner) for key, inner in reversed(value.items())}
        return [reverse(inner) for inner in value] if isinstance(value, list) else value

    assert canonical(reverse(value)) == canonical(value)
    assert json.loads(canonical(value)) == value
