"""YAML into plain data: a strict subset of it, with the place of every value.

One document of mappings, lists and scalars is read. Anchors, aliases, tags, merge keys and keys that stand twice are
refused: each makes a file mean something else than it seems to. Scalars follow YAML 1.2, so `on`, `yes` and dates are
text, as they are for an editor's schema check.

`read` is one pass over the C parser's events. Places cost about as much again, so `find_places` finds them in a pass of
its own, made only when there is something to report.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import yaml
from yaml._yaml import CParser
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from visionfleet.config.section import Location

MAX_DEPTH = 32
MAX_FAULTS = 1000

_CONSTANTS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER_STARTS = frozenset("0123456789+-.")
# numbers are what YAML 1.1 and 1.2 agree on: 012, 1e3 and 1_000 stay text, and so does a number too long to be meant
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FRACTION = re.compile(r"([-+]?[0-9]{1,40}\.[0-9]{0,40}|\.[0-9]{1,40})([eE][-+][0-9]{1,3})?")
# all but what YAML 1.2 allows (section 5.1), less the three that end a line in YAML 1.1 only, and byte order marks
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_ALIAS_FIX = "write the value out: anchors and aliases are refused, as they make a small file a huge one"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value and its key stand, counting from 1; `text` is a scalar as it is written."""

    line: int
    column: int
    key_line: int
    key_column: int
    text: str | None


@dataclass(frozen=True, slots=True)
class Fault:
    """What makes a text no document of ours; the rest of it may still have been read."""

    location: Location
    line: int
    column: int
    value: str | None
    code: str
    rule: str
    fix: str


@dataclass(frozen=True, slots=True)
class Document:
    """The data of a text. Nothing is known about what lies at or below a location in `unknown`."""

    data: object
    faults: tuple[Fault, ...]
    unknown: frozenset[Location]


def read(text: str) -> Document:
    """Read `text`; whatever is wrong with it is in `faults`."""
    reader = _Reader(text)
    data = reader.document()
    return Document(data, tuple(reader.faults), frozenset(reader.unknown))


def find_places(text: str) -> dict[Location, Place]:
    """The place of every value of `text`, as far as it can be read; of a key that stands twice, the first."""
    places: dict[Location, Place] = {}
    _Reader(text, places).document()
    return places


def nearest_place(places: Mapping[Location, Place], location: Location) -> Place:
    """The place of `location`, or of the nearest section above it that stands in the text."""
    while location and location not in places:
        location = location[:-1]
    return places.get(location, Place(1, 1, 1, 1, None))


class _UnreadableError(Exception):
    """Nothing after this point can be read; the fault is recorded."""


class _Reader:
    """One pass over a text. `_path` is the location of the value that is being read."""

    def __init__(self, text: str, places: dict[Location, Place] | None = None) -> None:
        self.faults: list[Fault] = []
        self.unknown: set[Location] = set()
        self._text = text
        self._places = places
        self._path: list[str | int] = []
        self._next = cast("Callable[[], Event]", CParser(text).get_event)

    def document(self) -> object:
        """The data, or None with () in `unknown` where the text cannot be read to its end."""
        try:
            self._check_characters()
            return self._only_document()
        except yaml.MarkedYAMLError as error:
            self.faults.append(_syntax_fault(error, self._text))
        except _UnreadableError:
            pass
        self.unknown.add(())
        return None

    def _check_characters(self) -> None:
        match = _FORBIDDEN.search(self._text)
        if match is None:
            return
        line, column = line_and_column(self._text, match.start())
        rule = f"the character U+{ord(match.group()):04X} cannot stand in the file"
        self.faults.append(Fault((), line, column, None, "yaml-character", rule, "remove it"))
        raise _UnreadableError

    def _only_document(self) -> object:
        self._next()  # the stream's start
        if isinstance(self._next(), StreamEndEvent):
            return None
        event = self._next()
        data = self._value(event, event)
        self._next()  # the document's end
        event = self._next()
        if not isinstance(event, StreamEndEvent):
            self._add(event, None, "yaml-documents", "a second document starts here", "keep one document in the file")
        return data

    def _value(self, event: Event, key: Event) -> object:
        if self._places is not None:
            self._places.setdefault(tuple(self._path), _place(event, key))
        if isinstance(event, ScalarEvent):
            if event.anchor is not None or event.tag is not None:
                self._check_properties(event)
            return event.value if event.style else _plain(event.value)
        if isinstance(event, CollectionStartEvent):
            return self._collection(event)
        alias = cast("AliasEvent", event)
        self._add(event, f"*{alias.anchor}", "yaml-alias", "is an alias", _ALIAS_FIX)
        self.unknown.add(tuple(self._path))
        return None

    def _collection(self, event: CollectionStartEvent) -> object:
        self._check_properties(event)
        if len(self._path) >= MAX_DEPTH:
            rule = f"is nested over {MAX_DEPTH} levels deep"
            self._add(event, None, "yaml-depth", rule, "nothing in this file is; look for a bracket that is left open")
            raise _UnreadableError
        return self._mapping() if isinstance(event, MappingStartEvent) else self._sequence()

    def _mapping(self) -> dict[str, object]:
        result: dict[str, object] = {}
        self._path.append("")
        while not isinstance(event := self._next(), MappingEndEvent):
            key = self._path[-1] = self._key(event)
            if key in result:
                self._add_duplicate(event, key)
                self._value(self._next(), event)
            else:
                result[key] = self._value(self._next(), event)
        self._path.pop()
        return result

    def _sequence(self) -> list[object]:
        result: list[object] = []
        self._path.append(0)
        while not isinstance(event := self._next(), SequenceEndEvent):
            result.append(self._value(event, event))
            self._path[-1] = len(result)
        self._path.pop()
        return result

    def _key(self, event: Event) -> str:
        """A key is text, whatever it would be as a value: `on: 1` has the key "on"."""
        if not isinstance(event, ScalarEvent):
            self._path[-1] = "?"
            self._add(event, None, "yaml-key", "is a key that is not text", "use plain words as keys")
            self._value(event, event)
            self.unknown.add(tuple(self._path[:-1]))
            return "?"
        if event.anchor is not None or event.tag is not None:
            self._check_properties(event)
        if event.value == "<<" and not event.style:
            self._path[-1] = "<<"
            fix = "write the keys out: merges, anchors and aliases are refused"
            self._add(event, None, "yaml-merge", "is a merge key", fix)
            self.unknown.add(tuple(self._path[:-1]))
        return event.value

    def _check_properties(self, event: ScalarEvent | CollectionStartEvent) -> None:
        if event.anchor is not None:
            self._add(event, f"&{event.anchor}", "yaml-anchor", "is an anchor", _ALIAS_FIX)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._add(event, tag, "yaml-tag", "is a tag", "remove it: the kind of a value follows from its key")
            self.unknown.add(tuple(self._path))

    def _add_duplicate(self, event: Event, key: str) -> None:
        first = self._first_places.get(tuple(self._path))
        fix = f"remove one of the two: the first is in line {first.key_line}" if first else "remove one of the two"
        self._add(event, key, "yaml-duplicate-key", "stands twice", fix)

    @cached_property
    def _first_places(self) -> dict[Location, Place]:
        return {} if self._places is not None else find_places(self._text)

    def _add(self, event: Event, value: str | None, code: str, rule: str, fix: str) -> None:
        line, column = _position(event)
        self.faults.append(Fault(tuple(self._path), line, column, value, code, rule, fix))
        if len(self.faults) == MAX_FAULTS:
            rule = f"is read up to here: {MAX_FAULTS} problems are enough"
            self.faults.append(Fault((), line, column, None, "too-many-problems", rule, "mend these first"))
            raise _UnreadableError


def line_and_column(text: str, index: int) -> tuple[int, int]:
    """The line and column, counting from 1, of the character at `index`."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def _plain(text: str) -> object:
    """The value of a scalar without quotes (YAML 1.2, section 10.3.2)."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _FRACTION.fullmatch(text) else text


def _position(event: Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def _place(event: Event, key: Event) -> Place:
    return Place(*_position(event), *_position(key), event.value if isinstance(event, ScalarEvent) else None)


# the parser's words for what happens most, and ours: its own name the grammar, not what to do
_SYNTAX = {
    "mapping values are not allowed in this context": (
        "a ':' makes a key where none can stand",
        "put a value that holds ': ' in quotes, or mend the indentation",
    ),
    "could not find expected ':'": ("a key without its ':'", "write 'key: value'"),
    "did not find expected key": ("a key is expected here", "keys of one mapping start in one column"),
    "did not find expected '-' indicator": ("a '-' is expected here", "entries of one list start in one column"),
    "did not find expected <document start>": ("a key is expected here", "keys at the top start in the first column"),
    "found incompatible YAML document": ("a version of YAML that is not read here", "remove the line '%YAML'"),
    "did not find expected ',' or ']'": (
        "a list in brackets is not closed",
        "close it with ']', or add the missing ','",
    ),
    "did not find expected ',' or '}'": (
        "a mapping in braces is not closed",
        "close it with '}', or add the missing ','",
    ),
    "found unexpected end of stream": ("a text in quotes is not closed", "add the missing quote"),
    "exceeded maximum nesting depth": (
        f"is nested over {MAX_DEPTH} levels deep",
        "look for a bracket that is left open",
    ),
    "found character that cannot start any token": ("a character that starts no value", "put the value in quotes"),
}
# where it was opened tells more than where the end was missed
_UNCLOSED = ("did not find expected ',' or ']'", "did not find expected ',' or '}'", "found unexpected end of stream")


def _syntax_fault(error: yaml.MarkedYAMLError, text: str) -> Fault:
    unclosed = error.problem in _UNCLOSED
    mark = error.context_mark if unclosed and error.context_mark else error.problem_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    if _indented_with_tab(text, line):
        fix = "replace each tab by spaces: YAML forbids tabs there"
        return Fault((), line, column, None, "yaml-tab", "a tab indents this line", fix)
    rule, fix = _SYNTAX.get(error.problem or "", (f"is not YAML: {error.problem}", "mend the syntax of this line"))
    return Fault((), line, column, None, "yaml-syntax", rule, fix)


def _indented_with_tab(text: str, line: int) -> bool:
    lines = text.split("\n", line)
    content = lines[line - 1] if line <= len(lines) else ""
    return "\t" in content[: len(content) - len(content.lstrip())]
