"""Applying a plan: the one writer. Batch by batch, each in one transaction that checks the lease and writes whole records.

Killed between two batches, the next run decides about the rest anew: what was applied is no candidate any more.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Kind
from sis_connect.clock import Clock
from sis_connect.roster.cases import Case, decode, encode, load
from sis_connect.roster.documents import Values, flatten, nest
from sis_connect.roster.merge import Action
from sis_connect.store.lease import Lease, check_fence
from sis_connect.store.sql import Store, run_many, write_many
from sis_connect.store.tables import mappings
from sis_connect.store.target import Outcome, RosterTarget, Write

BATCH = 4000
_MAPPED = ("integration_id", "sis_id", "local_id", "status", "school", "base_sis", "base_local", "due", "changed_at")
_REMEMBER = (
    "(integration_id, sis_id) DO UPDATE SET local_id = excluded.local_id, status = excluded.status, school = excluded.school, "
    "base_sis = excluded.base_sis, base_local = excluded.base_local, due = excluded.due, changed_at = excluded.changed_at"
)


class Planned(NamedTuple):
    """What the writer needs of a plan's row."""

    sis_id: str
    action: str
    school: str | None
    after: str | None
    document: str | None
    evidence: str
    source: str
    local: str
    base: str
    due: str | None

    def __repr__(self) -> str:
        return f"<Planned: {self.action}>"


@dataclass(slots=True, kw_only=True)
class Applier:
    """Applies the rows of one plan. `changes` counts what was written; `skipped` what the world had moved on from."""

    store: Store
    target: RosterTarget
    integration_id: int
    lease: Lease
    clock: Clock
    today: date
    plan: int
    batch_size: int = BATCH
    changes: dict[Kind, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    skipped: dict[Kind, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    progress: Callable[[Kind, int], None] | None = None

    async def apply(self, *, hold: str | None = None, fresh: bool = False) -> None:
        """Apply what is planned, or what `hold` held. `fresh` says that the plan was made under the same lease.

        What begins goes in order of dependency, what ends in reverse, so that nothing ever points nowhere.
        """
        steps: list[tuple[Kind, tuple[Action, ...]]] = []
        for kind in KINDS:
            steps += [(kind, ("create",)), (kind, ("update", "reenroll", "conflict", "unchanged"))]
        steps += [(kind, ("withdraw",)) for kind in reversed(KINDS)]
        reached, after = await self._reached() if hold is None else (0, "")
        for number, (kind, actions) in enumerate(steps):
            if number >= reached:
                await self._apply(number, kind, actions, hold, fresh=fresh, after=after if number == reached else "")

    async def _reached(self) -> tuple[int, str]:
        """How far an interrupted run came with this plan."""
        async with self.store.read() as connection:
            query = text("SELECT position FROM sis_plan WHERE number = :p")
            position = (await connection.execute(query, {"p": self.plan})).scalar()
        if position is None:
            return 0, ""
        step, _, after = str(position).partition(":")
        return int(step), after

    async def _apply(
        self, step: int, kind: Kind, actions: tuple[Action, ...], hold: str | None, *, fresh: bool, after: str
    ) -> None:
        which = ", ".join(f"'{action}'" for action in actions)
        held = "state = 'held' AND hold_id = :hold" if hold else "state = 'planned'"
        query = text(
            "SELECT sis_id, action, school, after, document, evidence, source, local, base, due FROM sis_plan_row "
            f"WHERE plan = :p AND kind = :k AND sis_id > :a AND action IN ({which}) AND {held} ORDER BY sis_id LIMIT :n"
        )

        async def following(after: str) -> list[Planned]:
            values = {"p": self.plan, "k": kind, "a": after, "n": self.batch_size, **({"hold": hold} if hold else {})}
            async with self.store.read() as connection:
                return [Planned._make(row) for row in (await connection.execute(query, values)).all()]

        async def write(rows: Sequence[Planned]) -> None:
            async with self.store.write() as connection:
                await check_fence(connection, self.lease)
                moved = await self._batch(connection, kind, rows, creating=actions == ("create",), fresh=fresh)
                await self._close(connection, kind, rows, moved, held=hold is not None)
                if hold is None:
                    position = {"p": self.plan, "at": f"{step}:{rows[-1].sis_id}"}
                    await connection.execute(text("UPDATE sis_plan SET position = :at WHERE number = :p"), position)

        applied = 0
        rows = await following(after)
        while rows:
            # The next batch is read while this one is written.
            next_rows, _ = await asyncio.gather(following(rows[-1].sis_id), write(rows))
            applied, rows = applied + len(rows), next_rows
            if self.progress:
                self.progress(kind, applied)

    async def _batch(
        self, connection: AsyncConnection, kind: Kind, rows: Sequence[Planned], *, creating: bool, fresh: bool
    ) -> set[str]:
        """Write one batch. Returns the records that the world has moved on from."""
        if creating and fresh:
            return await self._create(connection, kind, rows)
        ids = [row.sis_id for row in rows]
        cases = await load(connection, self.target, self.integration_id, kind, ids, self.today)
        moved = {row.sis_id for row in rows if _moved_on(row, cases[row.sis_id])}
        still = [row for row in rows if row.sis_id not in moved]
        if creating:
            return moved | await self._create(connection, kind, still)
        await self._update(connection, kind, still, cases)
        return moved

    async def _create(self, connection: AsyncConnection, kind: Kind, rows: Sequence[Planned]) -> set[str]:
        documents = {row.sis_id: decode(row.document or "{}") for row in rows}
        outcomes = await self.target.create(connection, kind, [Write(sis_id, "", made) for sis_id, made in documents.items()])
        now, integration = self.clock.now().isoformat(), self.integration_id
        remembered = [
            (
                integration, row.sis_id, outcomes[row.sis_id].local_id, documents[row.sis_id].get("status", "active"),
                row.school, row.document, _read_back(outcomes[row.sis_id]), row.due, now,
            )
            for row in rows
            if row.sis_id in outcomes
        ]  # fmt: skip
        await write_many(connection, mappings[kind].name, _MAPPED, remembered, conflict=_REMEMBER)
        # What the target changed as we wrote is what we wrote: no edit of anybody's.
        await self.target.settle(connection, kind, [sis_id for sis_id, outcome in outcomes.items() if outcome.read_back])
        return documents.keys() - outcomes.keys()

    async def _update(self, connection: AsyncConnection, kind: Kind, rows: Sequence[Planned], cases: dict[str, Case]) -> None:
        writes, agreed = [], []
        for row in rows:
            case, changes = cases[row.sis_id], decode(row.after or "{}")
            if changes and case.row is not None:
                writes.append(Write(row.sis_id, case.row.local_id, _columns(case.row.document, changes)))
        outcomes = await self.target.update(connection, kind, writes) if writes else {}
        now = self.clock.now().isoformat()
        remembered = []
        for row in rows:
            case, changes = cases[row.sis_id], decode(row.after or "{}")
            base_sis = row.document or (case.mapping.base_sis if case.mapping is not None else "{}")
            base_local = self._base_local(row, case, changes, outcomes.get(row.sis_id))
            if case.row is not None and _told(base_local) == _stands(case.row.document, changes, outcomes.get(row.sis_id)):
                agreed.append(row.sis_id)
            local_id = case.row.local_id if case.row else None
            status = decode(row.evidence)["status"] or (case.mapping.status if case.mapping is not None else "active")
            same = _told(base_local) == _told(decode(base_sis))
            remembered.append(
                (
                    self.integration_id, row.sis_id, local_id, status, row.school, base_sis,
                    None if same else encode(base_local).decode(), row.due, now,
                )
            )  # fmt: skip
        await write_many(connection, mappings[kind].name, _MAPPED, remembered, conflict=_REMEMBER)
        await self.target.settle(connection, kind, agreed)

    def _base_local(self, row: Planned, case: Case, changes: Values, outcome: Outcome | None) -> Values:
        """What the target reads back after our last write: our writes over what it was, field by field.

        A field that both sides agree on counts as written, too: from here on, a difference is somebody's edit. What the target
        reads back counts for the fields that we wrote; elsewhere an edit stays an edit.
        """
        if outcome is not None and outcome.read_back is not None:
            read_back = flatten(outcome.read_back)
            changes = {name: read_back.get(name) for name in changes}
        base = flatten(case.mapped.base_local) if case.mapped is not None else {}
        mine = flatten(case.row.document) if case.row is not None else {}
        theirs = flatten(case.source.document) if case.source is not None and row.document else {}
        agreed = {name: value for name, value in theirs.items() if name in mine and mine[name] == value}
        return nest({**base, **agreed, **changes})

    async def _close(
        self, connection: AsyncConnection, kind: Kind, rows: Sequence[Planned], moved: set[str], *, held: bool
    ) -> None:
        """Count what was done. Applied records are no candidates any more; those skipped stay, for the next run."""
        skip = "UPDATE sis_plan_row SET state = 'skipped' WHERE plan = ? AND kind = ? AND sis_id = ?"
        await run_many(connection, skip, [(self.plan, kind, sis_id) for sis_id in sorted(moved)])
        done = [row.sis_id for row in rows if row.sis_id not in moved]
        await connection.exec_driver_sql(
            "DELETE FROM sis_candidate WHERE integration_id = ? AND kind = ? AND sis_id IN (SELECT value FROM json_each(?))",
            (self.integration_id, kind, encode(done).decode()),
        )
        if held:
            approved = "UPDATE sis_plan_row SET state = 'applied' WHERE plan = ? AND kind = ? AND sis_id = ?"
            await run_many(connection, approved, [(self.plan, kind, sis_id) for sis_id in done])
        for row in rows:
            (self.skipped if row.sis_id in moved else self.changes)[kind][row.action] += 1


def _moved_on(row: Planned, case: Case) -> bool:
    """Whether S, L or a base is no longer what the plan was made on."""
    return (row.source, row.local, row.base) != (case.source_witness, case.local_witness, case.base_witness)


def _read_back(outcome: Outcome) -> str | None:
    return encode(outcome.read_back).decode() if outcome.read_back is not None else None


def _stands(document: Values, changes: Values, outcome: Outcome | None) -> dict[str, Any]:
    """What the target's row says after our write."""
    read_back = outcome.read_back if outcome is not None else None
    return _told(read_back if read_back is not None else nest({**flatten(document), **changes}))


def _told(document: Values) -> dict[str, Any]:
    return {name: value for name, value in flatten(document).items() if value is not None}


def _columns(document: Values, changes: Values) -> dict[str, Any]:
    """Whole columns for flat changes: a part of `ids` is written with all of `ids`."""
    whole = nest({**flatten(document), **changes})
    return {name: whole.get(name) for name in dict.fromkeys(name.partition(".")[0] for name in changes)}
