"""The commands of a page: what its reader types, and what the page shows of the answers.

A fenced block of the language `console` holds them: a line that starts with `$ ` is a command, lines that start with
`> ` go on with it, and the rest is what it prints; `…` stands for anything. A comment `<!-- not run: reason -->` right
before a block says that no test runs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

NOT_RUN = re.compile(r"<!-- not run: \S.* -->")
SHELLS = ("sh", "bash", "shell", "console")


@dataclass
class Command:
    """A command and where it stands; `shown` are lines of its output, in order."""

    place: str
    text: str
    shown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Block:
    """A fenced block, the heading that it stands under, and the last line of text before it."""

    language: str
    heading: str
    before: str
    lines: tuple[tuple[int, str], ...]

    @property
    def is_run(self) -> bool:
        return not NOT_RUN.fullmatch(self.before)


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    heading, before, language = "", "", None
    content: list[tuple[int, str]] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if language is None and line.startswith("```"):
            language, content = line.removeprefix("```"), []
        elif language is not None and line == "```":
            yield Block(language, heading, before, tuple(content))
            language = None
        elif language is not None:
            content.append((number, line))
        elif line.strip():
            before = line.strip()
            heading = before.lstrip("# ") if before.startswith("#") else heading
    assert language is None, f"{page}: a fenced block is not closed"


def commands(page: Path) -> Iterator[Command]:
    """The commands of a page that tests run, in order."""
    for block in blocks(page):
        if block.language == "console" and block.is_run:
            yield from _commands(page, block)


def commands_under(page: Path, heading: str) -> list[Command]:
    """The commands under a heading of a page that tests run, in order."""
    found = [block for block in blocks(page) if block.heading == heading and block.language == "console"]
    return [command for block in found if block.is_run for command in _commands(page, block)]


def file_of(page: Path) -> str:
    """The first deployment file of a page."""
    shown = next(block for block in blocks(page) if block.language == "yaml")
    return "".join(f"{line}\n" for _, line in shown.lines)


def matches(shown: Iterable[str], output: str) -> str | None:
    """The first of the shown lines that the output does not have, in this order; None where it has all.

    Runs of spaces count as one: tables are as wide as the terminal.
    """
    lines = map(_plain, output.splitlines())
    for wanted in (line for line in shown if line.strip() not in ("", "…")):
        pattern = re.compile(".*".join(re.escape(piece) for piece in _plain(wanted).split("…")))
        if not any(pattern.fullmatch(line) for line in lines):
            return wanted
    return None


def _plain(line: str) -> str:
    return " ".join(line.split())


def _commands(page: Path, block: Block) -> Iterator[Command]:
    command: Command | None = None
    for number, line in block.lines:
        if line.startswith("$ "):
            if command is not None:
                yield command
            command = Command(f"{page.name}:{number}", line.removeprefix("$ "))
        elif command is None:
            raise AssertionError(f"{page.name}:{number}: a console block starts with a command")
        elif line.startswith("> "):
            command.text += f"\n{line.removeprefix('> ')}"
        else:
            command.shown.append(line)
    if command is not None:
        yield command
