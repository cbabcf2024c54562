"""The hub's tables.

Times are seconds since the epoch as floats: they compare the same in SQLite and in PostgreSQL.
A change here needs a migration in `migrations/versions`; a test compares the two.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, Integer, MetaData, String, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# SQLite numbers rows by itself only for the type INTEGER
RowId = BigInteger().with_variant(Integer, "sqlite")
CONSTRAINT_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class TaskKind(StrEnum):
    """Who works on a task: the hub itself on `ingest` and `export`, workers on `process`."""

    INGEST = "ingest"
    PROCESS = "process"
    EXPORT = "export"


class TaskState(StrEnum):
    """The life of a task: queued -> leased -> done, failed or cancelled; leased -> queued on release and retry."""

    QUEUED = "queued"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN_STATES = (TaskState.QUEUED, TaskState.LEASED)


class StatusType(StrEnum):
    """What the command line tells apart: still going, well ended, badly ended."""

    INFO = "info"
    SUCCESS = "success"
    ERROR = "error"


class BatchType(StrEnum):
    """How a batch came to be: single uploads, tar shards, or a job's output in named parts."""

    SIMPLE = "simple-batch"
    SHARDED = "sharded-batch"
    MULTIPART = "multipart-batch"


class ContentType(StrEnum):
    """What the files of a batch or a part are, in the words of the command line."""

    IMAGES = "images"
    METADATA = "metadata"
    ARCHIVES = "archives"
    MIXED = "mixed"


class ImageState(StrEnum):
    """Where one image of a processing task stands."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


class Table(DeclarativeBase):
    """Base of all tables; its metadata names every constraint, so that migrations can drop them."""

    metadata = MetaData(naming_convention=CONSTRAINT_NAMES)
    type_annotation_map = {dict[str, Any]: JSON, float: Float(53)}  # noqa: RUF012 - read by SQLAlchemy as it stands


class ApiKey(Table):
    """A key of a workspace. Only its digest is stored: keys are long and random, so a plain SHA-256 is enough."""

    __tablename__ = "api_keys"
    __table_args__ = (Index(None, "workspace", "role", "name"),)
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    workspace: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[float]
    revoked_at: Mapped[float | None]


class Batch(Table):
    """A named set of staged files; `job_row` is set where a job made it.

    A row's number is part of its objects' keys, so it is never given again.
    """

    __tablename__ = "batches"
    __table_args__ = (
        UniqueConstraint("workspace", "batch_id"),
        Index(None, "expires_at"),
        {"sqlite_autoincrement": True},
    )
    row: Mapped[int] = mapped_column(RowId, primary_key=True)
    workspace: Mapped[str] = mapped_column(String(64))
    batch_id: Mapped[str] = mapped_column(String(64))
    display_name: Mapped[str] = mapped_column(String(256))
    batch_type: Mapped[str] = mapped_column(String(32))
    content_type: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[float]
    expires_at: Mapped[float]
    job_row: Mapped[int | None] = mapped_column(ForeignKey("jobs.row", ondelete="SET NULL"), index=True)


class Part(Table):
    """A named part of a multipart batch."""

    __tablename__ = "parts"
    batch_row: Mapped[int] = mapped_column(ForeignKey("batches.row", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    content_type: Mapped[str] = mapped_column(String(32))
    nested_content_type: Mapped[str | None] = mapped_column(String(32))
    description: Mapped[str] = mapped_column(String(256))


class Shard(Table):
    """One tar archive of a batch, from its registration to its ingest. `details` is what became of its files."""

    __tablename__ = "shards"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    batch_row: Mapped[int] = mapped_column(ForeignKey("batches.row", ondelete="CASCADE"), index=True)
    object_key: Mapped[str] = mapped_column(String(512), unique=True)
    status_name: Mapped[str] = mapped_column(String(32))
    status_type: Mapped[str] = mapped_column(String(16))
    objects_count: Mapped[int]
    details: Mapped[dict[str, Any]]
    created_at: Mapped[float]
    event_at: Mapped[float]


class File(Table):
    """One staged file. A name is unique within its batch and part (`part` is empty where there are no parts)."""

    __tablename__ = "files"
    __table_args__ = (UniqueConstraint("batch_row", "part", "name"), Index(None, "batch_row", "row"))
    row: Mapped[int] = mapped_column(RowId, primary_key=True)
    batch_row: Mapped[int] = mapped_column(ForeignKey("batches.row", ondelete="CASCADE"))
    part: Mapped[str] = mapped_column(String(128), default="")
    shard_id: Mapped[str | None] = mapped_column(String(32))
    name: Mapped[str] = mapped_column(String(512))
    content_type: Mapped[str] = mapped_column(String(32))
    object_key: Mapped[str] = mapped_column(String(512))
    size: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(64))


class Job(Table):
    """A batch job; `definition` is what the client sent, as it sent it, and `overrides` what each restart changed.

    `obstacle` is what keeps the job's workers from running, while something does.
    """

    __tablename__ = "jobs"
    __table_args__ = (UniqueConstraint("workspace", "job_id"),)
    row: Mapped[int] = mapped_column(RowId, primary_key=True)
    workspace: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(256))
    definition: Mapped[dict[str, Any]]
    input_batch_row: Mapped[int | None] = mapped_column(RowId, index=True)
    current_stage: Mapped[str] = mapped_column(String(32))
    error: Mapped[bool] = mapped_column(default=False)
    is_terminal: Mapped[bool] = mapped_column(default=False)
    notification: Mapped[str] = mapped_column(String(1024))
    created_at: Mapped[float]
    updated_at: Mapped[float]
    deadline: Mapped[float | None]
    obstacle: Mapped[str | None] = mapped_column(String(1024))
    overrides: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list, server_default=text("'[]'"))


class Stage(Table):
    """One stage of a job, with the batch that it fills."""

    __tablename__ = "stages"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    job_row: Mapped[int] = mapped_column(ForeignKey("jobs.row", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(32))
    output_batch_row: Mapped[int | None] = mapped_column(ForeignKey("batches.row", ondelete="SET NULL"), index=True)
    tasks_number: Mapped[int]
    max_parallel: Mapped[int | None]
    status_type: Mapped[str] = mapped_column(String(16))
    notification: Mapped[str] = mapped_column(String(1024))
    started_at: Mapped[float]
    event_at: Mapped[float]


class Task(Table):
    """A unit of asynchronous work.

    `token` grows with each lease: it fences off whoever held the task before. `payload` is what its kind needs.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        Index(None, "state", "kind", "machine_type", "run_after"),
        Index(None, "stage_id", "state", "run_after"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    job_row: Mapped[int | None] = mapped_column(ForeignKey("jobs.row", ondelete="CASCADE"), index=True)
    stage_id: Mapped[str | None] = mapped_column(ForeignKey("stages.id", ondelete="CASCADE"))
    machine_type: Mapped[str | None] = mapped_column(String(8))
    payload: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0)
    run_after: Mapped[float]
    token: Mapped[int] = mapped_column(default=0)
    owner: Mapped[str | None] = mapped_column(String(128))
    expires_at: Mapped[float] = mapped_column(default=0.0)
    progress: Mapped[float | None]
    notification: Mapped[str] = mapped_column(String(1024), default="waiting")
    created_at: Mapped[float]
    updated_at: Mapped[float]


class TaskImage(Table):
    """One image of a processing task. `chunk` is the object that holds its result, once it is committed."""

    __tablename__ = "task_images"
    task_id: Mapped[str] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)
    file_row: Mapped[int] = mapped_column(ForeignKey("files.row", ondelete="CASCADE"), primary_key=True, index=True)
    state: Mapped[str] = mapped_column(String(16), default=ImageState.PENDING)
    chunk: Mapped[str | None] = mapped_column(String(512))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class JobLog(Table):
    """What happened in a job, for `fetch-logs`."""

    __tablename__ = "job_logs"
    row: Mapped[int] = mapped_column(RowId, primary_key=True)
    job_row: Mapped[int] = mapped_column(ForeignKey("jobs.row", ondelete="CASCADE"), index=True)
    stage_id: Mapped[str | None] = mapped_column(String(32))
    task_id: Mapped[str | None] = mapped_column(String(32))
    severity: Mapped[str] = mapped_column(String(16))
    module: Mapped[str] = mapped_column(String(32))
    log_type: Mapped[str] = mapped_column(String(64))
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[float]


class Device(Table):
    """A device's newest report; `report` is as protocol.DeviceReport has it.

    `seen_at` is when the hub last took a report of it. `reported_at` is the device's clock, or the hub's where that one
    is ahead: what a device says of a time to come must not outlast what it says then.
    """

    __tablename__ = "devices"
    workspace: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    seen_at: Mapped[float]
    reported_at: Mapped[float]
    health: Mapped[str] = mapped_column(String(16))
    report: Mapped[dict[str, Any]]


class DeviceReport(Table):
    """A report that a device has made, kept for the file's retention; `received_at` is the hub's clock."""

    __tablename__ = "device_reports"
    __table_args__ = (UniqueConstraint("workspace", "device", "reported_at"), Index(None, "received_at"))
    row: Mapped[int] = mapped_column(RowId, primary_key=True)
    workspace: Mapped[str] = mapped_column(String(64))
    device: Mapped[str] = mapped_column(String(64))
    reported_at: Mapped[float]
    received_at: Mapped[float]
    report: Mapped[dict[str, Any]]
