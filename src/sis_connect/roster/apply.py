"""Applying a plan: the one writer. Batch by batch, each in one transaction that checks the lease and writes whole records.

Killed between two batches, the next run decides about the rest anew: what was applied is no candidate any more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Kind
from sis_connect.clock import Clock
from sis_connect.records import on_request
from sis_connect.roster.cases import Case, decode, encode, load
from sis_connect.roster.documents import Values, flatten, nest
from sis_connect.roster.merge import Action
from sis_connect.store.creations import MAPPED, REMEMBER, Creations, Outcome, Write
from sis_connect.store.lease import Lease, check_fence
from sis_connect.store.sql import Store, run_many, write_many
from sis_connect.store.tables import mappings
from sis_connect.store.target import RosterTarget

BATCH = 4000


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
            start = after if number == reached else ""
            if number >= reached and actions == ("create",):
                await self._create(number, kind, hold, fresh=fresh, after=start)
            elif number >= reached:
                await self._change(number, kind, actions, hold, after=start)

    async def _reached(self) -> tuple[int, str]:
        """How far an interrupted run came with this plan."""
        async with self.store.read() as connection:
            query = text("SELECT position FROM sis_plan WHERE number = :p")
            position = (await connection.execute(query, {"p": self.plan})).scalar()
        if position is None:
            return 0, ""
        step, _, after = str(position).partition(":")
        return int(step), after

    async def _change(self, step: int, kind: Kind, actions: tuple[Action, ...], hold: str | None, *, after: str) -> None:
        which = ", ".join(f"'{action}'" for action in actions)
        held = "state = 'held' AND hold_id = :hold" if hold else "state = 'planned'"
        query = text(
            f"SELECT {', '.join(Planned._fields)} FROM sis_plan_row "
            f"WHERE plan = :p AND kind = :k AND sis_id > :a AND action IN ({which}) AND {held} ORDER BY sis_id LIMIT :n"
        )

        applied = 0
        while True:
            values = {"p": self.plan, "k": kind, "a": after, "n": self.batch_size, **({"hold": hold} if hold else {})}
            async with self.store.write() as connection:
                await check_fence(connection, self.lease)
                rows = [Planned._make(row) for row in (await connection.execute(query, values)).all()]
                if not rows:
                    return
                ids, after = [row.sis_id for row in rows], rows[-1].sis_id
                cases = await load(connection, self.target, self.integration_id, kind, ids, self.today)
                moved = {row.sis_id for row in rows if _moved_on(row, cases[row.sis_id])}
                await self._update(connection, kind, [row for row in rows if row.sis_id not in moved], cases)
                await self._close(connection, kind, rows, moved, held=hold is not None)
                if hold is None:
                    await self._reach(connection, step, after)
            applied += len(rows)
            if self.progress:
                self.progress(kind, applied)

    async def _create(self, step: int, kind: Kind, hold: str | None, *, fresh: bool, after: str) -> None:
        """Create what is new, in runs that never pass through Python unless the target wants them to."""
        state = "state = 'held' AND hold_id = :hold" if hold else "state = 'planned'"
        run = text(
            "SELECT MAX(sis_id), COUNT(*) FROM (SELECT sis_id FROM sis_plan_row WHERE plan = :p AND kind = :k AND sis_id > :a "
            f"AND action = 'create' AND {state} ORDER BY sis_id LIMIT :n)"
        )
        applied = 0
        while True:
            values = {"p": self.plan, "k": kind, "a": after, "n": self.batch_size, **({"hold": hold} if hold else {})}
            async with self.store.write() as connection:
                await check_fence(connection, self.lease)
                last, number = (await connection.execute(run, values)).one()
                if not number:
                    return
                creations = Creations(
                    integration_id=self.integration_id, plan=self.plan, kind=kind, after=after, last=last, hold=hold,
                    now=self.clock.now().isoformat(),
                )  # fmt: skip
                if not fresh:
                    await self._skip_moved(connection, creations)
                await self.target.create(connection, creations)
                created = await creations.close(connection)
                if hold is None:
                    await self._reach(connection, step, last)
            for counts, count in ((self.changes, created), (self.skipped, number - created)):
                if count:
                    counts[kind]["create"] += count
            applied, after = applied + number, last
            if self.progress:
                self.progress(kind, applied)

    async def _skip_moved(self, connection: AsyncConnection, creations: Creations) -> None:
        """Leave out the records that the world has moved on from since the plan was made."""
        query = text(f"SELECT {', '.join(Planned._fields)} FROM sis_plan_row p WHERE {creations.planned}")
        rows = [Planned._make(row) for row in (await connection.execute(query, creations.values)).all()]
        ids = [row.sis_id for row in rows]
        cases = await load(connection, self.target, self.integration_id, creations.kind, ids, self.today)
        await creations.leave_out(connection, [row.sis_id for row in rows if _moved_on(row, cases[row.sis_id])])

    async def _reach(self, connection: AsyncConnection, step: int, sis_id: str) -> None:
        """Note how far this plan has been applied."""
        position = text("UPDATE sis_plan SET position = :at WHERE number = :p")
        await connection.execute(position, {"p": self.plan, "at": f"{step}:{sis_id}"})

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
            base_local = self._base_local(kind, row, case, changes, outcomes.get(row.sis_id))
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
        await write_many(connection, mappings[kind].name, MAPPED, remembered, conflict=REMEMBER)
        await self.target.settle(connection, kind, agreed)

    def _base_local(self, kind: Kind, row: Planned, case: Case, changes: Values, outcome: Outcome | None) -> Values:
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
        local = nest({**base, **agreed, **changes})
        if row.document is None:
            return local
        # What is remembered is what was asked for, not what may still be staged (promise P7).
        forgotten = on_request(kind) - decode(row.document).keys()
        return {name: value for name, value in local.items() if name not in forgotten}

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
