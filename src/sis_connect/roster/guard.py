"""The guards: limits on how much one run may change, evaluated before anything is written (promise P3). Pure.

Each limit is at-or-above, by count or by share. A share counts only in populations of at least `floor`, since three of ten
leaving is ordinary and three hundred of a thousand is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
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
    "pause",
    "coverage",
]
#: Kinds that belong to one school year, as it is listed.
YEARLY: frozenset[Kind] = frozenset(("terms", "courses", "sections", "enrollments"))
#: Kinds that a new school year brings anew, all of them.
RENEWED: frozenset[Kind] = YEARLY | {"school_enrollments"}


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


#: Who covers what: the roles of those whose enrolments a measure counts.
ROLES: Mapping[str, tuple[str, ...]] = {
    "sections_with_teacher": ("teacher", "co_teacher"),
    "students_with_section": ("student",),
}
#: The role of an enrolment in a plan, in SQL: as planned, or as it was where a person withdraws it.
ROLE = (
    "json_extract(COALESCE(document, (SELECT m.base_sis FROM sis_plan n JOIN sis_enrollment_mapping m "
    "ON m.integration_id = n.integration_id WHERE n.number = plan AND m.sis_id = sis_plan_row.sis_id)), '$.role')"
)
#: Any at all.
ANY = Limit(count=1)
#: However many.
UNLIMITED = Limit()


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A set of limits. A calendar may put a wider one in force for a time, such as the roll-over; see `profiles`.

    `yearly_creates` are new records of kinds that each school year brings anew, where they have a limit of their own.
    """

    name: str = "normal"
    withdrawals: Limit = Limit(share=0.05, floor=100, count=500)
    withdrawals_of_school: Limit = Limit(share=0.20, floor=20)
    enrollment_withdrawals: Limit = Limit(share=0.10, floor=1)
    enrollment_withdrawals_of_school: Limit = Limit(share=0.30, floor=60)
    creates: Limit = Limit(share=0.10, floor=1, count=100, both=True)
    yearly_creates: Limit | None = None
    identity: Limit = Limit(share=0.10, floor=20)
    blank: Limit = Limit(share=0.05, floor=20)
    quarantine: Limit = Limit(share=0.05, floor=20)


@dataclass(slots=True)
class Counts:
    """What a plan would change, counted while it is made. Schools are named by `sis_id`, `""` where there is none.

    `uncovered` are removals that leave a school badly covered, by school and measure, with how many are enrolled there.
    """

    removals: dict[tuple[Kind, str], int] = field(default_factory=dict)
    absences: dict[Kind, int] = field(default_factory=dict)
    anomalies: dict[Kind, int] = field(default_factory=dict)
    creates: dict[Kind, int] = field(default_factory=dict)
    identity: dict[Kind, int] = field(default_factory=dict)
    blanks: dict[tuple[Kind, str], int] = field(default_factory=dict)
    changes_of_id: dict[Kind, int] = field(default_factory=dict)
    newly_bad: dict[Kind, tuple[int, int]] = field(default_factory=dict)
    uncovered: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
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
    """A guard that holds. `scope` is `district`, `school=…` or `field=…`.

    One of a plugin goes by its name, and says by `school` and `reason` which changes it holds, where it does not hold all. Its
    scope may be `no school`, too, and end in `reason=…`.
    """

    guard: Guard | str
    kind: Kind
    action: str
    scope: str
    count: int
    of: int
    limit: str
    school: str | None = None
    reason: str | None = None


def evaluate(
    counts: Counts, population: Population, *, first: Collection[Kind] = (), profile: Profile | None = None, pause: str = ""
) -> list[Trip]:
    """All guards that hold. Of kinds that are read for the `first` time nothing is there yet, so creations are not limited.

    In a `pause`, named by its last day, all removals are held.
    """
    profile = profile or Profile()
    trips = [*_withdrawals(counts, population, profile)]
    if "staff" in counts.absences:
        number = counts.absences["staff"]
        trips.append(_trip("staff", "staff", "withdraw", "district", number, population.total("staff"), ANY))
    for kind, number in counts.anomalies.items():
        trips.append(_trip("absence", kind, "withdraw", "district", number, population.total(kind), ANY))
    for kind, number in counts.creates.items():
        if kind not in first:
            limit = profile.yearly_creates if kind in RENEWED and profile.yearly_creates is not None else profile.creates
            trips.append(_trip("creates", kind, "create", "district", number, population.total(kind), limit))
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
    for (school, measure), (number, of) in counts.uncovered.items():
        trips.append(_trip("coverage", "enrollments", "withdraw", f"{_school(school)} {measure}", number, of, ANY))
    found = [trip for trip in trips if trip is not None]
    if profile.name != "normal":
        # Whoever decides about a hold should know that its limit was not the usual one.
        found = [replace(trip, limit=f"{trip.limit} ({profile.name})") if trip.guard in _LIMITED else trip for trip in found]
    return found + list(_paused(counts, population, found, pause) if pause else ())


def _paused(counts: Counts, population: Population, trips: Collection[Trip], pause: str) -> Iterator[Trip]:
    """What removals no other guard holds already, of each kind."""
    held = {trip.kind for trip in trips if trip.guard == "withdrawals"}
    of_school: dict[Kind, int] = {}
    for trip in trips:
        if trip.guard == "withdrawals_of_school":
            of_school[trip.kind] = of_school.get(trip.kind, 0) + trip.count
    totals: dict[Kind, int] = {}
    for (kind, _), number in counts.removals.items():
        totals[kind] = totals.get(kind, 0) + number
    for kind, number in totals.items():
        left = number - of_school.get(kind, 0)
        if kind not in held and left:
            yield Trip(
                guard="pause", kind=kind, action="withdraw", scope="district", count=left, of=population.total(kind),
                limit=f"none until {pause}",
            )  # fmt: skip


#: Guards whose limits a profile sets.
_LIMITED: frozenset[Guard] = frozenset(("withdrawals", "withdrawals_of_school", "creates", "identity", "blank", "quarantine"))


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
    flags: dict[str, str] = {
        "withdrawals": "removal",
        "withdrawals_of_school": "removal",
        "pause": "removal",
        "coverage": "removal",
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
    if trip.school is not None:
        where.append("COALESCE(school, '') = :school")
        values["school"] = trip.school
    if trip.reason is not None:
        where.append("reason = :reason")
        values["reason"] = trip.reason
    if trip.guard == "coverage":
        school, _, measure = trip.scope.removeprefix("school=").rpartition(" ")
        where.append(f"school = :school AND {ROLE} IN (SELECT value FROM json_each(:roles))")
        values |= {"school": school, "roles": json.dumps(ROLES[measure])}
    return " AND ".join(where), values


def emptied(school: str) -> str:
    """The flag of a change that comes from a scope without rows. What was read of a school need not name it in each record."""
    return f"emptied:{school}"
