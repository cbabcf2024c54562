"""The export stage: the results of all tasks in one file, the output images in archives.

The command line unpacks archives as it downloads them, so an export of many images is few requests.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import select

from visionfleet.hub import tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.errors import task_cancelled
from visionfleet.hub.objects.storage import Storage
from visionfleet.hub.processing.definitions import definition_of
from visionfleet.hub.processing.outputs import Output, add_files
from visionfleet.hub.processing.results import merge_csv, merge_jsonl
from visionfleet.hub.processing.stages import PROCESSING, newest_stage, settle
from visionfleet.hub.store.tables import ContentType, File, Job, Part, Stage, Task
from visionfleet.protocol import FAILURES_PART, RESULTS_PART

MAX_ARCHIVE_FILES = 1000

Page: TypeAlias = Sequence[Any]
"""Rows of files, with `row`, `name`, `object_key` and `size`."""


def run_export(hub: Hub, task: Task, check: tasks.Check) -> None:
    """Do an export task to its end. Raises what may be tried again; a second run writes the same again."""
    with hub.store.read() as session:
        job = session.get_one(Job, task.job_row)
        stage = session.get_one(Stage, task.stage_id)
        source = newest_stage(session, job.row, PROCESSING)
        if source is None or source.output_batch_row is None or stage.output_batch_row is None:
            raise task_cancelled(task.id)
        source_row, output_row = source.output_batch_row, stage.output_batch_row
        parts = session.scalars(select(Part.name).where(Part.batch_row == source_row).order_by(Part.name)).all()
    as_csv = definition_of(job).processing_specification.aggregation_format == "csv"
    writer = _Writer(hub.storage, f"batches/{output_row}", check, as_csv)
    written = [output for part in parts for output in writer.write(part, _pages(hub, source_row, part))]
    with hub.store.write() as session:
        now = hub.store.clock()
        held = tasks.hold_to_end(session, now, task.id, task.token)
        add_files(session, output_row, written)
        tasks.finish(held, now, "done")
        settle(hub, session, held)


def tar_stream(storage: Storage, files: Iterable[tuple[str, str, int]]) -> Iterator[bytes]:
    """A tar archive, as a stream, of `(name, object key, size in bytes)`."""
    for name, key, size in files:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o644
        yield info.tobuf(tarfile.PAX_FORMAT)
        yield from storage.stream(key)
        yield bytes(-size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True)
class _Writer:
    """Writes the objects of an export under `prefix`. `as_csv`: the results in place of JSONL."""

    storage: Storage
    prefix: str
    check: tasks.Check
    as_csv: bool

    def write(self, part: str, pages: Iterable[Page]) -> list[Output]:
        if part in (RESULTS_PART, FAILURES_PART):
            return [self._merge(part, [file.object_key for page in pages for file in page])]
        return [self._archive(part, number, page) for number, page in enumerate(pages, 1)]

    def _merge(self, part: str, keys: Sequence[str]) -> Output:
        as_csv = self.as_csv and part == RESULTS_PART
        merge = merge_csv if as_csv else merge_jsonl
        name = f"{part}.csv" if as_csv else f"{part}.jsonl"
        return self._put(part, name, ContentType.METADATA, merge(self.storage, keys))

    def _archive(self, part: str, number: int, page: Page) -> Output:
        members = ((file.name, file.object_key, file.size) for file in page)
        return self._put(part, f"{part}-{number:04d}.tar", ContentType.ARCHIVES, tar_stream(self.storage, members))

    def _put(self, part: str, name: str, content_type: ContentType, chunks: Iterator[bytes]) -> Output:
        key = f"{self.prefix}/{part}/{name}"
        return Output(part, name, key, self.storage.put(key, self._checked(chunks)), content_type)

    def _checked(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.check()
            yield chunk


def _pages(hub: Hub, batch_row: int, part: str) -> Iterator[Page]:
    """The files of a part, as many at a time as an archive holds: of a million nobody needs all in memory."""
    query = select(File.row, File.name, File.object_key, File.size).order_by(File.row).limit(MAX_ARCHIVE_FILES)
    query = query.where(File.batch_row == batch_row, File.part == part)
    last = 0
    while True:
        with hub.store.read() as session:
            page = session.execute(query.where(File.row > last)).all()
        if not page:
            return
        yield page
        last = page[-1].row
