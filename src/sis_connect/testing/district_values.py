"""What each record of the synthetic district says in the canonical words, apart from its id and its references. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sis_connect.records import Address, Contact, Demographics, EmailAddress, Grade, Phone
from sis_connect.testing import district_guardians
from sis_connect.testing import district_records as neutral

Values = dict[str, Any]
#: Why a student is not active.
REASONS: Mapping[str, str] = {
    "pre_registered": "pre_registered",
    "transferred": "transferred",
    "graduated": "graduated",
    "historical": "withdrawn",
    "inactive": "inactive",
}
_CODES: tuple[Grade, ...] = ("PK", "KG", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13")
_TERM_TYPES: Mapping[int, str] = {1: "school_year", 2: "semester", 3: "term", 4: "grading_period"}


def grade_code(grade: int) -> Grade:
    """The CEDS code of a grade: -2 and -1 are preschool, 0 is kindergarten."""
    return _CODES[max(grade, -1) + 1]


def school(school: neutral.School) -> Values:
    grades = dict.fromkeys(grade_code(grade) for grade in range(school.low_grade, school.high_grade + 1))
    return {
        "ids": {"school_number": school.number, "state_id": school.state_id},
        "name": school.name,
        "identifier": school.number,
        "grades": tuple(grades),
    }


def term(term: neutral.Term) -> Values:
    return {
        "title": term.name,
        "type": _TERM_TYPES[term.portion],
        "school_year": term.year,
        "start_date": term.start,
        "end_date": term.end,
    }


def course(course: neutral.Course) -> Values:
    return {"title": course.name, "course_code": course.number, "department": course.department, "school": None}


def section(section: neutral.Section, course: neutral.Course) -> Values:
    return {
        "title": course.name,
        "section_number": section.number,
        "department": course.department,
        "period": str(section.period),
        "location": f"Room {100 + section.serial % 80}",
    }


def staff(person: neutral.Staff, *, teaches: bool) -> Values:
    return {
        "ids": {"staff_number": person.number},
        "given_name": person.given,
        "middle_name": person.middle,
        "family_name": person.family,
        "username": person.username,
        "email": person.email,
        "role": "teacher" if teaches else "staff",
    }


def student(student: neutral.Student, grades: Mapping[str, str]) -> Values:
    """`grades` is how the vendor writes a grade, by its CEDS code."""
    grade = grade_code(student.grade)
    state = {"state_id": student.state_id} if student.state_id else {}
    return {
        "ids": {"student_number": student.number, **state},
        "custom": {"bus_route": f"R{student.serial % 12 + 1}", "locker": 100 + student.serial},
        "given_name": student.given,
        "middle_name": student.middle,
        "family_name": student.family,
        "preferred_given_name": student.preferred,
        "username": student.username,
        "grade": grade,
        "grade_text": grades.get(grade, grade),
        "birth_date": student.birth_date,
        "gender": student.gender,
        "emails": (_email(student.email, "school"),) if student.email else (),
        "phones": (_phone(student.phone, "home"),) if student.phone else (),
        "addresses": _addresses(student),
        "contacts": _contacts(student),
        "demographics": Demographics(ethnicity=student.ethnicity, races=student.races),
    }


def stint(stint: neutral.Stint) -> Values:
    return {
        "entry_date": stint.entry,
        "exit_date": stint.exit,
        "grade": grade_code(stint.grade),
        "entry_code": stint.entry_code,
        "exit_code": stint.exit_code,
    }


def guardian(guardian: district_guardians.Guardian) -> Values:
    return {
        "given_name": guardian.given,
        "family_name": guardian.family,
        "relationship": guardian.relationship,
        "emails": (_email(guardian.email),) if guardian.email else (),
        "phones": (_phone(guardian.phone),) if guardian.phone else (),
    }


def _email(address: str, kind: str | None = None) -> EmailAddress:
    return EmailAddress(address=address) if kind is None else EmailAddress(address=address, type=kind)


def _phone(number: str, kind: str | None = None) -> Phone:
    return Phone(number=number) if kind is None else Phone(number=number, type=kind)


def _addresses(student: neutral.Student) -> tuple[Address, ...]:
    places = (("physical", student.street), ("mailing", student.mailing_street))
    return tuple(
        Address(type=kind, street=street, city=student.city, state="AZ", postal_code=student.postal_code)
        for kind, street in places
        if street
    )


def _contacts(student: neutral.Student) -> tuple[Contact, ...]:
    contacts = []
    if student.emergency_name:
        phones = (_phone(student.emergency_phone),) if student.emergency_phone else ()
        contacts.append(Contact(name=student.emergency_name, relationship="emergency", phones=phones))
    contacts += [
        Contact(name=name, relationship=word) for word, name in (("mother", student.mother), ("father", student.father)) if name
    ]
    return tuple(contacts)
