"""The hub's database: tables, sessions, migrations. SQLite embedded; the schema is PostgreSQL's as well."""

from visionfleet.hub.store.database import DatabaseUnavailable, Store

__all__ = ["DatabaseUnavailable", "Store"]
