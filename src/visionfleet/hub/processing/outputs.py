"""The output batches of a job: their parts and files.

The part `results` holds what the workflow answered, `failures` the images it could not answer for; each image output
that is kept is a part of its own name.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete
from sqlalchemy.orm import Session

from visionfleet.hub.store.tables import ContentType, File, Part
from visionfleet.protocol import FAILURES_PART, RESULTS_PART

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


def add_file(session: Session, batch_row: int, output: Output) -> None:
    """Add a file, and its part, to an output batch, in the place of an earlier one of its name."""
    _ensure_part(session, batch_row, output.part, output.content_type)
    same = (File.batch_row == batch_row, File.part == output.part, File.name == output.name)
    session.execute(delete(File).where(*same))
    file = File(
        batch_row=batch_row,
        part=output.part,
        name=output.name,
        content_type=output.content_type,
        object_key=output.key,
        size=output.size,
        digest="",
    )
    session.add(file)


def _ensure_part(session: Session, batch_row: int, name: str, content_type: ContentType) -> None:
    """Add a part where it is missing. Archives are of images."""
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
