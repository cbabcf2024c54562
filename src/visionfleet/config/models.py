"""Section `models`: the models that clients may ask for, each a package in a folder."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from visionfleet.config.device_classes import DeviceClass, Runtime, facts_of
from visionfleet.config.kinds import FolderPath, ModelId, Slug
from visionfleet.config.section import Breach, RuledSection, Section, entries, peek, refusal


class Architecture(StrEnum):
    """The kinds of network that the inference server runs from an ONNX package."""

    YOLOV5 = "yolov5"
    YOLOV7 = "yolov7"
    YOLOV8 = "yolov8"
    YOLOV9 = "yolov9"
    YOLOV10 = "yolov10"
    YOLOV11 = "yolov11"
    YOLOV12 = "yolov12"
    YOLO26 = "yolo26"
    YOLONAS = "yolonas"
    YOLOLITE = "yololite"
    YOLACT = "yolact"
    RFDETR = "rfdetr"
    VIT = "vit"
    RESNET = "resnet"
    DEEP_LAB = "deep-lab-v3-plus"
    DINOV3 = "dinov3_probe"


class Task(StrEnum):
    """What a model does."""

    OBJECT_DETECTION = "object-detection"
    INSTANCE_SEGMENTATION = "instance-segmentation"
    SEMANTIC_SEGMENTATION = "semantic-segmentation"
    KEYPOINT_DETECTION = "keypoint-detection"
    CLASSIFICATION = "classification"
    MULTI_LABEL_CLASSIFICATION = "multi-label-classification"


_DETECTION = (Task.OBJECT_DETECTION,)
_CLASSIFICATION = (Task.CLASSIFICATION, Task.MULTI_LABEL_CLASSIFICATION)
_FOUR = (Task.OBJECT_DETECTION, Task.INSTANCE_SEGMENTATION, Task.KEYPOINT_DETECTION)
# what inference 1.8.3 registers with an ONNX backend: inference_models, models/auto_loaders/models_registry.py
TASKS: Mapping[str, tuple[Task, ...]] = {
    Architecture.YOLOV5: (Task.OBJECT_DETECTION, Task.INSTANCE_SEGMENTATION),
    Architecture.YOLOV7: (Task.INSTANCE_SEGMENTATION,),
    Architecture.YOLOV8: (*_FOUR, Task.CLASSIFICATION),
    Architecture.YOLOV9: _DETECTION,
    Architecture.YOLOV10: _DETECTION,
    Architecture.YOLOV11: (*_FOUR, Task.CLASSIFICATION),
    Architecture.YOLOV12: _DETECTION,
    Architecture.YOLO26: (*_FOUR, Task.SEMANTIC_SEGMENTATION),
    Architecture.YOLONAS: _DETECTION,
    Architecture.YOLOLITE: _DETECTION,
    Architecture.YOLACT: (Task.INSTANCE_SEGMENTATION,),
    Architecture.RFDETR: (*_FOUR, Task.SEMANTIC_SEGMENTATION),
    Architecture.VIT: _CLASSIFICATION,
    Architecture.RESNET: _CLASSIFICATION,
    Architecture.DEEP_LAB: (Task.SEMANTIC_SEGMENTATION,),
    Architecture.DINOV3: _CLASSIFICATION,
}


def _task_of_architecture(data: object) -> Iterator[Breach]:
    architecture, task = peek(data, "architecture"), peek(data, "task", default=Task.OBJECT_DETECTION)
    possible = TASKS.get(architecture) if isinstance(architecture, str) else None
    if possible is None or task in possible or task not in list(Task):
        return
    missing = "" if peek(data, "task") else f"is missing, and its default '{task}' "
    fix = f"models of architecture {architecture} do: {', '.join(possible)}"
    rule = f"{missing}is not a task of architecture '{architecture}'"
    yield Breach(("task",), task, "task-of-architecture", rule, fix)


# names under which the server loads models of its own, whatever the hub has (inference.core.registries.roboflow)
RESERVED_PROJECTS = frozenset(
    (
        *(
            "clip",
            "depth-anything-v2",
            "depth-anything-v3",
            "doctr",
            "easy_ocr",
            "gaze",
            "grounding_dino",
            "moondream2",
        ),
        *("owlv2", "paligemma", "perception_encoder", "sam", "sam2", "sam3", "sam3-3d-objects", "smolvlm2", "trocr"),
        "yolo_world",
    )
)


def _id_free(model_id: str) -> str:
    project = model_id.partition("/")[0]
    if project in RESERVED_PROJECTS:
        rule = f"is reserved: the inference server has models of its own under '{project}'"
        raise refusal("reserved-model-id", rule, "give the model another id")
    return model_id


class Precision(StrEnum):
    """The precisions of a TensorRT engine."""

    FP32 = "fp32"
    FP16 = "fp16"


class TensorRt(Section):
    """A TensorRT engine for each of some device classes."""

    precision: Precision = Field(default=Precision.FP16, description="Precision that the engine computes in.")
    batch: int = Field(default=1, strict=True, ge=1, le=64, description="Most images that it takes at once.")
    device_classes: tuple[DeviceClass, ...] = Field(description="Classes of devices with an NVIDIA GPU.")


def _tensorrt(data: object) -> Iterator[Breach]:
    """A class without a GPU is refused for good; what remains is refused until something builds engines."""
    asked = peek(data, "tensorrt")
    if asked is None:
        return
    without_gpu = False
    for index, hardware in enumerate(entries(peek(asked, "device_classes"))):
        facts = facts_of(hardware)
        if facts is not None and facts.runtime is Runtime.CPU:
            without_gpu = True
            location = ("tensorrt", "device_classes", index)
            rule = "has no NVIDIA GPU, and TensorRT runs on nothing else"
            yield Breach(location, hardware, "tensorrt-of-hardware", rule, "remove it: the class runs the ONNX file")
    if not without_gpu:
        rule = "builds no engine yet: devices run the model's ONNX file"
        yield Breach(("tensorrt",), None, "not-yet", rule, "remove it")


class Model(RuledSection):
    """A model: what clients ask for, and the folder of its package."""

    cross_rules = (_task_of_architecture, _tensorrt)

    id: Annotated[ModelId, AfterValidator(_id_free)] = Field(
        description="What clients ask for, `project/version` as Roboflow writes it."
    )
    architecture: Architecture = Field(description="Kind of network.")
    variant: Slug | None = Field(default=None, description="Size or flavour of the network, as in `n`.")
    task: Task = Field(default=Task.OBJECT_DETECTION, description="What the model does.")
    package: FolderPath = Field(
        description="Folder of the model's package: weights.onnx, class_names.txt, inference_config.json."
    )
    tensorrt: TensorRt | None = Field(
        default=None, description="TensorRT engines to build; nothing builds them yet, and the key is refused."
    )
