"""Where accounts live: the port that a target implements, and the built-in roster tables behind it.

A target is handed the store's own open transaction. The built-in one writes through it, so that roster and mapping are
committed together; another one may ignore it, and must then bear being asked for the same write twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.store.creations import Creations, Document, Outcome, Write
from sis_connect.store.renames import referring_to, rename_ids, rename_in_lists, renaming
from sis_connect.store.sql import run_many
from sis_connect.store.tables import BOOLEAN_FIELDS, JSON_FIELDS, mappings, roster_fields


class Edit(NamedTuple):
    """When somebody else than us changed a field last, in UTC, and who that was, where that is known."""

    at: datetime
    author: str | None = None


@dataclass(frozen=True, slots=True)
class LocalRow:
    """A row as the target has it. `version` changes with each write of it, by whomever.

    `edited_at` is when somebody else than us changed it last, in UTC; `edits` tells that of single columns, where it is known.
    """

    local_id: str
    document: Document = field(repr=False)
    edited_at: datetime | None
    version: str
    edits: Mapping[str, Edit] = field(default_factory=dict, repr=False)


class RosterTarget(Protocol):
    """Where a roster is kept."""

    async def find(self, connection: AsyncConnection, kind: Kind, sis_ids: Sequence[str]) -> dict[str, LocalRow]:
        """The rows of these records, by `sis_id`; those that are not there are left out."""
        ...

    async def create(self, connection: AsyncConnection, creations: Creations) -> None:
        """Create rows and remember them. A record that has a row already is left out, and its row as it is."""
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


@runtime_checkable
class Renaming(RosterTarget, Protocol):
    """A target whose records can go by other ids. In one that cannot, a record with another id is held for a person."""

    async def rename(self, connection: AsyncConnection, kind: Kind, names: Mapping[str, str]) -> Collection[str]:
        """Let rows go by other ids from now on (former `sis_id`: new one), and let all references to them follow.

        Rows that are not there are no fault, and it may be asked for what it has done already. Returns the former ids that have
        to stay, since another row goes by the new one.
        """
        ...


def as_json(items: Collection[str]) -> str:
    """A list, as a statement takes it for `json_each`."""
    return msgspec.json.encode(list(items)).decode()


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

    def __init__(self, integration_id: int, *, match_email: bool = False) -> None:
        self._integration = integration_id
        self.match_email = match_email

    async def find(self, connection: AsyncConnection, kind: Kind, sis_ids: Sequence[str]) -> dict[str, LocalRow]:
        if not await self._any(connection, kind):
            return {}
        here = f"json_each(?) j CROSS JOIN roster_{kind} r ON r.integration_id = ? AND r.sis_id = j.value"
        return await self._rows(connection, kind, here, (as_json(sis_ids), self._integration))

    async def _rows(self, connection: AsyncConnection, kind: Kind, which: str, values: tuple[Any, ...]) -> dict[str, LocalRow]:
        """Rows `r`, by `sis_id`. `which` is what follows FROM, with `values`."""
        fields = roster_fields(kind)
        names = ", ".join(f'r."{name}"' for name in fields)
        query = f"SELECT r.sis_id, r.id, r.edited_at, r.revision, {names} FROM {which}"
        rows = (await connection.exec_driver_sql(query, values)).all()
        edits = await self._edits(connection, kind, [row.sis_id for row in rows if row.edited_at])
        found: dict[str, LocalRow] = {}
        for row in rows:
            document = {
                name: from_column(name, value) for name, value in zip(fields, list(row)[4:], strict=True) if value is not None
            }
            edited = datetime.fromisoformat(row.edited_at) if row.edited_at else None
            version = f"{row.revision}/{row.edited_at or ''}"
            found[row.sis_id] = LocalRow(str(row.id), document, edited, version, edits.get(row.sis_id, {}))
        return found

    async def _edits(self, connection: AsyncConnection, kind: Kind, sis_ids: Sequence[str]) -> Mapping[str, Mapping[str, Edit]]:
        """Which columns of these rows somebody changed, and when, by `sis_id`."""
        edits: dict[str, dict[str, Edit]] = defaultdict(dict)
        if not sis_ids:
            return edits
        query = (
            "SELECT e.sis_id, e.field, e.at, e.author FROM json_each(?) j CROSS JOIN sis_local_edit e "
            "ON e.integration_id = ? AND e.kind = ? AND e.sis_id = j.value"
        )
        for row in await connection.exec_driver_sql(query, (as_json(sis_ids), self._integration, kind)):
            edits[row.sis_id][row.field] = Edit(datetime.fromisoformat(row.at), row.author)
        return edits

    async def _any(self, connection: AsyncConnection, kind: Kind) -> bool:
        query = text(f"SELECT EXISTS (SELECT 1 FROM roster_{kind} WHERE integration_id = :i)")
        return bool((await connection.execute(query, {"i": self._integration})).scalar())

    async def create(self, connection: AsyncConnection, creations: Creations) -> None:
        kind, fields = creations.kind, roster_fields(creations.kind)
        here = f"roster_{kind} r ON r.integration_id = :integration AND r.sis_id = p.sis_id"
        there = text(f"SELECT p.sis_id FROM sis_plan_row p CROSS JOIN {here} WHERE {creations.planned}")
        await creations.leave_out(connection, (await connection.execute(there, creations.values)).scalars().all())
        names = ", ".join(f'"{name}"' for name in fields)
        columns = ", ".join(f"json_extract(p.document, '$.{name}')" for name in fields)
        insert = (
            f"INSERT INTO roster_{kind} (integration_id, sis_id, {names}) SELECT :integration, p.sis_id, {columns} "
            f"FROM sis_plan_row p WHERE {creations.planned} ORDER BY p.sis_id"
        )
        await connection.execute(text(insert), creations.values)
        await creations.remember_all(connection, "CAST(r.id AS TEXT)", here)
        edited = text(
            f"SELECT r.sis_id FROM roster_{kind} r CROSS JOIN sis_plan_row p ON p.sis_id = r.sis_id "
            f"WHERE r.integration_id = :integration AND r.edited_at IS NOT NULL AND {creations.planned}"
        )
        changed = set((await connection.execute(edited, creations.values)).scalars())
        if changed:
            # What the database itself changed as we wrote is what we wrote: no edit of anybody's.
            outcomes = await self._read_back(connection, kind, changed)
            await creations.remember(connection, outcomes)
            await self.settle(connection, kind, list(outcomes))

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
        await self._forget_edits(connection, kind, [(write.sis_id, name) for write in writes for name in write.fields])
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
        if sis_ids:
            settled = (
                "DELETE FROM sis_local_edit WHERE integration_id = ? AND kind = ? AND sis_id IN (SELECT value FROM json_each(?))"
            )
            await connection.exec_driver_sql(settled, (self._integration, kind, as_json(sis_ids)))

    async def _forget_edits(self, connection: AsyncConnection, kind: Kind, fields: Sequence[tuple[str, str]]) -> None:
        """What we have written over is nobody's edit any more."""
        any_of_it = "SELECT EXISTS (SELECT 1 FROM sis_local_edit WHERE integration_id = ? AND kind = ?)"
        if (await connection.exec_driver_sql(any_of_it, (self._integration, kind))).scalar():
            statement = "DELETE FROM sis_local_edit WHERE integration_id = ? AND kind = ? AND sis_id = ? AND field = ?"
            await run_many(connection, statement, [(self._integration, kind, *one) for one in fields])

    async def rename(self, connection: AsyncConnection, kind: Kind, names: Mapping[str, str]) -> Collection[str]:
        ours, where, written = (self._integration,), "integration_id = ?", ", revision = revision + 1"
        taken = set(await self.find(connection, kind, list(names.values())))
        refused = [former for former, new in names.items() if new in taken]
        async with renaming(connection, {former: new for former, new in names.items() if new not in taken}):
            await rename_ids(connection, f"roster_{kind}", ours, where=where, also=written)
            await rename_ids(connection, "sis_local_edit", (*ours, kind), where=f"{where} AND kind = ?")
            for by in referring_to(kind):
                table, only = f"roster_{by.kind}", f"{where} AND role {by.role}" if by.role else where
                change = rename_in_lists if by.many else rename_ids
                await change(connection, table, ours, where=only, column=by.field, also=written)
        return refused

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

    # -- people whom the app knew before -------------------------------------------------------------------------------

    async def any_unclaimed(self, connection: AsyncConnection, kind: Kind) -> bool:
        query = f"SELECT EXISTS (SELECT 1 FROM {self._unclaimed(kind)})"
        return bool((await connection.exec_driver_sql(query, (self._integration,))).scalar())

    async def find_unclaimed(
        self, connection: AsyncConnection, kind: Kind, wanted: Mapping[str, Collection[str]]
    ) -> dict[str, LocalRow]:
        found: dict[str, LocalRow] = {}
        for name, values in wanted.items():
            if name.partition(".")[0] in roster_fields(kind) and values:
                which = f"{self._unclaimed(kind)} AND {_having(name)}"
                rows = await self._rows(connection, kind, which, (self._integration, as_json(values)))
                found |= {row.local_id: row for row in rows.values()}
        return found

    async def load_unclaimed(self, connection: AsyncConnection, kind: Kind, local_ids: Collection[str]) -> dict[str, LocalRow]:
        which = f"{self._unclaimed(kind)} AND CAST(r.id AS TEXT) IN (SELECT value FROM json_each(?))"
        rows = await self._rows(connection, kind, which, (self._integration, as_json(local_ids)))
        return {row.local_id: row for row in rows.values()}

    async def claim(self, connection: AsyncConnection, kind: Kind, names: Mapping[str, str]) -> None:
        query = (
            f"SELECT CAST(id AS TEXT) AS local_id, sis_id FROM roster_{kind} "
            "WHERE integration_id = ? AND id IN (SELECT value FROM json_each(?))"
        )
        ids = [int(local_id) for local_id in names]
        rows = (await connection.exec_driver_sql(query, (self._integration, msgspec.json.encode(ids).decode()))).all()
        await self.rename(connection, kind, {row.sis_id: names[row.local_id] for row in rows})

    @staticmethod
    def _unclaimed(kind: Kind) -> str:
        mapped = f"SELECT 1 FROM {mappings[kind].name} m WHERE m.integration_id = r.integration_id AND m.sis_id = r.sis_id"
        return f"roster_{kind} r WHERE r.integration_id = ? AND NOT EXISTS ({mapped})"


def _having(name: str) -> str:
    """The condition that a field of a row `r`, or one of its values, is one of a list."""
    column, _, part = name.partition(".")
    wanted = "(SELECT value FROM json_each(?))"
    if name == "emails":
        return f"EXISTS (SELECT 1 FROM json_each(r.emails) e WHERE lower(json_extract(e.value, '$.address')) IN {wanted})"
    if part:
        return f'EXISTS (SELECT 1 FROM json_each(r."{column}", \'$."{part}"\') e WHERE CAST(e.value AS TEXT) IN {wanted})'
    return f'lower(r."{column}") IN {wanted}'
