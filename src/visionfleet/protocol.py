"""The messages between the hub and its workers (`/worker/v1`) and its devices (`/fleet/v1`): the one place both sides
take them from, but for the program on devices, which has Python's standard library alone.

Requests refuse unknown fields: a worker that sends what this hub does not know must hear of it. Answers ignore them:
a hub that was upgraded first still serves the workers of yesterday.
"""

import json
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)

STALE_LEASE = "stale_lease"  # 409: another worker holds the task now
TASK_CANCELLED = "task_cancelled"  # 410: the job was aborted, or is past its deadline
TASK_INCOMPLETE = "task_incomplete"  # 409: images without a result remain

RESULTS_PART = "results"  # of an output batch: the records
FAILURES_PART = "failures"  # of an output batch: the images without a record, and why
RESERVED_PARTS = frozenset({RESULTS_PART, FAILURES_PART})  # the hub's own: no worker uploads to them

WORKER_REFUSED = 3  # exit code of a worker that no other try would help: the hub refuses it
WORKER_HUB_AWAY = 4  # of one that was to go on until nothing is left, and whose hub did not answer for two minutes
WORKER_STOPPED = 143  # of one that was to go on until nothing is left, and got SIGTERM before: as shells have it

# images in one results call, names in one uploads call, entries in one logs call, leases in one heartbeat
MAX_ITEMS = 256
MAX_IMAGE_FILES = 1024  # output files of one image, e.g. its crops
MAX_REQUEST_BYTES = 16 * 1024 * 1024  # the body of any call to /worker/v1
MAX_RECORD_BYTES = 4 * 1024 * 1024  # one image's record, as JSON
MAX_FILE_BYTES = 64 * 1024 * 1024  # one uploaded output file

MAX_REPORTS = 100  # a device's reports in one call
MAX_REPORT_REQUEST_BYTES = 1024 * 1024  # the body of any call to /fleet/v1
MAX_REASON = 1000  # characters


def _of_a_workers_part(name: str) -> str:
    """`name`, a part or `part/name`, where the part is not the hub's own."""
    if name.partition("/")[0] in RESERVED_PARTS:
        raise ValueError("this part is the hub's own: no worker uploads to it")
    return name


# A part is a folder of the output batch, a name a file in it: both end up in object keys and on file systems.
PartName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$"), AfterValidator(_of_a_workers_part)
]
FileName = Annotated[
    str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*$")
]
UploadName = Annotated[
    str,
    StringConstraints(
        max_length=320, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}/[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*$"
    ),
    AfterValidator(_of_a_workers_part),
]
WorkerName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
TaskId = Annotated[str, StringConstraints(min_length=1, max_length=32)]
Token = Annotated[int, Field(ge=0, le=2**31 - 1)]  # the column's range
StageId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
ErrorCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
ErrorMessage = Annotated[str, StringConstraints(min_length=1, max_length=4000)]

ReleaseId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
VersionText = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
ImageText = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,511}$")]
Mebibytes = Annotated[int, Field(ge=0, le=2**40)]
Seconds = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]


def one_line(text: str, limit: int = MAX_REASON) -> str:
    """`text` without what a terminal or a database cannot show, and cut to `limit` characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:limit])


# a reason may quote anything that a device has met: it is mended, as refusing it would lose the whole report
Reason = Annotated[str, BeforeValidator(lambda value: one_line(value) if isinstance(value, str) else value)]


def is_json(value: object) -> bool:
    """Whether `value` can be written as JSON. Python's parser takes more: NaN, and halves of surrogate pairs."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return False
    return True


class Request(BaseModel):
    """What a worker sends."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """What the hub answers."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class MachineType(StrEnum):
    """The kind of machine that a job asks for and a worker is."""

    CPU = "cpu"
    GPU = "gpu"


class LeaseRequest(Request):
    """A worker asks for a task, of any job or of one stage alone; the hub answers `Lease`, or 204 where there is none.

    A 204 with `Retry-After` says that tasks of the stage wait, and in how many seconds one may be leased.
    """

    worker: WorkerName
    machine_type: MachineType = MachineType.CPU
    stage_id: StageId | None = None


class LeaseImage(Answer):
    """An image to process: `url` is a signed GET for its bytes."""

    id: int
    name: str
    url: str


class Lease(Answer):
    """A task and the right to work on it for `lease_seconds` from its last heartbeat.

    `images` holds those without a committed result, so a task that another worker left half done goes on where it
    stopped; `failures` counts the images of the task that have failed so far.
    """

    task_id: str
    token: Token
    lease_seconds: int = Field(gt=0)
    job_id: str
    workspace: str
    workflow_id: str
    image_input: str
    parameters: dict[str, JsonValue] = {}
    save_images: bool = False
    image_outputs: tuple[str, ...] | None = None  # None: every image output
    failures_allowed: int = Field(ge=0)
    failures: int = Field(default=0, ge=0)
    workers_per_machine: int | None = Field(default=None, ge=1)
    images: tuple[LeaseImage, ...]


class TaskRequest(Request):
    """A request about a leased task. The token fences: the hub refuses one of an earlier lease with `stale_lease`.

    As it stands it is the body of `complete` and `release`.
    """

    token: Token


class HeldLease(Request):
    """A lease that a worker has, or had."""

    task_id: TaskId
    token: Token


class HeartbeatRequest(Request):
    """Extends all leases of a worker."""

    leases: tuple[HeldLease, ...] = Field(min_length=1, max_length=MAX_ITEMS)


class HeartbeatAnswer(Answer):
    """The leases hold for this long from now, but for those in `lost`."""

    lease_seconds: int = Field(gt=0)
    lost: tuple[HeldLease, ...] = ()


class UploadsRequest(TaskRequest):
    """Asks for one signed PUT for each of `names` (`part/name`)."""

    names: tuple[UploadName, ...] = Field(min_length=1, max_length=MAX_ITEMS)


class UploadsAnswer(Answer):
    """`part/name` -> signed PUT."""

    urls: dict[str, str]


class OutputFile(Request):
    """A file that was uploaded as `part/name`."""

    part: PartName
    name: FileName
    content_type: Annotated[str, StringConstraints(pattern=r"^[a-z]+/[a-z0-9.+-]{1,80}$")]


class ImageError(Request):
    """Why an image has no record."""

    code: ErrorCode
    message: ErrorMessage


class ResultItem(Request):
    """What came of one image: either a record (its `files` already uploaded) or an error."""

    image_id: int
    record: dict[str, JsonValue] | None = None
    files: tuple[OutputFile, ...] = Field(default=(), max_length=MAX_IMAGE_FILES)
    error: ImageError | None = None

    @model_validator(mode="after")
    def _record_or_error(self) -> Self:
        if (self.record is None) == (self.error is None):
            raise ValueError("a result has either a record or an error")
        if self.error is not None and self.files:
            raise ValueError("a result with an error has no files")
        return self


class ResultsRequest(TaskRequest):
    """Commits results, all or none. An image that has a result already keeps it: a repeated call changes nothing."""

    results: tuple[ResultItem, ...] = Field(min_length=1, max_length=MAX_ITEMS)


class ResultsAnswer(Answer):
    """How the task stands: images failed so far, and images without a result."""

    failures: int = Field(ge=0)
    remaining: int = Field(ge=0)


class LogEntry(Request):
    """A line of the job's log."""

    severity: Literal["info", "warning", "error"]
    type: ErrorCode
    payload: dict[str, JsonValue] = {}

    @field_validator("payload")
    @classmethod
    def _can_be_shown(cls, payload: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if not is_json(payload):
            raise ValueError("it holds text that is not Unicode, or a number that is not finite")
        return payload


class LogsRequest(TaskRequest):
    """Adds to the job's log."""

    logs: tuple[LogEntry, ...] = Field(min_length=1, max_length=MAX_ITEMS)


class FailRequest(TaskRequest):
    """Gives the task up: `retryable` sends it back to the queue while it has attempts left."""

    code: ErrorCode
    message: ErrorMessage
    retryable: bool


class Health(StrEnum):
    """How the server of a device is: it serves, it runs and does not serve, it does not run, there is none."""

    HEALTHY = "healthy"
    UNREADY = "unready"
    STOPPED = "stopped"
    NONE = "none"


class VerdictResult(StrEnum):
    """What became of a release on a device.

    It passed the health gate; it failed, and the device went back; it was cut short, and the device went back; it was
    not begun.
    """

    ACCEPTED = "accepted"
    RETURNED = "returned"
    RECOVERED = "recovered"
    REFUSED = "refused"


class Verdict(Answer):
    """The last release that a device was told to make, what became of it and why; `serving` is what it serves since.

    It may be old, and the device's own notes are in it: what is not known here is ignored.
    """

    release: ReleaseId | Literal[""] | None = None
    result: VerdictResult
    reason: Reason = ""
    at: Seconds | None = None
    serving: ReleaseId | None = None


class DeviceReport(Request):
    """How a device is, `reported_at` by its own clock (seconds since the epoch). None: the device does not know."""

    reported_at: Seconds
    health: Health
    release: ReleaseId | None = None
    previous: ReleaseId | None = None
    version: VersionText | None = None
    image: ImageText | None = None
    digest: Digest | None = None
    temperature_celsius: float | None = Field(default=None, ge=-100, le=250, allow_inf_nan=False)
    disk_free_mb: Mebibytes | None = None
    disk_total_mb: Mebibytes | None = None
    memory_available_mb: Mebibytes | None = None
    memory_total_mb: Mebibytes | None = None
    uptime_seconds: Seconds | None = None
    verdict: Verdict | None = None
    queued: int = Field(default=0, ge=0, le=2**31)
    program: VersionText | None = None


class ReportsRequest(Request):
    """What a device has to report: each a `DeviceReport`.

    They are checked one by one, by the service: one that cannot be taken must not keep those behind it in the queue.
    """

    reports: tuple[dict[str, JsonValue], ...] = Field(min_length=1, max_length=MAX_REPORTS)


class RefusedReport(Answer):
    """A report that was not taken, by its place in the request. To send it again is of no use."""

    index: int = Field(ge=0)
    reason: str


class ReportsAnswer(Answer):
    """How many reports are new to the hub, and which were refused. All others it had already."""

    stored: int = Field(ge=0)
    refused: tuple[RefusedReport, ...] = ()


class EnrolAnswer(Answer):
    """The device's key, which the hub does not show again."""

    key_id: str
    key: str


class ClientKeysAnswer(Answer):
    """SHA-256 of each key that clients may send to a device, in hexadecimal."""

    client_keys: tuple[str, ...]


class SeenReport(DeviceReport):
    """A report as the hub passes it on."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class DeviceState(Answer):
    """A device of the file, or one that reports and is not in it (`in_file` unset, and no release asked).

    `release` is what the file asks for, `report` the newest that the device sent. `late`: it was silent for three times
    as long as it may be; a device that was never seen is not late.
    """

    name: str
    in_file: bool
    group: str | None
    hardware: str | None
    site: str | None
    labels: dict[str, str]
    release: str | None
    seen_at: float | None
    late: bool
    report: SeenReport | None


class DevicesAnswer(Answer):
    """A page of the devices, and the token of the next one."""

    devices: tuple[DeviceState, ...]
    next_page_token: str | None = Field(alias="nextPageToken")
