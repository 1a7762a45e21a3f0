"""What a perfect client would make of the sandbox: canonical records, straight from what is listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sis_connect.capabilities import Kind
from sis_connect.records import (
    Course,
    Demographics,
    EmailAddress,
    Enrollment,
    Guardian,
    Phone,
    Record,
    School,
    Section,
    Staff,
    Student,
    Term,
)
from sis_connect.testing import district_records as neutral
from sis_connect.testing.district_values import grade_code
from sis_connect_oneroster import sandbox_rows as rows
from sis_connect_oneroster.sandbox_roster import Entry, Roster
from sis_connect_oneroster.sandbox_rows import Role

Told = Iterator[tuple[str, Entry, Record]]
_TERM_TYPES = {"schoolYear": "school_year", "semester": "semester", "term": "term", "gradingPeriod": "grading_period"}
_GUARDIANS = frozenset(("parent", "guardian", "relative"))


def truth(roster: Roster, kind: Kind) -> Iterator[tuple[str, Record]]:
    """What is delivered of a kind today: (neutral key, record)."""
    tell = _KINDS.get(kind)
    if tell is not None:
        for key, entry, record in tell(roster):
            yield key, roster.truth_of(kind, entry, record)


def is_valid(person: Any, settings: Mapping[str, str]) -> bool:
    """Whether somebody's row can be read; of students a share may lack the family name."""
    share = float(settings.get("invalid", "0"))
    return not isinstance(person, neutral.Student) or person.serial * 7919 % 1000 >= share * 1000


def _schools(roster: Roster) -> Told:
    for entry in roster.index("org", "type").get("school", ()):
        school: neutral.School = entry.sources[0]
        yield (
            school.key,
            entry,
            School(
                sis_id=entry.sourced_id,
                ids={"school_number": school.number},
                status=entry.listed,
                name=school.name,
                identifier=school.number,
            ),
        )


def _terms(roster: Roster) -> Told:
    for entry in roster.entries("session").values():
        term: neutral.Term = entry.sources[0]
        values: dict[str, Any] = {"type": _TERM_TYPES[rows.SESSION_TYPES[term.portion]]}
        yield (
            term.key,
            entry,
            Term(
                sis_id=entry.sourced_id,
                status=entry.listed,
                title=term.name,
                school_year=term.year,
                start_date=term.start,
                end_date=term.end,
                **values,
            ),
        )


def _courses(roster: Roster) -> Told:
    for entry in roster.entries("course").values():
        course: neutral.Course = entry.sources[0]
        yield (
            course.key,
            entry,
            Course(
                sis_id=entry.sourced_id,
                status=entry.listed,
                title=course.name,
                course_code=course.number,
                department=course.department,
                school=entry.links["org"][0],
            ),
        )


def _sections(roster: Roster) -> Told:
    for entry in roster.entries("class").values():
        section: neutral.Section = entry.sources[0]
        course: neutral.Course = entry.sources[1]
        yield (
            section.key,
            entry,
            Section(
                sis_id=entry.sourced_id,
                status=entry.listed,
                title=f"{course.name} - {section.number}",
                section_number=section.number,
                school=entry.links["school"][0],
                course=entry.links["course"][0],
                term=entry.links["term"][0],
                department=course.department,
                period=str(section.period),
                location=f"{100 + section.serial % 60}",
            ),
        )


def _people(roster: Roster) -> Iterator[tuple[Entry, Any, tuple[Role, ...]]]:
    """Everybody whose row can be read, with what they are."""
    for entry in roster.entries("user").values():
        if is_valid(entry.sources[0], roster.settings):
            yield entry, entry.sources[0], entry.sources[1]


def _staff(roster: Roster) -> Told:
    for entry, person, roles in _people(roster):
        posts = [role for role in roles if role.role != "student" and role.role not in _GUARDIANS]
        if posts:
            yield (
                person.key,
                entry,
                Staff(
                    sis_id=entry.sourced_id,
                    ids={"staff_number": person.number},
                    status=entry.listed,
                    given_name=person.given,
                    middle_name=person.middle,
                    family_name=person.family,
                    username=person.username,
                    email=person.email,
                    schools=tuple(sorted({roster.ids.org(role.school) for role in posts})),
                    role="teacher" if any(role.role == "teacher" for role in posts) else "staff",
                ),
            )


def _students(roster: Roster) -> Told:
    for entry, person, roles in _people(roster):
        schools = [roster.ids.org(role.school) for role in roles if role.role == "student"]
        if isinstance(person, neutral.Student):
            yield person.key, entry, _student(roster, entry, person, schools)


def _student(roster: Roster, entry: Entry, student: neutral.Student, schools: list[str]) -> Student:
    grade: Any = grade_code(student.grade)
    return Student(
        sis_id=entry.sourced_id,
        ids={"student_number": student.number} | ({"state_id": student.state_id} if student.state_id else {}),
        status=entry.listed,
        given_name=student.given,
        middle_name=student.middle,
        family_name=student.family,
        username=student.username,
        grade=grade,
        grade_text=grade,
        emails=(EmailAddress(address=student.email),) if student.email else (),
        phones=(Phone(number=student.phone),) if student.phone else (),
        **({"school": schools[0]} if schools else {}),
        **({"preferred_given_name": student.preferred} if roster.version == "1.2" else {}),
        **(_demographics(student) if entry.listed == "active" else {}),
    )


def _demographics(student: neutral.Student) -> dict[str, Any]:
    return {
        "birth_date": student.birth_date,
        "gender": {"F": "female", "M": "male"}.get(student.gender),
        "demographics": Demographics(
            ethnicity="hispanicOrLatino" if student.ethnicity == "YES" else "notHispanicOrLatino",
            races=tuple(name for name, code in rows.RACES.items() if code in student.races),
        ),
    }


def _guardians(roster: Roster) -> Told:
    keys = {guardian.staff: guardian.key for guardian, _ in roster.guardians() if guardian.staff is not None}
    for entry, person, roles in _people(roster):
        words = [role.role for role in roles if role.role in _GUARDIANS]
        if not words:
            continue
        yield (
            keys[person.serial] if isinstance(person, neutral.Staff) else person.key,
            entry,
            Guardian(
                sis_id=entry.sourced_id,
                status=entry.listed,
                given_name=person.given,
                family_name=person.family,
                relationship=words[0],
                students=tuple(link.sourced_id for link in entry.sources[2]),
                emails=(EmailAddress(address=person.email),) if person.email else (),
                phones=(Phone(number=person.phone),) if person.phone else (),
            ),
        )


def _enrollments(roster: Roster) -> Told:
    people = roster.entries("user")
    for entry in roster.entries("enrollment").values():
        if entry.links["user"][0] in people:
            yield _enrollment(roster, entry)


def _enrollment(roster: Roster, entry: Entry) -> tuple[str, Entry, Record]:
    record: neutral.Enrollment | neutral.Section = entry.sources[0]
    teaches = isinstance(record, neutral.Section)
    section, user, school = (entry.links[name][0] for name in ("class", "user", "school"))
    term = roster.district.terms[record.term] if isinstance(record, neutral.Section) else None
    begin, end = (term.start, term.end) if term else (record.begin, record.end)  # type: ignore[union-attr]
    key = record.key
    if isinstance(record, neutral.Section):
        now = roster.district.affiliations[record.teacher]
        key = f"teacher-of-{record.key}"
        key += "" if entry.sourced_id == roster.ids.teaching(record, now) else f"-{entry.sourced_id}"
    return (
        key,
        entry,
        Enrollment(
            sis_id=entry.sourced_id,
            status=entry.listed,
            section=section,
            user=user,
            role="teacher" if teaches else "student",
            primary=teaches,
            school=school,
            begin_date=begin,
            end_date=end,
        ),
    )


_KINDS: Mapping[Kind, Callable[[Roster], Told]] = {
    "schools": _schools,
    "terms": _terms,
    "courses": _courses,
    "sections": _sections,
    "staff": _staff,
    "students": _students,
    "enrollments": _enrollments,
    "guardians": _guardians,
}
