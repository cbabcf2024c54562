"""A row of a file of devices: data like any other, which remembers where it stands."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from visionfleet.config.document import Place, find_places
from visionfleet.config.errors import display_path
from visionfleet.config.section import Location, entries, peek

# a cell from its first character, be it a quote, and all up to the comma after it
CELL = re.compile(r'[ ]*("(?:[^"]|"")*"|[^,]*)[^,]*(?:,|$)')


class Row(dict[str, object]):
    """A device of a file, its keys being those of the deployment's file. `columns` are those of CSV, else empty."""

    __slots__ = ("columns", "line", "path", "text")

    def __init__(self, path: Path, line: int, text: str, columns: tuple[Location, ...] = ()) -> None:
        super().__init__()
        self.path, self.line, self.text, self.columns = path, line, text, columns

    def __str__(self) -> str:
        return f"{display_path(self.path)}:{self.line}"

    def places(self) -> Mapping[Location, Place]:
        """The place of every value of the row, which is looked for only when there is something to report."""
        start = Place(self.line, 1, self.line, 1, None)
        if self.columns:
            cells = zip(self.columns, CELL.finditer(self.text), strict=False)
            places = {column: self._place(cell) for column, cell in cells}
            return {(): start, **places, **_entries(places)}
        # JSON is YAML, near enough for our reader to know where things stand
        places = find_places(self.text)
        return {(): start, **{at: replace(place, line=self.line, key_line=self.line) for at, place in places.items()}}

    def _place(self, cell: re.Match[str]) -> Place:
        text, column = cell[1].strip(), cell.start(1) + 1
        text = text[1:-1].replace('""', '"') if text.startswith('"') else text
        return Place(self.line, column, self.line, column, text)


def _entries(places: Mapping[Location, Place]) -> dict[Location, Place]:
    """The entries of cells that hold lists, with blanks between them."""
    return {
        (*column, index): replace(place, column=place.column + part.start(), text=part[0])
        for column, place in places.items()
        for index, part in enumerate(re.finditer(r"\S+", place.text or ""))
    }


def row_at(data: object, location: Location) -> tuple[Row, Location] | None:
    """The row that `location` leads into, and the rest of it, which is the location there; None outside of rows."""
    for depth, key in enumerate(location):
        data = _below(data, key)
        if isinstance(data, Row):
            return data, location[depth + 1 :]
    return None


def _below(data: object, key: str | int) -> object:
    if isinstance(key, str):
        return peek(data, key)
    listed = entries(data)
    return listed[key] if key < len(listed) else None
