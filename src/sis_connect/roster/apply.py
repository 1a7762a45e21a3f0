"""Applying a plan: the one writer. Batch by batch, each in one transaction that checks the lease and writes whole records.

Killed between two batches, the next run decides about the rest anew: what was applied is no candidate any more. A target with
transactions of its own writes each batch before we remember it; what it refuses stays a candidate, and the rest goes through.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Kind
from sis_connect.clock import Clock
from sis_connect.records import on_request
from sis_connect.roster import presence
from sis_connect.roster.carriers import lost_their_ground
from sis_connect.roster.cases import Case, decode, encode, load
from sis_connect.roster.conflict import Said
from sis_connect.roster.documents import Values, flatten, nest
from sis_connect.roster.interrupted import forget_under_way, hand_over
from sis_connect.roster.merge import Action
from sis_connect.roster.pins import load_pins
from sis_connect.roster.plan_rows import planned_actions
from sis_connect.roster.planned import PERSON
from sis_connect.roster.report import SyncReport
from sis_connect.store import outbox
from sis_connect.store.creations import MAPPED, REMEMBER, Creations, Outcome, Write
from sis_connect.store.elsewhere import Elsewhere, Moment, Written
from sis_connect.store.lease import Lease, check_fence
from sis_connect.store.outbox import Entry
from sis_connect.store.sql import Store, run_many, write_many
from sis_connect.store.tables import mappings
from sis_connect.store.target import RosterTarget
from sis_connect.store.unclaimed import Matching

BATCH = 4000
#: The actions that change what the app has.
WRITING: frozenset[str] = frozenset(("update", "withdraw", "reenroll"))


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
    flags: str

    def __repr__(self) -> str:
        return f"<Planned: {self.action}>"

    @property
    def adopts(self) -> str:
        """The local id of somebody whom the app knew before."""
        return str(decode(self.evidence).get("adopts", ""))


class Looked(NamedTuple):
    """Planned changes, and how the world looks now: the records, and those of them that have `moved` on since."""

    rows: list[Planned]
    cases: dict[str, Case]
    moved: set[str]

    @property
    def still(self) -> list[Planned]:
        """Those that are as they were when they were planned."""
        return [row for row in self.rows if row.sis_id not in self.moved]


@dataclass(slots=True, kw_only=True)
class Applier:
    """Applies the rows of one plan. `changes` counts what was written; `skipped` what the world had moved on from; `failed` what
    the target refused, and `refusals` why, by kind of error."""

    store: Store
    target: RosterTarget
    integration_id: int
    lease: Lease
    clock: Clock
    today: date
    plan: int
    operation_id: str
    batch_size: int = BATCH
    changes: dict[Kind, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    skipped: dict[Kind, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    failed: Counter[Kind] = field(default_factory=Counter)
    refusals: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    progress: Callable[[Kind, int], None] | None = None

    async def apply(self, *, hold: str | None = None, fresh: bool = False) -> None:
        """Apply what is planned, or what `hold` held. `fresh` says that the plan was made under the same lease.

        What begins goes in order of dependency, what ends in reverse, so that nothing ever points nowhere.
        """
        beginning: tuple[tuple[Action, ...], ...] = (("create",), ("update", "reenroll", "conflict", "unchanged"))
        steps: list[tuple[Kind, tuple[Action, ...]]] = [(kind, actions) for kind in KINDS for actions in beginning]
        steps += [(kind, ("withdraw",)) for kind in reversed(KINDS)]
        reached, after = await self._reached() if hold is None else (0, "")
        planned = await planned_actions(self.store, self.plan)
        for number, (kind, actions) in enumerate(steps):
            start = after if number == reached else ""
            if number < reached or planned.isdisjoint((kind, action) for action in actions):
                continue
            if actions == ("create",):
                await self._create(number, kind, hold, fresh=fresh, after=start)
            else:
                await self._change(number, kind, actions, hold, after=start)

    @property
    def _entry(self) -> Entry:
        at, today = self.clock.now().isoformat(), self.today.isoformat()
        return Entry(integration_id=self.integration_id, operation_id=self.operation_id, plan=self.plan, at=at, school_date=today)

    async def _reached(self) -> tuple[int, str]:
        """How far an interrupted run came with this plan."""
        async with self.store.read() as connection:
            query = text("SELECT position FROM sis_plan WHERE number = :p")
            position = (await connection.execute(query, {"p": self.plan})).scalar()
        if position is None:
            return 0, ""
        step, _, after = str(position).partition(":")
        return int(step), after

    def _elsewhere(self, kind: Kind) -> Elsewhere | None:
        """The target, where it keeps a kind in transactions of its own."""
        return self.target if isinstance(self.target, Elsewhere) and self.target.keeps(kind) else None

    async def _change(self, step: int, kind: Kind, actions: tuple[Action, ...], hold: str | None, *, after: str) -> None:
        which = ", ".join(f"'{action}'" for action in actions)
        held = "state IN ('held', 'skipped') AND hold_id = :hold" if hold else "state = 'planned'"
        query = (
            f"SELECT {', '.join(Planned._fields)} FROM sis_plan_row "
            f"WHERE plan = :p AND kind = :k AND sis_id > :a AND action IN ({which}) AND {held} ORDER BY sis_id LIMIT :n"
        )
        elsewhere, looked, applied = self._elsewhere(kind), Looked([], {}, set()), 0
        while True:
            values = {"p": self.plan, "k": kind, "a": after, "n": elsewhere.batch_size if elsewhere else self.batch_size}
            values |= {"hold": hold} if hold else {}
            written = Written()
            if elsewhere is not None:
                async with self.store.read() as connection:
                    await check_fence(connection, self.lease)
                    looked = await self._look(connection, kind, query, values)
                if looked.rows:
                    handed_over = looked.cases, _writes(looked)
                    written = await hand_over(self.store, self.lease, self._entry, elsewhere, kind, *handed_over)
            async with self.store.write() as connection:
                await check_fence(connection, self.lease)
                if elsewhere is None:
                    looked = await self._look(connection, kind, query, values)
                if not looked.rows:
                    return
                looked.moved.update(written.moved)
                if elsewhere is None:
                    written.outcomes = await self._write_here(connection, kind, looked)
                after = looked.rows[-1].sis_id
                done = [row for row in looked.still if row.sis_id not in written.refused]
                await self._remember(connection, kind, done, looked.cases, written.outcomes)
                await self._close(connection, kind, looked, written.refused, held=hold is not None)
                if elsewhere is not None:
                    await forget_under_way(connection, self.integration_id, kind, list(looked.cases))
                changes = [(row.sis_id, row.action) for row in done if row.action in WRITING]
                await outbox.note_changes(connection, self._entry, kind, changes)
                await presence.note_changes(connection, self._entry, kind, changes)
                if hold is None:
                    await self._reach(connection, step, after)
            applied += len(looked.rows)
            if self.progress:
                self.progress(kind, applied)

    async def _look(self, connection: AsyncConnection, kind: Kind, query: str, values: dict[str, Any]) -> Looked:
        rows = [Planned._make(row) for row in (await connection.execute(text(query), values)).all()]
        if not rows:
            return Looked([], {}, set())
        cases = await load(connection, self.target, self.integration_id, kind, [row.sis_id for row in rows], self.today)
        adopted = {row.adopts: row.sis_id for row in rows if row.adopts}
        if adopted and isinstance(self.target, Matching):
            for local_id, known in (await self.target.load_unclaimed(connection, kind, list(adopted))).items():
                cases[adopted[local_id]].take(known)
        moved = {row.sis_id for row in rows if _moved_on(row, cases[row.sis_id])}
        if "hold" in values:
            moved |= await lost_their_ground(connection, self.integration_id, self.plan, kind, list(cases))
        pins = await load_pins(connection, self.integration_id, kind, self.today)  # somebody may have pinned it since
        return Looked(rows, cases, moved | {row.sis_id for row in rows if pins and _pinned(row, pins)})

    async def _write_here(self, connection: AsyncConnection, kind: Kind, looked: Looked) -> dict[str, Outcome]:
        adopted = {row.adopts: row.sis_id for row in looked.still if row.adopts}
        if adopted and isinstance(self.target, Matching):
            await self.target.claim(connection, kind, adopted)
        writes = [write for write in _writes(looked) if write.fields]
        return await self.target.update(connection, kind, writes) if writes else {}

    async def _create(self, step: int, kind: Kind, hold: str | None, *, fresh: bool, after: str) -> None:
        """Create what is new, in runs that never pass through Python unless the target wants them to."""
        state = "state = 'held' AND hold_id = :hold" if hold else "state = 'planned'"
        run = text(
            "SELECT MAX(sis_id), COUNT(*) FROM (SELECT sis_id FROM sis_plan_row WHERE plan = :p AND kind = :k AND sis_id > :a "
            f"AND action = 'create' AND {state} ORDER BY sis_id LIMIT :n)"
        )
        elsewhere, applied = self._elsewhere(kind), 0
        while True:
            values = {"p": self.plan, "k": kind, "a": after, "n": elsewhere.batch_size if elsewhere else self.batch_size}
            values |= {"hold": hold} if hold else {}
            written = Written()
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
                if elsewhere is None:
                    await self.target.create(connection, creations)
                    created = await self._close_creations(connection, step, creations)
                else:
                    writes = await creations.begin(connection)
            if elsewhere is not None:
                written = await elsewhere.write(kind, writes, Moment(self.clock.now(), self.today)) if writes else written
                async with self.store.write() as connection:
                    await check_fence(connection, self.lease)
                    await creations.leave_out(connection, written.refused, state="failed")
                    await creations.remember(connection, written.outcomes)
                    created = await self._close_creations(connection, step, creations)
            self._count_refused(kind, written.refused)
            for counts, count in ((self.changes, created), (self.skipped, number - created - len(written.refused))):
                if count:
                    counts[kind]["create"] += count
            applied, after = applied + number, last
            if self.progress:
                self.progress(kind, applied)

    async def _close_creations(self, connection: AsyncConnection, step: int, creations: Creations) -> int:
        await creations.leave_out_lost(connection)
        await outbox.note_creations(connection, self._entry, creations)
        await presence.note_creations(connection, self._entry, creations)
        created = await creations.close(connection)
        if creations.hold is None:
            await self._reach(connection, step, creations.last)
        return created

    def _count_refused(self, kind: Kind, refused: Mapping[str, str]) -> None:
        if refused:
            self.failed[kind] += len(refused)
            self.refusals.update((kind, error) for error in refused.values())

    def tell(self, report: SyncReport) -> None:
        """Tell what the target refused.

        A run of which more was refused than written is `incomplete`: it is not what it set out to be (promise P9).
        """
        report.failed = {str(kind): number for kind, number in self.failed.items()}
        for (kind, error), number in sorted(self.refusals.items()):
            message = f"{number} of {kind} could not be written ({error}); they are tried again in the next run."
            report.warnings.append({"warning": "refused", "message": message, "kind": kind, "error": error, "count": number})
        written = sum(counts[action] for counts in self.changes.values() for action in ("create", *WRITING))
        if report.status == "succeeded" and self.failed.total() > written:
            report.status = "incomplete"

    async def _skip_moved(self, connection: AsyncConnection, creations: Creations) -> None:
        """Leave out the records that the world has moved on from since the plan was made."""
        query = text(f"SELECT {', '.join(Planned._fields)} FROM sis_plan_row p WHERE {creations.planned}")
        rows = [Planned._make(row) for row in (await connection.execute(query, creations.values)).all()]
        ids = [row.sis_id for row in rows]
        cases = await load(connection, self.target, self.integration_id, creations.kind, ids, self.today)
        begun = await creations.begun(connection)
        # What we began to create ourselves is not news, where it was done.
        rows = [row._replace(local=cases[row.sis_id].local_witness) if row.sis_id in begun else row for row in rows]
        await creations.leave_out(connection, [row.sis_id for row in rows if _moved_on(row, cases[row.sis_id])])

    async def _reach(self, connection: AsyncConnection, step: int, sis_id: str) -> None:
        """Note how far this plan has been applied."""
        position = text("UPDATE sis_plan SET position = :at WHERE number = :p")
        await connection.execute(position, {"p": self.plan, "at": f"{step}:{sis_id}"})

    async def _remember(
        self,
        connection: AsyncConnection,
        kind: Kind,
        rows: Sequence[Planned],
        cases: Mapping[str, Case],
        outcomes: Mapping[str, Outcome],
    ) -> None:
        agreed, remembered, now = [], [], self.clock.now().isoformat()
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
                    case.still_agreed_at(PERSON in row.flags.split()),
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
        # What is blank on both sides is agreed on, too.
        agreed = {name: value for name, value in theirs.items() if case.row is not None and mine.get(name) == value}
        local = {**base, **agreed, **changes}
        if row.document is None:
            return nest(local)
        # What is remembered is what was asked for, not what may still be staged (promise P7).
        told, on_demand = flatten(decode(row.document)), on_request(kind)
        return nest({name: value for name, value in local.items() if name in told or name.partition(".")[0] not in on_demand})

    async def _close(
        self, connection: AsyncConnection, kind: Kind, looked: Looked, refused: Mapping[str, str], *, held: bool
    ) -> None:
        """Count what was done. Applied records are no candidates any more; those skipped or refused stay, for the next run.

        So does what a person wrote: it says nothing about what the SIS may still be waiting to say.
        """
        done = [row for row in looked.still if row.sis_id not in refused]
        states = [("skipped", looked.moved), ("failed", refused), ("applied", [row.sis_id for row in done] if held else ())]
        close = "UPDATE sis_plan_row SET state = ? WHERE plan = ? AND kind = ? AND sis_id = ?"
        for state, ids in states:
            await run_many(connection, close, [(state, self.plan, kind, sis_id) for sis_id in sorted(ids)])
        settled = [row.sis_id for row in done if PERSON not in row.flags.split()]
        await connection.exec_driver_sql(
            "DELETE FROM sis_candidate WHERE integration_id = ? AND kind = ? AND sis_id IN (SELECT value FROM json_each(?))",
            (self.integration_id, kind, encode(settled).decode()),
        )
        for row in looked.rows:
            if row.sis_id not in refused:
                (self.skipped if row.sis_id in looked.moved else self.changes)[kind][row.action] += 1
        self._count_refused(kind, refused)


def _writes(looked: Looked) -> list[Write]:
    """What is to be written to the app's rows, by whole columns; nothing but the id where somebody is only recognised."""
    writes = []
    for row in looked.still:
        case, changes = looked.cases[row.sis_id], decode(row.after or "{}")
        if case.row is not None and (changes or row.adopts):
            fields = _columns(case.row.document, changes)
            writes.append(Write(row.sis_id, case.row.local_id, fields, case.row.version))
    return writes


def _moved_on(row: Planned, case: Case) -> bool:
    """Whether S, L or a base is no longer what the plan was made on."""
    return (row.source, row.local, row.base) != (case.source_witness, case.local_witness, case.base_witness)


def _pinned(row: Planned, pins: Mapping[str, frozenset[str]]) -> bool:
    return Said(pinned=pins.get(row.sis_id, frozenset())).forbids(row.action, decode(row.after or "{}"))


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
