"""The schema, brought up to date when a store is opened.

A migration only adds, with defaults, so that a hub of yesterday goes on beside one of today: during a rolling update,
and after a way back. One that cannot starts a new thousand (`1001`), which hubs of the earlier one refuse.
"""

from __future__ import annotations

from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

MIGRATIONS = Path(__file__).parent / "migrations"
_ONE_AT_A_TIME = 0x7669_736E  # any number that is ours alone in the database

log = structlog.get_logger()


class SchemaTooNew(Exception):
    """A newer release has changed the database so that this one cannot work on it."""


def bring_up_to_date(connection: Connection) -> str:
    """Run the migrations that the database has not had, in the transaction that `connection` is to begin.

    Gives the revision that it has now, which may be ahead of this release's. Raises SchemaTooNew.
    """
    if connection.dialect.name == "postgresql":
        # another hub's migrations may take longer than a lock is waited for
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ONE_AT_A_TIME})
        connection.execute(text("SET LOCAL lock_timeout = '30s'"))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    newest = str(ScriptDirectory.from_config(config).get_current_head())
    found = MigrationContext.configure(connection).get_current_revision()
    if found is not None and found > newest:
        if found[0] != newest[0]:
            message = f"a newer release has changed it (revision {found}, this one knows {newest}): install that one"
            raise SchemaTooNew(message)
        log.warning("schema_ahead", revision=found, known=newest)
        return found
    command.upgrade(config, "head")
    connection.commit()
    return newest
