"""The schema's history. A database that is older is brought up to date when it is opened; one that is newer is refused."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from sis_connect.errors import StorageError

#: The revision that this version of sis-connect works with.
HEAD = "0006"
VERSION_TABLE = "sis_schema_version"
#: What makes an empty SQLite database one of `HEAD`, once this process has seen it: migrating takes ten times as long, and the
#: tests of an app open a new database for each.
_remembered: list[str] = []


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    return None if revision is None else str(revision)


async def upgrade(engine: AsyncEngine) -> None:
    """Bring the schema to `HEAD`. Opening an up-to-date database only reads."""
    async with engine.execution_options(sis_connect_reading=True).connect() as reading:
        if await reading.run_sync(_current) == HEAD:
            return
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    current = _current(connection)  # again, now that we hold the lock: another process may have been faster
    if current == HEAD:
        return
    new = connection.dialect.name == "sqlite" and not inspect(connection).get_table_names()
    if new and _remembered:
        for statement in _remembered:
            connection.exec_driver_sql(statement)
        return
    _migrate(connection, current)
    if new:
        made = connection.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY rowid"
        ).scalars()
        _remembered[:] = [*made, f"INSERT INTO {VERSION_TABLE} (version_num) VALUES ('{HEAD}')"]


def _migrate(connection: Connection, current: str | None) -> None:
    # Alembic takes a third of a second to import, and nearly every start finds the schema up to date.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise StorageError(
            f"The database was made by a newer version of sis-connect (schema {current}, this one knows {HEAD}).",
            remedy="Upgrade sis-connect, or name another database with --database.",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
