"""A desk and the reference side by side: whatever happens to one happens to the other, and then they are compared."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from model.district_life import EVENTS, UNTOLD, WORDS, District, LivelySIS
from model.office_hours import HoldKey, OfficeHours, Read
from model.reference import Reference
from model.states import ORDER, Key, Rules, flat, told
from roster_fixture import CAPABILITIES, Desk, Feed, Killed, open_desk
from sis_connect.capabilities import Kind, KindCapabilities
from sis_connect.errors import ConflictError
from sis_connect.provider import Scope
from sis_connect.roster.holds import find_hold
from sis_connect.roster.pins import Pin, find_pins, put_pin, remove_pin
from sis_connect.roster.questions import find_conflicts
from sis_connect.roster.resolving import Answer, resolve
from sis_connect.roster.undo import Undone, undo
from sis_connect.roster.withdrawing import Withdrawal, withdraw
from sis_connect.settings import FieldPolicy
from sis_connect.store.decision_tables import conflict as questions
from sis_connect.store.sql import Store
from sis_connect.store.tables import mappings

_OURS = ("id", "integration_id", "sis_id", "revision", "edited_at", "edited_by")
_FIELDS: tuple[tuple[Kind, str], ...] = (*(("students", name) for name in WORDS), ("sections", "title"))
STRATEGIES = ("sis_wins", "local_wins", "manual")


@dataclass
class Faults:
    """How the lists of one run come."""

    breaks: dict[str, int] = field(default_factory=dict)
    unproven: set[str] = field(default_factory=set)
    empty: set[str] = field(default_factory=set)


@dataclass
class ModelDesk:
    """One district, synchronised by the engine and by the reference."""

    desk: Desk
    life: District
    office: OfficeHours
    story: list[str] = field(default_factory=list)
    syncs: int = 0
    operation: str = ""

    @property
    def reference(self) -> Reference:
        return self.office.reference

    # -- what happens outside ------------------------------------------------------------------------------------------

    def live(self, number: int, seed: int) -> None:
        """Let some things happen in the district."""
        chance = Random(seed)  # noqa: S311
        for _ in range(number):
            event = chance.choice(EVENTS)
            self.story.append(event.__name__)
            event(self.life, chance)

    def wait(self, hours: float) -> None:
        self.desk.clock.advance(hours * 3600)
        self.desk.today = self.life.today = self.desk.clock.now().date()

    async def edit(self, seed: int) -> None:
        """Somebody edits the app's rows, or deletes one."""
        chance = Random(seed)  # noqa: S311
        for _ in range(chance.choice((1, 2, 4))):
            kind, name = chance.choice(_FIELDS)
            keys = sorted(key for key in self.reference.local if key[0] == kind)
            if keys and chance.random() < 0.85:
                key = chance.choice(keys)
                word = chance.choice([word for word in WORDS.get(name, ("Art", "Chess", None)) if word != UNTOLD])
                self.story.append(f"app: {key} {name}={word}")
                await self.desk.edit(key[1], kind, **{name: word})
                self.reference.edit(key, name, word)
            elif gone := sorted(key for key in self.reference.local if key[0] in ("students", "enrollments")):
                key = chance.choice(gone)
                self.story.append(f"app deletes {key}")
                await self.desk.delete(key[1], key[0])
                self.reference.delete(key)

    def somebody(self, seed: int) -> str:
        """A student whom the list has told of, and whose row can be read."""
        listed = [sis_id for sis_id in sorted(self.reference.rows["students"]) if sis_id in self.life.pupils]
        known = [sis_id for sis_id in listed if self.life.pupils[sis_id].readable]
        return known[seed % len(known)] if known else listed[0]

    def anybody(self, seed: int) -> str:
        """A student whom the SIS has had."""
        return sorted(self.life.pupils)[seed % len(self.life.pupils)]

    def decree(self, seed: int) -> None:
        """New settings: strategies and owners."""
        chance, rules = Random(seed), self.reference.rules  # noqa: S311
        rules.strategy = chance.choice(STRATEGIES)
        policies: dict[str, FieldPolicy] = {}
        rules.strategies.clear()
        rules.owners.clear()
        for name in ("given_name", "username", "grade", "*"):
            if chance.random() < 0.5:
                key = f"students.{name}"
                rules.strategies[key], rules.owners[key] = chance.choice(STRATEGIES), chance.choice(("shared", "sis", "local"))
                policies[key] = FieldPolicy(strategy=rules.strategies[key], owner=rules.owners[key])
        self.desk.settings |= {"strategy": rules.strategy, "policies": policies}
        self.story.append(f"policy: {rules}")

    # -- runs ----------------------------------------------------------------------------------------------------------

    async def sync(
        self, faults: Faults | None = None, *, kinds: tuple[Kind, ...] = (), school: str | None = None, student: str | None = None
    ) -> None:
        """One sync on both sides, and a look whether they agree."""
        scope = Scope(schools=frozenset([school]) if school else None, students=frozenset([student]) if student else None)
        reads = list(self._reads(faults or Faults(), kinds or ORDER, scope))
        self.story.append(f"sync {kinds} {school} {student} {faults}")
        report = await self.desk.sync(kinds=kinds, scope=scope)
        self.syncs, self.operation = self.syncs + 1, report.operation
        asked = tuple(kind for kind in ORDER if (not kinds or kind in kinds) and (not student or kind == "students"))
        run = self.office.sync(
            reads, self.desk.clock.now(), self.desk.today, kinds=asked, schools=scope.schools, students=scope.students
        )
        guards = {(hold.guard, hold.kind, hold.scope): hold.count for hold in report.holds if hold.kind in run.judged}
        self._agree(
            "what the guards count", guards, {name: number for name, number in run.trips.items() if name[1] in run.judged}
        )
        self._agree("status", report.status, run.status)
        if run.judged == set(ORDER):
            held = {name: hold for name, hold in (await self._holds()).items() if name in run.trips}
            self._agree("held", set().union(*[await self._held(hold) for hold in held.values()]) if held else set(), run.held)
        self.office.holding = {name: await self._held(hold) for name, hold in (await self._holds()).items()}
        await self.compare()

    async def killed(self, pages: int | None, writes: int | None, minutes: float) -> None:
        """A sync that dies on the way, and the next one."""
        self.life.render()
        ((last,),) = await self.desk.ask("SELECT MAX(number) FROM sis_plan")
        self.story.append(f"killed after {pages} pages or {writes} writes, {minutes} minutes ago")
        self.desk.sis.killed_after, self.desk.sis.seconds_per_page = pages, 3.0
        try:
            with dying_after(writes):
                await self.desk.sync()
        except Killed:
            self.story.append("it died")
            if written := await self._written_since(last):
                # Its guards have seen its plan. Those of the next run count what it wrote, as after any other run.
                reads = list(self._reads(Faults(), ORDER, Scope()))
                self.office.sync(reads, self.desk.clock.now(), self.desk.today, written=written)
        else:
            self.office.sync(list(self._reads(Faults(), ORDER, Scope())), self.desk.clock.now(), self.desk.today)
        self.desk.sis.killed_after, self.desk.sis.seconds_per_page = None, 0.0
        self.desk.clock.advance(minutes * 60)
        await self.sync()
        self.operation = ""  # what it did is spread over two operations

    async def _written_since(self, plan: int) -> set[Key]:
        """How far a run came is not written anywhere: the engine tells. What it has written is no candidate any more."""
        query = (
            "SELECT r.kind, r.sis_id FROM sis_plan p JOIN sis_plan_row r ON r.plan = p.number LEFT JOIN sis_candidate c "
            "ON c.kind = r.kind AND c.sis_id = r.sis_id WHERE p.number > :last AND p.position IS NOT NULL "
            "AND r.state = 'planned' AND c.sis_id IS NULL"
        )
        return {(kind, sis_id) for kind, sis_id in await self.desk.ask(query, last=plan)}

    def _reads(self, faults: Faults, kinds: Collection[Kind], scope: Scope) -> Iterator[Read]:
        """Set the lists as the SIS is to tell them, and say what a reader sees of them."""
        self.life.render()
        if scope.students is not None:
            (sis_id,) = scope.students
            rows = [row for row in self.desk.sis.feeds["students", ""].rows if row["key"] == sis_id]
            yield Read("students", ("students",), None, tuple(rows), complete=False, alone=True)
            return
        for (kind, context), feed in self.desk.sis.feeds.items():
            name = f"{kind} {context}".strip()
            outside = scope.schools is not None and feed.school is not None and feed.school not in scope.schools
            if kind in kinds and not outside:
                yield self._read(name, feed, faults)

    def _read(self, name: str, feed: Feed, faults: Faults) -> Read:
        if name in faults.empty:
            feed.rows = []
        feed.breaks = faults.breaks.get(name)
        feed.total = None if name in faults.unproven else "rows"
        pages = max(1, -(-len(feed.rows) // feed.size))
        broke = feed.breaks is not None and feed.breaks < pages
        rows = tuple(feed.rows[: feed.breaks * feed.size] if broke and feed.breaks is not None else feed.rows)
        proven = feed.total is not None or not feed.rows
        return Read(name, feed.kinds, feed.school, rows, complete=proven and not broke, broke=broke)

    # -- what a person decides -----------------------------------------------------------------------------------------

    async def decide_hold(self, seed: int, *, approve: bool) -> None:
        """Approve or reject one of the holds."""
        holds = await self._holds()
        if not holds:
            return
        name = sorted(holds)[seed % len(holds)]
        hold = await find_hold(self.desk.store, holds[name])
        keys = await self._held(holds[name])
        if hold.expires_at <= self.desk.clock.now().isoformat() or (approve and self.office.hangs(keys)):
            return  # the end of what hangs from something is decided about after that
        self.operation = ""
        self.story.append(f"{'approve' if approve else 'reject'} {name} {sorted(keys)}")
        if approve:
            await self.desk.approve(hold)
            self.office.approve(name, keys)
        else:
            await self.desk.reject(hold)
            self.office.reject(name, keys)
        await self.compare()

    async def answer(self, seed: int) -> None:
        """Answer one of the open questions; one that has moved on since cannot be answered any more."""
        if not self.reference.asked:
            return
        chance = Random(seed)  # noqa: S311
        kind, sis_id, name = chance.choice(sorted(self.reference.asked))
        key, take = (kind, sis_id), chance.choice(("sis", "local", "value") if name != "*" else ("sis", "local"))
        if take == "sis" and self.reference.asked[*key, name][0] is None:
            take = "local"  # a field that turns blank may be held
        word = chance.choice([word for word in WORDS.get(name, ("Art", "Chess")) if word not in (None, UNTOLD)])
        async with self.desk.store.read() as connection:
            there = (questions.c.kind == kind, questions.c.sis_id == sis_id, questions.c.field == name)
            asked = await find_conflicts(connection, *there, questions.c.state == "open")
        self.story.append(f"answer {key} {name}: {take} {word}")
        self.reference.today = self.desk.today
        stands = self.reference.stands(key, name)
        try:
            await resolve(self.desk.synchroniser(), asked, Answer(take=take, value=word), actor="ada")  # type: ignore[arg-type]
        except ConflictError:
            self._agree("whether a question stands", False, stands)
        else:
            self._agree("whether a question stands", True, stands)
            self.reference.answer(key, name, take, word)
        self.operation = ""
        await self.compare()

    async def pin(self, seed: int) -> None:
        """Pin a student or an enrolment, or a field of a student; or let go of a pin."""
        chance = Random(seed)  # noqa: S311
        if self.reference.pins and chance.random() < 0.4:
            kind, sis_id, name = chance.choice(sorted(self.reference.pins))
            self.story.append(f"unpin {kind} {sis_id} {name}")
            async with self.desk.store.write() as connection:
                (pin,) = [
                    pin for pin in await find_pins(connection, 1) if (pin.kind, pin.sis_id, pin.field) == (kind, sis_id, name)
                ]
                await remove_pin(connection, pin, actor="ada", at=self.desk.clock.now())
            del self.reference.pins[kind, sis_id, name]
            return
        kind, sis_id = chance.choice(sorted(key for key in self.reference.known if key[0] in ("students", "enrollments")))
        name = chance.choice(("", *WORDS)) if kind == "students" else ""
        until = chance.choice((None, self.desk.today + timedelta(days=2)))
        self.story.append(f"pin {kind} {sis_id} {name} until {until}")
        async with self.desk.store.write() as connection:
            at = self.desk.clock.now()
            pin = Pin.of("lincoln", kind, sis_id, name, reason="", actor="ada", at=at, expires_on=until)
            await put_pin(connection, 1, pin)
        self.reference.pins[kind, sis_id, name] = until

    async def undo(self) -> None:
        """Take back what the last sync wrote."""
        self.reference.today = self.desk.today
        if self.operation and self.office.undo():
            self.story.append("undo")
            undone = Undone(operation=self.operation, started_at=self.desk.clock.now())
            report = await undo(self.desk.synchroniser(), undone, actor="ada")
            self._agree("what is held of an undo", report.held, {})
            await self.compare()
        self.operation = ""

    async def withdraw(self, seed: int) -> None:
        """Somebody withdraws a student by hand."""
        sis_id = self.anybody(seed)
        known = self.reference.known.get(("students", sis_id))
        if known is not None and known.status != "deleted" and self.office.withdraw(sis_id, self.desk.today):
            self.story.append(f"withdraw {sis_id}")
            withdrawal = Withdrawal(students=(sis_id,), day=self.desk.today)
            report = await withdraw(self.desk.synchroniser(), withdrawal, actor="ada")
            self._agree("what is held of a withdrawal", report.held, {})
            await self.compare()
        self.operation = ""

    async def _holds(self) -> dict[HoldKey, str]:
        rows = await self.desk.ask("SELECT guard, kind, scope, id FROM sis_hold WHERE state = 'open'")
        return {(guard, kind, scope): number for guard, kind, scope, number in rows}

    async def _held(self, hold: str) -> set[Key]:
        query = (
            "SELECT r.kind, r.sis_id FROM sis_hold h JOIN sis_plan_row r ON r.plan = h.plan AND r.hold_id = h.id "
            "WHERE h.id = :h AND r.state = 'held'"
        )
        return {(kind, sis_id) for kind, sis_id in await self.desk.ask(query, h=hold)}

    # -- comparing -----------------------------------------------------------------------------------------------------

    async def compare(self) -> None:
        """The roster, what is remembered of it, and what waits for a person are the same on both sides."""
        for kind in ORDER:
            here = {
                sis_id: told(flat({name: value for name, value in found.items() if name not in _OURS}))
                for sis_id, found in (await self.desk.roster(kind)).items()
            }
            there = {sis_id: told(values) for (owner, sis_id), values in self.reference.local.items() if owner == kind}
            self._agree(f"the roster of {kind}", here, there)
            rows = await self.desk.ask(f"SELECT sis_id, status, local_id IS NOT NULL FROM {mappings[kind].name}")
            statuses = {sis_id: status for sis_id, status, _ in rows}
            known = {sis_id: one.status for (owner, sis_id), one in self.reference.known.items() if owner == kind}
            self._agree(f"the mapping of {kind}", statuses, known)
        self._agree("the open holds", set(await self._holds()), self.office.open)
        asked = await self.desk.ask("SELECT kind, sis_id, field FROM sis_conflict WHERE state = 'open'")
        self._agree("the open questions", {tuple(row) for row in asked}, set(self.reference.asked))
        waiting = [(kind, key) for kind, key in await self.desk.waiting()]
        bad = [(name.partition(" ")[0], key) for name, keys in self.reference.bad.items() for key in keys]
        self._agree("the quarantine", sorted(waiting), sorted([*bad, *self.office.orphans]))

    def _agree(self, what: str, engine: Any, reference: Any) -> None:
        if engine != reference:
            raise AssertionError(f"{what}: {different(engine, reference)}\nafter\n  " + "\n  ".join(self.story))


def different(engine: Any, reference: Any) -> str:
    """Where two sides differ, as short as that can be said."""
    if isinstance(engine, dict) and isinstance(reference, dict):
        keys = [key for key in {**engine, **reference} if engine.get(key) != reference.get(key)]
        return "; ".join(f"{key}: {different(engine.get(key), reference.get(key))}" for key in keys)
    if isinstance(engine, set) and isinstance(reference, set):
        return f"only the engine has {sorted(engine - reference)}, only the reference {sorted(reference - engine)}"
    return f"the engine has {engine!r}, the reference {reference!r}"


@contextmanager
def dying_after(writes: int | None) -> Iterator[None]:
    """The process dies when so many writing transactions have been committed."""
    write, count = Store.write, 0

    @asynccontextmanager
    async def counted(store: Store, *, durable: bool = False) -> AsyncIterator[AsyncConnection]:
        nonlocal count
        async with write(store, durable=durable) as connection:
            yield connection
        count += 1
        if count == writes:
            raise Killed

    if writes is None:
        yield
        return
    Store.write = counted  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Store.write = write  # type: ignore[method-assign]


@asynccontextmanager
async def open_model(folder: Path, *, pupils: int, leaving: str, grace: float, by_school: bool) -> AsyncIterator[ModelDesk]:
    """A desk after its first sync, with its reference."""
    async with open_desk(folder) as desk:
        sis = LivelySIS(clock=desk.clock)
        offered = {kind: CAPABILITIES[kind] for kind in ORDER}
        gone = {kind: KindCapabilities(offered=False) for kind in CAPABILITIES if kind not in ORDER}
        people = KindCapabilities(offered=True, leaving=leaving, strong_ids=("state_id", "student_number"))  # type: ignore[arg-type]
        sis.offer(**{**offered, **gone, "students": people})
        desk.sis, desk.settings = sis, {"absence_grace": grace}
        desk.today = desk.clock.now().date()
        life = District(sis, by_school, desk.today)
        life.open(pupils)
        model = ModelDesk(desk, life, OfficeHours(Reference(Rules(leaving=leaving, grace=timedelta(hours=grace)))))
        await model.sync()
        yield model
