"""What a perfect client would make of the sandbox: canonical records, straight from the synthetic district."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from sis_connect.capabilities import Kind
from sis_connect.records import (
    Address,
    Contact,
    Course,
    Demographics,
    EmailAddress,
    Enrollment,
    Phone,
    Record,
    School,
    SchoolEnrollment,
    Section,
    Staff,
    Student,
    Term,
    derive_id,
)
from sis_connect.testing import district_records as neutral
from sis_connect.testing.district_values import REASONS, grade_code
from sis_connect_powerschool import sandbox_rows as rows
from sis_connect_powerschool.sandbox_resources import Resources

Truth = Iterator[tuple[str, Record]]
_TERM_TYPES: Mapping[int, Literal["school_year", "semester", "term"]] = {1: "school_year", 2: "semester"}


def truth(resources: Resources, kind: Kind, *, history: bool) -> Truth:
    """What is delivered of a kind today: (neutral key, record)."""
    if kind == "school_enrollments" and history:
        return _all_stints(resources)
    tell = _KINDS.get(kind)
    return iter(()) if tell is None else tell(resources)


def _id(table: str, serial: int) -> str:
    return str(rows.dcid(table, serial))


def _schools(resources: Resources) -> Truth:
    for school in resources.district.schools.values():
        grades = dict.fromkeys(grade_code(grade) for grade in range(school.low_grade, school.high_grade + 1))
        yield (
            school.key,
            School(
                sis_id=_id("school", school.serial),
                ids={"school_number": school.number, "state_id": school.state_id},
                name=school.name,
                identifier=school.number,
                grades=tuple(grades),
            ),
        )


def _terms(resources: Resources) -> Truth:
    district = resources.district
    for term in district.terms.values():
        if term.year != district.year.year:
            continue
        yield (
            term.key,
            Term(
                sis_id=_id("term", term.serial),
                ids={"term_id": str((term.year - 1991) * 100 + term.part)},
                title=term.name,
                type=_TERM_TYPES.get(term.portion, "term"),
                school=_id("school", term.school),
                school_year=term.year,
                start_date=term.start,
                end_date=term.end,
            ),
        )


def _courses(resources: Resources) -> Truth:
    district = resources.district
    taught = {district.sections[serial].course for sections in district.sections_of.values() for serial in sections}
    for serial in sorted(taught):
        course = district.courses[serial]
        more = {"department": course.department} if resources.tells_departments and course.department else {}
        yield course.key, Course(sis_id=_id("course", serial), title=course.name, course_code=course.number, **more)


def _current_sections(resources: Resources) -> Iterator[neutral.Section]:
    for sections in resources.district.sections_of.values():
        for serial in sections:
            yield resources.district.sections[serial]


def _sections(resources: Resources) -> Truth:
    for section in _current_sections(resources):
        expression, external = rows.section_expressions(section)
        yield (
            section.key,
            Section(
                sis_id=_id("section", section.serial),
                section_number=section.number,
                school=_id("school", section.school),
                course=_id("course", section.course),
                term=_id("term", section.term),
                period=external or expression,
            ),
        )


def _staff(resources: Resources) -> Truth:
    district = resources.district
    places: defaultdict[int, list[neutral.Affiliation]] = defaultdict(list)
    for affiliation in district.affiliations.values():
        if affiliation.active and affiliation.school is not None:
            places[affiliation.staff].append(affiliation)
    for serial, affiliations in places.items():
        person = district.staff[serial]
        numbers = sorted(_id("school_staff", affiliation.serial) for affiliation in affiliations)
        yield (
            person.key,
            Staff(
                sis_id=_id("users", serial),
                ids={"school_staff": numbers[0] if len(numbers) == 1 else tuple(numbers), "staff_number": person.number},
                given_name=person.given,
                middle_name=person.middle,
                family_name=person.family,
                username=person.username,
                email=person.email,
                schools=tuple(sorted({_id("school", a.school) for a in affiliations if a.school is not None})),
                role="teacher" if affiliations[0].teacher else "staff",
                status="active",
            ),
        )


def _students(resources: Resources) -> Truth:
    for student in resources.district.students.values():
        if resources.is_valid(student.serial):
            yield student.key, _student(student)


def _student(student: neutral.Student) -> Student:
    graduated, active = student.status == "graduated", student.status == "active"
    ids = {"student_number": student.number} | ({"state_id": student.state_id} if student.state_id else {})
    return Student(
        sis_id=_id("student", student.serial),
        ids=ids,
        status="active" if active else "inactive",
        status_reason=None if active else REASONS[student.status],
        given_name=student.given,
        middle_name=student.middle,
        family_name=student.family,
        preferred_given_name=student.preferred,
        username=student.username,
        school=None if student.school is None else _id("school", student.school),
        grade=None if graduated else grade_code(student.grade),
        grade_text=str(rows.GRADUATED_GRADE if graduated else student.grade),
        **_on_request(student),
    )


def _on_request(student: neutral.Student) -> dict[str, Any]:
    places = (("physical", student.street), ("mailing", student.mailing_street))
    return {
        "birth_date": student.birth_date,
        "gender": student.gender,
        "emails": (EmailAddress(address=student.email, type="school"),) if student.email else (),
        "phones": (Phone(number=student.phone, type="main"),) if student.phone else (),
        "addresses": tuple(_address(kind, street, student) for kind, street in places if street),
        "contacts": _contacts(student),
        "demographics": Demographics(ethnicity=student.ethnicity, races=student.races),
    }


def _address(kind: str, street: str, student: neutral.Student) -> Address:
    return Address(type=kind, street=street, city=student.city, state="AZ", postal_code=student.postal_code)


def _contacts(student: neutral.Student) -> tuple[Contact, ...]:
    contacts = []
    if student.emergency_name:
        phones = (Phone(number=student.emergency_phone),) if student.emergency_phone else ()
        contacts.append(Contact(name=student.emergency_name, relationship="emergency", phones=phones))
    if student.mother:
        contacts.append(Contact(name=student.mother, relationship="mother"))
    if student.father:
        contacts.append(Contact(name=student.father, relationship="father"))
    if student.guardian_email:
        contacts.append(Contact(relationship="guardian", emails=(EmailAddress(address=student.guardian_email),)))
    return tuple(contacts)


def _present_stints(resources: Resources) -> Truth:
    for student in resources.district.students.values():
        if student.stint is not None and student.status != "graduated" and resources.is_valid(student.serial):
            stint = resources.district.stints[student.stint]
            yield stint.key, _stint(stint, present=student.status == "active")


def _all_stints(resources: Resources) -> Truth:
    district = resources.district
    for stint in district.stints.values():
        student = district.students[stint.student]
        never = stint.entry == stint.exit and student.stint != stint.serial
        if stint.primary and resources.is_valid(stint.student) and not never:
            yield stint.key, _stint(stint, present=student.status == "active" and student.stint == stint.serial)


def _stint(stint: neutral.Stint, *, present: bool) -> SchoolEnrollment:
    student, school = _id("student", stint.student), _id("school", stint.school)
    no_show = stint.entry == stint.exit
    return SchoolEnrollment(
        sis_id=derive_id(student=student, school=school, entry_date=stint.entry.isoformat()),
        derived=True,
        status="active" if present and not no_show else "inactive",
        status_reason="no_show" if no_show else None,
        student=student,
        school=school,
        entry_date=stint.entry,
        exit_date=stint.exit,
        grade=grade_code(stint.grade),
        **({"entry_code": stint.entry_code} if stint.entry_code else {}),
        **({"exit_code": stint.exit_code} if stint.exit_code else {}),
    )


def _enrollments(resources: Resources) -> Truth:
    """Students in sections, orphans left out, and each section's lead teacher."""
    district = resources.district
    for section in _current_sections(resources):
        for serial in district.rosters.get(section.serial, ()):
            enrollment = district.enrollments[serial]
            if enrollment.student in district.students:
                yield enrollment.key, _enrollment(enrollment, section)
        yield f"teacher-of-{section.key}", _lead_teacher(resources, section)


def _enrollment(enrollment: neutral.Enrollment, section: neutral.Section) -> Enrollment:
    return Enrollment(
        sis_id=_id("section_enrollment", enrollment.serial),
        status="inactive" if enrollment.dropped else "active",
        status_reason="dropped" if enrollment.dropped else None,
        section=_id("section", section.serial),
        user=_id("student", enrollment.student),
        role="student",
        school=_id("school", section.school),
        begin_date=enrollment.begin,
        end_date=enrollment.end,
    )


def _lead_teacher(resources: Resources, section: neutral.Section) -> Enrollment:
    staff = resources.district.affiliations[section.teacher].staff
    return Enrollment(
        sis_id=derive_id(section=_id("section", section.serial), school_staff=_id("school_staff", section.teacher)),
        derived=True,
        section=_id("section", section.serial),
        user=_id("users", staff),
        role="teacher",
        primary=True,
        school=_id("school", section.school),
    )


_KINDS: Mapping[Kind, Callable[[Resources], Truth]] = {
    "schools": _schools,
    "terms": _terms,
    "courses": _courses,
    "sections": _sections,
    "staff": _staff,
    "students": _students,
    "school_enrollments": _present_stints,
    "enrollments": _enrollments,
}
