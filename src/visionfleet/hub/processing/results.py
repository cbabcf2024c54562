"""Results of a job as JSONL and CSV: a record for each image, as a dictionary whose values are JSON.

CSV is RFC 4180. A text cell that a spreadsheet would run as a formula gets a quote in front (OWASP, "CSV injection"):
output names and values come from workflows, models and file names, and whoever opens an export did not write these.
To undo it, take one quote from each cell that matches NEUTRALISED. Numbers, and JSON in a cell, stay as they are.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from visionfleet.hub.objects.storage import Storage

Record = dict[str, Any]

IMAGE_COLUMN = "image"
NEUTRALISED = re.compile(r"'+[=+\-@\t\r\n]")
ROWS_A_CHUNK = 256

_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")  # with the quotes in front, so that what was added can be told from the text


def to_jsonl(records: Iterable[Record]) -> bytes:
    """Write a line of JSON for each record, in UTF-8."""
    return b"".join(_encode(f"{_json(record)}\n") for record in records)


def to_csv(records: Iterable[Record], columns: Sequence[str]) -> Iterator[bytes]:
    """Yield a CSV file of `records` piece by piece, in UTF-8: a header, then a row for each.

    A missing value and null are empty cells, text is itself, anything else is compact JSON.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([_neutralise(column) for column in columns])
    for number, record in enumerate(records, 1):
        writer.writerow([_cell(record.get(column)) for column in columns])
        if number % ROWS_A_CHUNK == 0:
            yield _take(buffer)
    yield _take(buffer)


def columns_of(records: Iterable[Record]) -> tuple[str, ...]:
    """Return `image`, which every record has, and sorted the names of all other values that any record has."""
    names = {name for record in records for name in record}
    return (IMAGE_COLUMN, *sorted(names - {IMAGE_COLUMN}))


def merge_jsonl(storage: Storage, keys: Sequence[str]) -> Iterator[bytes]:
    """Yield the JSONL objects of `keys` as one, in their order. Raises ObjectMissing."""
    for key in keys:
        last = b"\n"
        for last in storage.stream(key):
            yield last
        if not last.endswith(b"\n"):
            yield b"\n"


def merge_csv(storage: Storage, keys: Sequence[str]) -> Iterator[bytes]:
    """Yield the JSONL objects of `keys` as one CSV file, in their order. Raises ObjectMissing.

    They are read twice, for their columns and for their rows, so that no more than a piece of one is held in memory.
    """
    columns = columns_of(_records(storage, keys))
    yield from to_csv(_records(storage, keys), columns)


def _records(storage: Storage, keys: Sequence[str]) -> Iterator[Record]:
    for line in _lines(merge_jsonl(storage, keys)):
        yield json.loads(line)


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines that are not empty."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)
    if rest:
        yield rest


def _cell(value: object) -> str:
    if value is None:
        return ""
    return _neutralise(value) if isinstance(value, str) else _json(value)


def _neutralise(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def _json(value: object) -> str:
    """Write compact JSON. NaN and infinities, which JSON does not have, become null."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        finite: object = json.loads(json.dumps(value), parse_constant=lambda _: None)
        return _json(finite)


def _take(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return _encode(text)


def _encode(text: str) -> bytes:
    return text.encode(errors="backslashreplace")  # a lone surrogate, which UTF-8 cannot hold: in JSON it stays itself
