import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.config.support import SETTINGS, changed, make_graph, make_model, make_package, write_json
from visionfleet.config import ConfigError
from visionfleet.config.models import Model
from visionfleet.config.packages import check_package, read_package


def rules(model: Model) -> list[str]:
    return [f"{Path(problem.file).name} {problem.rule}" for problem in check_package(model)]


def with_settings(tmp_path: Path, change: Callable[[Any], object]) -> Path:
    package = make_package(tmp_path / "package")
    write_json(package / "inference_config.json", changed(SETTINGS, change))
    return package


def test_a_package_is_read(tmp_path: Path) -> None:
    package = make_package(tmp_path / "package")

    read = read_package(make_model(package))

    assert read.model_id == "demo/1"
    assert read.package_id.isalnum()
    assert read.package_id.isascii()
    assert [file.name for file in read.files] == ["weights.onnx", "class_names.txt", "inference_config.json"]
    for file in read.files:
        content = file.path.read_bytes()
        assert (file.size, file.md5) == (len(content), hashlib.md5(content).hexdigest())  # noqa: S324 - as the server does
        assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert (read.class_names, read.opset) == (("bolt", "nut"), 17)
    assert (read.dynamic_batch, read.static_batch) == (True, None)


def test_a_fixed_batch_is_told(tmp_path: Path) -> None:
    graph = make_graph([4, 3, 64, 96], [[4, 6, 126]])

    read = read_package(make_model(make_package(tmp_path / "package", graph)))

    assert (read.dynamic_batch, read.static_batch) == (False, 4)


def test_the_package_id_follows_model_and_content(tmp_path: Path) -> None:
    package, same = make_package(tmp_path / "one"), make_package(tmp_path / "two")
    first = read_package(make_model(package)).package_id

    assert read_package(make_model(package)).package_id == first
    assert read_package(make_model(same)).package_id == first
    assert read_package(make_model(package, id="demo/2")).package_id != first
    (package / "class_names.txt").write_text("bolt\nscrew\n", encoding="utf-8")
    assert read_package(make_model(package)).package_id != first


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    package = make_package(tmp_path / "package")
    (package / "README.md").write_text("trained in March", encoding="utf-8")

    assert "README.md" not in [file.name for file in read_package(make_model(package)).files]


def external_weights(location: str) -> onnx.ModelProto:
    tensor = onnx.TensorProto(name="far", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return make_graph(initializers=[tensor])


def test_weights_in_a_file_of_their_own_are_part_of_the_package(tmp_path: Path) -> None:
    package = make_package(tmp_path / "package", external_weights("weights.bin"))
    assert rules(make_model(package)) == ["weights.bin does not exist"]

    (package / "weights.bin").write_bytes(b"\0" * 16)

    assert "weights.bin" in [file.name for file in read_package(make_model(package)).files]


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "sub/weights.bin"])
def test_weights_outside_the_package_are_refused(location: str, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"\0" * 16)
    package = make_package(tmp_path / "package", external_weights(location))
    (package / "sub").mkdir()
    (package / "sub/weights.bin").write_bytes(b"\0" * 16)

    assert [problem.code for problem in check_package(make_model(package))] == ["package-file-elsewhere"]


def test_links_may_not_leave_the_package(tmp_path: Path) -> None:
    package = make_package(tmp_path / "package")
    (tmp_path / "elsewhere.txt").write_text("bolt\nnut\n", encoding="utf-8")
    (package / "class_names.txt").unlink()
    (package / "class_names.txt").symlink_to(tmp_path / "elsewhere.txt")
    assert rules(make_model(package)) == ["class_names.txt is a link out of the package"]

    (package / "class_names.txt").unlink()
    (package / "names.txt").write_text("bolt\nnut\n", encoding="utf-8")
    (package / "class_names.txt").symlink_to("names.txt")
    assert rules(make_model(package)) == []


def test_files_that_are_missing_or_no_files(tmp_path: Path) -> None:
    package = make_package(tmp_path / "package")
    (package / "weights.onnx").unlink()
    (package / "inference_config.json").unlink()
    (package / "inference_config.json").mkdir()

    assert sorted(rules(make_model(package, task="keypoint-detection"))) == [
        "inference_config.json is not a file",
        "keypoints_metadata.json does not exist",
        "weights.onnx does not exist",
    ]


def test_a_package_that_cannot_be_served_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        read_package(make_model(tmp_path / "none"))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("bolt\nnut", []),
        ("bolt\r\nnut\r\n", []),
        ("bolt\x0c\nnut\u2028s\n", []),
        ("\ufeffbolt\nnut\n", ["class_names.txt starts with a byte order mark"]),
        ("", ["class_names.txt holds no class name"]),
        ("bolt\n\nnut\n", ["class_names.txt is an empty line"]),
        ("bolt\nbolt \n", ["class_names.txt repeats the class name 'bolt'"]),
        ("bolt\n", ["class_names.txt has 1 class name, and weights.onnx has 2 classes"]),
        ("a\nb\nc\n", ["class_names.txt has 3 class names, and weights.onnx has 2 classes"]),
    ],
)
def test_class_names(names: str, expected: list[str], tmp_path: Path) -> None:
    assert rules(make_model(make_package(tmp_path / "package", names=names))) == expected


@pytest.mark.parametrize(
    ("outputs", "fields"),
    [
        ([["batch", 6, 126]], {"architecture": "yolov11"}),
        ([["batch", "channels", 126]], {}),
        ([["batch", 6 + 32, 126], ["batch", 32, 16, 24]], {"task": "instance-segmentation"}),
        ([["batch", 2]], {"task": "classification"}),
        ([["batch", 300, 6]], {"architecture": "yolov10"}),
        ([["batch", 126, 7]], {"architecture": "yolov5"}),
    ],
)
def test_heads_that_two_class_names_fit(outputs: Any, fields: Any, tmp_path: Path) -> None:
    package = make_package(tmp_path / "package", make_graph(outputs=outputs))
    if fields.get("task") == "classification":
        post = {"type": "softmax", "fused": False}
        write_json(package / "inference_config.json", {**SETTINGS, "post_processing": post})

    assert rules(make_model(package, **fields)) == []


def test_a_head_with_its_detections_already_chosen_has_no_channels_to_count(tmp_path: Path) -> None:
    package = make_package(tmp_path / "package", make_graph(outputs=[["batch", 300, 6]]))
    assert rules(make_model(package)) == ["class_names.txt has 2 class names, and weights.onnx has 296 classes"]

    write_json(package / "inference_config.json", {**SETTINGS, "post_processing": {"type": "nms", "fused": True}})
    assert rules(make_model(package)) == []


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (make_graph(opset=20), "weights.onnx needs ONNX operator set 20"),
        (make_graph(["batch", 3, 64]), "weights.onnx takes no batch of images as its first input"),
        (make_graph(["batch", 1, 64, 96]), "weights.onnx takes images with channels 1"),
        (make_graph(["batch", 3, 96, 96]), "weights.onnx takes images with height 96"),
        (make_graph(["batch", 3, "height", "width"]), None),
    ],
)
def test_graphs(graph: onnx.ModelProto, expected: str | None, tmp_path: Path) -> None:
    assert rules(make_model(make_package(tmp_path / "package", graph))) == ([expected] if expected else [])


def test_the_server_takes_the_size_of_rfdetr_from_its_graph(tmp_path: Path) -> None:
    graph = make_graph(["batch", 3, 560, 560], [["batch", 300, 4], ["batch", 300, 91]])

    assert rules(make_model(make_package(tmp_path / "package", graph), architecture="rfdetr")) == []


def test_folders_and_files_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(make_package(tmp_path / "package"))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", refuse)
        assert rules(model) == ["package cannot be read: Permission denied"]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        assert [rule.partition(" ")[2] for rule in rules(model)] == ["cannot be read: Permission denied"] * 3


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s.pop("network_input"), "has no network_input.training_input_size.height"),
        (lambda s: s["network_input"].pop("training_input_size"), "has no network_input.training_input_size.height"),
        (
            lambda s: s["network_input"]["training_input_size"].update(height=True),
            "has a network_input.training_input_size.height that the server cannot use",
        ),
        (
            lambda s: s["network_input"].update(color_mode="hsv"),
            "has a network_input.color_mode that the server cannot use",
        ),
        (lambda s: s["network_input"].pop("resize_mode"), "has no network_input.resize_mode"),
        (lambda s: s.pop("post_processing"), "has a post_processing.type other than 'nms'"),
        (lambda s: s["post_processing"].update(type="softmax"), "has a post_processing.type other than 'nms'"),
    ],
)
def test_settings(change: Callable[[Any], object], expected: str, tmp_path: Path) -> None:
    assert f"inference_config.json {expected}" in rules(make_model(with_settings(tmp_path, change)))


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (b"{\n  'a': 1\n}", "json-syntax", 2),
        (b'{"a": 1,\n "a": 2}', "duplicate-key", 2),
        (b'{"a": NaN}', "json-syntax", None),
        (b'{"a": ' + b"1" * 5000 + b"}", "json-syntax", None),
        (b"[" * 100_000, "json-syntax", None),
        (b"[]", "json-kind", 1),
        (b'{"a": "\xff"}', "file-encoding", 1),
        (b" " * (1024 * 1024 + 1), "file-too-large", None),
    ],
)
def test_settings_that_are_no_json_object(content: bytes, code: str, line: int | None, tmp_path: Path) -> None:
    package = make_package(tmp_path / "package")
    (package / "inference_config.json").write_bytes(content)

    (problem,) = check_package(make_model(package))

    assert (problem.code, problem.line) == (code, line)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    package = make_package(tmp_path / "package", names="bolt\nbolt\n")
    (package / "weights.onnx").write_bytes(b"no model")
    write_json(package / "inference_config.json", changed(SETTINGS, lambda s: s["network_input"].pop("color_mode")))

    assert sorted(rules(make_model(package))) == [
        "class_names.txt repeats the class name 'bolt'",
        "inference_config.json has no network_input.color_mode",
        "weights.onnx is not an ONNX model",
    ]
