"""The messages between the hub and its workers (`/worker/v1`): the one place both sides take them from.

Requests refuse unknown fields: a worker that sends what this hub does not know must hear of it. Answers ignore them:
a hub that was upgraded first still serves the workers of yesterday.
"""

import json
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
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

MAX_ITEMS = 256  # images in one results call, names in one uploads call, entries in one logs call
MAX_IMAGE_FILES = 1024  # output files of one image, e.g. its crops
MAX_REQUEST_BYTES = 16 * 1024 * 1024  # the body of any call to /worker/v1
MAX_RECORD_BYTES = 4 * 1024 * 1024  # one image's record, as JSON
MAX_FILE_BYTES = 64 * 1024 * 1024  # one uploaded output file


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
ErrorCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
ErrorMessage = Annotated[str, StringConstraints(min_length=1, max_length=4000)]


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
    """A worker asks for a task; the hub answers `Lease`, or 204 where there is none."""

    worker: WorkerName
    machine_type: MachineType = MachineType.CPU


class LeaseImage(Answer):
    """An image to process: `url` is a signed GET for its bytes."""

    id: int
    name: str
    url: str


class Lease(Answer):
    """A task and the right to work on it for `lease_seconds`; each heartbeat extends it by as much again.

    `images` holds those without a committed result, so a task that another worker left half done goes on where it
    stopped; `failures` counts the images of the task that have failed so far.
    """

    task_id: str
    token: int
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

    As it stands it is the body of `heartbeat`, `complete` and `release`.
    """

    token: int


class HeartbeatAnswer(Answer):
    """The lease holds for this long from now."""

    lease_seconds: int = Field(gt=0)


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
