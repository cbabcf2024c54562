"""The database: its schema, its transactions."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from visionfleet.hub import tasks
from visionfleet.hub.store import Store
from visionfleet.hub.store.tables import Table, Task, TaskKind


def test_the_migrations_make_the_tables_that_the_code_reads(tmp_path: Path) -> None:
    Store.open(tmp_path / "hub.sqlite3").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'hub.sqlite3'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []
    engine.dispose()


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state" / "hub.sqlite3"
    first = Store.open(path)
    with first.write() as session:
        tasks.enqueue(session, 1.0, TaskKind.INGEST, {})
    first.close()
    second = Store.open(path)
    with second.read() as session:
        assert session.query(Task).count() == 1
    second.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_an_error_rolls_the_whole_transaction_back(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "hub.sqlite3")
    with pytest.raises(RuntimeError), store.write() as session:
        tasks.enqueue(session, 1.0, TaskKind.INGEST, {})
        session.flush()
        raise RuntimeError
    with store.read() as session:
        assert session.query(Task).count() == 0
    store.close()


def test_readers_go_on_while_a_writer_works(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "hub.sqlite3")
    with store.write() as writer:
        writer.execute(text("DELETE FROM tasks"))
        with store.read() as reader:
            assert reader.query(Task).count() == 0
    store.close()


@pytest.mark.parametrize("table", Table.metadata.sorted_tables, ids=lambda table: table.name)
def test_the_schema_is_one_that_postgresql_takes(table) -> None:
    assert str(CreateTable(table).compile(dialect=postgresql.dialect()))


def test_claiming_on_postgresql_passes_over_locked_rows() -> None:
    statement = str(tasks._due(0.0, [TaskKind.INGEST], None).compile(dialect=postgresql.dialect()))
    assert statement.rstrip().endswith("FOR UPDATE SKIP LOCKED")
