"""The synthetic district as canonical records: what a sandbox shows, before a vendor's API gives it words and gaps of its own.

    roster = DistrictRoster(district, leaving={"enrollments": "absence"})
    for key, student in roster.records("students"):
        ...

Records are as the office typed them: names with stray characters, blanks as empty text. `limited` makes of one what a client is
to have: cleaned, validated, and only of the fields that an API delivers. All hard cases of the district are among them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from functools import cache, cached_property
from typing import Any
from zlib import crc32

from pydantic import ValidationError

from sis_connect.capabilities import KINDS, Kind, Leaving
from sis_connect.errors import ConfigurationError
from sis_connect.records import RECORDS, Record, part
from sis_connect.records import Enrollment as Place
from sis_connect.testing import district_values as values
from sis_connect.testing.collector import without_collector
from sis_connect.testing.district import District
from sis_connect.testing.district_guardians import Guardian, guardians
from sis_connect.testing.district_records import (
    FIRST_FREE_COLUMN,
    Affiliation,
    Enrollment,
    Keyed,
    Section,
    Stint,
    identifier,
)
from sis_connect.testing.district_truth import limited

#: Changes of a day are stamped with one of these times (UTC), so that many records share a time, as after an import.
STAMPS = (time(8, 15, tzinfo=UTC), time(10, 30, tzinfo=UTC), time(13, 45, tzinfo=UTC), time(15, 5, tzinfo=UTC))
#: Enrolments of teachers are counted from here on.
TEACHING = 10_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One record as it is listed. `orphan`: it refers to somebody who does not exist, and no client can have it."""

    key: str
    record: Record
    orphan: bool = False


def identify(kind: Kind, serial: int) -> str:
    """The id of a record: a number that no record of another kind has, and that is no number known to the office either."""
    return str(identifier(FIRST_FREE_COLUMN + KINDS.index(kind), serial, floor=100))


class DistrictRoster:
    """The records of one day.

    `leaving` says by kind what the lists show of those who left: `status` (they stay and say so, the default), `absence` (they
    are in no list) or `tobedeleted` (they stay with that mark). `grades` is how a grade is written, by its CEDS code. `identify`
    makes ids of (kind, serial), one of a kind each. With `history` all stays at schools are listed, else only those that go on
    or are to come, and, where leaving is told by status, the last one of who has left. `changes` are fields that were changed by
    hand, by (kind, id), and when.
    """

    def __init__(
        self,
        district: District,
        *,
        leaving: Mapping[Kind, Leaving] | None = None,
        grades: Mapping[str, str] | None = None,
        identify: Callable[[Kind, int], str] = identify,
        history: bool = False,
        changes: Mapping[tuple[Kind, str], Mapping[str, object]] | None = None,
    ) -> None:
        self.district = district
        self.history = history
        self._leaving = leaving or {}
        self._grades = grades or {}
        self._identify = identify
        self._changes = changes or {}
        self._entries: dict[tuple[Kind, bool], dict[str, Entry]] = {}
        self._belonging: dict[tuple[Kind, str], dict[str, list[Entry]]] = {}
        self._written: dict[tuple[Kind, int], str] = {}

    # Reading

    def entries(self, kind: Kind, *, history: bool | None = None) -> Sequence[Entry]:
        """What is listed of a kind, orphans among them, always in the same order: stays by student, the oldest first."""
        return list(self._by_id(kind, self.history if history is None else history).values())

    def find(self, kind: Kind, sis_id: str) -> Entry | None:
        """The entry of the record with this id, as the office typed it; None where it is not listed on this day."""
        return self._by_id(kind, self.history).get(sis_id)

    def of(self, kind: Kind, name: str, sis_id: str) -> list[Any]:
        """The records of a kind that belong to another one, in the order of `entries`. `name` is what they refer to it by, and of
        enrollments `student`, `staff` or `teacher`: `of("school_enrollments", "student", student.sis_id)`."""
        return [entry.record for entry in self.belonging(kind, name).get(sis_id, ())]

    def belonging(self, kind: Kind, name: str) -> Mapping[str, Sequence[Entry]]:
        """The entries of a kind by the ids of what they belong to, in the order of `entries`; see `of`."""
        if (kind, name) not in self._belonging:
            found: defaultdict[str, list[Entry]] = defaultdict(list)
            for entry in self.entries(kind):
                for sis_id in belongs(entry.record, name):
                    found[sis_id].append(entry)
            self._belonging[kind, name] = dict(found)
        return self._belonging[kind, name]

    def near(self, kind: Kind, record: Record) -> Sequence[Entry]:
        """What is listed of a kind and belongs to a record, or to which the record belongs."""
        if own := belongs(record, kind.removesuffix("s")):
            return [entry for sis_id in own if (entry := self.find(kind, sis_id))]
        return self.belonging(kind, record.kind.removesuffix("s")).get(record.sis_id, ())

    def records(self, kind: Kind, *, history: bool | None = None) -> Iterator[tuple[str, Record]]:
        """(neutral key, record) of all that a client can have, cleaned and validated."""
        for entry in self.entries(kind, history=history):
            if not entry.orphan:
                yield entry.key, limited(entry.record)

    def id_of(self, kind: Kind, serial: int) -> str:
        """The id of the district's record with this serial."""
        if (kind, serial) not in self._written:
            self._written[kind, serial] = self._identify(kind, serial)
        return self._written[kind, serial]

    def _by_id(self, kind: Kind, history: bool) -> dict[str, Entry]:
        place = kind, history and kind == "school_enrollments"
        if place not in self._entries:
            listed = self._stints(history) if kind == "school_enrollments" else self._makers[kind]()
            with without_collector():
                self._entries[place] = {entry.record.sis_id: self._changed(entry) for entry in listed}
        return self._entries[place]

    def _changed(self, entry: Entry) -> Entry:
        """An entry with what was changed by hand."""
        changes = self._changes.get((entry.record.kind, entry.record.sis_id))
        if not changes:
            return entry
        moments = (entry.record.updated_at, changes.get("updated_at"))
        return replace(
            entry,
            record=entry.record.model_copy(
                update={**changes, "updated_at": max(each for each in moments if isinstance(each, datetime))}
            ),
        )

    # Making

    def _entry(self, kind: Kind, source: Keyed, changed: date, standing: Mapping[str, Any], **told: Any) -> Entry:
        """An entry under the source's own id, or under the one that is `told`."""
        told.setdefault("sis_id", self.id_of(kind, source.serial))
        told["updated_at"] = stamp(changed, f"{kind}/{told['sis_id']}")
        told.update(standing)
        return Entry(source.key, RECORDS[kind].model_construct(set(told), **{**_blank(kind), **told}))

    def _standing(self, kind: Kind, gone: bool, reason: str | None = None) -> dict[str, object] | None:
        """How a record stands; None where it is not listed any more."""
        leaving = self._leaving.get(kind, "status")
        if not gone:
            return {"status": "active", "status_reason": None}
        if leaving == "absence":
            return None
        told = leaving == "status"
        return {"status": "inactive" if told else "tobedeleted", "status_reason": reason if told else None}

    @cached_property
    def _makers(self) -> Mapping[Kind, Callable[[], Iterator[Entry]]]:
        return {
            "schools": self._schools,
            "terms": self._terms,
            "courses": self._courses,
            "staff": self._staff,
            "students": self._students,
            "sections": self._sections,
            "enrollments": self._enrollments,
            "guardians": self._guardians,
        }

    def _schools(self) -> Iterator[Entry]:
        for school in self.district.schools.values():
            yield self._entry("schools", school, self.district.changed_on(school), ACTIVE, **values.school(school))

    def _terms(self) -> Iterator[Entry]:
        for term in self.district.terms.values():
            standing = self._standing("terms", self._is_removed(term))
            if standing:
                own = {**values.term(term), "school": self.id_of("schools", term.school)}
                yield self._entry("terms", term, self.district.changed_on(term), standing, **own)

    def _courses(self) -> Iterator[Entry]:
        """The catalogue of the district, whatever is taught of it this year."""
        for course in self.district.courses.values():
            yield self._entry("courses", course, self.district.changed_on(course), ACTIVE, **values.course(course))

    def _staff(self) -> Iterator[Entry]:
        district = self.district
        places: defaultdict[int, list[Affiliation]] = defaultdict(list)
        for affiliation in district.affiliations.values():
            places[affiliation.staff].append(affiliation)
        for serial, own in places.items():
            person, present = district.staff[serial], [place for place in own if place.active]
            standing = self._standing("staff", not present)
            if standing:
                schools = sorted({self.id_of("schools", place.school) for place in present if place.school is not None})
                changed = max(district.changed_on(person), *map(district.changed_on, own))
                told = {**values.staff(person, teaches=any(place.teacher for place in own)), "schools": tuple(schools)}
                yield self._entry("staff", person, changed, standing, **told)

    def _students(self) -> Iterator[Entry]:
        for student in self.district.students.values():
            coming = student.status == "pre_registered"
            standing = self._standing("students", student.status != "active", values.REASONS.get(student.status))
            if standing and not (coming and standing["status"] == "tobedeleted"):
                school = student.school if student.school is not None else self._last_school(student.serial)
                told = {
                    **values.student(student, self._grades),
                    "school": None if school is None else self.id_of("schools", school),
                }
                yield self._entry("students", student, self.district.changed_on(student), standing, **told)

    def _last_school(self, student: int) -> int | None:
        """Where a graduate was: in lists by school they are looked for there."""
        stints = [self.district.stints[serial] for serial in self.district.stays.get(student, ())]
        return max(stints, key=lambda stint: (stint.entry, stint.serial)).school if stints else None

    def _stints(self, history: bool) -> Iterator[Entry]:
        district, students = self.district, self._by_id("students", False)
        for student, stays in district.stays.items():
            stints = [district.stints[serial] for serial in stays]
            if self.id_of("students", student) in students:
                going_on = [stint for stint in stints if stint.exit > district.today]
                last = [max(stints, key=lambda stint: (stint.entry, stint.serial))]
                for stint in stints if history else going_on or last:
                    over = stint not in going_on or district.students[student].status != "active"
                    standing = self._standing("school_enrollments", over, "no_show" if stint.entry == stint.exit else None)
                    if standing or history:
                        yield self._stint(stint, standing or ACTIVE)

    def _stint(self, stint: Stint, standing: Mapping[str, object]) -> Entry:
        changed, year = self.district.changed_on(stint), self.district.year
        if stint.exit <= self.district.today:
            changed = max(changed, stint.exit)  # that it is over shows from that day on
        elif stint.entry >= year.start:
            changed = max(changed, year.rollover)  # who was registered for the year belongs to it since then
        own = {
            **values.stint(stint),
            "student": self.id_of("students", stint.student),
            "school": self.id_of("schools", stint.school),
        }
        return self._entry("school_enrollments", stint, changed, standing, **own)

    def _sections(self) -> Iterator[Entry]:
        district = self.district
        for section in district.sections.values():
            standing = self._standing("sections", self._is_removed(section))
            if standing:
                told = {
                    **values.section(section, district.courses[section.course]),
                    "school": self.id_of("schools", section.school),
                    "course": self.id_of("courses", section.course),
                    "term": self.id_of("terms", section.term),
                }
                yield self._entry("sections", section, district.changed_on(section), standing, **told)

    def _enrollments(self) -> Iterator[Entry]:
        """Students in sections that are listed, orphans among them; then the teachers, the former ones, and aides."""
        district, sections = self.district, self._by_id("sections", False)
        removed = [row for serial, (row, _) in district.removed[Enrollment].items() if serial not in district.enrollments]
        for row in [*district.enrollments.values(), *removed]:
            section = district.sections[row.section]
            if self.id_of("sections", row.section) in sections:
                yield from self._place(row, section)
        for section in district.sections.values():
            if self.id_of("sections", section.serial) in sections:
                yield from self._teaching(section)

    def _place(self, row: Enrollment, section: Section) -> Iterator[Entry]:
        orphan = row.student not in self.district.students
        user = self.id_of("students", row.student)
        standing = self._standing("enrollments", row.dropped or self._is_removed(row), "dropped")
        if standing and (orphan or user in self._by_id("students", False)):
            told = {"user": user, "role": "student", "begin_date": row.begin, "end_date": row.end, **self._of(section)}
            yield replace(self._entry("enrollments", row, self.district.changed_on(row), standing, **told), orphan=orphan)

    def _teaching(self, section: Section) -> Iterator[Entry]:
        district = self.district
        term, changed = district.terms[section.term], district.changed_on(section)
        taught = [(section.teacher, changed, term.end, "teacher", self._is_removed(section))]
        taught += [
            (who, since, since, "teacher", True) for who, since in district.former_teachers.get(section.serial, {}).items()
        ]
        for aide in self._aides.get(section.school, ()):
            if (section.serial + aide.serial) % 4 == 0:
                since, gone = max(changed, district.changed_on(aide)), self._is_removed(section) or not aide.active
                taught.append((aide.serial, since, term.end, "aide", gone))
        for affiliation, since, end, role, gone in taught:
            person = district.affiliations[affiliation].staff
            standing = self._standing("enrollments", gone)
            user = self.id_of("staff", person)
            if standing and user in self._by_id("staff", False):
                told = {"user": user, "role": role, "primary": role == "teacher", "begin_date": term.start, "end_date": end}
                own = self.id_of("enrollments", TEACHING + section.serial * 10_000 + affiliation)
                entry = self._entry("enrollments", section, since, standing, sis_id=own, **told, **self._of(section))
                other = "" if affiliation == section.teacher else f"-{affiliation}"
                yield replace(entry, key=f"{role}-of-{section.key}{other}")

    @cached_property
    def _aides(self) -> Mapping[int | None, Sequence[Affiliation]]:
        """Who works at a school and does not teach: each helps in one class of four."""
        found: defaultdict[int | None, list[Affiliation]] = defaultdict(list)
        for affiliation in self.district.affiliations.values():
            if not affiliation.teacher:
                found[affiliation.school].append(affiliation)
        return found

    def _of(self, section: Section) -> dict[str, object]:
        return {"section": self.id_of("sections", section.serial), "school": self.id_of("schools", section.school)}

    def _guardians(self) -> Iterator[Entry]:
        students = self._by_id("students", False)
        for guardian in guardians(self.district).values():
            known = [serial for serial in guardian.students if self.id_of("students", serial) in students]
            if known:
                yield from self._guardian(guardian, known)

    def _guardian(self, guardian: Guardian, students: Sequence[int]) -> Iterator[Entry]:
        district = self.district
        here = [district.students[serial].status == "active" for serial in students]
        standing = self._standing("guardians", not any(here))
        if standing:
            changed = max(district.changed_on(district.students[serial]) for serial in students)
            told = {**values.guardian(guardian), "students": tuple(self.id_of("students", serial) for serial in students)}
            yield self._entry("guardians", guardian, changed, standing, **told)

    def _is_removed(self, record: Keyed) -> bool:
        return record.serial in self.district.removed[type(record)]


@cache
def _blank(kind: Kind) -> dict[str, Any]:
    """The fields of a record that it need not have. To make these anew for each record would take the most time of all."""
    fields = RECORDS[kind].model_fields
    return {name: info.get_default(call_default_factory=True) for name, info in fields.items() if not info.is_required()}


ACTIVE: Mapping[str, object] = {"status": "active", "status_reason": None}


def stamp(day: date, name: str) -> datetime:
    """When on a day something changed: always the same for the same record."""
    return datetime.combine(day, STAMPS[crc32(name.encode()) % len(STAMPS)])


def belongs(record: Record, name: str) -> tuple[str, ...]:
    """The ids of what a record belongs to, under a name such as `school`."""
    if name in ("student", "staff", "teacher") and isinstance(record, Place):
        mine = {"student": record.role == "student", "teacher": record.role == "teacher", "staff": record.role != "student"}
        return (str(record.user),) if mine[name] else ()
    found = getattr(record, name, None) or getattr(record, f"{name}s", None) or ()
    return (found,) if isinstance(found, str) else tuple(str(each) for each in found)


def changed(kind: Kind, sis_id: str, fields: Mapping[str, str], at: datetime) -> dict[str, object]:
    """Fields of a record as text, understood, with the time at which they changed."""
    try:
        record = part(RECORDS[kind], sis_id=sis_id, **fields)
    except (ValidationError, TypeError):
        names = ", ".join(sorted(fields))
        raise ConfigurationError(
            f"A record of {kind} cannot be changed so: {names}.", remedy="Name canonical fields, with values as text."
        ) from None
    return {**{name: getattr(record, name) for name in fields}, "updated_at": at}
