"""Reading the deployment's files: bounded, as UTF-8, and with a problem to act on where that fails."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import NoReturn, cast

from visionfleet.config.document import line_and_column, read
from visionfleet.config.errors import ConfigError, Problem, display_path, shown

MEBIBYTE = 1024 * 1024


class _DuplicateKeyError(ValueError):
    """A key of a JSON object stands twice; json keeps the last without a word."""


def read_text(path: Path, max_bytes: int, hint: str = "") -> str:
    """The text of the file at `path`, at most `max_bytes` of UTF-8. `hint` tells what should be there.

    Raises:
        ConfigError: with one problem.
    """
    content = _read_bytes(path, max_bytes, hint)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        rule = f"holds the byte 0x{content[error.start]:02x} at offset {error.start}, which is not UTF-8"
        refuse_file(path, "file-encoding", rule, "save the file as UTF-8", line_and_column(before, len(before)))


def read_json(path: Path, max_bytes: int) -> dict[str, object]:
    """The object that the JSON file at `path` holds.

    Raises:
        ConfigError: with one problem, which points to the line.
    """
    text = read_text(path, max_bytes)
    try:
        value: object = json.loads(text, object_pairs_hook=unique_keys, parse_constant=no_constant)
    except _DuplicateKeyError as error:
        _refuse_duplicate(path, text, str(error))
    except json.JSONDecodeError as error:
        rule = f"is not JSON: {error.msg[:1].lower()}{error.msg[1:]}"
        refuse_file(path, "json-syntax", rule, "mend the syntax in this line", (error.lineno, error.colno))
    except (ValueError, RecursionError):
        rule = "is not JSON that can be read: a number is too long, NaN or infinite, or it is nested too deeply"
        refuse_file(path, "json-syntax", rule, "write plain JSON")
    if not isinstance(value, dict):
        refuse_file(path, "json-kind", "is not a JSON object", "write '{', keys and values, and '}'", (1, 1))
    return cast("dict[str, object]", value)


def unique_keys(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    """For json's `object_pairs_hook`: raises ValueError where a key stands twice, of which json keeps the last."""
    result: dict[str, object] = {}
    for key, value in pairs:
        if key in result:
            raise _DuplicateKeyError(key)
        result[key] = value
    return result


def no_constant(name: str) -> NoReturn:
    """For json's `parse_constant`: NaN and infinity are not JSON."""
    raise ValueError(name)


def folder_fault(path: Path) -> str | None:
    """Why `path` is no folder, None where it is one."""
    return _kind_fault(path, S_ISDIR, "a folder")


def file_fault(path: Path) -> str | None:
    """Why `path` is no ordinary file, None where it is one."""
    return _kind_fault(path, S_ISREG, "a file")


def refuse_file(
    path: Path, code: str, rule: str, fix: str, at: tuple[int, int] | tuple[None, None] = (None, None)
) -> NoReturn:
    """Raise a ConfigError about the file at `path`, at a line and column where they are known."""
    raise ConfigError([Problem(display_path(path), *at, "", None, rule, fix, code)]) from None


def _kind_fault(path: Path, is_kind: Callable[[int], bool], kind: str) -> str | None:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if is_kind(mode) else f"is not {kind}"


def _read_bytes(path: Path, max_bytes: int, hint: str) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except FileNotFoundError:
        refuse_file(path, "file-missing", "does not exist", hint or "make the file, or mend the path")
    except IsADirectoryError:
        refuse_file(path, "file-is-folder", "is a folder", hint or "name a file")
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "no file has such a name"
        refuse_file(path, "file-unreadable", f"cannot be read: {reason}", "mend its name or its permissions")
    if len(content) > max_bytes:
        fix = "look at what it holds: no file of its kind is as large"
        refuse_file(path, "file-too-large", f"is over {max_bytes // MEBIBYTE} MiB", fix)
    return content


def _refuse_duplicate(path: Path, text: str, key: str) -> NoReturn:
    """JSON is YAML, near enough for our reader to know the place."""
    faults = [fault for fault in read(text).faults if fault.code == "yaml-duplicate-key"]
    at = (faults[0].line, faults[0].column) if faults else (None, None)
    refuse_file(
        path, "duplicate-key", f"the key '{shown(key)}' stands twice in one object", "remove one of the two", at
    )
