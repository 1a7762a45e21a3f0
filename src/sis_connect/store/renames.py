"""Records that go by other ids from now on, in bulk: what refers to them follows, in the caller's transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Kind
from sis_connect.records import RECORDS
from sis_connect.store.sql import write_many
from sis_connect.store.tables import JSON_FIELDS


@dataclass(frozen=True, slots=True)
class Referring:
    """A field that refers to records of a kind: one or `many`. Whom an enrolment is of depends on its `role`."""

    kind: Kind
    field: str
    many: bool
    role: str = ""


def referring_to(kind: Kind) -> list[Referring]:
    """All fields that refer to records of this kind."""
    found = [
        Referring(other, name, name in JSON_FIELDS)
        for other in KINDS
        for name, target in RECORDS[other].references.items()
        if target == kind
    ]
    roles = {"students": "= 'student'", "staff": "<> 'student'"}
    return [*found, Referring("enrollments", "user", False, roles[kind])] if kind in roles else found


@asynccontextmanager
async def renaming(connection: AsyncConnection, names: Mapping[str, str]) -> AsyncIterator[None]:
    """Make these names (old: new) a table of this transaction, for the statements below."""
    table = "CREATE TEMP TABLE sis_renamed (old TEXT PRIMARY KEY, new TEXT NOT NULL) WITHOUT ROWID"
    await connection.exec_driver_sql(table)
    await write_many(connection, "sis_renamed", ("old", "new"), sorted(names.items()))
    yield
    await connection.exec_driver_sql("DROP TABLE sis_renamed")


async def rename_ids(
    connection: AsyncConnection, table: str, values: tuple[Any, ...], *, where: str, column: str = "sis_id", also: str = ""
) -> None:
    """Change ids in a column. A row that has the new id already makes room. `where` is filled in with `values`."""
    await connection.exec_driver_sql(
        f'UPDATE OR REPLACE {table} SET "{column}" = (SELECT new FROM sis_renamed WHERE old = "{column}"){also} '
        f'WHERE {where} AND "{column}" IN (SELECT old FROM sis_renamed)',
        values,
    )


async def rename_in_lists(
    connection: AsyncConnection, table: str, values: tuple[Any, ...], *, where: str, column: str, also: str = ""
) -> None:
    """Change ids in a column that holds lists of them."""
    items = f'json_each("{column}")'
    await connection.exec_driver_sql(
        f'UPDATE {table} SET "{column}" = {_renamed_list(items)}{also} WHERE {where} AND {_any_renamed(items)}', values
    )


async def rename_in_documents(
    connection: AsyncConnection, table: str, values: tuple[Any, ...], *, where: str, column: str, by: Referring
) -> None:
    """Change ids in a field of documents."""
    if by.role:
        where += f" AND json_extract({column}, '$.role') {by.role}"
    path = f"'$.{by.field}'"
    if by.many:
        items = f"json_each({column}, {path})"
        new, affected = f"json({_renamed_list(items)})", _any_renamed(items)
    else:
        known = f"json_extract({column}, {path})"
        new, affected = f"(SELECT new FROM sis_renamed WHERE old = {known})", f"{known} IN (SELECT old FROM sis_renamed)"
    await connection.exec_driver_sql(
        f"UPDATE {table} SET {column} = json_set({column}, {path}, {new}) WHERE {where} AND {affected}", values
    )


def _renamed_list(items: str) -> str:
    # An element may be a reference that is not resolved yet: it stays as it is.
    kept = "CASE e.type WHEN 'object' THEN e.value ELSE json_quote(COALESCE(r.new, e.value)) END"
    return f"(SELECT json_group_array(json({kept})) FROM {items} e LEFT JOIN sis_renamed r ON r.old = e.value)"


def _any_renamed(items: str) -> str:
    return f"EXISTS (SELECT 1 FROM {items} e JOIN sis_renamed r ON r.old = e.value)"
