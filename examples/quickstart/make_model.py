"""Makes the quickstart's model package: a generated sample, NOT a trained model.

The graph has YOLOv8's head layout, so that the inference server loads it like any exported YOLOv8 detector, and
nothing has to be downloaded. It looks at mean colours only: the picture is cut into overlapping square cells of two
sizes; a cell that is redder, greener, bluer, brighter or darker than its neighbours becomes a detection of that class.
What it finds in a photograph is plain to see, which is all that a sample needs.

Writes weights.onnx, class_names.txt and inference_config.json. The same code writes the same bytes.

    python examples/quickstart/make_model.py examples/quickstart/models/colour-cells
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

INPUT_SIZE = 320  # pixels, width and height of the network's input
CELL_SIZES = (112, 64)  # pixels at the network's input
CELL_STRIDE = 16  # pixels
OPSET = 17
SHARPNESS = 14.0  # how quickly the confidence rises around a class's threshold

# class -> the colour measure (0 to 1) at which the confidence is one half
THRESHOLDS = {"red": 0.22, "green": 0.10, "blue": 0.12, "bright": 0.72, "dark": 0.90}

INFERENCE_CONFIG = {
    "network_input": {
        "training_input_size": {"height": INPUT_SIZE, "width": INPUT_SIZE},
        "dynamic_spatial_size_supported": False,
        "color_mode": "rgb",
        "resize_mode": "stretch",
        "input_channels": 3,
        "scaling_factor": 255,
    },
    "post_processing": {"type": "nms", "fused": False},
}


def cell_boxes(cell: int) -> np.ndarray:
    """Boxes [1, 4, cells] of one cell size: centre x, centre y, width, height in pixels, row by row."""
    centres = np.arange(0, INPUT_SIZE - cell + 1, CELL_STRIDE, dtype=np.float32) + cell / 2
    y, x = np.meshgrid(centres, centres, indexing="ij")
    size = np.full_like(x, cell)
    return np.stack([x.ravel(), y.ravel(), size.ravel(), size.ravel()])[None]


class Graph:
    """A list of nodes and constants that grows one operation at a time."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, operation: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(operation, inputs, [output], name=output, **attributes))
        return output


def add_cells(graph: Graph, cell: int) -> str:
    """Adds the detections [batch, 4 + classes, cells] of one cell size; returns their name."""

    def name(part: str) -> str:
        return f"{part}_{cell}"

    colour = graph.add("AveragePool", ["images"], name("mean"), kernel_shape=[cell] * 2, strides=[CELL_STRIDE] * 2)
    red, green, blue = (name(channel) for channel in ("r", "g", "b"))
    graph.nodes.append(helper.make_node("Split", [colour], [red, green, blue], name=name("split"), axis=1))
    highest = graph.add("Max", [red, green, blue], name("highest"))
    measures = [
        graph.add("Sub", [red, graph.add("Max", [green, blue], name("not_red"))], name("redness")),
        graph.add("Sub", [green, graph.add("Max", [red, blue], name("not_green"))], name("greenness")),
        graph.add("Sub", [blue, graph.add("Max", [red, green], name("not_blue"))], name("blueness")),
        graph.add("Min", [red, green, blue], name("brightness")),
        graph.add("Sub", ["one", highest], name("darkness")),
    ]
    measure = graph.add("Concat", measures, name("measure"), axis=1)
    above = graph.add("Sub", [measure, "thresholds"], name("above"))
    score = graph.add("Sigmoid", [graph.add("Mul", [above, "sharpness"], name("scaled"))], name("score"))

    # only the strongest cell of a neighbourhood answers, so that one red cup is one detection
    strongest = graph.add("MaxPool", [score], name("strongest"), kernel_shape=[5, 5], pads=[2] * 4)
    is_peak = graph.add(
        "Cast", [graph.add("Equal", [score, strongest], name("equal"))], name("peak"), to=TensorProto.FLOAT
    )
    peaks = graph.add("Mul", [score, is_peak], name("peaks"))
    flat = graph.add("Reshape", [peaks, "flat_shape"], name("flat"))

    # the constant boxes, once for each picture of the batch
    boxes = graph.constant(name("cell_boxes"), cell_boxes(cell))
    batch_boxes = graph.add("Expand", [boxes, "box_repeats"], name("boxes"))
    return graph.add("Concat", [batch_boxes, flat], name("detections"), axis=1)


def build_model() -> onnx.ModelProto:
    """The graph: images [batch, 3, 320, 320], RGB 0 to 1 -> output0 [batch, 4 + classes, cells]."""
    graph = Graph()
    thresholds = np.array(list(THRESHOLDS.values()), dtype=np.float32).reshape(1, -1, 1, 1)
    graph.constant("thresholds", thresholds)
    graph.constant("sharpness", np.array(SHARPNESS, dtype=np.float32))
    graph.constant("one", np.array(1, dtype=np.float32))
    graph.constant("flat_shape", np.array([0, len(THRESHOLDS), -1], dtype=np.int64))
    graph.constant("ones", np.array([1, 1], dtype=np.int64))
    graph.constant("first", np.array([0], dtype=np.int64))

    shape = graph.add("Shape", ["images"], "image_shape")
    batch = graph.add("Gather", [shape, "first"], "batch_size")
    graph.add("Concat", [batch, "ones"], "box_repeats", axis=0)
    graph.add("Concat", [add_cells(graph, cell) for cell in CELL_SIZES], "output0", axis=2)

    cells = sum(cell_boxes(cell).shape[2] for cell in CELL_SIZES)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "colour-cells",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, INPUT_SIZE, INPUT_SIZE])],
            [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["batch", 4 + len(THRESHOLDS), cells])],
            graph.constants,
        ),
        producer_name="visionfleet quickstart",
        doc_string="A generated sample in YOLOv8's head layout, not a trained model.",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def write_package(folder: Path) -> None:
    """Writes the three files of the model package into the folder, which is made when missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.onnx").write_bytes(build_model().SerializeToString(deterministic=True))
    (folder / "class_names.txt").write_text("\n".join(THRESHOLDS) + "\n", encoding="utf-8")
    (folder / "inference_config.json").write_text(json.dumps(INFERENCE_CONFIG, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_package(Path(sys.argv[1]))
