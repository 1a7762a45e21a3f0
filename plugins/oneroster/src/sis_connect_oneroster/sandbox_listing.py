"""What the sandbox shows of the synthetic district on a day: which records, and whether they are still there.

Vendors whose servers show less, or otherwise, override the iterators. Each tells a record and how it is listed: `active`, or
`tobedeleted` for a year after it ceased to be.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from functools import cached_property
from typing import Any, Literal

from sis_connect.testing.district import District
from sis_connect.testing.district_guardians import Guardian, guardians
from sis_connect.testing.district_records import (
    Affiliation,
    Course,
    Enrollment,
    School,
    Section,
    Staff,
    Student,
    Term,
)

Listed = Literal["active", "tobedeleted"]
#: For so long something that is gone is listed as such.
REMEMBERED = timedelta(days=365)


class Listing:
    """The records of one day."""

    def __init__(self, district: District, settings: Mapping[str, str]) -> None:
        self.district, self.settings = district, settings

    def schools(self) -> Iterator[tuple[School, Listed]]:
        for school in self.district.schools.values():
            yield school, "active"

    def terms(self) -> Iterator[tuple[Term, Listed]]:
        return self._current(self.district.terms.values())

    def sections(self) -> Iterator[tuple[Section, Listed]]:
        return self._current(self.district.sections.values())

    def courses(self) -> Iterator[tuple[Course, Listed]]:
        """Those that are taught this year, or were until the last."""
        taught: dict[int, Listed] = {}
        for section, listed in self.sections():
            if listed == "active" or section.course not in taught:
                taught[section.course] = listed
        for serial in sorted(taught):
            yield self.district.courses[serial], taught[serial]

    def students(self) -> Iterator[tuple[Student, Listed]]:
        """Those who attend, and those who left within the year; not those who are to come."""
        for student in self.district.students.values():
            if student.status == "active":
                yield student, "active"
            elif student.status != "pre_registered" and student.stint is not None:
                left = min(self.district.stints[student.stint].exit, self.district.today)
                if self.remembers(left):
                    yield student, "tobedeleted"

    def staff(self) -> Iterator[tuple[Staff, Listed]]:
        for serial, places in self.affiliations_of.items():
            if any(place.active for place in places):
                yield self.district.staff[serial], "active"
            elif self.remembers(max(self.district.changed_on(place) for place in places)):
                yield self.district.staff[serial], "tobedeleted"

    def guardians(self) -> Iterator[tuple[Guardian, Listed]]:
        """Those of students that are listed."""
        for guardian in guardians(self.district).values():
            known = [self.student_listing[serial] for serial in guardian.students if serial in self.student_listing]
            if known:
                yield guardian, "active" if "active" in known else "tobedeleted"

    def enrollments(self) -> Iterator[tuple[Enrollment, Listed]]:
        """Students in classes that are listed. Those of nobody only where dangling ones are asked for."""
        everyone = self.settings.get("dangling") == "listed"
        classes, district = dict(self.section_listing), self.district
        for serial, section_listed in classes.items():
            for row in (district.enrollments[place] for place in district.rosters.get(serial, ())):
                if row.student not in self.student_listing and not (everyone and row.student not in district.students):
                    continue
                listed: Listed = "tobedeleted" if row.dropped else section_listed
                if listed == "active" or self.remembers(district.changed_on(row)):
                    yield row, listed
        for serial, (row, since) in district.removed[Enrollment].items():
            gone = serial not in district.enrollments and row.section in classes and row.student in self.student_listing
            if gone and self.remembers(since):
                yield row, "tobedeleted"

    def teachings(self) -> Iterator[tuple[Section, Affiliation, Listed, date]]:
        """Teachers of classes, and those who were until somebody else took over; with the day of the change."""
        district = self.district
        for serial, listed in self.section_listing.items():
            section = district.sections[serial]
            yield section, district.affiliations[section.teacher], listed, district.changed_on(section)
            for teacher, until in district.former_teachers.get(serial, {}).items():
                if self.remembers(until):
                    yield section, district.affiliations[teacher], "tobedeleted", until

    def remembers(self, since: date) -> bool:
        """Whether what has been gone since then is still listed."""
        return self.settings.get("deleted") != "purged" and self.district.today - since < REMEMBERED

    def _current(self, records: Iterable[Any]) -> Iterator[tuple[Any, Listed]]:
        gone = self.district.removed
        for record in records:
            removed = gone[type(record)].get(record.serial)
            if removed is None:
                yield record, "active"
            elif self.remembers(removed[1]):
                yield record, "tobedeleted"

    @cached_property
    def student_listing(self) -> dict[int, Listed]:
        return {student.serial: listed for student, listed in self.students()}

    @cached_property
    def section_listing(self) -> dict[int, Listed]:
        return {section.serial: listed for section, listed in self.sections()}

    @cached_property
    def affiliations_of(self) -> dict[int, list[Affiliation]]:
        found: defaultdict[int, list[Affiliation]] = defaultdict(list)
        for affiliation in self.district.affiliations.values():
            found[affiliation.staff].append(affiliation)
        return dict(found)
