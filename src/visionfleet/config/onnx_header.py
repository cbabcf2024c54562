"""The header of an ONNX file: its graph without its weights, which may be gigabytes and are not looked at.

ONNX is one protocol buffer message. Its fields are walked here without being parsed, and large tensors are stepped
over; what remains is small, and the onnx library reads it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import SEEK_END
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import onnx

# tensors up to this size stay: shapes and anchors, and those whose data is in another file
KEPT_TENSOR_BYTES = 4096
# a graph of ten thousand nodes takes a few
MAX_HEADER_BYTES = 64 * 1024 * 1024

# field numbers of onnx.proto: ModelProto.graph; in GraphProto initializer and sparse_initializer
_GRAPH, _INITIALIZER, _SPARSE_INITIALIZER = 7, 5, 15
_TENSORS = frozenset({_INITIALIZER, _SPARSE_INITIALIZER})
# wire types of protobuf's encoding
_VARINT, _BYTES = 0, 2
_FIXED_BYTES = {1: 8, 5: 4}

Shape = tuple[int | None, ...]


class BadOnnx(Exception):
    """The file is not an ONNX model; the message says in what way."""


@dataclass(frozen=True, slots=True)
class OnnxHeader:
    """What a graph tells of itself. A dimension that is only known when it runs is None."""

    opset: int
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    external_files: frozenset[str]


def read_header(path: Path) -> OnnxHeader:
    """The header of the model at `path`. Raises BadOnnx, and OSError where the file cannot be read."""
    with path.open("rb") as file:
        size = file.seek(0, SEEK_END)
        file.seek(0)
        header = _keep(file, size, nested={_GRAPH: _TENSORS})
    import onnx  # noqa: PLC0415 - a quarter of a second, and needed only where there are models
    from google.protobuf.message import DecodeError  # noqa: PLC0415

    try:
        model = onnx.ModelProto.FromString(header)
    except DecodeError:
        raise BadOnnx("is not an ONNX model") from None
    return _header_of(model)


def _header_of(model: "onnx.ModelProto") -> OnnxHeader:
    opset = next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 0)
    if not opset or not model.graph.output:
        raise BadOnnx("is not an ONNX model: it names no operator set or no output")
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    return OnnxHeader(
        opset=opset,
        inputs=tuple(_shape(value) for value in inputs),
        outputs=tuple(_shape(value) for value in model.graph.output),
        external_files=frozenset(_external_files(model.graph)),
    )


def _shape(value: "onnx.ValueInfoProto") -> Shape:
    # a name stands for a size that may vary; some exporters write -1 or 0 instead
    return tuple(dim.dim_value if dim.dim_value > 0 else None for dim in value.type.tensor_type.shape.dim)


def _external_files(graph: "onnx.GraphProto") -> Iterator[str]:
    """The files beside the model that hold its large tensors (onnx.proto, TensorProto.external_data)."""
    for tensor in graph.initializer:
        yield from (entry.value for entry in tensor.external_data if entry.key == "location")


def _keep(
    file: BinaryIO, end: int, nested: Mapping[int, frozenset[int]], dropped: frozenset[int] = frozenset()
) -> bytes:
    """The message from the file's position to `end` without its large fields `dropped`.

    Messages in the fields `nested` are treated the same way, with their own `dropped`.
    """
    kept = bytearray()
    while (start := file.tell()) < end:
        number, stop = _next_field(file, end)
        if number in nested:
            inner = _keep(file, stop, {}, nested[number])
            kept += _varint_bytes(number << 3 | _BYTES) + _varint_bytes(len(inner)) + inner
        elif number in dropped and stop - start > KEPT_TENSOR_BYTES:
            file.seek(stop)
        else:
            file.seek(start)
            kept += file.read(stop - start)
        if len(kept) > MAX_HEADER_BYTES:
            raise BadOnnx(f"has over {MAX_HEADER_BYTES // 1024**2} MiB besides its tensors")
    return bytes(kept)


def _next_field(file: BinaryIO, end: int) -> tuple[int, int]:
    """The number of the field at the file's position and where it stops; the file is left at its content."""
    key = _read_varint(file)
    kind = key & 7
    if kind == _VARINT:
        _read_varint(file)
        stop = file.tell()
    elif kind == _BYTES:
        length = _read_varint(file)
        stop = file.tell() + length
    elif kind in _FIXED_BYTES:
        stop = file.tell() + _FIXED_BYTES[kind]
    else:
        raise BadOnnx("is not an ONNX model")
    if stop > end:
        raise BadOnnx("is not an ONNX model, or is cut off")
    return key >> 3, stop


def _read_varint(file: BinaryIO) -> int:
    """A base-128 number, the low seven bits first (protobuf's encoding)."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise BadOnnx("is not an ONNX model, or is cut off")


def _varint_bytes(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
