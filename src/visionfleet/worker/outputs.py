"""From a workflow's outputs for one image to its record and its files. Pure.

A record is what is written to JSONL and CSV: `{"image": "<name>", "<output>": <value>, …}`. Images never stand in it:
where one was, there is `{"type": "file", "part", "name"}` when it is saved, else `{"type": "image", "saved": false}`,
with whatever else the server said about it (a crop's `parent_id` and `parent_origin`).

Where files go: the output's name is the part, a folder of the batch. The name in it comes from the source image:

    a.jpg, and the output is a JPEG         a.jpg               kept: the suffix tells the truth
    a.png, and the output is a JPEG         a.png.jpg           the suffix follows the bytes, never the source
    frame (no image suffix)                 frame.image.jpg
    the third image inside one output       a.jpg.item2.jpg     counted in reading order
    a.png.jpg, and the output is a JPEG     a.png.jpg.jpg       never kept: a.png may stand beside it

So two source names never meet in one file name.
"""

import hashlib
import math
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import JsonValue
from pydantic_core import to_json

from visionfleet.protocol import MAX_FILE_BYTES, MAX_IMAGE_FILES, MAX_RECORD_BYTES, RESERVED_PARTS, OutputFile
from visionfleet.worker.errors import ImageFailed

MAX_NAME_BYTES = 240  # file systems take 255: room is left for what a store adds while it writes
MAX_DEPTH = 100  # of nested values in a record; JSON parsers stop somewhere above it

_DERIVED_SUFFIX = re.compile(r"\.(jpe?g|png|bmp|webp|gif|tiff?|image|item\d+)$", re.IGNORECASE)
_IMAGE_SUFFIX = re.compile(r"\.(jpe?g|png|bmp|webp|gif|tiff?)$", re.IGNORECASE)
_UNSAFE_IN_NAME = re.compile(r"^\.|[/\\\x00-\x1f\x7f]")
_UNSAFE_IN_PART = re.compile(r"^-|[^A-Za-z0-9_-]")
_MAX_PART = 64


@dataclass(frozen=True)
class Saving:
    """Which images of the outputs become files: none, all, or those of the outputs named in `only`."""

    images: bool
    only: frozenset[str] | None = None

    def wants(self, output: str) -> bool:
        """Whether the images in `output` are saved."""
        return self.images and (self.only is None or output in self.only)


class FileData(NamedTuple):
    """A file to upload."""

    file: OutputFile
    data: bytes


class Split(NamedTuple):
    """What one image's outputs came to."""

    record: dict[str, JsonValue]
    files: tuple[FileData, ...]


def split_outputs(image: str, outputs: Mapping[str, JsonValue], saving: Saving) -> Split:
    """Separate `outputs`, the server's answer for `image` (its name), into a record and files.

    NaN and the infinities, which JSON does not know, become null. An output that is itself called `image` is
    recorded as `image_`, since `image` holds the name.

    Raises:
        ImageFailed: the record, a file or their number is over the limits of `visionfleet.protocol`.
    """
    record: dict[str, JsonValue] = {"image": image}
    files: list[FileData] = []
    for output, value in outputs.items():
        splitter = _Splitter(image, part_name(output), save=saving.wants(output))
        record[_record_key(output, outputs)] = splitter.split(value)
        files += splitter.files
    _check_size(record, files)
    return Split(record, tuple(files))


def part_name(output: str) -> str:
    """The part for the files of `output`: its name, or a safe form of it that no other output shares."""
    is_safe = bool(output) and len(output) <= _MAX_PART and not _UNSAFE_IN_PART.search(output)
    if is_safe and output not in RESERVED_PARTS:
        return output
    safe = _UNSAFE_IN_PART.sub("_", output)[: _MAX_PART - 9] or "output"
    return f"{safe}-{_digest(output)[:8]}"


def file_name(image: str, suffix: str, item: int | None = None) -> str:
    """The name of a file that was made from the source `image`; see the module's docstring for the rule.

    Args:
        image: the source's name.
        suffix: what the bytes are, as a suffix: `.jpg`.
        item: which image inside the output, where the output is not simply one image.
    """
    return _storable(_derived_name(image, suffix, item))


def _derived_name(image: str, suffix: str, item: int | None) -> str:
    if item is not None:
        return f"{image}.item{item}{suffix}"
    found = _IMAGE_SUFFIX.search(image)
    if found is None:
        return f"{image}.image{suffix}"
    tells_the_truth = _canonical(found.group()) == suffix
    if tells_the_truth and not _DERIVED_SUFFIX.search(image[: found.start()]):
        return image
    return image + suffix


def _storable(name: str) -> str:
    if len(name.encode()) <= MAX_NAME_BYTES and not _UNSAFE_IN_NAME.search(name):
        return name
    stem, dot, suffix = name.rpartition(".")
    safe = _UNSAFE_IN_NAME.sub("_", stem).encode()[: MAX_NAME_BYTES - 32].decode(errors="ignore")
    return f"{safe}~{_digest(name)[:12]}{dot}{suffix}"


@dataclass
class _Splitter:
    """Walks the value of one output."""

    image: str
    part: str
    save: bool
    files: list[FileData] = field(default_factory=list)

    def split(self, value: JsonValue) -> JsonValue:
        data = _image_bytes(value)
        if data is not None and isinstance(value, dict):
            return self._reference(value, data, item=None)
        return self._walk(value, depth=0)

    def _walk(self, value: JsonValue, depth: int) -> JsonValue:
        if depth > MAX_DEPTH:
            raise ImageFailed("result_too_deep", f"the result is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if isinstance(value, list):
            return [self._walk(element, depth + 1) for element in value]
        if not isinstance(value, dict):
            return value
        data = _image_bytes(value)
        if data is not None:
            return self._reference(value, data, item=len(self.files))
        return {key: self._walk(element, depth + 1) for key, element in value.items()}

    def _reference(self, value: dict[str, JsonValue], data: bytes, item: int | None) -> JsonValue:
        rest = {key: value[key] for key in value.keys() - {"type", "value", "video_metadata"}}
        about = {key: self._walk(element, depth=1) for key, element in rest.items()}
        if not self.save:
            return {**about, "type": "image", "saved": False}
        suffix, content_type = _kind(data)
        file = OutputFile(part=self.part, name=file_name(self.image, suffix, item), content_type=content_type)
        self.files.append(FileData(file, data))
        return {**about, "type": "file", "part": file.part, "name": file.name}


def _image_bytes(value: JsonValue) -> bytes | None:
    """The bytes of an image as the server serialises one: `{"type": "base64", "value": "…", …}`; None for the rest."""
    if not isinstance(value, dict) or value.get("type") != "base64":
        return None
    encoded = value.get("value")
    if not isinstance(encoded, str):
        return None
    try:
        return b64decode(encoded, validate=True)
    except (Base64Error, ValueError):
        return None


def _kind(data: bytes) -> tuple[str, str]:
    """Suffix and content type, told from the first bytes."""
    if data.startswith(b"\xff\xd8\xff"):
        return ".jpg", "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return ".png", "image/png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return ".webp", "image/webp"
    return ".bin", "application/octet-stream"


def _canonical(suffix: str) -> str:
    return ".jpg" if suffix.lower() == ".jpeg" else suffix.lower()


def _record_key(output: str, outputs: Mapping[str, JsonValue]) -> str:
    if output != "image":
        return output
    key = "image_"
    while key in outputs:
        key += "_"
    return key


def _check_size(record: dict[str, JsonValue], files: list[FileData]) -> None:
    size = len(to_json(record))
    if size > MAX_RECORD_BYTES:
        raise ImageFailed("result_too_large", f"the result has {size} bytes of JSON, the limit is {MAX_RECORD_BYTES}")
    if len(files) > MAX_IMAGE_FILES:
        raise ImageFailed("too_many_files", f"the result has {len(files)} images, the limit is {MAX_IMAGE_FILES}")
    largest = max((len(item.data) for item in files), default=0)
    if largest > MAX_FILE_BYTES:
        raise ImageFailed("file_too_large", f"an output image has {largest} bytes, the limit is {MAX_FILE_BYTES}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
