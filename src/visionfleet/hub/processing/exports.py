"""The export stage: the results of all tasks in one file, the output images in archives.

The command line unpacks archives as it downloads them, so an export of many images is few requests.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from visionfleet.hub import tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.errors import task_cancelled
from visionfleet.hub.objects.storage import Storage
from visionfleet.hub.processing.definitions import parse_definition
from visionfleet.hub.processing.outputs import Output, add_files
from visionfleet.hub.processing.results import merge_csv, merge_jsonl
from visionfleet.hub.processing.stages import PROCESSING, settle
from visionfleet.hub.store.tables import ContentType, File, Job, Stage, Task
from visionfleet.protocol import FAILURES_PART, RESULTS_PART

MAX_ARCHIVE_FILES = 1000


def run_export(hub: Hub, task: Task) -> None:
    """Do an export task to its end. Raises what may be tried again; a second run writes the same again."""
    with hub.store.read() as session:
        job = session.get_one(Job, task.job_row)
        stage = session.get_one(Stage, task.stage_id)
        source = session.scalars(select(Stage).where(Stage.job_row == job.row, Stage.name == PROCESSING)).one()
        parts = _files_by_part(session, source)
    output_row = stage.output_batch_row
    if output_row is None or source.output_batch_row is None:
        raise task_cancelled(task.id)
    as_csv = parse_definition(job.definition).processing_specification.aggregation_format == "csv"
    written = [file for part, files in parts.items() for file in _write_part(hub, output_row, part, files, as_csv)]
    with hub.store.write() as session:
        now = hub.store.clock()
        held = tasks.hold(session, now, task.id, task.token)
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


def _write_part(hub: Hub, output_row: int, part: str, files: Sequence[File], as_csv: bool) -> list[Output]:  # noqa: FBT001
    if part not in (RESULTS_PART, FAILURES_PART):
        return [
            _write_archive(hub, output_row, part, files, start) for start in range(0, len(files), MAX_ARCHIVE_FILES)
        ]
    as_csv = as_csv and part == RESULTS_PART
    name = f"{part}.csv" if as_csv else f"{part}.jsonl"
    key = f"batches/{output_row}/{part}/{name}"
    merge = merge_csv if as_csv else merge_jsonl
    size = hub.storage.put(key, merge(hub.storage, [file.object_key for file in files]))
    return [Output(part, name, key, size, ContentType.METADATA)]


def _write_archive(hub: Hub, output_row: int, part: str, files: Sequence[File], start: int) -> Output:
    name = f"{part}-{start // MAX_ARCHIVE_FILES + 1:04d}.tar"
    key = f"batches/{output_row}/{part}/{name}"
    members = [(file.name, file.object_key, file.size) for file in files[start : start + MAX_ARCHIVE_FILES]]
    size = hub.storage.put(key, tar_stream(hub.storage, members))
    return Output(part, name, key, size, ContentType.ARCHIVES)


def _files_by_part(session: Session, stage: Stage) -> dict[str, list[File]]:
    query = select(File).where(File.batch_row == stage.output_batch_row).order_by(File.part, File.row)
    parts: dict[str, list[File]] = {}
    for file in session.scalars(query):
        parts.setdefault(file.part, []).append(file)
    return parts
