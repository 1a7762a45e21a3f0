"""A batch of a plan's new records, on the way into a target: what is to be created, and what was.

A target whose rows lie in this database creates them in one statement from `planned`; another one asks for `writes`, and tells
with `remember` what came of them. Either way the mapping is written in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.store.sql import run_many, write_many
from sis_connect.store.tables import mappings

Document = Mapping[str, Any]

MAPPED = ("integration_id", "sis_id", "local_id", "status", "school", "base_sis", "base_local", "due", "changed_at", "base_at")
#: What happens to a mapping that is there already, such as that of a row which the app has deleted.
REMEMBER = "(integration_id, sis_id) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in MAPPED[2:])


class Write(NamedTuple):
    """Fields to write to one row. `local_id` is empty where the row is to be created.

    `version` is that of the row which was decided about. `again` says that its creation was begun before, and may be done.
    """

    sis_id: str
    local_id: str
    fields: Document
    version: str = ""
    again: bool = False

    def __repr__(self) -> str:
        return f"<Write: {len(self.fields)} fields>"


class Outcome(NamedTuple):
    """What a write came to: the row's id, and what the target reads back where that differs from what was written."""

    local_id: str
    read_back: Document | None = None

    def __repr__(self) -> str:
        return f"<Outcome: {self.local_id}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Creations:
    """The new records of one kind in a plan, after one `sis_id` and up to another. `hold` limits them to what it held."""

    integration_id: int
    plan: int
    kind: Kind
    after: str
    last: str
    hold: str | None
    now: str

    @property
    def planned(self) -> str:
        """The condition on rows `p` of `sis_plan_row`; `values` fills it in."""
        state = "p.state = 'held' AND p.hold_id = :hold" if self.hold else "p.state = 'planned'"
        return (
            f"p.plan = :plan AND p.kind = :kind AND p.action = 'create' AND {state} AND p.sis_id > :after AND p.sis_id <= :last"
        )

    @property
    def values(self) -> dict[str, str | int]:
        """What `planned` is filled in with, and the integration as `integration`."""
        values = {
            "integration": self.integration_id,
            "plan": self.plan,
            "kind": self.kind,
            "after": self.after,
            "last": self.last,
        }
        return values | {"now": self.now} | ({"hold": self.hold} if self.hold else {})

    async def writes(self, connection: AsyncConnection) -> list[Write]:
        """What is to be created, row by row."""
        query = text(f"SELECT p.sis_id, p.document FROM sis_plan_row p WHERE {self.planned} ORDER BY p.sis_id")
        rows = await connection.execute(query, self.values)
        return [Write(row.sis_id, "", msgspec.json.decode(row.document)) for row in rows]

    async def begun(self, connection: AsyncConnection) -> set[str]:
        """Those whose creation elsewhere was begun before, and may be done."""
        query = (
            "SELECT c.sis_id FROM sis_candidate c WHERE c.integration_id = :integration AND c.kind = :kind AND c.why = 'begun' "
            "AND c.sis_id > :after AND c.sis_id <= :last"
        )
        return set((await connection.execute(text(query), self.values)).scalars())

    async def begin(self, connection: AsyncConnection) -> list[Write]:
        """What is to be created elsewhere, and note that it is: who finds such a row after a crash knows whose it is."""
        before = await self.begun(connection)
        note = (
            "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) SELECT :integration, p.kind, p.sis_id, 'begun' "
            f"FROM sis_plan_row p WHERE {self.planned} ON CONFLICT (integration_id, kind, sis_id) DO UPDATE SET why = 'begun'"
        )
        await connection.execute(text(note), self.values)
        return [write._replace(again=write.sis_id in before) for write in await self.writes(connection)]

    async def leave_out(self, connection: AsyncConnection, sis_ids: Collection[str], *, state: str = "skipped") -> None:
        """Skip records that have a row already, of which the plan did not know; or note another reason to pass them over."""
        skip = "UPDATE sis_plan_row SET state = ? WHERE plan = ? AND kind = ? AND sis_id = ?"
        await run_many(connection, skip, [(state, self.plan, self.kind, sis_id) for sis_id in sorted(sis_ids)])

    async def remember_all(self, connection: AsyncConnection, local_id: str, rows: str) -> None:
        """Map all of them to rows in this database: `local_id` is an expression, `rows` what is joined to the plan's row `p`."""
        await connection.execute(
            text(
                f"INSERT INTO {mappings[self.kind].name} ({', '.join(MAPPED)}) SELECT :integration, p.sis_id, {local_id}, "
                f"COALESCE(json_extract(p.document, '$.status'), 'active'), p.school, p.document, NULL, p.due, :now, NULL "
                f"FROM sis_plan_row p CROSS JOIN {rows} WHERE {self.planned} ORDER BY p.sis_id ON CONFLICT {REMEMBER}"
            ),
            self.values,
        )

    async def remember(self, connection: AsyncConnection, outcomes: Mapping[str, Outcome]) -> None:
        """Map some of them to rows that were created elsewhere, or that are not as they were written."""
        query = text(f"SELECT p.sis_id, p.school, p.document, p.due FROM sis_plan_row p WHERE {self.planned}")
        rows = [
            (
                self.integration_id, row.sis_id, outcomes[row.sis_id].local_id,
                msgspec.json.decode(row.document).get("status", "active"), row.school, row.document,
                read_back(outcomes[row.sis_id]), row.due, self.now, None,
            )
            for row in await connection.execute(query, self.values)
            if row.sis_id in outcomes
        ]  # fmt: skip
        await write_many(connection, mappings[self.kind].name, MAPPED, rows, conflict=REMEMBER)

    async def leave_out_lost(self, connection: AsyncConnection) -> None:
        """Skip for now what the target did not create."""
        mapping = f"{mappings[self.kind].name} m ON m.integration_id = :integration AND m.sis_id = p.sis_id"
        unmapped = "(m.sis_id IS NULL OR m.changed_at <> :now)"
        lost = text(f"SELECT p.sis_id FROM sis_plan_row p LEFT JOIN {mapping} WHERE {self.planned} AND {unmapped}")
        await self.leave_out(connection, (await connection.execute(lost, self.values)).scalars().all())

    async def close(self, connection: AsyncConnection) -> int:
        """They are there: no candidates any more. Returns how many."""
        theirs = f"SELECT p.sis_id FROM sis_plan_row p WHERE {self.planned}"
        count = text(f"SELECT COUNT(*) FROM ({theirs})")
        number = int((await connection.execute(count, self.values)).scalar_one())
        await connection.execute(
            text(
                "DELETE FROM sis_candidate WHERE integration_id = :integration AND kind = :kind AND sis_id > :after "
                f"AND sis_id <= :last AND sis_id IN ({theirs})"
            ),
            self.values,
        )
        if self.hold:
            applied = text(f"UPDATE sis_plan_row AS p SET state = 'applied' WHERE {self.planned}")
            await connection.execute(applied, self.values)
        return number


def read_back(outcome: Outcome) -> str | None:
    """What the target reads back, as the mapping keeps it."""
    return msgspec.json.encode(outcome.read_back).decode() if outcome.read_back is not None else None
