"""The quickstart: its sample model, and the whole of it as a user runs it, on the real server and command line."""

from __future__ import annotations

import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
import yaml
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from tests.engines.engine import free_port, missing, running, wait_until
from visionfleet.config import load
from visionfleet.config.packages import read_package
from visionfleet.local.runtime import locate

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"
RUN_SECONDS = 900  # generous: the machine may be busy with other tests
THRESHOLD = 0.5


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    make_package(folder)
    return folder


def make_package(folder: Path) -> None:
    runpy.run_path(str(QUICKSTART / "make_model.py"))["write_package"](folder)


def detections(package: Path, images: np.ndarray) -> list[set[str]]:
    """For each image [batch, 3, 320, 320] the classes that the graph is sure of."""
    model = ReferenceEvaluator(onnx.load(package / "weights.onnx"), new_ops=[AveragePool])
    [output] = model.run(None, {"images": images.astype(np.float32)})
    names = (package / "class_names.txt").read_text().split()
    scores = output[:, 4:].max(axis=2)
    return [{name for name, score in zip(names, image, strict=True) if score > THRESHOLD} for image in scores]


class AveragePool(OpRun):
    """As ONNX has it, for windows that stay inside of the image: its own evaluator adds up pixel by pixel in Python."""

    def _run(self, x: np.ndarray, *, kernel_shape: list[int], strides: list[int], **others: Any) -> tuple[np.ndarray]:
        assert not any(others.get("pads") or ())
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel_shape, axis=(2, 3))
        return (windows[:, :, :: strides[0], :: strides[1]].mean(axis=(4, 5), dtype=x.dtype),)


def test_the_model_sees_colours(package: Path) -> None:
    images = np.full((2, 3, 320, 320), 0.5)
    images[0, 0, 40:160, 40:160] = 1  # a red square on grey
    images[0, 1:, 40:160, 40:160] = 0.1
    images[1, :, :, :160], images[1, :, :, 160:] = 0, 1
    assert detections(package, images) == [{"red"}, {"dark", "bright"}]


def test_the_model_is_the_same_every_time(package: Path, tmp_path: Path) -> None:
    make_package(tmp_path)
    for name in ("weights.onnx", "class_names.txt", "inference_config.json"):
        assert (tmp_path / name).read_bytes() == (package / name).read_bytes()


def test_the_file_and_its_workflow_are_valid(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    make_package(folder / "models" / "colour-cells")
    [model] = load(folder / "visionfleet.yaml").models
    assert read_package(model).dynamic_batch


def copy(folder: Path) -> Path:
    """The example without what earlier runs left, on ports of its own; the folder is the current one for it."""
    copied = folder / "quickstart"
    shutil.copytree(QUICKSTART, copied, ignore=shutil.ignore_patterns("models", "photos", "results", "state"))
    file = copied / "visionfleet.yaml"
    document = yaml.safe_load(file.read_text())
    document["hub"]["port"], document["inference"]["port"] = free_port(), free_port()
    file.write_text(yaml.safe_dump(document))
    return copied


@pytest.fixture
def example(tmp_path: Path) -> Path:
    if not locate("1.8.3").is_installed:
        missing("the inference runtime 1.8.3", "`make runtime` installs it")
    return copy(tmp_path)


def left(folder: Path) -> list[str]:
    """The command lines of processes that have to do with the folder."""
    return [line for line in map(command_line, psutil.process_iter()) if str(folder) in line]


def command_line(process: psutil.Process) -> str:
    try:
        return " ".join([*process.cmdline(), process.environ().get("MODEL_CACHE_DIR", "")])
    except psutil.Error:
        return ""


@pytest.mark.engine
def test_runs_from_photographs_to_results(example: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(example / "run.py")],
        stdin=subprocess.DEVNULL,
        cwd=example,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for command in ("create-batch-of-images", "process-images-with-workflow", "show-job-details", "export-batch"):
        assert f" {command} " in done.stdout
    assert "48 images" in done.stdout
    assert "vf_" not in done.stdout + done.stderr
    assert len(list(example.glob("results/*/annotated/*.jpg"))) == 48
    [results] = example.glob("results/*/results/results.jsonl")
    assert len({line.split('"', 4)[3] for line in results.read_text().splitlines()}) == 48
    assert left(example) == []


@pytest.mark.engine
def test_ctrl_c_in_the_middle_leaves_no_process(example: Path) -> None:
    log = example / "run.log"
    with running([sys.executable, "-u", str(example / "run.py")], log) as run:
        wait_until(lambda: "hub: ready" in log.read_text(), "the hub is ready", RUN_SECONDS)
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait(300) == 128 + signal.SIGINT
    assert left(example) == []


@pytest.mark.engine
def test_a_failure_names_its_step(example: Path) -> None:
    port = yaml.safe_load((example / "visionfleet.yaml").read_text())["hub"]["port"]
    with socket.create_server(("127.0.0.1", port)):
        done = subprocess.run(
            [sys.executable, str(example / "run.py")],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
    assert done.returncode == 1
    assert "the quickstart failed at 'Hub, inference server and worker'" in done.stdout
    assert f"port {port}" in done.stderr
