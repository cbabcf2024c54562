"""Listings by pages, in the words of the command line: `pageSize`, `nextPageToken`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from visionfleet.hub.errors import HubError

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
_TOKEN = re.compile(r"[0-9]{1,18}")  # what a 64-bit column can be compared with

Row = TypeVar("Row")


@dataclass(frozen=True)
class Page:
    """Which page is asked for: what comes after a row, or, in `fetch_by_position`, after a position."""

    size: int
    after: int | None

    @classmethod
    def parse(cls, size: int | None, token: str | None) -> Page:
        """From the query's values. Raises HubError 400."""
        size = DEFAULT_PAGE_SIZE if size is None else size
        if not 1 <= size <= MAX_PAGE_SIZE:
            raise HubError(400, "page_size_invalid", f"pageSize is 1 to {MAX_PAGE_SIZE}", pageSize=str(size))
        if token is not None and not _TOKEN.fullmatch(token):
            message = "nextPageToken is not one that this hub gave: start from the first page"
            raise HubError(400, "page_token_invalid", message, nextPageToken=token)
        return cls(size, int(token) if token is not None else None)


def fetch(
    session: Session, query: Select[Row], column: InstrumentedAttribute[int], page: Page, *, newest_first: bool
) -> tuple[Sequence[Row], str | None]:
    """One page of `query` in the order of `column`, and the token of the next page, None at the end."""
    if page.after is not None:
        query = query.where(column < page.after if newest_first else column > page.after)
    ordered = query.order_by(column.desc() if newest_first else column).limit(page.size + 1)
    rows = session.scalars(ordered).all()
    if len(rows) <= page.size:
        return rows, None
    kept = rows[: page.size]
    return kept, str(getattr(kept[-1], column.key))


def fetch_by_position(session: Session, query: Select[Row], page: Page) -> tuple[Sequence[Row], str | None]:
    """One page of an ordered `query` whose ids carry no order: its token is a position, so keep to short listings."""
    start = page.after or 0
    rows = session.scalars(query.offset(start).limit(page.size + 1)).all()
    return rows[: page.size], str(start + page.size) if len(rows) > page.size else None


def answer(name: str, rows: Sequence[Row], view: Callable[[Row], dict[str, Any]], token: str | None) -> dict[str, Any]:
    """The JSON of one page."""
    return {name: [view(row) for row in rows], "nextPageToken": token}
