"""Roboflow's rules for the names that clients choose."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from visionfleet.hub.errors import HubError

MAX_BATCH_ID = 64
MAX_JOB_ID = 20
MAX_FILE_NAME = 255
MAX_DISPLAY_NAME = 256

_ID = re.compile(r"[a-z0-9_-]+")
_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f]")


def check_batch_id(batch_id: str) -> str:
    """The id itself. Raises HubError 400 `batch_id_invalid`."""
    return _check_id("batch", batch_id, MAX_BATCH_ID)


def check_job_id(job_id: str) -> str:
    """The id itself. Raises HubError 400 `job_id_invalid`."""
    return _check_id("job", job_id, MAX_JOB_ID)


def check_file_name(name: str) -> str:
    """The name itself: one path component that is safe on every file system. Raises HubError 400."""
    safe = name and not name.startswith(".") and not _UNSAFE.search(name) and len(name.encode()) <= MAX_FILE_NAME
    if not safe:
        message = f"a file name has no folder, no control character, no leading dot, and at most {MAX_FILE_NAME} bytes"
        raise HubError(400, "file_name_invalid", message, fileName=name)
    return name


def check_display_name(name: str | None, default: str) -> str:
    """What is shown for a batch or job. Raises HubError 400."""
    if name and len(name) > MAX_DISPLAY_NAME:
        raise HubError(400, "display_name_too_long", f"a name has at most {MAX_DISPLAY_NAME} characters")
    return name or default


def iso(seconds: float) -> str:
    """Seconds since the epoch as the ISO 8601 text that the command line parses, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _check_id(kind: str, value: str, limit: int) -> str:
    if _ID.fullmatch(value) and len(value) <= limit:
        return value
    message = f"a {kind} id has at most {limit} characters: lower case letters, digits, '-' and '_'"
    raise HubError(400, f"{kind}_id_invalid", message, **{f"{kind}Id": value})
