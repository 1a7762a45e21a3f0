"""From the rows of our PowerQueries to records. They have the names of `/ws/v1`, so that most are read as the rows there are.

All values are text, and what is empty is left out. `made_for` in a student's row says which fields the package was made for: a
field that it was made without is not blank, it is unknown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TypeVar

from msgspec import Struct, convert, structs

from sis_connect.provider import InvalidRow
from sis_connect.records import Record
from sis_connect.rest_provider import Asked
from sis_connect.values import Value, day, number, text
from sis_connect_powerschool import mapping, students

Shape = TypeVar("Shape", bound=Struct)

PREFERRED_NAME = "preferred_name"
#: What a package can be made for, each field with a bit of its own in `made_for`: the order is fixed.
FIELDS = (PREFERRED_NAME, "birth_date", "gender", "emails", "phones", "addresses", "contacts", "demographics")
_LAYOUTS = 1000
_ETHNICITY = {"0": "NO", "1": "YES"}


def made_for(layout: int, fields: Collection[str]) -> int:
    """The number by which a package says what it is."""
    return layout * _LAYOUTS + sum(1 << place for place, field in enumerate(FIELDS) if field in fields)


def lacking(code: Value, asked: Asked) -> list[str]:
    """The fields asked for that a package was made without."""
    known = (number(code, "made_for") or 0) % _LAYOUTS
    wanted = {*asked.fields["students"], *([PREFERRED_NAME] if asked.settings.preferred_name else ())}
    return [field for place, field in enumerate(FIELDS) if field in wanted and not known >> place & 1]


def layout(code: Value) -> int:
    """Which queries a package has: the number moves when they do."""
    return (number(code, "made_for") or 0) // _LAYOUTS


class Student(Struct):
    """A student, the present stay, and what is read on request."""

    id: Value = None
    made_for: Value = None
    local_id: Value = None
    state_province_id: Value = None
    student_username: Value = None
    first_name: Value = None
    middle_name: Value = None
    last_name: Value = None
    enroll_status_code: Value = None
    grade_level: Value = None
    school_number: Value = None
    school_id: Value = None
    entry_date: str | None = None
    exit_date: str | None = None
    entry_code: Value = None
    exit_code: Value = None
    preferred_name: Value = None
    birth_date: str | None = None
    gender: Value = None
    email: Value = None
    home_phone: Value = None
    street: Value = None
    city: Value = None
    state_province: Value = None
    postal_code: Value = None
    mailing_street: Value = None
    mailing_city: Value = None
    mailing_state_province: Value = None
    mailing_postal_code: Value = None
    emergency_contact_name1: Value = None
    emergency_phone1: Value = None
    emergency_contact_name2: Value = None
    emergency_phone2: Value = None
    guardian_email: Value = None
    mother: Value = None
    father: Value = None
    federal_ethnicity: Value = None
    races: Value = None


def student(row: Student, asked: Asked) -> Iterator[Record]:
    """A student and the stint of now."""
    if missing := lacking(row.made_for, asked):
        raise InvalidRow(f"the package in PowerSchool was made without {', '.join(missing)}", key=None, fields=tuple(missing))
    table, _, column = (asked.settings.preferred_name or "").partition(".")
    there = students.StudentRow(
        id=row.id,
        local_id=row.local_id,
        state_province_id=row.state_province_id,
        student_username=row.student_username,
        name=_part(row, mapping.Name),
        school_enrollment=_part(row, students.Stay),
        demographics=_part(row, students.Birth),
        contact_info=_part(row, students.ContactInfo),
        phones=students.Phones(students.Number(row.home_phone)),
        addresses=students.Addresses(_place(row), _place(row, "mailing_")),
        contact=_part(row, students.People),
        ethnicity_race=students.Ethnicity(
            _ETHNICITY.get(text(row.federal_ethnicity) or ""),
            [students.Race(race) for race in (text(row.races) or "").split(",")],
        ),
        extension_data=students.Extensions(students.ExtensionTable(table, students.ExtensionField(column, row.preferred_name))),
    )
    return students.student(there, asked)


def _part(row: Struct, shape: type[Shape]) -> Shape:
    """What `/ws/v1` has as an object of its own."""
    return convert(structs.asdict(row), shape)


def _place(row: Student, prefix: str = "") -> students.Place | None:
    names = ("street", "city", "state_province", "postal_code")
    values = {name: value for name in names if (value := getattr(row, prefix + name))}
    return students.Place(**values) if values else None


class FormerStay(Struct, gc=False):
    id: Value = None
    student_id: Value = None
    school_id: Value = None
    grade_level: Value = None
    entry_date: str | None = None
    exit_date: str | None = None
    entry_code: Value = None
    exit_code: Value = None


def former_stay(row: FormerStay, asked: Asked) -> Iterator[Record]:
    """A stay that is over. Who left on the day of entry never came, and may have come back that day, under the same identity."""
    who, school, level = text(row.student_id), text(row.school_id), number(row.grade_level, "grade_level")
    came = day(row.entry_date, "entry_date") != day(row.exit_date, "exit_date")
    if who and school and row.entry_date and came:
        yield students.stint(_part(row, students.Stay), who, school, active=False, level=level)


class Staff(Struct):
    """A human at one school."""

    id: Value = None
    users_dcid: Value = None
    school_id: Value = None
    kind: Value = None
    status: Value = None
    local_id: Value = None
    admin_username: Value = None
    teacher_username: Value = None
    first_name: Value = None
    middle_name: Value = None
    last_name: Value = None
    work_email: Value = None


def staff(row: Staff, asked: Asked) -> Iterator[Record]:
    """A person, by one post. Posts at no school of the list are none of ours, as in `/ws/v1`."""
    if row.users_dcid and not row.school_id:
        return
    there = mapping.StaffRow(
        id=row.id,
        users_dcid=row.users_dcid,
        local_id=row.local_id,
        admin_username=row.admin_username,
        teacher_username=row.teacher_username,
        name=_part(row, mapping.Name),
        emails=_part(row, mapping.StaffEmails),
        school_affiliations=mapping.Affiliations(mapping.Affiliation(row.school_id, row.kind, row.status)),
    )
    yield from mapping.staff(there, asked)


def roster_entry(row: mapping.RosterRow, asked: Asked) -> Iterator[Record]:
    """A student in a section, if there are both: the query joins them outwardly."""
    if row.student_id and row.section_id:
        yield from mapping.roster_entry(row, asked)
