from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.config.support import make_graph
from visionfleet.config import onnx_header
from visionfleet.config.onnx_header import KEPT_TENSOR_BYTES, BadOnnx, read_header


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def weights(count: int, name: str = "weights") -> onnx.TensorProto:
    return numpy_helper.from_array(np.ones(count, np.float32), name)


def external(location: str) -> onnx.TensorProto:
    tensor = TensorProto(name="far", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def test_a_header_tells_shapes_and_operator_set(tmp_path: Path) -> None:
    graph = make_graph(["batch", 3, 64, 96], [[4, 6, 126], [-1, 32, 16, 24]], opset=18, initializers=[weights(3)])

    header = read_header(write(tmp_path / "weights.onnx", graph.SerializeToString()))

    assert header.opset == 18
    assert header.inputs == ((None, 3, 64, 96),)
    assert header.outputs == ((4, 6, 126), (None, 32, 16, 24))
    assert header.external_files == frozenset()


def test_weights_are_stepped_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = make_graph(initializers=[weights(1), weights(1_000_000, "large"), external("weights.bin")])
    file = write(tmp_path / "weights.onnx", graph.SerializeToString())
    monkeypatch.setattr(onnx_header, "MAX_HEADER_BYTES", 2 * KEPT_TENSOR_BYTES)  # 4 MB would not pass

    assert read_header(file).external_files == {"weights.bin"}


def test_weights_that_are_listed_as_inputs_are_none(tmp_path: Path) -> None:
    """Before ONNX's IR version 4 every initializer was an input, too."""
    graph = make_graph(initializers=[weights(4)])
    graph.graph.input.append(helper.make_tensor_value_info("weights", TensorProto.FLOAT, [4]))

    assert len(read_header(write(tmp_path / "weights.onnx", graph.SerializeToString())).inputs) == 1


def test_a_graph_with_too_much_besides_its_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_header, "MAX_HEADER_BYTES", 50)

    with pytest.raises(BadOnnx, match="besides its tensors"):
        read_header(write(tmp_path / "weights.onnx", make_graph().SerializeToString()))


@pytest.mark.parametrize(
    "content",
    [b"", b"not a model", b"\x08", b"\x3a\xff\xff\xff\xff\x0f", b"\xff" * 20, b"\x00" * 20, b"\x0b\x0c", b"{}\n" * 50],
)
def test_files_that_are_no_model(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(BadOnnx, match="is not an ONNX model"):
        read_header(write(tmp_path / "weights.onnx", content))


def test_a_model_that_is_cut_off(tmp_path: Path) -> None:
    content = make_graph(initializers=[weights(10_000)]).SerializeToString()

    for length in range(1, len(content), len(content) // 40):
        with pytest.raises(BadOnnx):
            read_header(write(tmp_path / "weights.onnx", content[:length]))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data())
def test_damage_is_reported_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = bytearray(make_graph(initializers=[weights(8)]).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

    try:
        read_header(write(tmp_path_factory.getbasetemp() / "damaged.onnx", bytes(content)))
    except BadOnnx as error:
        assert str(error)
