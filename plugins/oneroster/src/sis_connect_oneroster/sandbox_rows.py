"""The objects of the sandbox: what each record of the synthetic district looks like in OneRoster 1.1 and 1.2.

A reference is a `Link`; the server makes an object with an address of it. Dates are texts, truth values are `True` and `False`
until they are put on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zlib import crc32

from sis_connect.testing.district_guardians import Guardian
from sis_connect.testing.district_records import (
    FIRST_FREE_COLUMN,
    Affiliation,
    Course,
    Enrollment,
    School,
    Section,
    Staff,
    Stint,
    Student,
    Term,
    identifier,
)
from sis_connect.testing.district_values import grade_code

Row = dict[str, Any]
Person = Student | Staff | Guardian
DISTRICT_NUMBER = "0042"
_COLUMNS = {
    name: FIRST_FREE_COLUMN + 20 + place
    for place, name in enumerate(("org", "session", "course", "class", "enrollment", "teaching", "student", "staff", "guardian"))
}
_FLOOR = 300
SESSION_TYPES: Mapping[int, str] = {1: "schoolYear", 2: "semester", 3: "term", 4: "gradingPeriod"}
RACES: Mapping[str, str] = {
    "americanIndianOrAlaskaNative": "NA",
    "asian": "AS",
    "blackOrAfricanAmerican": "BL",
    "nativeHawaiianOrOtherPacificIslander": "PI",
    "white": "WH",
}
#: The words of 1.1 for the roles of 1.2 that it does not have.
ROLES_11: Mapping[str, str] = {
    "siteAdministrator": "administrator",
    "districtAdministrator": "administrator",
    "systemAdministrator": "administrator",
    "principal": "administrator",
    "counselor": "aide",
}


class Link(NamedTuple):
    """A reference: the collection where its target is, the target's sourcedId, and its type."""

    collection: str
    sourced_id: str
    type: str


def number(table: str, serial: int) -> int:
    """A number for a record that no record of another table has."""
    return identifier(_COLUMNS[table], serial, floor=_FLOOR)


class Ids:
    """The sourcedIds. A vendor that makes them otherwise overrides a method."""

    def org(self, school: School | None) -> str:
        """None is the district."""
        return "o-district" if school is None else f"o-{number('org', school.serial)}"

    def session(self, term: Term) -> str:
        return f"t-{number('session', term.serial)}"

    def course(self, course: Course) -> str:
        return f"k-{number('course', course.serial)}"

    def section(self, section: Section) -> str:
        return f"c-{number('class', section.serial)}"

    def enrollment(self, enrollment: Enrollment) -> str:
        return f"e-{number('enrollment', enrollment.serial)}"

    def teaching(self, section: Section, affiliation: Affiliation) -> str:
        return f"e-{number('teaching', section.serial)}.{affiliation.serial}"

    def user(self, person: Person, role: str | None) -> str:
        """In 1.2 a person is one record and `role` None; in 1.1 each role is one, and the first has the person's own id."""
        table = type(person).__name__.lower()
        known_as = f"u-{number(table, person.serial)}"
        return f"{known_as}.{role}" if role and isinstance(person, Staff) and role in ("parent", "guardian") else known_as


class Role(NamedTuple):
    """What a person is at an org, in the words of 1.2. `primary`: the first one there."""

    role: str
    school: School | None
    primary: bool = True
    begin: date | None = None
    end: date | None = None


@lru_cache(maxsize=4096)
def _day_text(day: date) -> str:
    return day.isoformat()


def modified(day: date, sourced_id: str) -> str:
    """A moment of a day, always the same for the same object: between six in the morning and six in the evening."""
    chance = crc32(sourced_id.encode())
    seconds = 21_600 + chance % 43_200
    return f"{_day_text(day)}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{chance % 997:03d}Z"


@dataclass(frozen=True, slots=True)
class Dates:
    """How ends are written: as the first day after (`exclusive`), or as the last day (`inclusive`)."""

    inclusive: bool = False

    def end(self, day: date) -> str:
        return _day_text(day - timedelta(days=1) if self.inclusive else day)


# Objects, without what all of them have


def district_row(schools: Sequence[Link]) -> Row:
    return {
        "name": "Anytown Unified School District",
        "type": "district",
        "identifier": DISTRICT_NUMBER,
        "children": list(schools),
    }


def school_row(school: School, district: Link) -> Row:
    return {"name": school.name, "type": "school", "identifier": school.number, "parent": district}


def session_row(term: Term, dates: Dates, parent: Link | None, children: Sequence[Link]) -> Row:
    return {
        "title": term.name,
        "startDate": _day_text(term.start),
        "endDate": dates.end(term.end),
        "type": SESSION_TYPES[term.portion],
        "schoolYear": str(term.year),
        "parent": parent,
        "children": list(children) or None,
    }


def course_row(course: Course, grades: Sequence[str], org: Link) -> Row:
    return {
        "title": course.name,
        "courseCode": course.number,
        "grades": list(grades),
        "subjects": [course.department] if course.department else None,
        "subjectCodes": [subject_code(course)] if course.department else None,
        "org": org,
    }


def subject_code(course: Course) -> str:
    return f"{crc32(course.department.encode()) % 23 + 1:02d}"


def class_row(section: Section, course: Course, *, course_link: Link, school: Link, terms: Sequence[Link]) -> Row:
    return {
        "title": f"{course.name} - {section.number}",
        "classCode": section.number,
        "classType": "homeroom" if course.name.startswith(("Homeroom", "Advisory")) else "scheduled",
        "location": f"{100 + section.serial % 60}",
        "grades": [grade_code(section.grade)],
        "subjects": [course.department] if course.department else None,
        "subjectCodes": [subject_code(course)] if course.department else None,
        "course": course_link,
        "school": school,
        "terms": list(terms),
        "periods": [str(section.period)],
    }


def enrollment_row(
    role: str, begin: date, end: date, dates: Dates, *, user: Link, section: Link, school: Link, primary: bool | None = None
) -> Row:
    return {
        "user": user,
        "class": section,
        "school": school,
        "role": role,
        "primary": primary,
        "beginDate": _day_text(begin),
        "endDate": dates.end(end),
    }


def student_row(student: Student) -> Row:
    return {
        "enabledUser": student.serial % 37 != 36,
        "username": student.username,
        "userIds": [{"type": "stateId", "identifier": student.state_id}] if student.state_id else None,
        "givenName": student.given,
        "familyName": student.family,
        "middleName": student.middle or None,
        "preferredFirstName": student.preferred or None,
        "identifier": student.number,
        "email": student.email or None,
        "phone": student.phone or None,
        "grades": [grade_code(student.grade)],
    }


def staff_row(person: Staff) -> Row:
    return {
        "enabledUser": True,
        "username": person.username,
        "givenName": person.given,
        "familyName": person.family,
        "middleName": person.middle or None,
        "identifier": person.number,
        "email": person.email or None,
        "phone": person.phone or None,
    }


def guardian_row(guardian: Guardian) -> Row:
    return {
        "enabledUser": guardian.portal,
        "username": guardian.email or f"guardian{guardian.serial}",
        "givenName": guardian.given,
        "familyName": guardian.family,
        "email": guardian.email or None,
        "sms": guardian.phone or None,
    }


def demographics_row(student: Student) -> Row:
    races = {name: code in student.races for name, code in RACES.items()}
    return {
        "birthDate": _day_text(student.birth_date),
        "sex": {"F": "female", "M": "male"}.get(student.gender),
        **races,
        "demographicRaceTwoOrMoreRaces": len(student.races) > 1,
        "hispanicOrLatinoEthnicity": student.ethnicity == "YES",
    }


def student_roles(main: School | None, stints: Sequence[tuple[Stint, School]], present: Stint | None) -> list[Role]:
    """At the school attended, and at a second one beside it."""
    begin, end = (present.entry, present.exit) if present else (None, None)
    roles = [Role("student", main, begin=begin, end=end)] if main else []
    return roles + [Role("student", school, begin=stint.entry, end=stint.exit) for stint, school in stints]


def staff_role(affiliation: Affiliation, school: School | None) -> Role:
    if affiliation.teacher:
        return Role("teacher", school)
    if school is None:
        return Role("districtAdministrator", None)
    return Role("aide" if affiliation.serial % 2 else "siteAdministrator", school)
