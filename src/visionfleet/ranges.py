"""Parts of files, as HTTP asks for them. The program on devices has this file too, and runs on Python 3.8."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))")


def window(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and end of what is asked for; None where it lies outside (RFC 9110, 14.1.2).

    All of it where no single range is asked for, or one that ends before it starts.
    """
    match = _RANGE.fullmatch(header or "")
    if match is None:
        return 0, size
    first, last, suffix = match.groups()
    if suffix:
        start, end = max(size - int(suffix), 0), size
    elif last and int(last) < int(first):
        return 0, size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
    return (start, end) if start < end else None
