"""What a perfect client would make of the SMS sandbox: canonical records, straight from the synthetic district."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sis_connect.capabilities import Kind
from sis_connect.records import (
    Address,
    Contact,
    Demographics,
    EmailAddress,
    Enrollment,
    Guardian,
    Phone,
    Record,
    School,
    Section,
    Student,
    derive_id,
)
from sis_connect.testing import district_guardians, district_records
from sis_connect.testing.district_values import grade_code
from sis_connect_skyward.sandbox_sms_rows import CENSUS, Population, number

Truth = Iterator[tuple[str, Record]]
_GRADES = ("PK", "KG", *(f"{level:02}" for level in range(1, 13)))


def truth(population: Population, kind: Kind) -> Truth:
    """What is delivered of a kind today: (neutral key, record)."""
    tell = _KINDS.get(kind)
    return iter(()) if tell is None else tell(population)


def _excluded(population: Population) -> set[str]:
    return {code.strip() for code in population.settings["excluded_entities"].split(",")}


def _schools(population: Population) -> Truth:
    schools = population.district.schools.values()
    listed = [(s.key, population.codes[s.serial], s.name, s.low_grade, s.high_grade) for s in schools]
    for key, code, name, low, high in [*listed, ("census", CENSUS, "Census", -1, 12)]:
        if code not in _excluded(population):
            grades = _GRADES[_GRADES.index(grade_code(low)) : _GRADES.index(grade_code(high)) + 1]
            yield key, School(sis_id=code, ids={"school_number": code}, name=name, identifier=code, grades=grades)


def _students(population: Population) -> Truth:
    excluded = _excluded(population)
    for sis_id, student in population.students.items():
        at = next((code for code in population.entities(student) if code not in excluded), None)
        code: Any = grade_code(student.grade)
        yield (
            student.key,
            Student(
                sis_id=str(sis_id),
                ids={"student_number": student.number} | ({"state_id": student.state_id} if student.state_id else {}),
                status="active" if at else "inactive",
                status_reason=None if at else "inactive",
                given_name=student.given,
                middle_name=student.middle,
                family_name=student.family,
                school=at,
                grade=code,
                grade_text=code,
                **_on_request(population, student),
            ),
        )


def _on_request(population: Population, student: district_records.Student) -> dict[str, Any]:
    letters = {"NA": "I", "AS": "A", "BL": "B", "PI": "P", "WH": "W"}
    place = {"street": student.street, "city": student.city, "postal_code": student.postal_code}
    return {
        "birth_date": student.birth_date,
        "gender": student.gender,
        "emails": (EmailAddress(address=student.email, type="school"),) if student.email else (),
        "phones": _phones(student.phone, student.emergency_phone),
        "addresses": (Address(**place, state="AZ"),) if student.street else (),
        "demographics": Demographics(
            ethnicity="true" if student.ethnicity == "YES" else "false", races=tuple(sorted(letters[r] for r in student.races))
        ),
        "contacts": tuple(
            sorted(map(_contact, population.guardians_of[student.serial]), key=lambda c: str(c.model_dump(exclude_unset=True)))
        ),
    }


def _phones(home: str, mobile: str = "") -> tuple[Phone, ...]:
    return tuple(Phone(number=digits, type=kind) for digits, kind in ((home, "home"), (mobile, "cellular")) if digits)


def _emails(address: str) -> tuple[EmailAddress, ...]:
    return (EmailAddress(address=address),) if address else ()


def _contact(guardian: district_guardians.Guardian) -> Contact:
    return Contact(
        name=f"{guardian.given} {guardian.family}".strip(),
        relationship=guardian.relationship.capitalize(),
        phones=_phones(guardian.phone),
        emails=_emails(guardian.email),
    )


def _guardians(population: Population) -> Truth:
    for sis_id, guardian in population.guardians.items():
        theirs = [number("student", serial) for serial in guardian.students]
        yield (
            guardian.key,
            Guardian(
                sis_id=str(sis_id),
                given_name=guardian.given,
                family_name=guardian.family,
                relationship=guardian.relationship.capitalize(),
                students=tuple(sorted(str(one) for one in theirs if one in population.students)),
                emails=_emails(guardian.email),
                phones=_phones(guardian.phone),
            ),
        )


def _section_id(population: Population, section: district_records.Section) -> str:
    course = str(number("course", section.course))
    return derive_id(school=population.codes[section.school], course=course, section=section.number)


def _sections(population: Population) -> Truth:
    taken = {row.section for student in population.students.values() for row in population.enrollments(student)}
    for serial in sorted(taken):
        section = population.district.sections[serial]
        yield (
            section.key,
            Section(
                sis_id=_section_id(population, section),
                derived=True,
                ids={"course": str(number("course", section.course)), "section": section.number},
                section_number=section.number,
                school=population.codes[section.school],
            ),
        )


def _enrollments(population: Population) -> Truth:
    for sis_id, student in population.students.items():
        for row in population.enrollments(student):
            section, end = population.district.sections[row.section], population.end_of(row)
            yield (
                row.key,
                Enrollment(
                    sis_id=str(number("enrollment", row.serial)),
                    status="inactive" if row.dropped else "active",
                    status_reason="dropped" if row.dropped else None,
                    section=_section_id(population, section),
                    user=str(sis_id),
                    role="student",
                    school=population.codes[section.school],
                    begin_date=row.begin,
                    **({} if end is None else {"end_date": end}),
                ),
            )


_KINDS: Mapping[Kind, Callable[[Population], Truth]] = {
    "schools": _schools,
    "students": _students,
    "sections": _sections,
    "enrollments": _enrollments,
    "guardians": _guardians,
}
