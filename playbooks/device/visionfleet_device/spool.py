"""Reports that wait for the hub: a file each, numbered, so that no clock that is set back loses or reorders any."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Iterable

from visionfleet_device import links

LIMIT = 2000  # a day and a half at one a minute, some 2 MB

_NAME = re.compile(r"([0-9]{12})\.json")


class Spool:
    """The newest reports that the hub has not taken. Each is on the disk when it has been added."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __len__(self) -> int:
        return len(self._names())

    def add(self, report: dict[str, Any]) -> None:
        """Put a report at the end. Where there are too many, the oldest go, also before it where the disk is full."""
        names = self._names()
        self.remove(names[: max(len(names) + 1 - LIMIT, 0)])
        number = int(names[-1][: -len(".json")]) + 1 if names else 1
        links.write_json(self._folder / f"{number:012d}.json", report)

    def oldest(self, count: int) -> dict[str, dict[str, Any]]:
        """Reports by name, the oldest first. One that a broken disk has made unreadable is dropped."""
        found: dict[str, dict[str, Any]] = {}
        for name in self._names():
            if len(found) == count:
                break
            report = links.read_json(self._folder / name)
            if report is None:
                self.remove([name])
            else:
                found[name] = report
        return found

    def remove(self, names: Iterable[str]) -> None:
        """Forget reports."""
        for name in names:
            links.remove(self._folder / name)

    def _names(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        return sorted(entry.name for entry in self._folder.iterdir() if _NAME.fullmatch(entry.name))
