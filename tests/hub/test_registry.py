import hashlib
import json
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient
from onnx import TensorProto, helper

from visionfleet.config import ConfigError, load
from visionfleet.hub.api import create_app
from visionfleet.hub.api.storage import _read_file
from visionfleet.hub.context import Hub
from visionfleet.hub.keys import create_key
from visionfleet.hub.objects.storage import ObjectMissing
from visionfleet.hub.registry import Registry, UnknownModel, UnknownWorkflow

WORKFLOW = {
    "version": "1.0",
    "inputs": [{"type": "InferenceImage", "name": "image"}],
    "steps": [{"type": "roboflow_core/convert_grayscale@v1", "name": "grey", "image": "$inputs.image"}],
    "outputs": [{"type": "JsonField", "name": "grey", "selector": "$steps.grey.image"}],
}
SETTINGS = {
    "network_input": {
        "training_input_size": {"height": 32, "width": 32},
        "dynamic_spatial_size_supported": False,
        "color_mode": "rgb",
        "resize_mode": "stretch",
        "input_channels": 3,
        "scaling_factor": 255,
    },
    "post_processing": {"type": "nms", "fused": False},
}
BATCHES = {"demo/1": "batch", "fixed-batch/7": 4}


def write_package(folder: Path, batch: str | int) -> None:
    """A package whose graph has YOLOv8's inputs and outputs; what it computes is not asked here."""
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, 32, 32])
    detections = helper.make_tensor_value_info("output0", TensorProto.FLOAT, [batch, 4 + 2, 21])
    graph = helper.make_graph([helper.make_node("Identity", ["images"], ["output0"])], "g", [images], [detections])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder.mkdir(parents=True)
    (folder / "weights.onnx").write_bytes(model.SerializeToString())
    (folder / "class_names.txt").write_text("cup\nsaucer\n")
    (folder / "inference_config.json").write_text(json.dumps(SETTINGS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "workflows").mkdir()
    for name in ("grey", "other"):
        (tmp_path / "workflows" / f"{name}.json").write_text(json.dumps(WORKFLOW))
    models = []
    for model_id, batch in BATCHES.items():
        package = model_id.replace("/", "-")
        write_package(tmp_path / package, batch)
        models.append({"id": model_id, "architecture": "yolov8", "package": f"./{package}"})
    models[0]["variant"] = "n"
    document = {"apiVersion": "visionfleet/v1", "name": "test", "workspace": "acme", "models": models}
    (tmp_path / "visionfleet.yaml").write_text(json.dumps(document))
    return tmp_path


@pytest.fixture
def registry(folder: Path) -> Registry:
    return Registry(load(folder / "visionfleet.yaml"))


def sign(key: str) -> str:
    return f"http://hub/{key}?signature=x"


def test_a_workflow_comes_as_the_server_parses_it(registry: Registry) -> None:
    answer = registry.workflow_response("grey")
    assert answer["status"] == "ok"
    assert answer["workflow"]["id"] == "grey"
    assert json.loads(answer["workflow"]["config"]) == {"specification": WORKFLOW}
    assert registry.workflow("grey").image_inputs == ("image",)


def test_an_unknown_workflow_is_answered_with_the_known_ones(registry: Registry) -> None:
    with pytest.raises(UnknownWorkflow, match=r"no workflow 'gray'; known are: grey, other"):
        registry.workflow_response("gray")


def test_a_models_kind(registry: Registry) -> None:
    assert registry.model_stat("demo/1") == {
        "modelMetadata": {"modelArchitecture": "yolov8", "modelVariant": "n", "taskType": "object-detection"}
    }
    assert registry.model_stat("fixed-batch/7")["modelMetadata"]["modelVariant"] is None


def test_a_models_weights(registry: Registry, folder: Path) -> None:
    metadata = registry.model_weights("demo/1", sign)["modelMetadata"]
    (package,) = metadata.pop("modelPackages")
    assert metadata == {
        "type": "external-model-metadata-v1",
        "modelId": "demo/1",
        "modelArchitecture": "yolov8",
        "modelVariant": "n",
        "taskType": "object-detection",
    }
    files = package.pop("packageFiles")
    package_id = package.pop("packageId")
    assert package_id.isalnum()
    assert package == {
        "type": "external-model-package-v1",
        "packageManifest": {
            "type": "onnx-model-package-v1",
            "backendType": "onnx",
            "dynamicBatchSize": True,
            "quantization": "fp32",
            "opset": 17,
        },
        "trustedSource": True,
    }
    assert {file["fileHandle"] for file in files} == {"weights.onnx", "class_names.txt", "inference_config.json"}
    for file in files:
        path = folder / "demo-1" / file["fileHandle"]
        key = f"packages/{package_id}/{file['fileHandle']}"
        assert file["downloadUrl"] == sign(key)
        assert file["md5Hash"] == hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        assert registry.object(key) == path


def test_a_static_batch_size_is_told(registry: Registry) -> None:
    (package,) = registry.model_weights("fixed-batch/7", sign)["modelMetadata"]["modelPackages"]
    manifest = package["packageManifest"]
    assert (manifest["dynamicBatchSize"], manifest["staticBatchSize"]) == (False, 4)


def test_answers_are_json(registry: Registry) -> None:
    for answer in (registry.model_stat("demo/1"), registry.model_weights("demo/1", sign)):
        assert json.loads(json.dumps(answer)) == answer


def test_an_unknown_model_is_answered_with_the_known_ones(registry: Registry) -> None:
    for ask in (registry.model_stat, lambda model_id: registry.model_weights(model_id, sign)):
        with pytest.raises(UnknownModel, match=r"no model 'demo/2'; known are: demo/1, fixed-batch/7"):
            ask("demo/2")


@pytest.mark.parametrize("key", ["packages/nope/weights.onnx", "packages/../visionfleet.yaml", "", "weights.onnx"])
def test_no_other_file_can_be_asked_for(registry: Registry, key: str) -> None:
    with pytest.raises(ObjectMissing):
        registry.object(key)


def test_a_broken_package_is_a_problem_of_the_file(folder: Path) -> None:
    config = load(folder / "visionfleet.yaml")
    (folder / "demo-1" / "weights.onnx").write_bytes(b"not onnx")
    with pytest.raises(ConfigError, match=r"weights\.onnx"):
        Registry(config)


def test_an_empty_deployment(tmp_path: Path) -> None:
    (tmp_path / "visionfleet.yaml").write_text('{"apiVersion": "visionfleet/v1", "name": "test", "workspace": "acme"}')
    with pytest.raises(UnknownWorkflow, match="known are: none"):
        Registry(load(tmp_path / "visionfleet.yaml")).workflow("grey")


def test_a_package_file_that_was_deleted_or_cut_since_is_told_as_such(registry: Registry, folder: Path) -> None:
    files = registry.model_weights("demo/1", lambda key: key)["modelMetadata"]["modelPackages"][0]["packageFiles"]
    key = next(file["downloadUrl"] for file in files if file["fileHandle"] == "class_names.txt")
    path = registry.object(key)
    size = path.stat().st_size
    path.write_text("cup")
    hub = SimpleNamespace(registry=registry)
    assert list(islice(_read_file(hub, key, 0, size), 5)) == [b"cup"], "it ends, and is not read for ever"
    path.unlink()
    with pytest.raises(ObjectMissing):
        registry.object(key)


def test_the_server_asks_head_get_and_md5_of_each_package_file(folder: Path) -> None:
    hub = Hub.open(load(folder / "visionfleet.yaml"))
    key = create_key(hub.config, name="server", role="server")[1]
    client = TestClient(create_app(hub), base_url="http://hub.test")
    params = {"modelId": "demo/1"}
    answer = client.get("/models/v1/external/weights", params=params, headers={"Authorization": f"Bearer {key}"})
    [package] = answer.json()["modelMetadata"]["modelPackages"]
    for file in package["packageFiles"]:
        data = client.get(file["downloadUrl"])
        assert hashlib.md5(data.content, usedforsecurity=False).hexdigest() == file["md5Hash"]
        head = client.head(file["downloadUrl"])
        assert (head.status_code, head.headers["content-length"]) == (200, str(len(data.content)))
        part = client.get(file["downloadUrl"], headers={"Range": "bytes=1-3"})
        assert (part.status_code, part.content) == (206, data.content[1:4])
        assert client.put(file["downloadUrl"], content=b"x").status_code == 403
    hub.close()
