"""The database: its schema, its transactions."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import UniqueConstraint, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError, InternalError
from sqlalchemy.schema import CreateTable

from tests.hub.support import write_config
from visionfleet.config import DeploymentConfig
from visionfleet.config.hub import Hub as Section
from visionfleet.hub import tasks
from visionfleet.hub.context import Hub
from visionfleet.hub.staging.batches import new_batch
from visionfleet.hub.store import DatabaseUnavailable, Store
from visionfleet.hub.store.tables import ApiKey, BatchType, Table, Task, TaskKind


@pytest.fixture
def store(hub: Hub) -> Store:
    return hub.store


def test_the_migrations_make_the_tables_that_the_code_reads(store: Store) -> None:
    with store._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []


def test_a_second_start_changes_nothing(store: Store, config: DeploymentConfig) -> None:
    with store.write() as session:
        tasks.enqueue(session, 1.0, TaskKind.INGEST, {})
    second = Store.open(config.hub)
    with second.read() as session:
        assert session.query(Task).count() == 1
    second.close()


def test_many_hubs_that_start_at_once_make_one_schema(deployment: dict[str, Any], tmp_path: Path, kind: str) -> None:
    fresh = write_config(tmp_path, hub=deployment | ({"state": "fresh"} if kind == "embedded" else {}))
    with closing(Store.open(fresh.hub)) as store, store.write() as session:
        for table in reversed([*Table.metadata.sorted_tables, "alembic_version"]):
            session.execute(text(f"DROP TABLE {table}"))
    with ThreadPoolExecutor(6) as pool:
        stores = list(pool.map(lambda _: Store.open(fresh.hub), range(6)))
    with stores[0].read() as session:
        assert session.query(Task).count() == 0
    for store in stores:
        store.close()


def test_a_hub_goes_on_with_a_schema_that_is_ahead_and_not_with_one_that_it_cannot_read(
    store: Store, config: DeploymentConfig
) -> None:
    def set_revision(revision: str) -> None:
        with store.write() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})

    set_revision("0999")
    with closing(Store.open(config.hub)) as ahead, ahead.read() as session:
        assert session.query(Task).count() == 0
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "0999"
    set_revision("1001")
    with pytest.raises(DatabaseUnavailable, match=r"newer release.*1001.*install that one"):
        Store.open(config.hub)


def test_the_embedded_database_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "hub.sqlite3"
    Store.open(Section(state=path.parent)).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_an_error_rolls_the_whole_transaction_back(store: Store) -> None:
    with pytest.raises(RuntimeError), store.write() as session:
        tasks.enqueue(session, 1.0, TaskKind.INGEST, {})
        session.flush()
        raise RuntimeError
    with store.read() as session:
        assert session.query(Task).count() == 0


def test_readers_go_on_while_a_writer_works(store: Store) -> None:
    with store.write() as writer:
        writer.execute(text("DELETE FROM tasks"))
        with store.read() as reader:
            assert reader.query(Task).count() == 0


def test_a_reader_sees_one_state_whatever_is_written_meanwhile(store: Store) -> None:
    with store.read() as reader:
        assert reader.query(Task).count() == 0
        with store.write() as session:
            tasks.enqueue(session, 1.0, TaskKind.INGEST, {})
        assert reader.query(Task).count() == 0


def test_a_reader_cannot_write(store: Store, kind: str) -> None:
    """PostgreSQL refuses; SQLite takes it, and nothing of it stays."""
    expected = pytest.raises(InternalError) if kind == "served" else nullcontext()
    with expected, store.read() as session:
        session.execute(text("DELETE FROM api_keys"))
    with store.read() as session:
        assert session.query(ApiKey).count() == 5


@pytest.mark.parametrize("table", Table.metadata.sorted_tables, ids=lambda table: table.name)
def test_the_schema_is_one_that_postgresql_takes(table) -> None:
    assert str(CreateTable(table).compile(dialect=postgresql.dialect()))


def test_claiming_on_postgresql_passes_over_locked_rows() -> None:
    waiting = tasks._oldest(0.0, tasks._waiting(0.0), [TaskKind.INGEST], None)
    statement = str(waiting.compile(dialect=postgresql.dialect()))
    assert statement.rstrip().endswith("FOR NO KEY UPDATE OF tasks SKIP LOCKED")


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


@pytest.mark.parametrize("name", ["what?", "50%25", "a#b"])
def test_a_database_lies_where_the_path_says(tmp_path: Path, name: str) -> None:
    store = Store.open(Section(state=tmp_path / name))
    with store.write() as session:
        tasks.enqueue(session, 1.0, TaskKind.INGEST, {})
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "hub.sqlite3").stat().st_size


def test_an_error_of_the_database_tells_no_values(hub: Hub) -> None:
    with pytest.raises(IntegrityError) as failed, hub.store.write() as session:
        tasks.enqueue(session, 1.0, TaskKind.PROCESS, {"password": "hunter2"}, stage_id="nowhere")
    assert "INSERT INTO tasks" in str(failed.value)
    assert "hunter2" not in str(failed.value)
