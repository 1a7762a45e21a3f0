"""Where accounts live: the port that a target implements, and the built-in roster tables behind it.

A target is handed the store's own open transaction. The built-in one writes through it, so that roster and mapping are
committed together; another one may ignore it, and must then bear being asked for the same write twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.store.sql import run_many, write_many
from sis_connect.store.tables import BOOLEAN_FIELDS, JSON_FIELDS, mappings, roster_fields

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LocalRow:
    """A row as the target has it. `version` changes with each write of it, by whomever."""

    local_id: str
    document: Document = field(repr=False)
    edited_at: datetime | None
    version: str


class Write(NamedTuple):
    """Fields to write to one row. `local_id` is empty where the row is to be created."""

    sis_id: str
    local_id: str
    fields: Document

    def __repr__(self) -> str:
        return f"<Write: {len(self.fields)} fields>"


class Outcome(NamedTuple):
    """What a write came to: the row's id, and what the target reads back where that differs from what was written."""

    local_id: str
    read_back: Document | None = None

    def __repr__(self) -> str:
        return f"<Outcome: {self.local_id}>"


class RosterTarget(Protocol):
    """Where a roster is kept."""

    async def find(self, connection: AsyncConnection, kind: Kind, sis_ids: Sequence[str]) -> dict[str, LocalRow]:
        """The rows of these records, by `sis_id`; those that are not there are left out."""
        ...

    async def create(self, connection: AsyncConnection, kind: Kind, writes: Sequence[Write]) -> dict[str, Outcome]:
        """Create rows. A record that has a row already is left out of the answer, and its row as it is."""
        ...

    async def update(self, connection: AsyncConnection, kind: Kind, writes: Sequence[Write]) -> dict[str, Outcome]:
        """Update rows."""
        ...

    async def settle(self, connection: AsyncConnection, kind: Kind, sis_ids: Sequence[str]) -> None:
        """Forget that these rows were edited: what they hold is agreed on."""
        ...

    async def nominate(self, connection: AsyncConnection, kind: Kind) -> None:
        """Make candidates of the rows that somebody else has edited or deleted."""
        ...


def to_column(name: str, value: Any) -> Any:
    """A document's value as its column holds it."""
    if name in JSON_FIELDS:
        return None if value is None else msgspec.json.encode(value).decode()
    return value


def from_column(name: str, value: Any) -> Any:
    """The reverse of `to_column`."""
    if value is None:
        return None
    if name in JSON_FIELDS:
        return msgspec.json.decode(value)
    return bool(value) if name in BOOLEAN_FIELDS else value


class BuiltInTarget:
    """The `roster_*` tables beside the rest of the store."""

    def __init__(self, integration_id: int) -> None:
        self._integration = integration_id

    async def find(self, connection: AsyncConnection, kind: Kind, sis_ids: Sequence[str]) -> dict[str, LocalRow]:
        fields = roster_fields(kind)
        names = ", ".join(f'r."{name}"' for name in fields)
        found: dict[str, LocalRow] = {}
        if not await self._any(connection, kind):
            return found
        query = (
            f"SELECT r.sis_id, r.id, r.edited_at, r.revision, {names} FROM json_each(?) j "
            f"CROSS JOIN roster_{kind} r ON r.integration_id = ? AND r.sis_id = j.value"
        )
        values = (msgspec.json.encode(list(sis_ids)).decode(), self._integration)
        for row in (await connection.exec_driver_sql(query, values)).all():
            document = {
                name: from_column(name, value) for name, value in zip(fields, list(row)[4:], strict=True) if value is not None
            }
            edited = datetime.fromisoformat(row.edited_at) if row.edited_at else None
            found[row.sis_id] = LocalRow(str(row.id), document, edited, f"{row.revision}/{row.edited_at or ''}")
        return found

    async def _any(self, connection: AsyncConnection, kind: Kind) -> bool:
        query = text(f"SELECT EXISTS (SELECT 1 FROM roster_{kind} WHERE integration_id = :i)")
        return bool((await connection.execute(query, {"i": self._integration})).scalar())

    async def create(self, connection: AsyncConnection, kind: Kind, writes: Sequence[Write]) -> dict[str, Outcome]:
        fields = [(name, name in JSON_FIELDS) for name in roster_fields(kind)]
        there = await self._present(connection, kind, [write.sis_id for write in writes])
        new = [write for write in writes if write.sis_id not in there]
        # The transaction holds the write lock, so the ids that follow the last one are ours.
        last = int((await connection.execute(text(f"SELECT COALESCE(MAX(id), 0) FROM roster_{kind}"))).scalar_one())
        rows = [
            (
                last + number,
                self._integration,
                write.sis_id,
                *[to_column(name, write.fields.get(name)) if json else write.fields.get(name) for name, json in fields],
            )
            for number, write in enumerate(new, start=1)
        ]
        names = [name for name, _ in fields]
        await write_many(connection, f"roster_{kind}", ("id", "integration_id", "sis_id", *names), rows)
        outcomes = {write.sis_id: Outcome(str(last + number)) for number, write in enumerate(new, start=1)}
        return outcomes | await self._read_back(connection, kind, outcomes)

    async def _present(self, connection: AsyncConnection, kind: Kind, sis_ids: Sequence[str]) -> set[str]:
        query = f"SELECT r.sis_id FROM json_each(?) j CROSS JOIN roster_{kind} r ON r.integration_id = ? AND r.sis_id = j.value"
        ids = msgspec.json.encode(list(sis_ids)).decode()
        return set((await connection.exec_driver_sql(query, (ids, self._integration))).scalars())

    async def update(self, connection: AsyncConnection, kind: Kind, writes: Sequence[Write]) -> dict[str, Outcome]:
        alike: dict[tuple[str, ...], list[tuple[Any, ...]]] = defaultdict(list)
        for write in writes:
            names = tuple(write.fields)
            values = [to_column(name, write.fields[name]) for name in names]
            alike[names].append((*values, self._integration, write.sis_id))
        for names, rows in alike.items():
            assigned = ", ".join(f'"{name}" = ?' for name in names)
            statement = f"UPDATE roster_{kind} SET {assigned}, revision = revision + 1 WHERE integration_id = ? AND sis_id = ?"
            await run_many(connection, statement, rows)
        outcomes = {write.sis_id: Outcome(write.local_id) for write in writes}
        return outcomes | await self._read_back(connection, kind, outcomes)

    async def _read_back(self, connection: AsyncConnection, kind: Kind, sis_ids: Collection[str]) -> dict[str, Outcome]:
        """Rows that something in the database changed as we wrote them: what stands there now is what we wrote."""
        query = text(f"SELECT sis_id FROM roster_{kind} WHERE integration_id = :i AND edited_at IS NOT NULL")
        edited = set((await connection.execute(query, {"i": self._integration})).scalars())
        changed = [sis_id for sis_id in edited if sis_id in sis_ids]
        return {
            sis_id: Outcome(row.local_id, row.document) for sis_id, row in (await self.find(connection, kind, changed)).items()
        }

    async def settle(self, connection: AsyncConnection, kind: Kind, sis_ids: Sequence[str]) -> None:
        statement = f"UPDATE roster_{kind} SET edited_at = NULL WHERE integration_id = ? AND sis_id = ? AND edited_at IS NOT NULL"
        await run_many(connection, statement, [(self._integration, sis_id) for sis_id in sis_ids])

    async def nominate(self, connection: AsyncConnection, kind: Kind) -> None:
        values = {"i": self._integration}
        edited = (
            "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) "
            f"SELECT integration_id, '{kind}', sis_id, 'local' FROM roster_{kind} "
            "WHERE integration_id = :i AND edited_at IS NOT NULL ON CONFLICT (integration_id, kind, sis_id) DO NOTHING"
        )
        await connection.execute(text(edited), values)
        mapping = mappings[kind].name
        counts = text(
            f"SELECT (SELECT COUNT(*) FROM roster_{kind} WHERE integration_id = :i), "
            f"(SELECT COUNT(*) FROM {mapping} WHERE integration_id = :i AND local_id IS NOT NULL AND status <> 'deleted')"
        )
        rows, mapped = (await connection.execute(counts, values)).one()
        if rows < mapped:
            missing = (
                "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) "
                f"SELECT m.integration_id, '{kind}', m.sis_id, 'target_missing' FROM {mapping} m "
                "WHERE m.integration_id = :i AND m.local_id IS NOT NULL AND m.status <> 'deleted' AND NOT EXISTS "
                f"(SELECT 1 FROM roster_{kind} r WHERE r.integration_id = :i AND r.sis_id = m.sis_id) "
                "ON CONFLICT (integration_id, kind, sis_id) DO NOTHING"
            )
            await connection.execute(text(missing), values)
