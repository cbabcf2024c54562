"""The hub's database: tables, sessions, locks, migrations. Embedded or a server, with the same schema."""

from visionfleet.hub.store.database import Store
from visionfleet.hub.store.engines import DatabaseUnavailable

__all__ = ["DatabaseUnavailable", "Store"]
