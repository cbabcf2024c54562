"""The inference server's environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.engines.engine import missing
from visionfleet.config import DeploymentConfig, load
from visionfleet.local.runtime import locate
from visionfleet.projections.server import server_environment

CACHE = Path("/cache")


def config(folder: Path, **inference: object) -> DeploymentConfig:
    (folder / "workflows").mkdir()
    file = folder / "visionfleet.yaml"
    file.write_text(json.dumps({"name": "acme-vision", "workspace": "acme", "inference": inference}))
    return load(file)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return server_environment(config(tmp_path, port=9100, host="127.0.0.1"), "http://hub:9500/", CACHE)


def test_the_hub_is_the_only_platform(environment: dict[str, str]) -> None:
    assert environment["API_BASE_URL"] == environment["ROBOFLOW_API_HOST"] == "http://hub:9500"
    assert environment["DISABLE_VERSION_CHECK"] == "True"
    assert environment["METRICS_ENABLED"] == "False"
    assert environment["HF_HUB_OFFLINE"] == "1"


def test_the_file_says_where_it_listens_and_for_whom(environment: dict[str, str]) -> None:
    assert environment["HOST"] == "127.0.0.1"
    assert environment["PORT"] == "9100"
    assert environment["MODEL_CACHE_DIR"] == "/cache"
    assert environment["DEDICATED_DEPLOYMENT_WORKSPACE_URL"] == "acme"


def test_no_key_is_in_it(environment: dict[str, str]) -> None:
    assert not [name for name in environment if "KEY" in name or "TOKEN" in name or "SECRET" in name]


def test_workflows_reach_neither_machine_nor_network(environment: dict[str, str]) -> None:
    allowed = {name: value for name, value in environment.items() if name.startswith("ALLOW_") or "_ALLOW_" in name}
    assert len(allowed) >= 10
    assert set(allowed.values()) == {"False"}


@pytest.mark.engine
def test_every_setting_is_one_of_the_server_s(environment: dict[str, str]) -> None:
    runtime = locate("1.8.3")
    if not runtime.is_installed:
        missing("the inference runtime 1.8.3", "`make runtime` installs it")
    packages = next(runtime.folder.glob("lib/python3*/site-packages"))
    sources = [
        *(packages / "inference" / "core").glob("env.py"),
        *(packages / "inference_models").glob("configuration.py"),
        *(packages / "huggingface_hub").glob("constants.py"),
        *(packages / "inference" / "usage_tracking").glob("*.py"),
    ]
    text = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    telemetry = {"TELEMETRY_USE_PERSISTENT_QUEUE": "use_persistent_queue"}  # by pydantic's prefix
    unknown = [name for name in environment if telemetry.get(name, f'"{name}"') not in text]
    assert unknown == []
