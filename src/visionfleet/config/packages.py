"""Model packages: the folder of files that the inference server loads a model from."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import ParamSpec, TypeVar

from visionfleet.config import package_checks as checks
from visionfleet.config.errors import ConfigError, Problem
from visionfleet.config.files import MEBIBYTE, read_json, read_text, refuse_file
from visionfleet.config.models import Model, Task
from visionfleet.config.onnx_header import BadOnnx, OnnxHeader, read_header
from visionfleet.config.package_checks import CLASS_NAMES, KEYPOINTS, SETTINGS, WEIGHTS

__all__ = ["Package", "PackageFile", "check_package", "read_package", "weights_bytes"]

_MAX_TEXT_BYTES = MEBIBYTE
_PACKAGE_ID_LENGTH = 32
_CHUNK_BYTES = MEBIBYTE
_TEXTS = frozenset({CLASS_NAMES, SETTINGS, KEYPOINTS})

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A file that the inference server downloads; `md5` and `sha256` are in hexadecimal, `size` is in bytes."""

    name: str
    path: Path
    md5: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Package:
    """A checked package. `package_id` is new whenever a file is, so that no server keeps an old model for a new one.

    `static_batch` is the only batch size of a graph that has `dynamic_batch` unset, else None.
    """

    model_id: str
    package_id: str
    files: tuple[PackageFile, ...]
    class_names: tuple[str, ...]
    opset: int
    dynamic_batch: bool
    static_batch: int | None


def check_package(model: Model) -> tuple[Problem, ...]:
    """Every problem of the model's package, in the words of its own files. Weights are not read."""
    try:
        _inspect(model)
    except ConfigError as error:
        return error.problems
    return ()


def weights_bytes(model: Model) -> int:
    """The size of the model's weights with the files that they need; 0 where the package is none to serve."""
    try:
        paths = _inspect(model).paths
        return sum(path.stat().st_size for path in paths if path.name not in _TEXTS)
    except (ConfigError, OSError):
        return 0


def read_package(model: Model) -> Package:
    """The model's package with the digests of its files.

    Raises:
        ConfigError: every problem of the package.
    """
    contents = _inspect(model)
    files = tuple(_package_file(path) for path in contents.paths)
    batch = contents.header.inputs[0][0]
    return Package(
        model_id=model.id,
        package_id=_package_id(model.id, files),
        files=files,
        class_names=contents.class_names,
        opset=contents.header.opset,
        dynamic_batch=batch is None,
        static_batch=batch,
    )


@dataclass(frozen=True, slots=True)
class _Contents:
    paths: tuple[Path, ...]
    class_names: tuple[str, ...]
    header: OnnxHeader


def _inspect(model: Model) -> _Contents:
    """What the package holds. Raises ConfigError with everything that keeps it from being served."""
    folder = model.package
    names = (WEIGHTS, CLASS_NAMES, SETTINGS, *((KEYPOINTS,) if model.task is Task.KEYPOINT_DETECTION else ()))
    problems = list(checks.file_problems(folder, names))
    if problems:
        raise ConfigError(problems)
    header = _attempt(problems, _read_header, folder / WEIGHTS)
    class_names = _attempt(problems, _read_class_names, folder / CLASS_NAMES)
    settings = _attempt(problems, read_json, folder / SETTINGS, _MAX_TEXT_BYTES)
    if settings is not None:
        problems += checks.settings_problems(folder / SETTINGS, settings, model)
    if header is not None:
        external = tuple(sorted(header.external_files.difference(names)))
        names += external
        problems += checks.file_problems(folder, external)
        problems += checks.header_problems(folder / WEIGHTS, header, settings, model)
    if header is not None and class_names is not None:
        problems += checks.class_count_problems(folder / CLASS_NAMES, len(class_names), header, settings, model)
    if problems or header is None or class_names is None:
        raise ConfigError(problems)
    return _Contents(tuple(folder / name for name in names), class_names, header)


def _attempt(problems: list[Problem], function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """What `function` returns; where it raises, None, and its problems among the others."""
    try:
        return function(*args, **kwargs)
    except ConfigError as error:
        problems.extend(error.problems)
        return None


def _read_header(path: Path) -> OnnxHeader:
    try:
        return read_header(path)
    except (BadOnnx, OSError) as error:
        reason = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
        refuse_file(path, "package-onnx", reason, "export the model again, or copy the whole file")


def _read_class_names(path: Path) -> tuple[str, ...]:
    # as the server reads lines; str.splitlines() would end them at form feeds and the like, too
    lines = StringIO(read_text(path, _MAX_TEXT_BYTES), newline=None).readlines()
    problems = tuple(checks.class_name_problems(path, lines))
    if problems:
        raise ConfigError(problems)
    return tuple(line.strip() for line in lines)


def _package_file(path: Path) -> PackageFile:
    try:
        status = path.stat()
        md5, sha256 = _digests(path, status.st_size, status.st_mtime_ns, status.st_ino)
    except OSError as error:
        refuse_file(path, "file-unreadable", f"cannot be read: {error.strerror}", "mend its permissions")
    return PackageFile(path.name, path, md5, status.st_size, sha256)


@lru_cache(maxsize=4096)
def _digests(path: Path, size: int, modified_ns: int, inode: int) -> tuple[str, str]:  # noqa: ARG001 - they tell whether the file is the same
    """MD5 and SHA-256 in one read. The server checks by MD5, which guards against no forgery, and devices by both."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            md5.update(chunk)
            sha256.update(chunk)
    return md5.hexdigest(), sha256.hexdigest()


def _package_id(model_id: str, files: tuple[PackageFile, ...]) -> str:
    """Letters and digits only: the server takes no other ids (it makes folders of them)."""
    content = "\0".join((model_id, *(f"{file.name}\0{file.md5}" for file in files)))
    return hashlib.sha256(content.encode()).hexdigest()[:_PACKAGE_ID_LENGTH]
