"""What a perfect client would make of the Qmlativ sandbox: canonical records, straight from the synthetic district."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sis_connect.capabilities import Kind
from sis_connect.records import (
    Address,
    Course,
    Demographics,
    EmailAddress,
    Enrollment,
    Guardian,
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
from sis_connect.testing import district_records
from sis_connect.testing.district_values import grade_code
from sis_connect_skyward.sandbox_qmlativ_tables import (
    CENSUS,
    CENSUS_CODE,
    Tables,
    course_number,
    full_address,
    name_of_guardian,
    name_of_staff,
    name_of_student,
    number,
)

Truth = Iterator[tuple[str, Record]]


def truth(tables: Tables, kind: Kind) -> Truth:
    """What is delivered of a kind today: (neutral key, record)."""
    tell = _KINDS.get(kind)
    return iter(()) if tell is None else tell(tables)


def _schools(t: Tables) -> Truth:
    listed = [(s.key, number("entity", s.serial), s.number, s.name) for s in t.district.schools.values()]
    excluded = {code.strip() for code in t.settings["excluded_entities"].split(",")}
    for key, entity, code, name in [*listed, ("census", CENSUS, CENSUS_CODE, "Census")]:
        if code not in excluded:
            yield key, School(sis_id=str(entity), ids={"school_number": code}, name=name, identifier=code)


def _terms(t: Tables) -> Truth:
    for term in t.district.terms.values():
        if term.year == t.year:
            yield (
                term.key,
                Term(
                    sis_id=str(number("term", term.serial)),
                    title=term.name,
                    school_year=term.year,
                    start_date=term.start,
                    end_date=term.end,
                ),
            )


def _courses(t: Tables) -> Truth:
    """A course is one of each school."""
    for school, key in sorted({(section.school, section.course) for section in t.current_sections()}):
        course = t.district.courses[key]
        yield (
            f"{course.key}-at-school-{school}",
            Course(
                sis_id=str(course_number(t.district, school, key)),
                title=course.name,
                course_code=course.number,
                department=course.department,
                school=str(number("entity", school)),
            ),
        )


def _sections(t: Tables) -> Truth:
    for section in t.current_sections():
        yield (
            section.key,
            Section(
                sis_id=str(number("section", section.serial)),
                section_number=section.number,
                school=str(number("entity", section.school)),
                course=str(course_number(t.district, section.school, section.course)),
                term=str(number("term", section.term)),
                department=t.district.courses[section.course].department,
            ),
        )


def _staff(t: Tables) -> Truth:
    for person in t.district.staff.values():
        places = [a for a in t.district.affiliations.values() if a.staff == person.serial and a.active]
        teaches: Any = {"role": "teacher"} if any(a.teacher for a in places) else {}
        yield (
            person.key,
            Staff(
                sis_id=str(number("staff", person.serial)),
                ids={"staff_number": person.number, "person": str(name_of_staff(person.serial))},
                status="active" if places else "inactive",
                given_name=person.given,
                middle_name=person.middle,
                family_name=person.family,
                schools=tuple(sorted({str(number("entity", a.school)) for a in places if a.school is not None})),
                **teaches,
            ),
        )


def _students(t: Tables) -> Truth:
    for student in t.district.students.values():
        active, entities = student.status == "active", t.entities_of(student)
        code: Any = grade_code(student.grade)
        yield (
            student.key,
            Student(
                sis_id=str(number("student", student.serial)),
                ids={"student_number": student.number, "person": str(name_of_student(student.serial))},
                status="active" if active else "inactive",
                status_reason=None if active else "graduated" if student.status == "graduated" else "inactive",
                given_name=student.given,
                middle_name=student.middle,
                family_name=student.family,
                preferred_given_name=student.preferred,
                grade=code,
                grade_text=code,
                **({"school": str(entities[0])} if entities else {}),
                **_on_request(student),
            ),
        )


def _on_request(student: district_records.Student) -> dict[str, Any]:
    ethnicity = "true" if student.ethnicity == "YES" else "false"
    return {
        "birth_date": student.birth_date,
        "demographics": Demographics(ethnicity=ethnicity, races=(", ".join(student.races),)),
        "emails": (EmailAddress(address=student.email, type="school"),) if student.email else (),
        "phones": (Phone(number=student.phone, type="home"),) if student.phone else (),
        "addresses": _addresses(student),
    }


def _addresses(student: district_records.Student) -> tuple[Address, ...]:
    """Where the two are on record apart, they come in the order of their letters."""
    places = {"physical": student.street, "mailing": student.mailing_street}
    found = [Address(type=kind, street=full_address(student, street)) for kind, street in places.items() if street]
    return tuple(found if student.street == student.mailing_street else reversed(found))


def _stays(t: Tables) -> Truth:
    for stint in t.stints():
        never, end = stint.entry == stint.exit, t.stay_end(stint)
        code: Any = grade_code(stint.grade)
        yield (
            stint.key,
            SchoolEnrollment(
                sis_id=str(number("stay", stint.serial)),
                student=str(number("student", stint.student)),
                school=str(number("entity", stint.school)),
                entry_date=stint.entry,
                status="inactive" if never else "active",
                status_reason="no_show" if never else None,
                grade=code,
                **({"exit_date": end} if end else {}),
                **({"entry_code": stint.entry_code} if stint.entry_code else {}),
                **({"exit_code": stint.exit_code} if stint.exit_code else {}),
            ),
        )


def _enrollments(t: Tables) -> Truth:
    """Students in sections, orphans left out, and who teaches and taught each section."""
    for section, row in t.rosters():
        if row.student in t.district.students:
            yield (
                row.key,
                Enrollment(
                    sis_id=str(number("roster", row.serial)),
                    status="inactive" if row.dropped else "active",
                    status_reason="dropped" if row.dropped else None,
                    section=str(number("section", section.serial)),
                    user=str(number("student", row.student)),
                    role="student",
                    school=str(number("entity", section.school)),
                    begin_date=row.begin,
                    end_date=row.end,
                ),
            )
    for section in t.current_sections():
        for one in t.teachers(section):
            if one.substitute:
                continue  # who stands in does not teach the section
            yield (
                f"teacher-{one.key}-of-{section.key}",
                Enrollment(
                    sis_id=derive_id(staff_meet=str(one.key)),
                    derived=True,
                    section=str(number("section", section.serial)),
                    user=str(number("staff", one.staff)),
                    role="teacher",
                    primary=one.primary,
                    school=str(number("entity", section.school)),
                    begin_date=one.begin,
                    end_date=one.end,
                ),
            )


def _guardians(t: Tables) -> Truth:
    for guardian in t.guardians.values():
        sis_id = str(name_of_guardian(guardian))
        staff = guardian.staff is not None
        yield (
            guardian.key,
            Guardian(
                sis_id=sis_id,
                ids={"person": sis_id},
                given_name=guardian.given,
                family_name=guardian.family,
                relationship=guardian.relationship.capitalize(),
                students=tuple(sorted(str(number("student", student)) for student in guardian.students)),
                **({"emails": (_email(guardian.email, staff),)} if guardian.email else {}),
                **({"phones": (Phone(number=guardian.phone, type="cell"),)} if guardian.phone and not staff else {}),
            ),
        )


def _email(address: str, staff: bool) -> EmailAddress:
    return EmailAddress(address=address, type="work" if staff else "home")


_KINDS: Mapping[Kind, Callable[[Tables], Truth]] = {
    "schools": _schools,
    "terms": _terms,
    "courses": _courses,
    "staff": _staff,
    "students": _students,
    "school_enrollments": _stays,
    "sections": _sections,
    "enrollments": _enrollments,
    "guardians": _guardians,
}
