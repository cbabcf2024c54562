"""The two kinds of database: an embedded file of SQLite's, and a PostgreSQL server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from visionfleet.config import SecretUnavailable
from visionfleet.config.hub import Hub as HubSection
from visionfleet.config.secrets import SecretRef

BUSY_SECONDS = 30
"""How long a statement waits for another transaction."""

IDLE_SECONDS = 60
"""How long a transaction may do nothing: the locks of a hub that stands still are given up then."""

SQLITE_POOL = {"pool_size": 48, "max_overflow": 48}  # as many as the web server has threads, and the runner's
POSTGRESQL_POOL = {"pool_size": 16, "max_overflow": 8, "pool_pre_ping": True}
"""Four hubs stay below the 100 connections that a server takes unless told otherwise. Each is asked for a sign of life
before it is used, so that a hub goes on after its server has been restarted."""

_CONNECT = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    # what was sent to a machine that has gone: without it the kernel sends it again for a quarter of an hour
    "tcp_user_timeout": 30_000,
}
_SCHEMES = ("postgresql", "postgres")


class DatabaseUnavailable(Exception):
    """The hub's database cannot be opened."""


@dataclass(frozen=True)
class Database:
    """An engine, and what messages say of its database: where it is, what to do, what they must not repeat."""

    engine: Engine
    place: str
    fix: str = ""
    secret: str = ""

    def unavailable(self, error: Exception) -> DatabaseUnavailable:
        """The error as one line, without the password."""
        reason = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
        if self.secret:
            reason = reason.replace(self.secret, "…")
        return DatabaseUnavailable(f"the database {self.place} cannot be opened: {reason}{self.fix}")


def database_of(settings: HubSection) -> Database:
    """The database that the file's `hub` section names, not connected to yet. Raises DatabaseUnavailable."""
    if settings.database_ref is None:
        return _sqlite(settings.database_path)
    return _postgresql(settings.database_ref)


def _sqlite(path: Path) -> Database:
    url = URL.create("sqlite", database=str(path))  # a path may hold what would end or split a URL
    # errors name the statement alone: its values are clients' data
    database = Database(create_engine(url, hide_parameters=True, **SQLITE_POOL), str(path))
    event.listen(database.engine, "connect", _set_up_sqlite)
    event.listen(database.engine, "begin", _begin_sqlite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError as error:
        raise database.unavailable(error) from error
    return database


def _postgresql(ref: SecretRef) -> Database:
    url = _url(ref)
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        isolation_level="READ COMMITTED",  # whatever the server's own default is: see `locks`
        connect_args={name: value for name, value in _CONNECT.items() if name not in url.query},
        **POSTGRESQL_POOL,
    )
    event.listen(engine, "connect", _set_up_postgresql)
    event.listen(engine, "checkin", _forget_the_reader)
    place = _shown(url)
    fix = f"; see that its server runs, and that {ref} holds its URL, with user and password"
    return Database(engine, f"{place} ({ref})", fix, str(url.password or ""))


def _shown(url: URL) -> str:
    """The URL as it may be shown: where the database is, and no more."""
    return URL.create("postgresql", host=url.host, port=url.port, database=url.database).render_as_string()


def _url(ref: SecretRef) -> URL:
    """Raises DatabaseUnavailable without what was read: a part of a password may stand anywhere in a broken URL."""
    try:
        url = make_url(ref.resolve())
    except SecretUnavailable as error:
        raise DatabaseUnavailable(f"the database cannot be opened: {error}") from None
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in _SCHEMES or "@" in (url.host or ""):
        message = (
            f"{ref} does not hold the URL of a PostgreSQL database: write postgresql://user:password@host/database, "
            "with %40 for '@', %2F for '/' and %25 for '%' in the password"
        )
        raise DatabaseUnavailable(message)
    return url


def _set_up_postgresql(connection: Any, _record: Any) -> None:
    connection.execute(f"SET lock_timeout = '{BUSY_SECONDS}s'")
    connection.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
    connection.commit()


def _forget_the_reader(connection: Any, _record: Any) -> None:
    # SQLAlchemy leaves False where a reader was, and the next transaction begins with READ WRITE: a standby refuses
    # that as a feature that it lacks, and a server that is to be read alone for now would be overruled
    if connection is not None and not connection.closed:
        connection.read_only = None


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # SQLAlchemy begins transactions, not the driver: see _begin_sqlite
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("visionfleet_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
