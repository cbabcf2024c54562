"""What is wrong with a deployment's files, said so that the reader can put it right.

Every problem names its place, the value, the rule that it breaks and the way out, and all of them are reported at once.
No value that looks like a secret is ever repeated (`shown`).
"""

import contextlib
import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

SHOWN_CHARACTERS = 60
KNOWN_SHOWN = 16
_EXAMINED_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule. `line` and `column` count from 1; they are None where the file as a whole is meant."""

    file: str
    line: int | None
    column: int | None
    path: str
    value: str | None
    rule: str
    fix: str
    code: str

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        subject = f"{self.path}: " if self.path else ""
        value = f"'{self.value}' " if self.value is not None else ""
        first = f"{place}: {subject}{value}{self.rule}"
        return f"{first}\n  {self.fix}" if self.fix else first


class ConfigError(Exception):
    """The deployment's files break one or more rules; `problems` holds every one of them."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.file, p.line or 0, p.column or 0, p.path)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def path_text(location: Sequence[str | int]) -> str:
    """`("edge", "groups", 0, "hardware")` -> `edge.groups[0].hardware`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{shown(part)}" if text else shown(part)
    return text


def near_miss(value: str, known: Iterable[str]) -> str:
    """The way out of a closed set: the closest known value, if one is close, and the known ones."""
    names = list(known)
    # a short word has few characters to be wrong in: 0.6 is difflib's own idea of a good match
    close = difflib.get_close_matches(value.lower(), names, n=1, cutoff=0.6) if len(value) <= SHOWN_CHARACTERS else []
    listed = ", ".join(names[:KNOWN_SHOWN]) + (", …" if len(names) > KNOWN_SHOWN else "")
    known_text = f"Known: {listed}" if names else "None is known"
    return f"did you mean '{close[0]}'? {known_text}" if close else known_text


_SECRET_SHAPES = re.compile(
    r"""
    ://[^/@\s]*:[^/@\s]*@                       # a password in a URL
    | -----BEGIN
    | \b(?:rf_|sk[-_]|gh[pousr]_|glpat-|xox[abprs]-|AKIA|ASIA|eyJ|hvs\.)[A-Za-z0-9_\-]{8,}   # well-known kinds
    """,
    re.VERBOSE,
)
# the characters of keys, less those that part the words of names and paths
_TOKEN = re.compile(r"[A-Za-z0-9+=]{20,}")
_SECRET_NAMES = re.compile(r"secret|token|passw|api_?key|signing_key|credential", re.IGNORECASE)


def looks_secret(value: str, path: str = "") -> bool:
    """Whether `value` may be a secret, by the key that it stands under, a known shape, or its randomness."""
    value = value[:_EXAMINED_CHARACTERS]
    if _SECRET_NAMES.search(path) or _SECRET_SHAPES.search(value):
        return True
    return any(_is_random(token) for token in _TOKEN.findall(value))


def _is_random(token: str) -> bool:
    """Letters of both cases with digits, or long hexadecimal: names that people write are neither."""
    if len(token) >= 32 and re.fullmatch(r"[0-9a-f]+|[0-9A-F]+", token):
        return True
    return all(re.search(kind, token) for kind in ("[a-z]", "[A-Z]", "[0-9]"))


def shown(value: str, path: str = "") -> str:
    """`value` as a message may carry it: short, on one line, printable, and never a secret."""
    if looks_secret(value, path):
        return "…"
    return _printable(value) if len(value) <= SHOWN_CHARACTERS else _printable(value[:SHOWN_CHARACTERS]) + "…"


def display_path(path: Path) -> str:
    """`path` as the user would type it: relative to the present folder where it lies in it."""
    with contextlib.suppress(ValueError, OSError):
        path = path.relative_to(Path.cwd())
    return _printable(str(path))


def _printable(text: str) -> str:
    """`text` on one line, without what a terminal would act on."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
