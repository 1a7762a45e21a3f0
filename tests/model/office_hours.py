"""A run over the reference: read, decide about everything in sight, hold what is too much, write the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from model.reference import Reference
from model.states import DATES, NEEDS, ORDER, OVER, Change, Key, Seen, Values, owner_of
from sis_connect.capabilities import Kind

#: A hold's guard, kind and scope.
HoldKey = tuple[str, str, str]
CARRIERS: Mapping[str, Kind] = {"school": "schools", "section": "sections"}
STRONG = ("ids.state_id", "ids.student_number")


@dataclass(frozen=True)
class Read:
    """How the read of one list went. `broke` says that it ended in an error; `alone` that one student was asked for."""

    name: str
    kinds: tuple[Kind, ...]
    school: str | None
    rows: tuple[Mapping[str, Any], ...]
    complete: bool
    broke: bool = False
    alone: bool = False


@dataclass
class Run:
    """One run: what it decided, what is held of it, and by which guards, each with what it counted.

    `carried` is what still waits of earlier runs where the same guards object again. `before` is what the app had before.
    """

    kinds: tuple[Kind, ...]
    status: str = "succeeded"
    plan: dict[Key, Change] = field(default_factory=dict)
    held: set[Key] = field(default_factory=set)
    trips: dict[HoldKey, int] = field(default_factory=dict)
    carried: dict[Key, Change] = field(default_factory=dict)
    before: dict[Key, Values] = field(default_factory=dict)
    judged: frozenset[str] = frozenset()


@dataclass
class OfficeHours:
    """The reference at work. `open` are the holds that wait for a person, `proposed` the latest word on each record.

    Which of several guards holds a change is not written anywhere: `holding` is told by the engine, hold by hold.
    """

    reference: Reference
    open: set[HoldKey] = field(default_factory=set)
    proposed: dict[Key, tuple[Change, str]] = field(default_factory=dict)
    refused: dict[Key, tuple[str, Key | None]] = field(default_factory=dict)
    holding: dict[HoldKey, set[Key]] = field(default_factory=dict)
    waiting: set[Key] = field(default_factory=set)
    emptied: dict[str, int] = field(default_factory=dict)
    orphans: set[Key] = field(default_factory=set)
    acknowledged: set[tuple[str, str]] = field(default_factory=set)
    run: Run = field(default_factory=lambda: Run(ORDER))

    def sync(
        self, reads: Collection[Read], now: datetime, today: date, *, kinds: tuple[Kind, ...] = ORDER,
        schools: Collection[str] | None = None, students: Collection[str] | None = None, written: Collection[Key] | None = None,
    ) -> Run:  # fmt: skip
        """Everything that a sync does, in order. One that died on the way has done all but write what was not `written`."""
        self.reference.today = today
        for read in reads:
            self.reference.read(read.name, read.rows, now, complete=read.complete, alone=read.alone)
        self.acknowledged &= {(name, key) for name, keys in self.reference.bad.items() for key in keys}
        self.run = run = Run(kinds)
        if any(not read.complete and not read.alone for read in reads):
            run.status = "incomplete"
        if reads and all(read.broke for read in reads):
            run.status = "failed"
            return run
        proven = {read.name for read in reads if read.complete}
        self.emptied = self._count_emptied(reads)
        for kind in kinds:
            for sis_id in self.reference.names(kind):
                self._decide(kind, sis_id, proven, now, today, schools, students)
            self._release()
        narrow = schools is not None or students is not None
        seen = {kind for kind in kinds if all(read.complete for read in reads if kind in read.kinds)}
        run.judged = frozenset() if narrow else frozenset(seen)
        self._guard(reads, schools)
        for key, change in sorted(run.plan.items(), key=lambda it: ORDER.index(it[0][0])):
            source = self.reference.seen(*key, today)
            change.said = source.said if source else ""
            self.proposed[key] = change, self.reference.witness(key)
            self.waiting.add(key)
            if key not in run.held and (written is None or key in written):
                self.waiting.discard(key)
                run.before[key] = {name: self.reference.local.get(key, {}).get(name) for name in change.writes}
                self.reference.write(key, change)
        return run

    # -- deciding ------------------------------------------------------------------------------------------------------

    def _decide(
        self, kind: Kind, sis_id: str, proven: set[str], now: datetime, today: date,
        schools: Collection[str] | None, students: Collection[str] | None,
    ) -> None:  # fmt: skip
        key, seen = (kind, sis_id), self.reference.seen(kind, sis_id, today)
        if seen is None or not in_scope(kind, sis_id, seen.document, schools, students):
            return
        self.orphans.discard(key)
        known = self.reference.known.get(key)
        if key in self.refused and self.refused[key][0] != seen.said:
            del self.refused[key]
        if known is not None and seen.missing and seen.lists <= self.emptied.keys():
            seen = replace(seen, ended="absence")  # its whole list came empty: a person has to say whether it is over
        if carrier := self._carrier_that_ended(kind, seen, known is not None):
            seen = replace(seen, ended=f"{carrier}_withdrawn")
        if (seen.missing and not seen.lists <= proven) or (carrier and known is None):
            return
        self.waiting.discard(key)
        if key in self.refused:
            return
        change = self.reference.decide(kind, sis_id, seen, now)
        if change is None:
            return
        if change.action in ("create", "update", "reenroll") and self._lost(kind, seen):
            self.orphans.add(key)
            return
        self.reference.ask(key, change)
        if not change.idle:
            self.run.plan[key] = change

    def _carrier_that_ended(self, kind: Kind, seen: Seen, known: bool) -> str:
        if seen.document["status"] == "inactive" and not (known and (seen.missing or seen.ended)):
            return ""  # the SIS says so itself, or it is long over
        for name in NEEDS.get(kind, ()):
            if name in CARRIERS:
                carrier = CARRIERS[name], str(seen.document.get(name))
                planned = self.run.plan[carrier].action if carrier in self.run.plan else ""
                there = self.reference.known.get(carrier)
                over = there is not None and there.status == "inactive" and planned != "reenroll"
                if over or planned == "withdraw":
                    return name
        return ""

    def _lost(self, kind: Kind, seen: Seen) -> bool:
        if seen.document["status"] == "inactive":
            return False
        owners = [(owner_of(kind, name, seen.document), str(seen.document.get(name))) for name in NEEDS.get(kind, ())]
        return any(key not in self.reference.known and key not in self.run.plan for key in owners)

    def _release(self) -> None:
        """What was refused with something else is looked at again once that is refused no longer."""
        for key, (_, owner) in list(self.refused.items()):
            if owner is not None and owner not in self.refused:
                del self.refused[key]

    # -- guards --------------------------------------------------------------------------------------------------------

    def _guard(self, reads: Collection[Read], schools: Collection[str] | None) -> None:
        run = self.run
        held_by: dict[HoldKey, set[Key]] = {}
        for guard, kind, scope, number, keys in self._trips(reads, schools):
            run.trips[guard, kind, scope] = number
            held_by[guard, kind, scope] = keys
        run.held = set().union(*held_by.values())
        again = [name for name in run.trips if name in self.open and name[1] not in run.judged]
        theirs = {key for name in again for key in self.holding.get(name, ()) if key in self.waiting}
        run.carried = {key: self.proposed[key][0] for key in theirs - run.plan.keys()}
        if run.trips:
            self._hold_dependents()
        for name, rows in self.reference.bad.items():
            if ("quarantine", kind_of(name), "district") not in run.trips:
                self.acknowledged |= {(name, row) for row in rows}
        self.open = {key for key in self.open if key[1] not in run.judged} | set(run.trips)
        if self.open and run.status != "failed":
            run.status = "held"

    def _trips(self, reads: Collection[Read], schools: Collection[str] | None) -> Iterator[tuple[str, str, str, int, set[Key]]]:
        """Each guard that objects: its kind and scope, what it counts, and what it holds."""
        plan = self.run.plan

        def flagged(kind: Kind, flag: str) -> set[Key]:
            return {key for key, change in plan.items() if key[0] == kind and flag in change.flags}

        for kind in ORDER:
            people = dict(self.reference.active(kind))
            there = {sis_id: str(known.sis.get("school") or "") for sis_id, known in people.items()}
            in_sight = [it for it in there.values() if schools is None or not it or it in schools]
            removals, classes = flagged(kind, "removal"), kind == "enrollments"
            for school in {self._school(key) for key in removals} - {""}:
                theirs = {key for key in removals if self._school(key) == school}
                if too_many(len(theirs), in_sight.count(school), *((0.3, 60) if classes else (0.2, 20))):
                    yield "withdrawals_of_school", kind, f"school={school}", len(theirs), theirs
            if len(removals) >= 500 or too_many(len(removals), len(in_sight), *((0.1, 1) if classes else (0.05, 100))):
                yield "withdrawals", kind, "district", len(removals), removals
            if absent := flagged(kind, "absent") if kind == "staff" else set():
                yield "staff", kind, "district", len(absent), absent
            if anomalies := flagged(kind, "anomaly"):
                yield "absence", kind, "district", len(anomalies), anomalies
            if kind == "students" and (changed := self._changes_of_id()):
                number = sum(plan[key].action == "create" for key in changed if key in plan)
                yield "change_of_id", kind, "district", number, {key for key in changed if key in plan}
            identity = flagged(kind, "identity")
            if too_many(len(identity), len(in_sight), 0.1, 20):
                yield "identity", kind, "district", len(identity), identity
            for flag in {flag for change in plan.values() for flag in change.flags if flag.startswith("blank:")}:
                name, blanks = flag.removeprefix("blank:"), flagged(kind, flag)
                sighted = [known for sis_id, known in people.items() if schools is None or there[sis_id] in ("", *schools)]
                having = sum(known.sis.get(name) not in (None, [], {}) for known in sighted)
                if too_many(len(blanks), having, 0.05, 20):
                    yield "blank", kind, f"field={name}", len(blanks), blanks
        yield from self._bad_and_empty(reads)

    def _bad_and_empty(self, reads: Collection[Read]) -> Iterator[tuple[str, str, str, int, set[Key]]]:
        bad: dict[str, int] = defaultdict(int)
        for name, keys in self.reference.bad.items():
            bad[kind_of(name)] += len({key for key in keys if (name, key) not in self.acknowledged})
        for kind, number in bad.items():
            rows = sum(len({row["key"] for row in read.rows}) for read in reads if kind in read.kinds)
            if too_many(number, max(rows, number), 0.05, 20):
                yield "quarantine", kind, "district", number, set()
        emptied: dict[tuple[Kind, str], int] = defaultdict(int)
        lists: dict[tuple[Kind, str], set[str]] = defaultdict(set)
        for read in (read for read in reads if read.name in self.emptied):
            for kind in read.kinds:
                emptied[kind, read.school or ""] += self.emptied[read.name]
                lists[kind, read.school or ""].add(read.name)
        for (kind, school), number in emptied.items():
            gone = {key for key, change in self.run.plan.items() if key[0] == kind and change.action == "withdraw"}
            theirs = {key for key in gone if (seen := self.reference.seen(*key, date.min)) and seen.lists & lists[kind, school]}
            yield "empty", kind, f"school={school}" if school else "district", number, theirs

    def _count_emptied(self, reads: Collection[Read]) -> dict[str, int]:
        """Lists that came whole and empty, though somebody came from them and from nowhere else: how many."""
        found = {}
        for read in (read for read in reads if read.complete and not read.rows):
            for kind in read.kinds:
                seen = [self.reference.seen(kind, sis_id, date.min) for sis_id, _ in self.reference.active(kind)]
                if number := sum(one is not None and read.name in one.lists and one.missing > 0 for one in seen):
                    found[read.name] = number
        return found

    def _changes_of_id(self) -> set[Key]:
        """New students that share a strong id with somebody who is missing, and those who are missing."""
        new = {key: change.sis for key, change in self.run.plan.items() if key[0] == "students" and change.action == "create"}
        found: set[Key] = set()
        for sis_id, known in self.reference.active("students"):
            seen = self.reference.seen("students", sis_id, date.min)
            if seen is not None and seen.missing:
                for key, document in new.items():
                    if any(document.get(name) and document.get(name) == known.sis.get(name) for name in STRONG):
                        found |= {key, ("students", sis_id)}
        return found

    def _hold_dependents(self) -> None:
        """With a new record goes what needs it, with an end what ends with it."""
        for kind in ORDER:
            for key, change in self.run.plan.items():
                among = self.run.held | self.run.carried.keys()
                known = self.run.carried | self.run.plan
                if key[0] == kind and key not in self.run.held and self._held_owner(key, change, among, known):
                    self.run.held.add(key)

    def _held_owner(self, key: Key, change: Change, among: Collection[Key], known: Mapping[Key, Change]) -> Key | None:
        for name in NEEDS.get(key[0], ()):
            owner = owner_of(key[0], name, change.sis), str(change.sis.get(name))
            theirs = known[owner].action if owner in known else ""
            depends = {"create": ("create", "update", "reenroll"), "withdraw": ("withdraw", "unchanged")}.get(theirs, ())
            if owner in among and change.action in depends:
                return owner
        return None

    def _school(self, key: Key) -> str:
        seen = self.reference.seen(*key, date.min)
        return str((seen and seen.document.get("school")) or "")

    # -- what a person decides -----------------------------------------------------------------------------------------

    def hangs(self, keys: Collection[Key]) -> bool:
        """Whether some of these end only because of something else whose end still waits for a decision of its own."""
        ending = {key for key in self.waiting - set(keys) if self.proposed[key][0].action == "withdraw"}
        changes = [(kind, self.proposed[kind, sis_id][0].sis) for kind, sis_id in keys]
        owners = {(owner_of(kind, name, sis), str(sis.get(name))) for kind, sis in changes for name in NEEDS.get(kind, ())}
        return not ending.isdisjoint(owners)

    def approve(self, hold: HoldKey, keys: Collection[Key]) -> None:
        """Apply at once what was held, as far as it is still as planned, and nobody has pinned it since."""
        self._decided(hold)
        for key in sorted(keys, key=lambda it: ORDER.index(it[0])):
            change, witness = self.proposed[key]
            pinned = (change.action == "withdraw" and self.reference.pinned(key)) or any(
                self.reference.pinned(key, name) for name in change.writes
            )
            if key in self.waiting and witness == self.reference.witness(key) and not (pinned or self._goes_on(change, keys)):
                self.reference.write(key, change)
                self.waiting.discard(key)

    def _goes_on(self, change: Change, keys: Collection[Key]) -> bool:
        """Whether something ends only because of a school or section that has not ended after all."""
        name = str(change.sis.get("status_reason")).removesuffix("_withdrawn")
        if change.action != "withdraw" or name not in CARRIERS:
            return False
        carrier = CARRIERS[name], str(change.sis.get(name))
        return carrier not in keys and self.reference.known[carrier].status != "inactive"

    def reject(self, hold: HoldKey, keys: Collection[Key]) -> None:
        """Refuse what was held, until the SIS says something else; what depends on it, for as long as it is refused."""
        self._decided(hold)
        for key in keys:
            self.refused[key] = self.proposed[key][0].said, None
        theirs = {key: change for key, (change, _) in self.proposed.items() if key in self.refused}
        for key, (said, owner) in list(self.refused.items()):
            with_it = key in keys and key[0] != hold[1]
            if owner is None and (with_it or theirs[key].action not in ("withdraw", "unchanged")):
                self.refused[key] = said, self._held_owner(key, theirs[key], self.refused, theirs)

    def undo(self) -> bool:
        """Take back what the last run wrote, where nobody has changed it since. False where a guard would object."""
        undone, last = Run(ORDER), self.run
        for key, before in last.before.items():
            mine, change = self.reference.local.get(key), last.plan[key]
            if mine is None or (change.action == "create" and change.status == "inactive"):
                continue
            created = change.action == "create"
            back = {"status": "inactive", "status_reason": "undone"} if created else before
            written = {"status": change.status} if created else change.writes
            writes = {name: value for name, value in back.items() if mine.get(name) != value}
            if not writes or any(mine.get(name) != value for name, value in written.items()):
                continue
            taken = self.reference.named(Change("", change.status, {}, writes), mine)
            if not (taken.action == "withdraw" and self.reference.pinned(key)):
                undone.plan[key] = replace(taken, sis=self.reference.known[key].sis)
        return self._overwrite(undone)

    def _overwrite(self, decided: Run) -> bool:
        """Write what a person has decided. False where a guard would object."""
        last, self.run = self.run, decided
        objections = [guard for guard, *_ in self._trips((), None) if guard != "quarantine"]
        self.run = last
        if objections:
            return False
        for key, change in decided.plan.items():
            self.reference.overwrite(key, change.writes)
        return True

    def withdraw(self, student: str, today: date) -> bool:
        """Withdraw a student by hand, with what is theirs and has begun. False where a guard would object."""
        reference, decided = self.reference, Run(ORDER)
        reference.today = today
        if reference.pinned(("students", student)):
            return True
        for key, known in reference.known.items():
            mine, (begins, ends) = reference.local.get(key), DATES.get(key[0], ("", ""))
            theirs = key == ("students", student) or (
                student in (known.sis.get("student"), known.sis.get("user"))
                and known.sis.get("role", "student") == "student"
                and known.status not in (*OVER, "scheduled")
            )
            if not theirs or mine is None or mine.get("status") == "inactive" or reference.pinned(key):
                continue
            writes = {"status": "inactive", "status_reason": "withdrawal" if ends else "withdrawn"}
            day = max(today.isoformat(), mine.get(begins) or "")
            if ends and (mine.get(ends) is None or day < mine[ends]):
                writes[ends] = day
            decided.plan[key] = replace(reference.named(Change("", known.status, {}, writes), mine), sis=known.sis)
        return self._overwrite(decided)

    def _decided(self, hold: HoldKey) -> None:
        self.open.discard(hold)
        if hold[0] == "quarantine":
            for name, keys in self.reference.bad.items():
                if kind_of(name) == hold[1]:
                    self.acknowledged |= {(name, key) for key in keys}


def too_many(number: int, of: int, share: float, floor: int) -> bool:
    """Whether a guard objects to so many of so many."""
    return number > 0 and of >= floor and number >= share * of


def kind_of(name: str) -> str:
    """The kind that a list's bad rows count for. Lists are called by kind and school."""
    return name.partition(" ")[0]


def in_scope(
    kind: Kind, sis_id: str, document: Mapping[str, Any], schools: Collection[str] | None, students: Collection[str] | None
) -> bool:
    """Whether a run that was asked about some schools or students decides about a record."""
    if students is not None:
        person = {"students": sis_id, "school_enrollments": document.get("student"), "enrollments": document.get("user")}
        return person.get(kind) in students
    school = sis_id if kind == "schools" else document.get("school")
    return schools is None or school is None or school in schools
