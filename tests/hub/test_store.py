"""The database: its schema, its transactions."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import UniqueConstraint, create_engine, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable

from visionfleet.hub import tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.staging.batches import new_batch
from visionfleet.hub.store import Store
from visionfleet.hub.store.tables import BatchType, Table, Task, TaskKind


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
    waiting = tasks._oldest(0.0, tasks._waiting(0.0), [TaskKind.INGEST], None)
    statement = str(waiting.compile(dialect=postgresql.dialect()))
    assert statement.rstrip().endswith("FOR UPDATE SKIP LOCKED")


def test_a_row_that_is_deleted_finds_what_depends_on_it_by_an_index() -> None:
    """Without one, each deletion reads the whole table that refers to it: a sweep of a large batch took minutes."""
    for table in Table.metadata.sorted_tables:
        leading = {index.columns[0].name for index in table.indexes} | {table.primary_key.columns[0].name}
        leading |= {c.columns[0].name for c in table.constraints if isinstance(c, UniqueConstraint)}
        referring = {column.name for key in table.foreign_key_constraints for column in key.columns}
        assert referring <= leading, f"{table.name}: {referring - leading}"


def test_a_batchs_number_is_never_given_again(hub: Hub) -> None:
    """It is part of its objects' keys, and so of URLs that may still be valid."""

    def make() -> int:
        with hub.store.write() as session:
            return new_batch(hub, session, "acme", "b", BatchType.SIMPLE, "b").row

    first = make()
    with hub.store.write() as session:
        session.execute(text("DELETE FROM batches"))
    assert make() > first


@pytest.mark.parametrize("name", ["what?.sqlite3", "50%25.sqlite3", "a#b.sqlite3"])
def test_a_database_lies_where_the_path_says(tmp_path: Path, name: str) -> None:
    store = Store.open(tmp_path / name)
    with store.write() as session:
        tasks.enqueue(session, 1.0, TaskKind.INGEST, {})
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).stat().st_size


def test_an_error_of_the_database_tells_no_values(hub: Hub) -> None:
    with pytest.raises(IntegrityError) as failed, hub.store.write() as session:
        tasks.enqueue(session, 1.0, TaskKind.PROCESS, {"password": "hunter2"}, stage_id="nowhere")
    assert "INSERT INTO tasks" in str(failed.value)
    assert "hunter2" not in str(failed.value)
