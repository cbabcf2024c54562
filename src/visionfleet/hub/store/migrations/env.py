"""Alembic's entry: runs on the connection that `Store.migrate` hands over."""

from alembic import context

from visionfleet.hub.store.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
