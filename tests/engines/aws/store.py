"""The state of what moto has no operation for: one small file, shared by the stand-in's processes."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Store:
    """Resources by type and id, as JSON."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, token: str, identifier: str) -> dict[str, Any] | None:
        """The outputs of a resource, or None."""
        with self._opened() as kept:
            return kept.get(token, {}).get(identifier)

    def write(self, token: str, identifier: str, outputs: dict[str, Any]) -> None:
        """Keeps a resource."""
        with self._opened() as kept:
            kept.setdefault(token, {})[identifier] = outputs

    def remove(self, token: str, identifier: str) -> None:
        """Forgets a resource."""
        with self._opened() as kept:
            kept.get(token, {}).pop(identifier, None)

    def all(self) -> dict[str, dict[str, Any]]:
        """What is left, by type."""
        with self._opened() as kept:
            return {token: dict(resources) for token, resources in kept.items() if resources}

    @contextmanager
    def _opened(self) -> Generator[dict[str, dict[str, Any]]]:
        with self._path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            before = file.read()
            kept: dict[str, dict[str, Any]] = json.loads(before or "{}")
            yield kept
            after = json.dumps(kept)
            if after != before:
                file.seek(0)
                file.truncate()
                file.write(after)
