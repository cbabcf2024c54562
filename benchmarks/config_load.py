"""How long `visionfleet.config.load` takes on a file of 10,000 entries, against PyYAML's C loader on the same text.

`yaml.load` only makes plain data of the file. `load` does that, refuses what the file may not hold, validates every
entry against the models, makes its path absolute, and checks the model package that it names. The entries are models
that share four packages, as many sites may share a detector: packages are checked once each, in every round anew.

The two take turns, so that a busy machine slows both; the medians are compared. The onnx library is imported before the
rounds (a quarter of a second, once a process).

    python benchmarks/config_load.py
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import yaml
from onnx import TensorProto, helper

from visionfleet.config import load

ENTRIES = 10_000
PACKAGES = 4
ROUNDS = 7
GOAL = 2.0

SETTINGS = """{
  "network_input": {
    "training_input_size": {"height": 320, "width": 320}, "dynamic_spatial_size_supported": false,
    "color_mode": "rgb", "resize_mode": "stretch", "input_channels": 3, "scaling_factor": 255
  },
  "post_processing": {"type": "nms", "fused": false}
}"""


def main() -> int:
    """Print the ratio; the exit code is 0 where the goal is met."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(PACKAGES):
            make_package(folder / f"models/detector-{number}")
        file = make_file(folder)
        text = file.read_text(encoding="utf-8")
        print(f"{ENTRIES} entries, {len(text)} bytes, {ROUNDS} rounds")
        ours, peer = measure(lambda: load(file), lambda: yaml.load(text, Loader=yaml.CSafeLoader))
    ratio = ours / peer
    print(f"load {ours:.3f} s, yaml.load(CSafeLoader) {peer:.3f} s")
    print(f"config_load: {ratio:.2f} (goal <= {GOAL})")
    return 0 if ratio <= GOAL else 1


def make_file(folder: Path) -> Path:
    """A deployment of ENTRIES models, written as people write them."""
    lines = ["apiVersion: visionfleet/v1", "name: acme-vision", "workspace: acme", "models:"]
    for number in range(ENTRIES):
        lines += [
            f"  - id: line-{number}/{number % 7 + 1}  # site {number // 10}",
            "    architecture: yolov8",
            "    variant: n",
            "    task: object-detection",
            f"    package: ./models/detector-{number % PACKAGES}",
        ]
    file = folder / "visionfleet.yaml"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def make_package(folder: Path) -> None:
    """A package with a graph in YOLOv8's head layout for two classes."""
    folder.mkdir(parents=True)
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 320, 320])
    boxes = helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["batch", 6, 2100])
    node = helper.make_node("Identity", ["images"], ["output0"])
    graph = helper.make_graph([node], "detector", [images], [boxes])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), folder / "weights.onnx")
    (folder / "class_names.txt").write_text("bolt\nnut\n", encoding="utf-8")
    (folder / "inference_config.json").write_text(SETTINGS, encoding="utf-8")


def measure(ours: Callable[[], object], peer: Callable[[], object]) -> tuple[float, float]:
    """The median seconds of each, taken in turns."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for run, times in zip((ours, peer), seconds, strict=True):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


if __name__ == "__main__":
    sys.exit(main())
