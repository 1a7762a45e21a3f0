"""From PowerSchool's rows to canonical records: pure functions, one for each kind of row; `students.py` has the largest.

The JSON of `/ws/v1` was made out of XML: one item is an object where several are a list, an empty element is `""`, a value that
is not there is left out, and text that looks like a number or a truth value arrives as one. So every text goes through `text`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias, TypeVar

from msgspec import UNSET, Struct, UnsetType, field

from sis_connect.provider import InvalidRow
from sis_connect.records import Course, Enrollment, Record, Ref, School, Section, Staff, Term, derive_id
from sis_connect.rest_provider import Asked, build
from sis_connect.values import Many, Value, day, day_after, given, identifiers, many, number, text, truth

T = TypeVar("T")
#: A sub-object that comes on request only.
Expansion: TypeAlias = T | str | UnsetType | None

#: The school that graduates are kept in; it is no building, and grade 99 goes with it.
GRADUATED_SCHOOL = "999999"

_ROLES = {1: "teacher", 2: "staff"}
_TERM_TYPES = {1: "school_year", 2: "semester"}


def name(value: Value) -> str | None:
    """A name that the office typed. Whether somebody called True keeps the capital on the wire is not sure; here it does."""
    return str(value) if isinstance(value, bool) else text(value)


def opened(value: Expansion[T], empty: T) -> T | None:
    """The content of an expansion that was asked for: `empty` where the server says so, None where it said nothing."""
    if isinstance(value, UnsetType):
        return None
    return empty if value is None or isinstance(value, str) else value


def grade(level: int | None) -> str | None:
    """The CEDS code; every year before kindergarten is PK, and 99 (graduated) is none."""
    if level is None or level > 12:
        return None
    return "PK" if level < 0 else "KG" if level == 0 else f"{level:02}"


class SchoolRow(Struct, gc=False):
    id: Value = None
    name: Value = None
    school_number: Value = None
    state_province_id: Value = None
    low_grade: Value = None
    high_grade: Value = None


def is_school(row: SchoolRow) -> bool:
    """Graduates are kept in a school that is none."""
    return text(row.school_number) != GRADUATED_SCHOOL


def school(row: SchoolRow, asked: Asked) -> Iterator[Record]:
    if not is_school(row):
        return
    low, high = number(row.low_grade, "low_grade"), number(row.high_grade, "high_grade")
    grades = None
    if low is not None and high is not None:
        grades = tuple(dict.fromkeys(code for level in range(max(low, -9), min(high, 12) + 1) if (code := grade(level))))
    yield build(
        School,
        sis_id=text(row.id),
        ids=identifiers(school_number=row.school_number, state_id=row.state_province_id),
        name=text(row.name),
        **given(identifier=text(row.school_number), grades=grades),
    )


class TermRow(Struct, gc=False):
    id: Value = None
    local_id: Value = None
    school_id: Value = None
    start_year: Value = None
    portion: Value = None
    start_date: str | None = None
    end_date: str | None = None
    name: Value = None
    abbreviation: Value = None


def term(row: TermRow, asked: Asked) -> Iterator[Record]:
    portion, year = number(row.portion, "portion"), number(row.start_year, "start_year")
    yield build(
        Term,
        sis_id=text(row.id),
        ids=identifiers(term_id=row.local_id),
        title=text(row.name) or text(row.abbreviation),
        start_date=day(row.start_date, "start_date"),
        end_date=day_after(row.end_date, "end_date"),
        **given(
            school=text(row.school_id) or asked.context.get("school"),
            school_year=None if year is None else year + 1,
            type=None if portion is None else _TERM_TYPES.get(portion, "term"),
        ),
    )


class CourseRow(Struct, gc=False):
    id: Value = None
    course_number: Value = None
    course_name: Value = None
    department: Value = None


def course(row: CourseRow, asked: Asked) -> Iterator[Record]:
    """Without its school: a district's course is listed at each of several. Only the package tells the department."""
    stated = given(course_code=text(row.course_number), department=text(row.department))
    yield build(Course, sis_id=text(row.id), title=text(row.course_name), **stated)


class SectionRow(Struct, gc=False):
    id: Value = None
    school_id: Value = None
    course_id: Value = None
    term_id: Value = None
    staff_id: Value = None
    section_number: Value = None
    expression: Value = None
    external_expression: Value = None


def section(row: SectionRow, asked: Asked) -> Iterator[Record]:
    """A section, and its lead teacher in it."""
    sis_id, at, teacher = text(row.id), text(row.school_id) or asked.context.get("school"), text(row.staff_id)
    yield build(
        Section,
        sis_id=sis_id,
        school=at,
        **given(
            course=text(row.course_id),
            term=text(row.term_id),
            section_number=text(row.section_number),
            period=text(row.external_expression) or text(row.expression),
        ),
    )
    if sis_id and teacher and teacher != "0":
        yield build(
            Enrollment,
            sis_id=derive_id(section=sis_id, school_staff=teacher),
            derived=True,
            section=sis_id,
            user=Ref("staff", school_staff=teacher),
            role="teacher",
            primary=True,
            school=at,
        )


class RosterRow(Struct, gc=False):
    id: Value = None
    section_id: Value = None
    student_id: Value = None
    school_id: Value = None
    entry_date: str | None = None
    exit_date: str | None = None
    dropped: Value = None


def roster_entry(row: RosterRow, asked: Asked) -> Iterator[Record]:
    """A student in a section. `exit_date` is the first day out already, and lies ahead for those who are in."""
    dropped = truth(row.dropped, "dropped")
    yield build(
        Enrollment,
        sis_id=text(row.id),
        section=text(row.section_id) or asked.context.get("section"),
        user=text(row.student_id),
        role="student",
        status="inactive" if dropped else "active",
        status_reason="dropped" if dropped else None,
        **given(
            begin_date=day(row.entry_date, "entry_date"),
            end_date=day(row.exit_date, "exit_date"),
            school=text(row.school_id) or asked.context.get("school"),
        ),
    )


class Name(Struct, gc=False):
    first_name: Value = None
    middle_name: Value = None
    last_name: Value = None


class Affiliation(Struct, gc=False):
    school_id: Value = None
    type: Value = None
    status: Value = None


class Affiliations(Struct):
    school_affiliation: Many[Affiliation] = None


class StaffEmails(Struct, gc=False):
    work_email: Value = None


class StaffRow(Struct):
    id: Value = None
    users_dcid: Value = None
    local_id: Value = None
    admin_username: Value = None
    teacher_username: Value = None
    name: Name = field(default_factory=Name)
    emails: Expansion[StaffEmails] = UNSET
    school_affiliations: Expansion[Affiliations] = UNSET


def staff(row: StaffRow, asked: Asked) -> Iterator[Record]:
    """A human, by the number of the person: `id` is another one at each school."""
    if text(row.users_dcid) is None:
        raise InvalidRow("users_dcid is missing, so nobody can say which person this is", key=None, fields=("users_dcid",))
    listed = opened(row.school_affiliations, Affiliations())
    affiliations = many(listed.school_affiliation) if listed else []
    here = asked.context.get("school")
    schools = {written for a in affiliations if (written := text(a.school_id)) and written != "0"} or ({here} if here else set())
    own = next((a for a in affiliations if text(a.school_id) == here), affiliations[0] if affiliations else Affiliation())
    role, state = _ROLES.get(number(own.type, "type") or 0), number(own.status, "status")
    emails = opened(row.emails, StaffEmails())
    yield build(
        Staff,
        sis_id=text(row.users_dcid),
        ids=identifiers(school_staff=row.id, staff_number=row.local_id),
        given_name=name(row.name.first_name),
        middle_name=name(row.name.middle_name),
        family_name=name(row.name.last_name),
        username=text(row.teacher_username) or text(row.admin_username),
        status="active" if state in (None, 1) else "inactive",
        schools=tuple(sorted(schools)),
        **given(role=role),
        **({"email": text(emails.work_email)} if emails else {}),
    )
