"""Folders of files that a command renders: written, compared, and told from everybody else's by their first line.

What bears the mark is the command's own: it is written over, and removed where it is rendered no more. Other files are
left as they are, and nothing is written where one of them stands in the way.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


class InTheWay(Exception):
    """Files that the command did not make stand where it would write: move them, or name another folder."""


@dataclass(frozen=True)
class RenderedFolder:
    """The files in `folder` that end in `suffix`, at its top and in `below`; `mark` begins those that are rendered."""

    folder: Path
    mark: str
    below: tuple[str, ...] = ()
    suffix: str = ".yaml"

    def differences(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """For each file that is not as wanted, a unified diff from what is there; also for what is there no more."""
        present = {
            name: _text(path) or "" for name, path in self._paths().items() if name in wanted or self._is_ours(path)
        }
        changed = sorted(name for name in {*present, *wanted} if present.get(name) != wanted.get(name))
        return {name: _diff(name, present.get(name, ""), wanted.get(name, "")) for name in changed}

    def foreign(self, wanted: Mapping[str, str]) -> list[str]:
        """The files that are neither wanted nor ours."""
        return [name for name, path in self._paths().items() if name not in wanted and not self._is_ours(path)]

    def write(self, wanted: Mapping[str, str]) -> list[str]:
        """Make the folder hold what is wanted; gives the names that changed. Raises InTheWay, OSError."""
        there = self._paths()
        blocking = sorted(name for name in wanted if name in there and not self._is_ours(there[name]))
        if blocking:
            reason = "was not rendered by this command: move it away, or name another folder"
            raise InTheWay("\n".join(f"{there[name]} {reason}" for name in blocking))
        changed = list(self.differences(wanted))
        for name in changed:
            path = self.folder / name
            if name in wanted:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(wanted[name], encoding="utf-8")
            else:
                path.unlink()
                _remove_if_empty(path.parent)
        return changed

    def _is_ours(self, path: Path) -> bool:
        return not path.is_symlink() and (_text(path) or "").startswith(self.mark)

    def _paths(self) -> dict[str, Path]:
        return {path.relative_to(self.folder).as_posix(): path for path in sorted(self._found())}

    def _found(self) -> Iterator[Path]:
        for folder in (self.folder, *(self.folder / name for name in self.below)):
            yield from (path for path in folder.glob(f"*{self.suffix}") if path.is_symlink() or path.is_file())


def _text(path: Path) -> str | None:
    """The text of a file; None where it is none."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _diff(name: str, present: str, wanted: str) -> str:
    lines = difflib.unified_diff(
        present.splitlines(), wanted.splitlines(), f"{name} (is)", f"{name} (rendered)", lineterm=""
    )
    return "\n".join(lines)


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
