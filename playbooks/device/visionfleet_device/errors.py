"""What the program tells a person when it cannot do what was asked."""

from __future__ import annotations


class DeviceError(Exception):
    """`message` says what is wrong in one sentence, `fix` what to do about it (or nothing, where nobody knows)."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


class Busy(DeviceError):
    """Somebody else holds the lock."""
