"""The district as Qmlativ keeps it: under which numbers, and who is where today."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any, NamedTuple

from sis_connect.testing.district import District
from sis_connect.testing.district_guardians import Guardian, guardians
from sis_connect.testing.district_records import FIRST_FREE_COLUMN, Enrollment, Section, Stint, Student, identifier

Row = dict[str, Any]
Makers = Mapping[str, Callable[["Tables"], Iterator[Row]]]
_TABLES = (
    "entity", "student", "name", "staff", "course", "section", "term", "department", "roster", "meet", "staff_meet", "stay",
    "student_entity", "staff_entity", "email", "phone", "address", "guardian", "school",
)  # fmt: skip
_COLUMNS = {name: FIRST_FREE_COLUMN + 10 + place for place, name in enumerate(_TABLES)}
#: The whole installation, the district, and the entity that counts everybody and teaches nobody.
SYSTEM, DISTRICT, CENSUS, CENSUS_CODE = 1, 2, 3, "800"
_STUDENT, _STAFF, _GUARDIAN = range(3)


def number(table: str, serial: int) -> int:
    """The number of a record in one of Qmlativ's tables."""
    return identifier(_COLUMNS[table], serial, floor=200)


def course_number(district: District, school: int, course: int) -> int:
    """Courses are kept for each school and year anew."""
    return number("course", (district.year.year % 100 * 1000 + school) * 1000 + course)


def name_of_student(serial: int) -> int:
    """The number of a student as a person."""
    return number("name", 3 * serial + _STUDENT)


def name_of_staff(serial: int) -> int:
    """The number of one of the staff as a person."""
    return number("name", 3 * serial + _STAFF)


def name_of_guardian(guardian: Guardian) -> int:
    """The number of a guardian as a person, who may be one of the staff, too."""
    return number("name", 3 * guardian.serial + _GUARDIAN) if guardian.staff is None else name_of_staff(guardian.staff)


def full_address(student: Student, street: str) -> str:
    """An address in one line."""
    return f"{street}, {student.city} AZ {student.postal_code}"


class Teaching(NamedTuple):
    """Somebody in front of a section. `end` is the first day out."""

    key: int
    staff: int
    begin: date
    end: date
    primary: bool
    substitute: bool


class Tables:
    """All objects of today, made when they are first asked for."""

    def __init__(self, district: District, settings: Mapping[str, str], makers: Makers) -> None:
        self.district, self.settings, self._makers = district, settings, makers
        self.year = district.year.year
        self.guardians = guardians(district)
        self._made: dict[str, dict[int, Row]] = {}

    def rows(self, name: str) -> dict[int, Row]:
        """The rows of an object by their key, which is a row's first member."""
        if name not in self._made:
            rows = self._makers[name](self)
            self._made[name] = {next(iter(row.values())): row for row in rows}
        return self._made[name]

    def year_id(self, year: int | None = None) -> int:
        """The number of a school year."""
        return (year or self.year) % 100

    def last(self, end: date | None) -> str | None:
        """An end as it is on record, from the first day out."""
        out = end is not None and self.settings["end_dates"] == "inclusive"
        return None if end is None else (end - timedelta(days=1 if out else 0)).isoformat()

    def current_sections(self) -> Iterator[Section]:
        for taught in self.district.sections_of.values():
            yield from (self.district.sections[serial] for serial in taught)

    def rosters(self) -> Iterator[tuple[Section, Enrollment]]:
        """The classes of this year, those of students who do not exist among them."""
        for section in self.current_sections():
            for serial in self.district.rosters.get(section.serial, ()):
                yield section, self.district.enrollments[serial]

    def teachers(self, section: Section) -> Iterator[Teaching]:
        """Who teaches a section, who taught it before, and for some who helps and who stood in for a week."""
        term, former = self.district.terms[section.term], self.district.former_teachers.get(section.serial, {})
        begun = term.start
        for affiliation, until in sorted(former.items(), key=lambda item: item[1]):
            if term.start < until <= term.end:
                yield self._teaching(section, affiliation, term.start, until)
                begun = max(begun, until)
        if begun < term.end:
            yield self._teaching(section, section.teacher, begun, term.end)
        others = [a.serial for a in self.district.affiliations.values() if a.teacher and a.active and a.school == section.school]
        others = [other for other in others if other != section.teacher and other not in former]
        if others and section.serial % 4 == 1:
            yield self._teaching(section, others[0], term.start, term.end, primary=False)
        if others and section.serial % 4 == 2:
            week = term.start + timedelta(days=7)
            yield self._teaching(section, others[-1], term.start, week, primary=False, substitute=True)

    def _teaching(
        self, section: Section, affiliation: int, begin: date, end: date, *, primary: bool = True, substitute: bool = False
    ) -> Teaching:
        key, staff = number("staff_meet", section.serial * 10_000 + affiliation), self.district.affiliations[affiliation].staff
        return Teaching(key, staff, begin, end, primary, substitute)

    def stints(self) -> Iterator[Stint]:
        """All stays so far; those of students who are only expected are entered when they come."""
        students = self.district.students
        yield from (stint for stint in self.district.stints.values() if students[stint.student].status != "pre_registered")

    def stay_end(self, stint: Stint) -> date | None:
        """Who is there to the end of the year has no end on record."""
        return None if not stint.exit_code and stint.exit >= self.district.year.end else stint.exit

    def entities_of(self, student: Student) -> list[int]:
        """The entities of a student, that of the school first. For some the census is the default one, see `default_of`."""
        if student.school is None:
            return []
        stints = [self.district.stints[serial] for serial in self.district.stays[student.serial]]
        others = [number("entity", s.school) for s in stints if not s.primary and s.exit > self.district.today]
        census = [CENSUS] if student.serial % 10 == 3 else []
        return list(dict.fromkeys([number("entity", student.school), *others, *census]))

    def default_of(self, student: Student, entities: list[int]) -> int:
        """Which of a student's entities is marked as the default: where it is the school and the census, the latter."""
        return CENSUS if student.status == "active" and CENSUS in entities and len(entities) == 2 else entities[0]
