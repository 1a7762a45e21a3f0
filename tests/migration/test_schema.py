"""A database that was migrated has the same schema as one made afresh from the tables."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text

from sis_connect.errors import StorageError
from sis_connect.store import migrations
from sis_connect.store.decision_tables import metadata
from sis_connect.store.migrations import VERSION_TABLE, upgrade
from sis_connect.store.sql import open_engine
from sis_connect.store.triggers import create_triggers


def described(connection: Connection) -> dict[str, object]:
    """Everything that makes up a schema, in a form that can be compared."""
    inspector = inspect(connection)
    tables: dict[str, object] = {}
    for table in sorted(set(inspector.get_table_names()) - {VERSION_TABLE}):
        columns = [
            (column["name"], str(column["type"]), column["nullable"], column["default"], column.get("primary_key"))
            for column in inspector.get_columns(table)
        ]
        keys = sorted((key["name"] or "", tuple(key["column_names"])) for key in inspector.get_unique_constraints(table))
        indexes = sorted(
            (index["name"] or "", tuple(index["column_names"]), str(index["dialect_options"].get("sqlite_where")))
            for index in inspector.get_indexes(table)
        )
        references = sorted((key["constrained_columns"], key["referred_table"]) for key in inspector.get_foreign_keys(table))
        tables[table] = (columns, keys, indexes, references)
    triggers = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name")).all()
    clustered = connection.execute(text("SELECT name FROM sqlite_master WHERE sql LIKE '%WITHOUT ROWID%' ORDER BY name")).all()
    return {"tables": tables, "triggers": [tuple(row) for row in triggers], "clustered": [tuple(row) for row in clustered]}


def migrate(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def made_afresh(connection: Connection) -> None:
    metadata.create_all(connection)
    create_triggers(connection)


@pytest.fixture(autouse=True)
def nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "_remembered", [])


async def test_a_database_that_is_made_from_memory_is_the_one_that_was_migrated(tmp_path: Path) -> None:
    said = []
    for name in ("migrated", "remembered"):
        engine = open_engine(f"sqlite:///{tmp_path / name}.db")
        await upgrade(engine)
        await engine.dispose()
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as made:
            said.append(list(made.iterdump()))
    assert said[0] == said[1]
    assert len(migrations._remembered) > 50


async def test_migrated_equals_fresh(tmp_path: Path) -> None:
    migrated, fresh = (open_engine(f"sqlite:///{tmp_path / name}.db") for name in ("migrated", "fresh"))
    await upgrade(migrated)
    async with fresh.begin() as connection:
        await connection.run_sync(made_afresh)
    async with migrated.connect() as one, fresh.connect() as other:
        assert await one.run_sync(described) == await other.run_sync(described)
    await migrated.dispose()
    await fresh.dispose()


async def test_a_database_of_the_first_release_keeps_what_it_holds(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'roster.db'}")
    async with engine.begin() as connection:
        await connection.run_sync(migrate, "0001")
        await connection.execute(
            text(
                "INSERT INTO sis_oauth_token (integration_id, sealed, expires_at) VALUES (1, x'00', '2026-11-22T08:00:00+00:00')"
            )
        )
    await upgrade(engine)
    async with engine.connect() as connection:
        kept = await connection.execute(text("SELECT sealed, expires_at, state, due_at, grant_type FROM sis_oauth_token"))
        assert kept.all() == [(b"\0", "2026-11-22T08:00:00+00:00", "active", None, None)]
    await engine.dispose()


async def test_upgrading_twice_changes_nothing(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'roster.db'}")
    await upgrade(engine)
    async with engine.connect() as connection:
        before = await connection.run_sync(described)
    await upgrade(engine)
    async with engine.connect() as connection:
        assert await connection.run_sync(described) == before
    await engine.dispose()


async def test_a_database_from_a_newer_version_is_refused(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'roster.db'}")
    await upgrade(engine)
    async with engine.begin() as connection:
        await connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StorageError, match="newer version") as refused:
        await upgrade(engine)
    assert "Upgrade sis-connect" in refused.value.remedy
    await engine.dispose()
