"""Devices from files of their own: rows of CSV, or an object a line, put to those that the deployment's file lists.

They are put there before anything is validated, so that every rule meets one list, and nobody later knows of files.
"""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from visionfleet.config.edge import Device
from visionfleet.config.errors import ConfigError, Problem, display_path, near_miss, shown
from visionfleet.config.fields import fields_of, is_mapping
from visionfleet.config.files import MEBIBYTE, file_fault, no_constant, read_text, unique_keys
from visionfleet.config.kinds import LABEL, absolute_path, is_path
from visionfleet.config.rows import CELL, Row
from visionfleet.config.section import Location, entries, peek
from visionfleet.config.translate import Finding

# 10,000 devices are about 1 MB
MAX_DEVICES_BYTES = 8 * MEBIBYTE
MAX_DEVICES_PROBLEMS = 1000
LABEL_PREFIX = "label:"
CSV, JSON_LINES = ".csv", ".jsonl"

_FIELDS = fields_of(Device)
_COLUMNS = tuple(name for name, field in _FIELDS.items() if not is_mapping(field.annotation))
_REQUIRED = tuple(name for name, field in _FIELDS.items() if field.is_required())
_LISTS = frozenset({"models", "workflows"})
_KNOWN = (*_COLUMNS, f"{LABEL_PREFIX}KEY")


def with_devices(data: dict[str, object], folder: Path) -> tuple[dict[str, object], list[Problem | Finding]]:
    """`data` with the devices of every `devices_from` behind the group's own, and what is wrong with the files."""
    groups = entries(peek(data, "edge", "groups"))
    if all(peek(group, "devices_from") is None for group in groups):
        return data, []
    problems: list[Problem | Finding] = []
    together = [_with_rows(group, number, folder, problems) for number, group in enumerate(groups)]
    edge = cast("dict[str, object]", data["edge"])
    return {**data, "edge": {**edge, "groups": together}}, problems


def read_devices(path: Path) -> tuple[list[Row], list[Problem]]:
    """The devices of a file, as far as its lines can be read, and a problem for each line that cannot.

    Raises:
        ConfigError: with one problem, where the file cannot be read at all.
    """
    text = read_text(path, MAX_DEVICES_BYTES).removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").split("\n")
    rows: list[Row] = []
    problems: list[Problem] = []
    for found in _csv_rows(path, lines) if path.suffix == CSV else _json_rows(path, lines):
        if isinstance(found, Row):
            rows.append(found)
        else:
            problems.append(found)
        if len(problems) == MAX_DEVICES_PROBLEMS:
            rule = f"is read up to here: {MAX_DEVICES_PROBLEMS} problems are enough"
            problems.append(_problem(path, "too-many-problems", problems[-1].line or 1, rule, "mend these first"))
            break
    return rows, problems


def _with_rows(group: object, number: int, folder: Path, problems: list[Problem | Finding]) -> object:
    named, devices = peek(group, "devices_from"), peek(group, "devices", default=[])
    if not isinstance(named, str) or not is_path(named) or not isinstance(devices, list):
        return group
    path, location = absolute_path(named, folder), ("edge", "groups", number, "devices_from")
    if path.suffix not in (CSV, JSON_LINES):
        fix = f"name a file that ends in {CSV}, with a header, or in {JSON_LINES}, with an object a line"
        problems.append(Finding(location, "devices-kind", "is no file that devices can come from", fix))
        return group
    if fault := file_fault(path):
        problems.append(Finding(location, "devices-missing", fault, "make the file, or mend the path"))
        return group
    try:
        rows, found = read_devices(path)
    except ConfigError as error:
        rows, found = [], error.problems
    problems.extend(found)
    return {**cast("dict[str, object]", group), "devices": [*cast("list[object]", devices), *rows]}


def _csv_rows(path: Path, lines: list[str]) -> Iterator[Row | Problem]:
    """A row, or what is wrong, for each line but empty ones, which spreadsheets leave behind."""
    columns: tuple[Location, ...] | None = None
    for number, line in enumerate(lines, start=1):
        cells = _cells(line)
        if cells is None:
            rule, fix = "has a quote that is not closed in this line, or text after one", _QUOTES
            yield _problem(path, "csv-quotes", number, rule, fix)
        elif not any(cells):
            continue
        elif columns is not None:
            yield _csv_row(Row(path, number, line, columns), cells)
        elif problems := list(_header_problems(path, number, cells, line)):
            yield from problems
        else:
            columns = tuple(map(_column, cells))
        if columns is None:
            return  # of a header that is wrong, no row can be told
    if columns is None:
        fix = f"write a header, {','.join(_REQUIRED)} at the least, and a line for each device"
        yield _problem(path, "csv-header", 1, "is empty", fix)


_QUOTES = 'put the whole cell in quotes, and write a quote in it twice, as in "4"" pipe"'


def _cells(line: str) -> list[str] | None:
    """The cells of a line without blanks around them; None where its quotes make no sense."""
    if '"' not in line:
        return [cell.strip() for cell in line.split(",")]
    try:
        return [cell.strip() for cell in next(csv.reader([line], strict=True, skipinitialspace=True))]
    except csv.Error:
        return None


def _csv_row(row: Row, cells: list[str]) -> Row | Problem:
    """An empty cell says nothing: its key is left out."""
    if len(cells) != len(row.columns):
        rule = f"has {len(cells)} cells, and the header has {len(row.columns)}"
        fix = "write a cell for each column, empty where nothing is given, and put a text that holds ',' in quotes"
        return _problem(row.path, "csv-cells", row.line, rule, fix)
    for column, cell in zip(row.columns, cells, strict=True):
        if not cell:
            continue
        key = str(column[0])
        if len(column) > 1:
            cast("dict[str, object]", row.setdefault(key, {}))[str(column[1])] = cell
        else:
            row[key] = cell.split() if key in _LISTS else cell
    return row


def _column(name: str) -> Location:
    return ("labels", name.removeprefix(LABEL_PREFIX)) if name.startswith(LABEL_PREFIX) else (name,)


def _header_problems(path: Path, line: int, names: list[str], text: str) -> Iterator[Problem]:
    if len(names) == 1 and re.search("[;\t]", text):
        yield _problem(path, "csv-header", line, "has no ','", "save the file with ',' between the cells")
        return
    for number, (name, cell) in enumerate(zip(names, CELL.finditer(text), strict=False)):
        fault = _name_fault(name, names[:number])
        if fault is not None:
            yield _problem(path, "csv-header", (line, cell.start(1) + 1), *fault, name)
    for name in _REQUIRED:
        if name not in names:
            fix = f"add it: the first line names the columns, known: {', '.join(_KNOWN)}"
            yield _problem(path, "csv-header", line, f"has no column '{name}'", fix)


def _name_fault(name: str, before: list[str]) -> tuple[str, str] | None:
    """The rule that a column's name breaks, and the fix."""
    if name in before:
        return f"is also column {before.index(name) + 1}", "remove one of the two"
    if name.startswith(LABEL_PREFIX):
        is_label = re.fullmatch(LABEL.pattern, name.removeprefix(LABEL_PREFIX))
        return None if is_label else ("names no label", f"{LABEL.fix.replace('acme-vision', f'{LABEL_PREFIX}ring')}")
    return None if name in _COLUMNS else ("is not a column of devices", near_miss(name, _KNOWN))


def _json_rows(path: Path, lines: list[str]) -> Iterator[Row | Problem]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=unique_keys, parse_constant=no_constant)
        except json.JSONDecodeError as error:
            rule = f"is not JSON: {error.msg[:1].lower()}{error.msg[1:]}"
            yield _problem(path, "json-syntax", (number, error.colno), rule, "write one object a line")
        except (ValueError, RecursionError):
            rule = "is not JSON that can be read: a key stands twice, a number is too long, or it is nested too deeply"
            yield _problem(path, "json-syntax", number, rule, "write plain JSON, and each key once")
        else:
            yield _json_row(Row(path, number, line), value)


def _json_row(row: Row, value: object) -> Row | Problem:
    if not isinstance(value, dict):
        return _problem(row.path, "json-kind", row.line, "is not a JSON object", "write '{', keys and values, and '}'")
    row.update(cast("dict[str, object]", value))
    return row


def _problem(
    path: Path, code: str, at: int | tuple[int, int], rule: str, fix: str, value: str | None = None
) -> Problem:
    """A problem at a line, or at a line and column, of a file of devices."""
    line, column = (at, 1) if isinstance(at, int) else at
    return Problem(display_path(path), line, column, "", None if value is None else shown(value), rule, fix, code)
