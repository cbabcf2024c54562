"""The output batches of a job: their parts and files.

The part `results` holds what the workflow answered, `failures` the images it could not answer for; each image output
that is kept is a part of its own name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from visionfleet.hub.store.locks import take_turns
from visionfleet.hub.store.tables import ContentType, File, Part
from visionfleet.protocol import FAILURES_PART, RESULTS_PART

NAMES_A_STATEMENT = 1000  # databases take some thousands of values
DESCRIPTIONS = {
    RESULTS_PART: "what the workflow answered, a record an image",
    FAILURES_PART: "the images without an answer, and why",
}


@dataclass(frozen=True)
class Output:
    """An object that is to be a file of an output batch; `size` in bytes."""

    part: str
    name: str
    key: str
    size: int
    content_type: ContentType


def add_files(session: Session, batch_row: int, outputs: Iterable[Output]) -> None:
    """Add files, and their parts, to an output batch, each in the place of an earlier one of its name."""
    parts: dict[str, dict[str, Output]] = {}
    for output in outputs:
        parts.setdefault(output.part, {})[output.name] = output
    for part, files in parts.items():
        _ensure_part(session, batch_row, part, next(iter(files.values())).content_type)
        names = list(files)
        for start in range(0, len(names), NAMES_A_STATEMENT):
            same_name = File.name.in_(names[start : start + NAMES_A_STATEMENT])
            session.execute(delete(File).where(File.batch_row == batch_row, File.part == part, same_name))
        session.execute(insert(File), [_row(batch_row, output) for output in files.values()])


def _row(batch_row: int, output: Output) -> dict[str, Any]:
    return {
        "batch_row": batch_row,
        "part": output.part,
        "name": output.name,
        "content_type": output.content_type,
        "object_key": output.key,
        "size": output.size,
        "digest": "",
    }


def _ensure_part(session: Session, batch_row: int, name: str, content_type: ContentType) -> None:
    """Add a part where it is missing. Archives are of images."""
    if session.get(Part, (batch_row, name)) is not None:
        return
    take_turns(session, "parts", batch_row)
    if session.get(Part, (batch_row, name)) is not None:
        return
    part = Part(
        batch_row=batch_row,
        name=name,
        content_type=content_type,
        nested_content_type=ContentType.IMAGES if content_type == ContentType.ARCHIVES else None,
        description=DESCRIPTIONS.get(name, f"images of the workflow output '{name}'"),
    )
    session.add(part)
    session.flush()
