"""A task's committed results: one object for each commit, merged when the task ends."""

from __future__ import annotations

import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from visionfleet.hub.objects.storage import Storage
from visionfleet.hub.store.tables import File, TaskImage


def merge_chunks(storage: Storage, session: Session, task_id: str) -> bytes:
    """The records of a task as JSONL, in the order of its images.

    A chunk may hold records of images that were committed by another one (a commit that was sent twice): each image is
    taken from the chunk that its row names.
    """
    query = select(File.name, TaskImage.chunk).join(TaskImage, TaskImage.file_row == File.row)
    committed = query.where(TaskImage.task_id == task_id, TaskImage.chunk.is_not(None)).order_by(File.row)
    names: dict[str, list[str]] = {}
    order: list[str] = []
    for name, chunk in session.execute(committed):
        order.append(name)
        names.setdefault(chunk or "", []).append(name)
    lines: dict[str, bytes] = {}
    for chunk, wanted in names.items():
        by_name = {json.loads(line)["image"]: line for line in storage.read(chunk).splitlines()}
        lines.update((name, by_name[name]) for name in wanted)
    return b"".join(lines[name] + b"\n" for name in order)
