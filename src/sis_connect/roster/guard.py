"""The guards: limits on how much one run may change, evaluated before anything is written (promise P3). Pure.

Each limit is at-or-above, by count or by share. A share counts only in populations of at least `floor`, since three of ten
leaving is ordinary and three hundred of a thousand is not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sis_connect.capabilities import Kind

Guard = Literal[
    "withdrawals",
    "withdrawals_of_school",
    "absence",
    "staff",
    "creates",
    "change_of_id",
    "identity",
    "blank",
    "quarantine",
    "empty",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At or above `share` of a population of at least `floor`, or at or above `count`. With `both`, share and count together."""

    share: float | None = None
    floor: int = 0
    count: int | None = None
    both: bool = False

    def trips(self, number: int, of: int) -> bool:
        """Whether so many out of so many are too many."""
        if number == 0:
            return False
        by_share = self.share is not None and of >= self.floor and number >= self.share * of
        by_count = self.count is not None and number >= self.count
        return (by_share and by_count) if self.both else (by_share or by_count)

    def __str__(self) -> str:
        share = f"{self.share:.0%}" if self.share is not None else None
        count = str(self.count) if self.count is not None else None
        return (" and " if self.both else " or ").join(part for part in (share, count) if part)


#: Any at all.
ANY = Limit(count=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A set of limits. A calendar may put a wider one in force for a time, such as the roll-over."""

    withdrawals: Limit = Limit(share=0.05, floor=100, count=500)
    withdrawals_of_school: Limit = Limit(share=0.20, floor=20)
    enrollment_withdrawals: Limit = Limit(share=0.10, floor=1)
    enrollment_withdrawals_of_school: Limit = Limit(share=0.30, floor=60)
    creates: Limit = Limit(share=0.10, floor=1, count=100, both=True)
    identity: Limit = Limit(share=0.10, floor=20)
    blank: Limit = Limit(share=0.05, floor=20)
    quarantine: Limit = Limit(share=0.05, floor=20)


@dataclass(slots=True)
class Counts:
    """What a plan would change, counted while it is made. Schools are named by `sis_id`, `""` where there is none."""

    removals: dict[tuple[Kind, str], int] = field(default_factory=dict)
    absences: dict[Kind, int] = field(default_factory=dict)
    anomalies: dict[Kind, int] = field(default_factory=dict)
    creates: dict[Kind, int] = field(default_factory=dict)
    identity: dict[Kind, int] = field(default_factory=dict)
    blanks: dict[tuple[Kind, str], int] = field(default_factory=dict)
    changes_of_id: dict[Kind, int] = field(default_factory=dict)
    newly_bad: dict[Kind, tuple[int, int]] = field(default_factory=dict)
    emptied: dict[tuple[Kind, str], int] = field(default_factory=dict)

    def add(self, kind: Kind, school: str, flag: str) -> None:
        """Count one change that carries a flag."""
        if flag == "removal":
            self.removals[kind, school] = self.removals.get((kind, school), 0) + 1
        elif flag in ("absent", "anomaly", "identity"):
            counted = {"absent": self.absences, "anomaly": self.anomalies, "identity": self.identity}[flag]
            counted[kind] = counted.get(kind, 0) + 1
        elif flag.startswith("blank:"):
            key = kind, flag.removeprefix("blank:")
            self.blanks[key] = self.blanks.get(key, 0) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """The active local records in the scope read: all of a kind, by school, and those that have a value in a field."""

    total: Callable[[Kind], int]
    of_school: Callable[[Kind, str], int]
    having: Callable[[Kind, str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """A guard that holds. `scope` is `district`, `school=…` or `field=…`."""

    guard: Guard
    kind: Kind
    action: str
    scope: str
    count: int
    of: int
    limit: str


def evaluate(
    counts: Counts, population: Population, *, first: Collection[Kind] = (), profile: Profile | None = None
) -> list[Trip]:
    """All guards that hold. Of kinds that are read for the `first` time nothing is there yet, so creations are not limited."""
    profile = profile or Profile()
    trips = [*_withdrawals(counts, population, profile)]
    if "staff" in counts.absences:
        number = counts.absences["staff"]
        trips.append(_trip("staff", "staff", "withdraw", "district", number, population.total("staff"), ANY))
    for kind, number in counts.anomalies.items():
        trips.append(_trip("absence", kind, "withdraw", "district", number, population.total(kind), ANY))
    for kind, number in counts.creates.items():
        if kind not in first:
            trips.append(_trip("creates", kind, "create", "district", number, population.total(kind), profile.creates))
    for kind, number in counts.changes_of_id.items():
        trips.append(_trip("change_of_id", kind, "create", "district", number, number, ANY))
    for kind, number in counts.identity.items():
        trips.append(_trip("identity", kind, "update", "district", number, population.total(kind), profile.identity))
    for (kind, name), number in counts.blanks.items():
        trips.append(_trip("blank", kind, "update", f"field={name}", number, population.having(kind, name), profile.blank))
    for kind, (number, of) in counts.newly_bad.items():
        trips.append(_trip("quarantine", kind, "quarantine", "district", number, of, profile.quarantine))
    for (kind, school), number in counts.emptied.items():
        trips.append(_trip("empty", kind, "withdraw", _school(school), number, number, ANY))
    return [trip for trip in trips if trip is not None]


def _withdrawals(counts: Counts, population: Population, profile: Profile) -> Iterator[Trip | None]:
    totals: dict[Kind, int] = {}
    for (kind, school), number in counts.removals.items():
        totals[kind] = totals.get(kind, 0) + number
        if school:
            limit = profile.enrollment_withdrawals_of_school if kind == "enrollments" else profile.withdrawals_of_school
            of = population.of_school(kind, school)
            yield _trip("withdrawals_of_school", kind, "withdraw", _school(school), number, of, limit)
    for kind, number in totals.items():
        limit = profile.enrollment_withdrawals if kind == "enrollments" else profile.withdrawals
        yield _trip("withdrawals", kind, "withdraw", "district", number, population.total(kind), limit)


def _trip(guard: Guard, kind: Kind, action: str, scope: str, number: int, of: int, limit: Limit) -> Trip | None:
    if not limit.trips(number, of):
        return None
    return Trip(guard=guard, kind=kind, action=action, scope=scope, count=number, of=of, limit=str(limit))


def _school(school: str) -> str:
    return f"school={school}" if school else "district"


def condition(trip: Trip) -> tuple[str, Mapping[str, str]]:
    """Which rows of a plan a guard holds, as a condition in SQL and its values."""
    where: list[str] = ["kind = :kind"]
    values: dict[str, str] = {"kind": trip.kind}
    flags: dict[Guard, str] = {
        "withdrawals": "removal",
        "withdrawals_of_school": "removal",
        "absence": "anomaly",
        "staff": "absent",
        "identity": "identity",
        "change_of_id": "change_of_id",
        "blank": f"blank:{trip.scope.removeprefix('field=')}",
        "empty": emptied(trip.scope.removeprefix("school=") if trip.scope != "district" else ""),
    }
    if trip.guard in flags:
        where.append("flags LIKE :flag ESCAPE '!'")
        escaped = flags[trip.guard].replace("!", "!!").replace("%", "!%").replace("_", "!_")
        values["flag"] = f"% {escaped} %"
    else:
        where.append("action = :action")
        values["action"] = trip.action
    if trip.guard == "withdrawals_of_school":
        where.append("school = :school")
        values["school"] = trip.scope.removeprefix("school=")
    return " AND ".join(where), values


def emptied(school: str) -> str:
    """The flag of a change that comes from a scope without rows. What was read of a school need not name it in each record."""
    return f"emptied:{school}"
