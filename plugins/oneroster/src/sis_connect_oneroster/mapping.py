"""From OneRoster's rows to canonical records: pure functions, one for each class of object, for both versions and for CSV."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec import UNSET, UnsetType, field
from msgspec.structs import fields

from sis_connect.provider import InvalidRow
from sis_connect.records import Course, Enrollment, Guardian, Record, School, Section, Staff, Student, Term
from sis_connect.rest_provider import Asked, part
from sis_connect.values import Value, day, given, identifiers, text, truth
from sis_connect_oneroster.reading import Row, grades, ids, last_day, listed, one, record, standing, word, words

_GUARDIANS = frozenset(("guardian", "parent", "relative"))
_STAFF = frozenset(
    (
        *("teacher", "aide", "administrator", "counselor", "principal", "proctor"),
        *("districtadministrator", "siteadministrator", "systemadministrator"),
    )
)
_TERMS = {"schoolyear": "school_year", "semester": "semester", "gradingperiod": "grading_period"}


# -- schools and classes -----------------------------------------------------------------------------------------------


class OrgRow(Row, rename="camel"):
    name: Value = None
    type: Value = None
    identifier: Value = None

    def schools(self) -> list[str]:
        return ids(self.sourcedId)


def school(row: OrgRow, asked: Asked) -> Iterator[Record]:
    """Of the organisations, the schools. Where a list of schools does not say so, they are."""
    if word(row.type) in ("", "school"):
        number = identifiers(school_number=row.identifier)
        yield record(School, row, asked, ids=number, name=text(row.name), identifier=text(row.identifier))


class SessionRow(Row, rename="camel"):
    title: Value = None
    type: Value = None
    start_date: Value = None
    end_date: Value = None
    school_year: Any = None


def term(row: SessionRow, asked: Asked) -> Iterator[Record]:
    yield record(
        Term,
        row,
        asked,
        title=text(row.title),
        type=_TERMS.get(word(row.type), "term"),
        start_date=day(row.start_date, "startDate"),
        end_date=last_day(row.end_date, "endDate", asked),
        **given(school_year=year(row.school_year)),
    )


def year(value: Any) -> int | None:
    """The year that a school year ends in, of `2027`, `"2027"` or `"2026-27"`."""
    found = re.fullmatch(r"(?:\d{4}\D)?(?:20)?(\d{2})(?:\.0)?", word(value))
    return 2000 + int(found[1]) if found else None


class CourseRow(Row, rename="camel"):
    title: Value = None
    course_code: Value = None
    subjects: Any = None
    org: Any = None


def course(row: CourseRow, asked: Asked) -> Iterator[Record]:
    code, subject = text(row.course_code), words(listed(row.subjects)[:1])
    yield record(Course, row, asked, title=text(row.title), course_code=code, department=subject, **given(school=one(row.org)))


class ClassRow(Row, rename="camel"):
    title: Value = None
    class_code: Value = None
    location: Value = None
    periods: Any = None
    subjects: Any = None
    course: Any = None
    school: Any = None
    org: Any = None
    terms: Any = None
    term: Any = None

    def schools(self) -> list[str]:
        return ids(self.school) or ids(self.org)


def section(row: ClassRow, asked: Asked) -> Iterator[Record]:
    at = next(iter(row.schools()), asked.context.get("school"))
    yield record(
        Section,
        row,
        asked,
        title=text(row.title),
        section_number=text(row.class_code),
        location=text(row.location),
        period=words(row.periods),
        department=words(listed(row.subjects)[:1]),
        **given(school=at, course=one(row.course), term=one(row.terms) or one(row.term)),
    )


class EnrollmentRow(Row, rename="camel"):
    user: Any = None
    class_: Any = field(name="class", default=None)
    school: Any = None
    role: Value = None
    primary: Value = None
    begin_date: Value = None
    end_date: Value = None

    def schools(self) -> list[str]:
        return ids(self.school)


def enrollment(row: EnrollmentRow, asked: Asked) -> Iterator[Record]:
    """A person in a section. Who neither learns nor teaches there helps; guardians are listed by some, and are in no class."""
    said = word(row.role)
    if said in _GUARDIANS:
        return
    role = said if said in ("student", "teacher", "") else "aide"
    yield record(
        Enrollment,
        row,
        asked,
        primary=role == "teacher" and bool(truth(row.primary, "primary")),
        begin_date=day(row.begin_date, "beginDate"),
        end_date=last_day(row.end_date, "endDate", asked),
        **given(section=one(row.class_), user=one(row.user), school=one(row.school), role=role or None),
    )


# -- people ------------------------------------------------------------------------------------------------------------


class UserRow(Row, rename="camel"):
    role: Value = None
    roles: Any = None
    orgs: Any = None
    org: Any = None
    primary_org: Any = None
    username: Value = None
    user_ids: Any = None
    user_master_identifier: Value = None
    identifier: Value = None
    given_name: Value = None
    middle_name: Value = None
    family_name: Value = None
    preferred_first_name: Value = None
    preferred_middle_name: Value = None
    preferred_last_name: Value = None
    email: Value = None
    sms: Value = None
    phone: Value = None
    agents: Any = None
    grades: Any = UNSET

    def schools(self) -> list[str]:
        return [post.school for post in posts(self) if post.school]


class Post(NamedTuple):
    """What somebody is at one school, or at none in particular."""

    role: str
    school: str | None


def posts(row: UserRow) -> list[Post]:
    """What somebody is, the primary roles first: a list of roles in version 1.2, one role at several schools in 1.1."""
    schools: list[str | None] = [*(ids(row.orgs) or ids(row.org) or ids(row.primary_org))]
    roles = [item if isinstance(item, dict) else {"role": item} for item in listed(row.roles)]
    roles.sort(key=lambda role: word(role.get("roleType")) == "secondary")
    held = [Post(word(role.get("role")), school) for role in roles for school in ids(role.get("org")) or schools[:1] or [None]]
    return held or [Post(word(row.role), school) for school in schools or [None]]


def user(row: UserRow, asked: Asked) -> Iterator[Record]:
    """A student, one of the staff, or both; deleted as all that it may have been, where that is not said any more."""
    held, unsaid = _roles(row)
    if "student" in held or unsaid:
        yield from student(row, asked)
    if held & _STAFF or unsaid:
        yield from staff(row, asked)


def student(row: UserRow, asked: Asked) -> Iterator[Record]:
    """A student, as a list of students says that they all are. `school` is that of the first role as a student."""
    held, wanted = posts(row), asked.fields["students"]
    theirs = [post.school for post in held if post.role == "student" and post.school]
    theirs = theirs or [post.school for post in held if post.role == "" and post.school]
    yield record(
        Student,
        row,
        asked,
        ids=_numbers(row, "student_number"),
        **_names(row),
        **({} if isinstance(row.grades, UnsetType) else grades(row.grades)),
        **given(school=next(iter(theirs), None)),
        **({"emails": _emails(row)} if "emails" in wanted else {}),
        **({"phones": _phones(row)} if "phones" in wanted else {}),
    )
    if "guardians" in wanted:
        yield from (part(Guardian, sis_id=agent, students=(text(row.sourcedId),)) for agent in ids(row.agents))


def staff(row: UserRow, asked: Asked) -> Iterator[Record]:
    """One of the staff, as a list of teachers says that they all are."""
    held = [post for post in posts(row) if post.role not in ("student", *_GUARDIANS)]
    schools = sorted({post.school for post in held if post.school})
    teaches = any(post.role in ("teacher", "") for post in held)
    yield record(
        Staff,
        row,
        asked,
        ids=_numbers(row, "staff_number"),
        **_names(row),
        schools=schools,
        role="teacher" if teaches else "staff",
        email=text(row.email),
    )


def guardian(row: UserRow, asked: Asked) -> Iterator[Record]:
    """A guardian among all users."""
    held, unsaid = _roles(row)
    if not (held & _GUARDIANS or unsaid):
        return
    role = next((post.role for post in posts(row) if post.role in _GUARDIANS), None)
    yield record(
        Guardian,
        row,
        asked,
        ids=_numbers(row),
        given_name=text(row.given_name),
        family_name=text(row.family_name),
        relationship=role,
        students=ids(row.agents),
        emails=_emails(row),
        phones=_phones(row),
    )


def _roles(row: UserRow) -> tuple[set[str], bool]:
    """What somebody is, and whether it is somebody deleted of whom that is not said any more."""
    held = {post.role for post in posts(row)}
    if held != {""}:
        return held, False
    if standing(row)["status"] == "active":
        raise InvalidRow("role is missing, so nobody can say what this person is", key=None, fields=("role",))
    return held, True


def _names(row: UserRow) -> dict[str, str | None]:
    names = ("given_name", "middle_name", "family_name", "username")
    chosen = ("first", "given"), ("middle", "middle"), ("last", "family")
    return {
        **{name: text(getattr(row, name)) for name in names},
        **{f"preferred_{ours}_name": text(getattr(row, f"preferred_{theirs}_name")) for theirs, ours in chosen},
    }


def _numbers(row: UserRow, name: str = "") -> dict[str, str]:
    """Identifiers by name. The types of user ids are the vendor's own words."""
    typed = {
        re.sub(r"\W+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(item["type"]))).strip("_").lower(): item["identifier"]
        for item in listed(row.user_ids)
        if isinstance(item, dict) and item.get("type") and isinstance(item.get("identifier"), (str, int))
    }
    own = {name: row.identifier} if name else {}
    return identifiers(**{**typed, **own, "person": row.user_master_identifier})


def _emails(row: UserRow) -> list[dict[str, Any]]:
    return [{"address": row.email}] if text(row.email) else []


def _phones(row: UserRow) -> list[dict[str, Any]]:
    return [{"number": number} for each in (row.phone, row.sms) if (number := text(each))]


# -- demographics ------------------------------------------------------------------------------------------------------


class DemographicsRow(Row, rename="camel"):
    birth_date: Value = None
    sex: Value = None
    hispanic_or_latino_ethnicity: Value = None
    american_indian_or_alaska_native: Value = None
    asian: Value = None
    black_or_african_american: Value = None
    native_hawaiian_or_other_pacific_islander: Value = None
    white: Value = None


#: The races, by our names and as the standard spells them. "Two or more" is none of them, and follows from the others.
_RACES = {each.name: each.encode_name for each in fields(DemographicsRow)[-5:]}


def demographics(row: DemographicsRow, asked: Asked) -> Iterator[Record]:
    """What completes a student, as far as it is asked for. That these facts are deleted does not delete the student."""
    wanted = asked.fields["students"]
    told: dict[str, Any] = {}
    if "birth_date" in wanted:
        told["birth_date"] = day(row.birth_date, "birthDate")
    if "gender" in wanted:
        told["gender"] = text(row.sex)
    if "demographics" in wanted:
        latino = truth(row.hispanic_or_latino_ethnicity, "hispanicOrLatinoEthnicity")
        told["demographics"] = {
            "ethnicity": None if latino is None else "hispanicOrLatino" if latino else "notHispanicOrLatino",
            "races": tuple(name for ours, name in _RACES.items() if truth(getattr(row, ours), name)),
        }
    if standing(row)["status"] == "active":
        yield part(Student, sis_id=text(row.sourcedId) or "", **told)
