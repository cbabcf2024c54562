"""Sessions on the hub's database.

Reads run in plain transactions. Writes take SQLite's one write lock at once (`BEGIN IMMEDIATE`): a transaction that
reads first and writes later would fail with SQLITE_BUSY when another one wrote in between, and no busy timeout helps
there (https://www.sqlite.org/lang_transaction.html).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from visionfleet.config.hub import Hub as HubSection
from visionfleet.config.secrets import SecretRef

BUSY_TIMEOUT_MS = 30_000
POOL_SIZE = 48  # as many as the web server has threads, and the runner's
MIGRATIONS = Path(__file__).parent / "migrations"


class DatabaseUnavailable(Exception):
    """The hub's database cannot be opened."""

    def __init__(self, place: Path | SecretRef, error: Exception) -> None:
        reason = error.orig if isinstance(error, DBAPIError) else error
        super().__init__(f"the database {place} cannot be opened: {reason}")


class Store:
    """The hub's database and its clock (seconds since the epoch)."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self.clock = clock

    @classmethod
    def of(cls, settings: HubSection) -> Store:
        """Open the database that the file's `hub` section names. Raises DatabaseUnavailable."""
        if settings.database_ref is not None:
            reason = NotImplementedError("the hub does not run on PostgreSQL yet; write 'hub.database: sqlite'")
            raise DatabaseUnavailable(settings.database_ref, reason)
        return cls.open(settings.database_path)

    @classmethod
    def open(cls, path: Path, clock: Callable[[], float] = time.time) -> Store:
        """Open the SQLite file at `path`, make it where it is missing, bring its schema up to date.

        Raises DatabaseUnavailable.
        """
        try:
            return cls._open(path, clock)
        except (CommandError, OSError, SQLAlchemyError) as error:
            raise DatabaseUnavailable(path, error) from error

    @classmethod
    def _open(cls, path: Path, clock: Callable[[], float]) -> Store:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        url = URL.create("sqlite", database=str(path))  # a path may hold what would end or split a URL
        # errors name the statement alone: its values are clients' data
        engine = create_engine(url, pool_size=POOL_SIZE, max_overflow=POOL_SIZE, hide_parameters=True)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        store = cls(engine, clock)
        store.migrate()
        return store

    def migrate(self) -> None:
        """Run the migrations that this database has not had."""
        with self._writer() as connection:
            config = AlembicConfig()
            config.set_main_option("script_location", str(MIGRATIONS))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    @contextmanager
    def read(self) -> Generator[Session]:
        """A session that sees one state of the database and writes nothing."""
        with Session(self._engine, expire_on_commit=False, autoflush=False) as session:
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
        with self._engine.connect().execution_options(visionfleet_write=True) as connection:
            yield connection


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # SQLAlchemy begins transactions, not the driver: see _begin_sqlite
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("visionfleet_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
