"""Sessions on the hub's database.

Reads see one state of the database. Writes on SQLite take its one write lock at once (`BEGIN IMMEDIATE`): a transaction
that reads first and writes later would fail with SQLITE_BUSY when another one wrote in between, and no busy timeout
helps there (https://www.sqlite.org/lang_transaction.html). Writes on PostgreSQL lock what they need: see `locks`.

This process's own writers on SQLite stand in line before they ask for that lock. Whoever waits for it sleeps between
two looks, up to a tenth of a second, also while nobody writes (https://www.sqlite.org/c3ref/busy_timeout.html).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from visionfleet.config.hub import Hub as HubSection
from visionfleet.hub.store.engines import BUSY_SECONDS, database_of
from visionfleet.hub.store.schema import SchemaTooNew, bring_up_to_date

_READER: dict[str, dict[str, Any]] = {
    "sqlite": {},
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}


class Store:
    """The hub's database and its clock (seconds since the epoch)."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self.revision = ""  # of the schema, once it is up to date
        self._turn = threading.Lock() if engine.dialect.name == "sqlite" else None
        self._reader = engine.execution_options(**_READER[engine.dialect.name])
        self.clock = clock

    @classmethod
    def open(cls, settings: HubSection, clock: Callable[[], float] = time.time) -> Store:
        """Open the database that the file's `hub` section names, and bring its schema up to date.

        SQLite's file is made where it is missing. Raises DatabaseUnavailable.
        """
        database = database_of(settings)
        store = cls(database.engine, clock)
        try:
            store.migrate()
        except (CommandError, OSError, SchemaTooNew, SQLAlchemyError) as error:
            store.close()
            raise database.unavailable(error) from error
        return store

    def migrate(self) -> None:
        """Run the migrations that this database has not had."""
        with self._writer() as connection:
            self.revision = bring_up_to_date(connection)

    @contextmanager
    def read(self) -> Generator[Session]:
        """A session that sees one state of the database and writes nothing."""
        with Session(self._reader, expire_on_commit=False, autoflush=False) as session:
            yield session

    @contextmanager
    def write(self) -> Generator[Session]:
        """A session in one transaction: committed at the end, rolled back on any error."""
        with self._writer() as connection, Session(connection, expire_on_commit=False) as session, session.begin():
            yield session

    def ping(self) -> None:
        """Raise where the database does not answer."""
        with self._engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextmanager
    def _writer(self) -> Generator[Connection]:
        with self._in_turn(), self._engine.connect().execution_options(visionfleet_write=True) as connection:
            yield connection

    @contextmanager
    def _in_turn(self) -> Generator[None]:
        """One writer at a time; who has waited for too long asks the database, which says so."""
        has_it = self._turn is not None and self._turn.acquire(timeout=BUSY_SECONDS)
        try:
            yield
        finally:
            if self._turn is not None and has_it:
                self._turn.release()
