"""The section `serverless.serving`: what the fixtures do not show."""

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from tests.config.support import make_graph, make_package, problems_of, write_file
from visionfleet.config import load
from visionfleet.config import model_memory as memory

MODELS = """\
models:
  - {id: big/1, architecture: yolov8, package: ./big}
  - {id: small/1, architecture: yolov8, package: ./small}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A deployment whose gigabytes have 10,000 bytes; its models have 3000 weights of four bytes, and none."""
    monkeypatch.setattr(memory, "GIBIBYTE", 10_000)
    monkeypatch.setattr(memory, "SERVER_BYTES", 2_000)
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [3000], [0.0] * 3000)
    make_package(tmp_path / "big", make_graph(initializers=[weights]))
    make_package(tmp_path / "small")
    return tmp_path


def pool(**keys: object) -> str:
    fields = {"name": "a", "hardware": "cpu", **keys}
    return f"{MODELS}serverless: {{serving: [{{{', '.join(f'{key}: {value}' for key, value in fields.items())}}}]}}\n"


@pytest.mark.parametrize("keys", [{}, {"memory_gb": 5}, {"models": "[small/1]", "memory_gb": 1}])
def test_models_that_fit(keys: dict[str, object], folder: Path) -> None:
    assert load(write_file(folder, pool(**keys))).serverless.serving[0].name == "a"


def test_models_that_do_not_fit_the_memory(folder: Path) -> None:
    (problem,) = problems_of(write_file(folder, pool(memory_gb=3)))

    assert (problem.path, problem.code) == ("serverless.serving[0].memory_gb", "models-too-large")
    assert problem.rule.startswith("leaves 3 GB to a server, and the models need ")
    assert "big/1 is the largest" in problem.fix


def test_models_that_are_named_and_do_not_fit(folder: Path) -> None:
    (problem,) = problems_of(write_file(folder, pool(memory_gb=3, models="[big/1]")))

    assert problem.path == "serverless.serving[0].models"
    assert problem.rule.endswith("a server of the pool gets 3 GB")


def test_the_memory_of_gpus_is_not_known(folder: Path) -> None:
    assert load(write_file(folder, pool(hardware="gpu", memory_gb=1)))


@pytest.mark.parametrize(
    ("replicas", "most"), [("{}", 1), ("{min: 3}", 3), ("{min: 0}", 1), ("{min: 0, max: 4}", 4), ("{max: 2}", 2)]
)
def test_the_most_servers_are_the_fewest_unless_given(replicas: str, most: int, tmp_path: Path) -> None:
    text = f"""\
serverless:
  scaler: keda
  prometheus: http://prometheus:9090
  serving:
    - {{name: a, hardware: cpu, replicas: {replicas}, scaling: {{kind: requests, target: 4}}}}
"""
    if replicas in ("{}", "{min: 3}"):
        text = text.replace(", scaling: {kind: requests, target: 4}", "")

    assert load(write_file(tmp_path, text)).serverless.serving[0].replicas.most == most
