"""Who waits for whom: what keeps two writers from acting on what neither has seen of the other.

SQLite's writers stand in line for the whole database, and everything here does nothing. On PostgreSQL many write at
once, and each statement sees what was committed when it began. So a writer that looks before it acts first locks, in a
statement of its own, what others would act on: a row, or the name of one that is not there yet. What it then looks at
holds until its transaction ends. Locks are taken in this order, so that no two writers wait for each other:

    name of a job -> job -> task -> parts of a batch -> stage -> batch -> name of a batch, of a device
"""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy import Select, text
from sqlalchemy.orm import Session

Row = TypeVar("Row")


def locked(query: Select[Row]) -> Select[Row]:
    """The rows, theirs who asks until the transaction ends. Rows that refer to them may come and go meanwhile."""
    return query.with_for_update(key_share=True).execution_options(populate_existing=True)


def locked_with_all(query: Select[Row]) -> Select[Row]:
    """As `locked`, and no row that refers to them comes or goes meanwhile."""
    return query.with_for_update().execution_options(populate_existing=True)


def kept(query: Select[Row]) -> Select[Row]:
    """The rows, which nobody deletes until the transaction ends."""
    return query.with_for_update(read=True, key_share=True).execution_options(populate_existing=True)


def free(query: Select[Row]) -> Select[Row]:
    """Those of the rows that nobody has locked or refers to right now, locked with all: the others can wait."""
    return query.with_for_update(skip_locked=True).execution_options(populate_existing=True)


def take_turns(session: Session, kind: str, *names: object) -> None:
    """Wait until no other transaction works on what is called so, be it there or not, and keep others waiting."""
    if session.get_bind().dialect.name != "postgresql":
        return
    name = "/".join([kind, *map(str, names)])
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})
