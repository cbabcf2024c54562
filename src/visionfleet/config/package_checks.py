"""What a model package must hold to be served.

The rules are those by which inference 1.8.3 refuses a package, or runs it wrongly without a word. They are found in its
`inference_models`: the models' `*_onnx.py`, `models/common/roboflow/model_packages.py` (class names, settings) and
`models/auto_loaders/auto_negotiation.py` (operator sets).
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from visionfleet.config.errors import Problem, display_path, path_text, shown
from visionfleet.config.files import file_fault, folder_fault
from visionfleet.config.models import Architecture, Model, Task
from visionfleet.config.onnx_header import OnnxHeader
from visionfleet.config.section import peek

# the server knows no onnxruntime after 1.22, and takes it that a newer one runs operator set 19 and no higher
MAX_OPSET = 19
# heads with the boxes first and a channel a class after them: [batch, 4 + classes (+ mask coefficients), cells]
_BOXES_THEN_CLASSES = {Architecture.YOLOV8, Architecture.YOLOV9, Architecture.YOLOV11, Architecture.YOLOV12}
_BOX_CHANNELS = 4
_CLASSIFIERS = {Task.CLASSIFICATION: "softmax", Task.MULTI_LABEL_CLASSIFICATION: "sigmoid"}
_ONE_A_LINE = "write one class name a line, in the order of the model's classes"

WEIGHTS = "weights.onnx"
CLASS_NAMES = "class_names.txt"
SETTINGS = "inference_config.json"
KEYPOINTS = "keypoints_metadata.json"


def file_problems(folder: Path, names: tuple[str, ...]) -> Iterator[Problem]:
    """The files `names` that are not in the folder itself, or that a link takes out of it."""
    if fault := folder_fault(folder):
        yield _problem(folder, "package-missing", fault, f"a package is a folder that holds {', '.join(names)}")
        return
    for name in names:
        path = folder / name
        if path.parent != folder:
            fix = f"save the model with its tensors in a file beside {WEIGHTS}"
            yield _problem(path, "package-file-elsewhere", f"is not beside {WEIGHTS}, which needs it", fix)
        elif fault := file_fault(path):
            yield _problem(path, "package-file-missing", fault, f"a package holds {', '.join(names)}")
        elif not path.resolve().is_relative_to(folder.resolve()):
            yield _problem(path, "package-link", "is a link out of the package", "copy the file into the package")


def class_name_problems(path: Path, lines: list[str]) -> Iterator[Problem]:
    """A name's line is its number, and the server skips empty lines: one would shift every name after it."""
    if not lines:
        yield _problem(path, "class-names", "holds no class name", _ONE_A_LINE)
    elif lines[0].startswith("\ufeff"):
        yield _problem(path, "class-names", "starts with a byte order mark", "save it as UTF-8 without one", 1)
    first: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name = line.strip()
        if not name:
            fix = "remove it: class names are numbered by line"
            yield _problem(path, "class-names", "is an empty line", fix, number)
        elif first.setdefault(name, number) != number:
            rule = f"repeats the class name '{shown(name)}'"
            yield _problem(path, "class-names", rule, f"it stands in line {first[name]} already", number)


def settings_problems(path: Path, settings: object, model: Model) -> Iterator[Problem]:
    """The settings that the server cannot do without."""
    for keys, (is_right, needed) in _SETTINGS.items():
        value = peek(settings, *keys)
        if not is_right(value):
            key = path_text(keys)
            rule = f"has no {key}" if value is None else f"has a {key} that the server cannot use"
            yield _problem(path, "package-settings", rule, f"make it {needed}")
    expected = _post_processing(model)
    if expected is not None and peek(settings, "post_processing", "type") != expected:
        fix = f"the server runs {model.architecture} for {model.task} with no other"
        yield _problem(path, "package-settings", f"has a post_processing.type other than '{expected}'", fix)


def header_problems(path: Path, header: OnnxHeader, settings: object, model: Model) -> Iterator[Problem]:
    """A graph that the server would not take, or feed with images of another size than it takes."""
    if header.opset > MAX_OPSET:
        fix = f"export the model again with operator set {MAX_OPSET} or lower: the server takes no higher one"
        yield _problem(path, "package-opset", f"needs ONNX operator set {header.opset}", fix)
    shape = header.inputs[0] if header.inputs else ()
    if len(shape) != len(_INPUT):
        fix = f"the server feeds [{', '.join(_INPUT)}]"
        yield _problem(path, "package-input", "takes no batch of images as its first input", fix)
        return
    if model.architecture is Architecture.RFDETR:
        return  # the server takes the size from the graph
    for index, keys in _INPUT_SETTINGS.items():
        wanted = peek(settings, "network_input", *keys)
        if shape[index] is not None and isinstance(wanted, int) and wanted != shape[index]:
            fix = f"{SETTINGS} says {wanted} in {path_text(('network_input', *keys))}; make them agree"
            yield _problem(path, "package-input", f"takes images with {_INPUT[index]} {shape[index]}", fix)


def class_count_problems(
    path: Path, names: int, header: OnnxHeader, settings: object, model: Model
) -> Iterator[Problem]:
    """Another number of class names than the graph has classes: detections would get wrong names, or none."""
    classes = _classes(header, model)
    if classes is None or peek(settings, "post_processing", "fused") is True or classes == names:
        return
    rule = f"has {_count(names, 'class name')}, and {WEIGHTS} has {_count(classes, 'class')}"
    yield _problem(path, "class-count", rule, _ONE_A_LINE)


def _classes(header: OnnxHeader, model: Model) -> int | None:
    """How many classes the graph's output has room for, where its shape tells."""
    shape = header.outputs[0]
    if model.task in _CLASSIFIERS and len(shape) == 2:
        return shape[1]
    if model.architecture not in _BOXES_THEN_CLASSES or len(shape) != 3 or shape[1] is None:
        return None
    if model.task is Task.OBJECT_DETECTION:
        return shape[1] - _BOX_CHANNELS
    masks = header.outputs[1] if len(header.outputs) > 1 else ()
    if model.task is Task.INSTANCE_SEGMENTATION and len(masks) == 4 and masks[1] is not None:
        return shape[1] - _BOX_CHANNELS - masks[1]
    return None


def _post_processing(model: Model) -> str | None:
    """The one kind that the server takes for the model, or None where it takes several."""
    if model.task in _CLASSIFIERS:
        return _CLASSIFIERS[model.task]
    return "nms" if model.architecture in {*_BOXES_THEN_CLASSES, Architecture.YOLONAS} else None


def _count(number: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def _problem(path: Path, code: str, rule: str, fix: str, line: int | None = None) -> Problem:
    return Problem(display_path(path), line, None if line is None else 1, "", None, rule, fix, code)


def _is_pixels(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _one_of(*known: str) -> tuple[Callable[[object], bool], str]:
    return lambda value: value in known, f"one of {', '.join(known)}"


_PIXELS = (_is_pixels, "a whole number above 0")
_FLAG = (_is_flag, "true or false")
_SETTINGS: dict[tuple[str, ...], tuple[Callable[[object], bool], str]] = {
    ("network_input", "training_input_size", "height"): _PIXELS,
    ("network_input", "training_input_size", "width"): _PIXELS,
    ("network_input", "dynamic_spatial_size_supported"): _FLAG,
    ("network_input", "color_mode"): _one_of("rgb", "bgr"),
    ("network_input", "resize_mode"): _one_of(
        "stretch", "letterbox", "center-crop", "fit-longer-edge", "letterbox-reflect-edges"
    ),
    ("network_input", "input_channels"): _PIXELS,
}
_INPUT = ("batch size", "channels", "height", "width")
_INPUT_SETTINGS = {1: ("input_channels",), 2: ("training_input_size", "height"), 3: ("training_input_size", "width")}
