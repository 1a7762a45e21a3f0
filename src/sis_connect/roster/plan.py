"""The plan: what a sync would change, as data, made before anything is written."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Capabilities, Kind
from sis_connect.clock import Clock
from sis_connect.provider import Scope
from sis_connect.roster import succession
from sis_connect.roster.belonging import CARRIERS, in_scope, is_history, school_of
from sis_connect.roster.carriers import cascade, ended_carriers, ends_carriers, hanging_from_ended, with_carrier_ended
from sis_connect.roster.cases import Case, load, load_candidates
from sis_connect.roster.conflict import SILENCE, Filed, Said
from sis_connect.roster.documents import Unasked
from sis_connect.roster.enrolment import classify, depends
from sis_connect.roster.guard import Counts
from sis_connect.roster.ledger import close_former
from sis_connect.roster.matching import match
from sis_connect.roster.merge import PINNED, Decision, Rules, decide, protected
from sis_connect.roster.pins import load_pins, nominate_expired
from sis_connect.roster.planned import COLUMNS, PERSON, moves, row_of
from sis_connect.roster.questions import (
    IDENTITY,
    Question,
    count_open,
    file_questions,
    forget_unasked,
    load_questions,
    question_of,
)
from sis_connect.roster.references import MANY, References
from sis_connect.roster.side_by_side import side_by_side
from sis_connect.store.lease import Lease, check_fence
from sis_connect.store.sql import Store, run_many, write_many
from sis_connect.store.tables import mappings
from sis_connect.store.target import RosterTarget

#: How many candidates are decided at a time: what is in memory at once.
BATCH = MANY


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What there is at all: refusals and questions of this kind, pins of it, a reason that other records may give, kinds of
    carriers that have ended, and whether this plan ends some."""

    rejections: bool
    questions: bool
    pins: Mapping[str, frozenset[str]]
    peopled: bool
    ended: frozenset[Kind]
    ending: bool


@dataclass(slots=True, kw_only=True)
class Batch:
    """Some candidates of a kind, and what was decided about them, ready to be written down."""

    looked_at: Sequence[Case] = field(repr=False)
    rejected: Mapping[str, str]
    rows: list[tuple[Any, ...]] = field(default_factory=list, repr=False)
    settled: list[str] = field(default_factory=list)
    orphaned: dict[str, tuple[str, ...]] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)
    filed: Mapping[str, Mapping[str, Filed]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Planner:
    """Makes one plan. It decides about candidates only; Python never sees a record that nothing happened to.

    `proven` are the streams that this pull read completely: from others, nobody can be told missing (promise P1). `emptied`
    names those that came without rows where there were some, with their schools. `unasked` fields take no part. `renamed` counts
    records that go by another id now, or will: while they are `awaiting` that (former id: new one), it is planned as if they went
    by the former one. `contested` names those that may. `merged` are those that are another record now (former id: that one),
    `split` new ones that were part of another. `only` limits the plan to some records. `conflicts` counts the questions that are
    open by now, `clashes` how fields that changed on both sides were settled, by rule and outcome.
    """

    store: Store
    target: RosterTarget
    integration_id: int
    lease: Lease
    clock: Clock
    capabilities: Capabilities
    rules: Callable[[Kind], Rules]
    today: date
    scope: Scope
    proven: frozenset[int] = frozenset()
    emptied: Mapping[int, str] = field(default_factory=dict)
    unasked: Mapping[Kind, Unasked] = field(default_factory=dict)
    plan: int
    counts: Counts = field(default_factory=Counts)
    conflicts: int = 0
    clashes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    orphans: int = 0
    renamed: dict[Kind, int] = field(default_factory=dict)
    awaiting: dict[Kind, dict[str, str]] = field(default_factory=dict)
    contested: dict[Kind, Set[str]] = field(default_factory=dict)
    merged: dict[Kind, Mapping[str, str]] = field(default_factory=dict)
    split: dict[Kind, Set[str]] = field(default_factory=dict)
    only: Mapping[Kind, Set[str]] | None = None
    progress: Callable[[Kind, int], None] | None = None

    async def nominate(self, kinds: Collection[Kind], *, everything: bool) -> None:
        """Find the candidates that staging did not: local edits, deleted rows, what is due, and all of it after a new policy."""
        async with self.store.write() as connection:
            await check_fence(connection, self.lease)
            for kind in kinds:
                await self.target.nominate(connection, kind)
                await nominate_expired(connection, self.integration_id, kind, self.today)
                await forget_unasked(connection, self.integration_id, kind, self.unasked.get(kind, Unasked()))
                due = "due <= :today" if not everything else "1 = 1"
                why = "policy" if everything else "due"
                await connection.execute(
                    text(
                        "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) "
                        f"SELECT integration_id, '{kind}', sis_id, '{why}' FROM {mappings[kind].name} "
                        f"WHERE integration_id = :i AND {due} ON CONFLICT (integration_id, kind, sis_id) DO NOTHING"
                    ),
                    {"i": self.integration_id, "today": self.today.isoformat()},
                )

    async def decide(self, kinds: Collection[Kind]) -> None:
        """Decide about all candidates of these kinds, in order of dependency."""
        for kind in KINDS:
            if kind not in kinds:
                continue
            await self._decide_kind(kind)
            if kind in CARRIERS:
                async with self.store.write() as connection:
                    await check_fence(connection, self.lease)
                    await cascade(connection, self.integration_id, self.plan, kind)
            if kind == "students" and self.capabilities.of("school_enrollments").stint_history:
                await self._recall()
        await self._count_open()

    async def _decide_kind(self, kind: Kind) -> None:
        former = {owner: {new: name for name, new in names.items()} for owner, names in self.awaiting.items()}
        references = References(self.integration_id, self.plan, kind, former)
        awaiting = {*self.awaiting.get(kind, ()), *former.get(kind, ())}
        present = await self._present(kind)
        decided = 0
        async with side_by_side() as start:
            cases, written = await self._candidates(kind, ""), None
            while cases:
                # The next ones are read, and the last ones written down, while these are decided about.
                following = start(self._candidates(kind, cases[-1].sis_id))
                decidable = [case for case in cases if case.sis_id not in awaiting] if awaiting else cases
                batch = await self._decide(kind, decidable, references, present)
                if written is not None:
                    await written
                written = start(self._write(kind, batch, references))
                decided, cases = decided + len(cases), await following
                if self.progress:
                    self.progress(kind, decided)

    async def _present(self, kind: Kind) -> Present:
        """What may bear on a decision at all, so that nobody looks for it record by record where there is none."""
        async with self.store.read() as connection:
            values = {"i": self.integration_id, "k": kind}

            async def any_of(table: str) -> bool:
                query = text(f"SELECT EXISTS (SELECT 1 FROM {table} WHERE integration_id = :i AND kind = :k)")
                return bool((await connection.execute(query, values)).scalar())

            return Present(
                rejections=await any_of("sis_rejection"),
                questions=await any_of("sis_conflict"),
                pins=await load_pins(connection, self.integration_id, kind, self.today),
                peopled=await depends(connection, self.integration_id, kind),
                ended=await ended_carriers(connection, self.integration_id, self.plan),
                ending=await ends_carriers(connection, self.plan),
            )

    async def _candidates(self, kind: Kind, after: str) -> list[Case]:
        if self.only is not None:
            return await self._named(kind, after)
        async with self.store.read() as connection:
            return await load_candidates(
                connection, self.target, self.integration_id, kind, self.today, after=after, limit=BATCH,
                unasked=self.unasked.get(kind, Unasked()),
            )  # fmt: skip

    async def _named(self, kind: Kind, after: str) -> list[Case]:
        """The next of those that this plan is limited to."""
        wanted = sorted((self.only or {}).get(kind, ()))
        names = [sis_id for sis_id in wanted if sis_id > after][:BATCH]
        async with self.store.read() as connection:
            unasked = self.unasked.get(kind, Unasked())
            cases = await load(connection, self.target, self.integration_id, kind, names, self.today, unasked=unasked)
        return [cases[sis_id] for sis_id in names if sis_id in cases]

    async def _decide(self, kind: Kind, candidates: Sequence[Case], references: References, present: Present) -> Batch:
        rules = self.rules(kind)
        limited = self.scope.students is not None or self.scope.schools is not None
        cases = [case for case in candidates if in_scope(kind, case, self.scope)] if limited else candidates
        async with self.store.read() as connection:
            cases = await references.resolve(connection, cases)
            ended = await hanging_from_ended(connection, self.integration_id, self.plan, kind, cases, present.ended, self.emptied)
            if ended:
                cases = [with_carrier_ended(case, ended[case.sis_id]) if case.sis_id in ended else case for case in cases]
            names = [case.sis_id for case in cases]
            filed = await load_questions(connection, self.integration_id, kind, names) if present.questions else {}
            cases, questions = await match(connection, self.target, self.integration_id, kind, cases)
            if gone := self.merged.get(kind):
                cases = [succession.as_merged(case) if case.sis_id in gone else case for case in cases]
            rejected = await self._rejections(connection, kind, candidates) if present.rejections else {}
            closings = await close_former(
                connection,
                self.integration_id,
                kind,
                cases,
                self.capabilities,
                self.today,
                references.known_as.get("students", {}),
            )
        batch = Batch(looked_at=cases, rejected=rejected, questions=list(questions), filed=filed)
        said = _said(filed, present.pins)
        decided: list[tuple[Case, Decision]] = []
        for case in cases:
            if case.source is not None and case.source.missing_pulls and not self.proven.issuperset(case.streams):
                continue  # it waits for a complete read
            if ended and case.mapping is None and case.sis_id in ended:
                continue  # it waits for what it hangs from
            if rejected and rejected.get(case.sis_id) == case.source_witness:
                batch.settled.append(case.sis_id)
                continue
            theirs = said.get(case.sis_id, SILENCE)
            decision = decide(kind, case.source, case.local, case.mapped, rules, theirs)
            if decision.reason == "new" and case.sis_id in self.split.get(kind, ()):
                decision = replace(decision, reason="split")
            action = decision.action
            if action == "create" and is_history(case) and references.leads_nowhere(case):
                batch.settled.append(case.sis_id)  # of somebody whom nobody knows
                continue
            if action in ("create", "update", "reenroll") and (lost := references.lost(case)):
                batch.orphaned[case.sis_id] = lost
                continue
            if decision.conflicts or theirs.filed:
                self._ask(batch, case.sis_id, decision, theirs)
            if decision.reason == PINNED:
                continue  # it waits for the end of the pin
            if action == "withdraw" and case.sis_id in closings:
                decision = closings[case.sis_id](case, decision)
            if decision.action == "unchanged" and not moves(case, decision):
                if not (present.ending and case.sis_id in ended):
                    batch.settled.append(case.sis_id)
                continue
            decided.append((case, decision))
        reasoned: Sequence[tuple[Case, Decision]] = decided
        if present.peopled:
            async with self.store.read() as connection:
                reasoned = await classify(connection, self.integration_id, self.plan, kind, decided, self.today)
        for case, decision in reasoned:
            if protected(decision, said.get(case.sis_id, SILENCE)).reason == PINNED:
                continue
            self._count(kind, case, decision)
            batch.rows.append(row_of(self.plan, kind, case, decision, self.emptied))
        self.orphans += len(batch.orphaned)
        return batch

    def _ask(self, batch: Batch, sis_id: str, decision: Decision, said: Said) -> None:
        """Note what only a person can decide about a record, which questions about it have ended, and how others were settled."""
        batch.questions += [question_of(sis_id, asked) for asked in decision.conflicts if asked.decided == "ask"]
        batch.closed += [(sis_id, name) for name in sorted({*decision.closes, *(said.open & {IDENTITY})})]
        for conflict in decision.conflicts:
            if conflict.anew:
                self.clashes[conflict.rule][conflict.outcome] += 1

    async def put(self, kind: Kind, decided: Sequence[tuple[Case, Decision]]) -> Sequence[str]:
        """Put decisions into the plan that a person took, not the merge. Guards count them like any other.

        The records stay the candidates that they are: what else there is to decide about them is not touched. Whatever a pin
        stands against is left out; returned are the `sis_id`s of those records.
        """
        rows, left_out = [], []
        async with self.store.write() as connection:
            await check_fence(connection, self.lease)
            pins = await load_pins(connection, self.integration_id, kind, self.today)
            for case, decision in decided:
                if Said(pinned=pins.get(case.sis_id, frozenset())).forbids(decision.action, decision.writes):
                    left_out.append(case.sis_id)
                    continue
                by_a_person = replace(decision, flags=decision.flags | {PERSON})
                self._count(kind, case, by_a_person)
                rows.append(row_of(self.plan, kind, case, by_a_person, self.emptied))
            await write_many(connection, "sis_plan_row", COLUMNS, rows)
        await self._count_open()
        return left_out

    async def _count_open(self) -> None:
        async with self.store.read() as connection:
            self.conflicts = await count_open(connection, self.integration_id)

    async def _write(self, kind: Kind, batch: Batch, references: References) -> None:
        async with self.store.write() as connection:
            await check_fence(connection, self.lease)
            await write_many(connection, "sis_plan_row", COLUMNS, batch.rows)
            await self._settle(connection, kind, batch.settled)
            await self._forget_rejections(connection, kind, [case for case in batch.looked_at if case.sis_id in batch.rejected])
            looked_at = [case.sis_id for case in batch.looked_at]
            await references.quarantine(connection, batch.orphaned, looked_at, self.clock.now())
            if batch.questions or batch.closed:
                await file_questions(
                    connection, self.integration_id, self.plan, kind, batch.questions, batch.closed, batch.filed,
                    self.clock.now(),
                )  # fmt: skip

    async def _settle(self, connection: AsyncConnection, kind: Kind, sis_ids: Sequence[str]) -> None:
        done = [(self.integration_id, kind, sis_id) for sis_id in sis_ids]
        await run_many(connection, "DELETE FROM sis_candidate WHERE integration_id = ? AND kind = ? AND sis_id = ?", done)

    async def _rejections(self, connection: AsyncConnection, kind: Kind, cases: Sequence[Case]) -> dict[str, str]:
        query = text(
            "SELECT sis_id, source FROM sis_rejection WHERE integration_id = :i AND kind = :k AND sis_id BETWEEN :a AND :z"
        )
        values = {"i": self.integration_id, "k": kind, "a": cases[0].sis_id, "z": cases[-1].sis_id}
        return {row.sis_id: row.source for row in await connection.execute(query, values)}

    async def _forget_rejections(self, connection: AsyncConnection, kind: Kind, cases: Sequence[Case]) -> None:
        """A refusal holds until the SIS says something else, and not again when it says the same later."""
        moved = [(self.integration_id, kind, case.sis_id, case.source_witness) for case in cases]
        statement = "DELETE FROM sis_rejection WHERE integration_id = ? AND kind = ? AND sis_id = ? AND source <> ?"
        await run_many(connection, statement, moved)

    def _count(self, kind: Kind, case: Case, decision: Decision) -> None:
        counts = self.counts
        if decision.action == "create" and is_history(case):
            return  # nobody comes with it
        if decision.action == "create":
            counts.creates[kind] = counts.creates.get(kind, 0) + 1
            return
        for flag in decision.flags:
            counts.add(kind, school_of(case) or "", flag)

    async def _recall(self) -> None:
        """Make candidates of the stays of students who come: while nobody knew them, their former stays were left out."""
        stays = (
            "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) SELECT integration_id, kind, sis_id, 'student' "
            "FROM sis_staged WHERE integration_id = :i AND kind = 'school_enrollments' AND json_extract(document, '$.student') "
            "IN (SELECT sis_id FROM sis_plan_row WHERE plan = :p AND kind = 'students' AND action = 'create') "
            "ON CONFLICT (integration_id, kind, sis_id) DO NOTHING"
        )
        async with self.store.write() as connection:
            await check_fence(connection, self.lease)
            await connection.execute(text(stays), {"i": self.integration_id, "p": self.plan})


def _said(filed: Mapping[str, Mapping[str, Filed]], pins: Mapping[str, frozenset[str]]) -> dict[str, Said]:
    """What people have said, by record."""
    return {
        sis_id: Said(filed=filed.get(sis_id, {}), pinned=pins.get(sis_id, frozenset())) for sis_id in filed.keys() | pins.keys()
    }
