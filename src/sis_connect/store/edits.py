"""Edits of the built-in roster by the app itself: how they are made with their author, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect import audit
from sis_connect.capabilities import Kind
from sis_connect.errors import ConfigurationError
from sis_connect.store.decision_tables import local_edit as table
from sis_connect.store.target import BuiltInTarget, to_column


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEdit:
    """A column that the app edited, and when (UTC, ISO 8601); `author` where the app has told."""

    kind: Kind
    sis_id: str = attribute(repr=False)
    field: str
    at: str
    author: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


async def find_edits(connection: AsyncConnection, integration_id: int, kind: Kind | None) -> list[LocalEdit]:
    """The edits that stand, in the order of kinds and records."""
    query = select(table).where(table.c.integration_id == integration_id).order_by(table.c.kind, table.c.sis_id, table.c.field)
    if kind is not None:
        query = query.where(table.c.kind == kind)
    rows = await connection.execute(query)
    return [LocalEdit(kind=row.kind, sis_id=row.sis_id, field=row.field, at=row.at, author=row.author) for row in rows]


async def edit_row(
    connection: AsyncConnection,
    integration_id: int,
    integration: str,
    kind: Kind,
    sis_id: str,
    fields: Mapping[str, Any],
    *,
    actor: str,
    at: datetime,
) -> None:
    """Change a row as the app does: the database notes which columns changed; we tell when, and by whom."""
    if not fields:
        raise ConfigurationError("There is nothing to change.", remedy="Name at least one field and its value.")
    row = (await BuiltInTarget(integration_id).find(connection, kind, [sis_id])).get(sis_id)
    if row is None:
        raise ConfigurationError(f"The roster of {integration} has no such record in {kind}.", remedy="See `export` for the ids.")
    columns = {name.partition(".")[0] for name in fields}
    values = {name: to_column(name, _whole(row.document, fields, name)) for name in sorted(columns)}
    assigned = ", ".join(f'"{name}" = ?' for name in values)
    await connection.exec_driver_sql(
        f"UPDATE roster_{kind} SET {assigned}, edited_by = ? WHERE integration_id = ? AND sis_id = ?",
        (*values.values(), actor, integration_id, sis_id),
    )
    names = ", ".join(f"'{name}'" for name in values)
    for statement in (
        f"UPDATE sis_local_edit SET at = :at WHERE integration_id = :i AND kind = :k AND sis_id = :s AND field IN ({names})",
        f"UPDATE roster_{kind} SET edited_at = :at WHERE integration_id = :i AND sis_id = :s AND edited_at IS NOT NULL",
    ):
        await connection.execute(text(statement), {"at": at.isoformat(), "i": integration_id, "k": kind, "s": sis_id})
    detail = {"kind": kind, "sis_id": sis_id, "fields": sorted(fields)}
    await audit.record(connection, at=at, actor=actor, action="roster.edited", integration=integration, detail=detail)


def _whole(document: Mapping[str, Any], fields: Mapping[str, Any], name: str) -> Any:
    """A column's value: a part of `ids` is written with all of `ids`."""
    if name in fields:
        return fields[name]
    parts = {part.partition(".")[2]: value for part, value in fields.items() if part.startswith(f"{name}.")}
    return {**(document.get(name) or {}), **parts}
