"""Deployments, model packages and workflows for the tests, small and written in a moment."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from visionfleet.config import ConfigError, Problem, load
from visionfleet.config.models import Model

SETTINGS: dict[str, Any] = {
    "network_input": {
        "training_input_size": {"height": 64, "width": 96},
        "dynamic_spatial_size_supported": False,
        "color_mode": "rgb",
        "resize_mode": "stretch",
        "input_channels": 3,
        "scaling_factor": 255,
    },
    "post_processing": {"type": "nms", "fused": False},
}
WORKFLOW: dict[str, Any] = {
    "version": "1.0",
    "inputs": [
        {"type": "WorkflowImage", "name": "image"},
        {"type": "WorkflowParameter", "name": "model", "default_value": "demo/1"},
    ],
    "steps": [
        {"type": "roboflow_core/roboflow_object_detection_model@v2", "name": "detector", "model_id": "demo/1"},
        {"type": "roboflow_core/roboflow_object_detection_model@v2", "name": "other", "model_id": "$inputs.model"},
    ],
    "outputs": [{"type": "JsonField", "name": "predictions", "selector": "$steps.detector.predictions"}],
}
Shape = list[str | int]


def make_graph(
    inputs: Shape | None = None,
    outputs: Iterable[Shape] = (["batch", 4 + 2, 126],),
    opset: int = 17,
    initializers: Iterable[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    """A model with YOLOv8's inputs and outputs for two classes; what it computes is not asked."""
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, inputs or ["batch", 3, 64, 96])
    values = [helper.make_tensor_value_info(f"output{i}", TensorProto.FLOAT, s) for i, s in enumerate(outputs)]
    nodes = [helper.make_node("Identity", ["images"], [value.name]) for value in values]
    graph = helper.make_graph(nodes, "detector", [image], values, initializer=list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def make_package(folder: Path, graph: onnx.ModelProto | None = None, names: str = "bolt\nnut\n") -> Path:
    """A package that can be served; returns its folder."""
    folder.mkdir(parents=True)
    (folder / "weights.onnx").write_bytes((graph or make_graph()).SerializeToString())
    (folder / "class_names.txt").write_text(names, encoding="utf-8")
    write_json(folder / "inference_config.json", SETTINGS)
    return folder


def make_model(package: Path, **fields: Any) -> Model:
    return Model.model_validate({"id": "demo/1", "architecture": "yolov8", "package": str(package), **fields})


def write_json(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
    return path


def changed(value: Any, change: Callable[[Any], object]) -> Any:
    """A copy of `value` that `change` was applied to."""
    value = copy.deepcopy(value)
    change(value)
    return value


def problems_of(path: Path) -> tuple[Problem, ...]:
    """The problems of the file, none where it is right."""
    try:
        load(path)
    except ConfigError as error:
        return error.problems
    return ()


def write_file(folder: Path, text: str = "") -> Path:
    """A deployment's file that is right, with `text` at its end."""
    file = folder / "visionfleet.yaml"
    file.write_text(f"name: acme-vision\nworkspace: acme\n{text}", encoding="utf-8")
    return file
