"""Keys of objects: relative paths of plain names that every storage can hold."""

from __future__ import annotations

import re

from visionfleet.hub.objects.errors import InvalidKey

MAX_KEY_BYTES = 1024
"""S3's limit."""

MAX_SEGMENT_BYTES = 250
"""A file name's 255 bytes, less the suffix of the file that a write is staged in."""

STAGED = re.compile(r".*#\d+")  # name#1 is where the folder backend stages a write of name
_UNSAFE_SEGMENT = re.compile(rf"\.{{0,2}}|{STAGED.pattern}|.*[A-Za-z][:|]")  # a "C:" at the end is taken for a drive
_UNSAFE_CHARACTER = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


def check_key(key: str) -> None:
    """Raise InvalidKey unless `key` is a relative path of plain names that every backend can hold."""
    if _UNSAFE_CHARACTER.search(key):
        raise InvalidKey(f"{key!r} is not a valid object key: it holds a control character or a backslash")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise InvalidKey(f"{key[:60]!r}… is not a valid object key: it is over {MAX_KEY_BYTES} bytes")
    for segment in key.split("/"):
        if _UNSAFE_SEGMENT.fullmatch(segment) or len(segment.encode()) > MAX_SEGMENT_BYTES:
            raise InvalidKey(f"{key!r} is not a valid object key: {segment!r} cannot be a part of one")
