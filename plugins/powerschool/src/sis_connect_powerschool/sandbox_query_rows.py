"""What the queries of the package select: which rows of the synthetic district, with which columns of which fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sis_connect.testing.district_records import Affiliation, Course, Enrollment, Keyed, Section, Stint, Student, Term
from sis_connect_powerschool import sandbox_rows as rows
from sis_connect_powerschool.sandbox_resources import Resources

Row = dict[str, Any]
#: What students' rows hold on request, in the order of their bits in `made_for`.
ON_REQUEST = ("preferred_name", "birth_date", "gender", "emails", "phones", "addresses", "contacts", "demographics")


@dataclass(frozen=True, slots=True)
class Query:
    """`columns` are the fields that are selected, by name in the answer, `joins` those that are joined on or filtered by.

    A row is made from its `sources`, which stand for its own table, and from what is `joined` to that.
    """

    core: str
    table: str
    columns: Mapping[str, str]
    found: Callable[[Resources, Mapping[str, str]], Iterable[Keyed]]
    sources: Callable[[Resources, Any], tuple[Keyed | None, ...]]
    row: Callable[[Resources, Any], Row]
    joins: tuple[str, ...]
    joined: Callable[[Resources, Any], tuple[Keyed | None, ...]] = lambda resources, record: ()
    arguments: frozenset[str] = frozenset()


# Which rows there are


def _in_year(resources: Resources, arguments: Mapping[str, str], term: int) -> bool:
    return resources.district.terms[term].year == int(arguments["yearid"]) + 1991


def _terms(resources: Resources, arguments: Mapping[str, str]) -> Iterable[Keyed]:
    return (term for term in resources.district.terms.values() if _in_year(resources, arguments, term.serial))


def _sections(resources: Resources, arguments: Mapping[str, str]) -> Iterable[Section]:
    return (section for section in resources.district.sections.values() if _in_year(resources, arguments, section.term))


def _courses(resources: Resources, arguments: Mapping[str, str]) -> Iterable[Keyed]:
    taught = {section.course for section in _sections(resources, arguments)}
    return (resources.district.courses[serial] for serial in sorted(taught))


def _enrollments(resources: Resources, arguments: Mapping[str, str]) -> Iterable[Keyed]:
    """With those of students that do not exist."""
    taught = {section.serial for section in _sections(resources, arguments)}
    return (row for row in resources.district.enrollments.values() if row.section in taught)


def _staff(resources: Resources, arguments: Mapping[str, str]) -> Iterable[Keyed]:
    """With posts at no school, such as in the district's office."""
    return (row for row in resources.district.affiliations.values() if row.active)


def _former_stays(resources: Resources, arguments: Mapping[str, str]) -> Iterable[Stint]:
    """All but the one that the student's own row tells of; graduates' rows tell of none.

    Our SQL leaves out who left on the day of entry. Such rows are listed here in spite of it, so that no client relies on it.
    """
    district, since = resources.district, date.fromisoformat(arguments["since"])
    for stint in district.stints.values():
        student = district.students[stint.student]
        present = student.stint == stint.serial and student.status != "graduated"
        if stint.primary and not present and stint.exit >= since:
            yield stint


# What they hold


def _student(resources: Resources, student: Student) -> Row:
    district = resources.district
    stint = None if student.stint is None else district.stints[student.stint]
    stay = rows.school_enrollment(district, student, stint)
    return {
        "id": rows.dcid("student", student.serial),
        "local_id": student.number,
        "state_province_id": student.state_id,
        "student_username": student.username,
        "first_name": student.given,
        "middle_name": student.middle,
        "last_name": student.family if resources.is_valid(student.serial) else None,
        **{name: stay.get(name) for name in ("enroll_status_code", "grade_level", "school_number", "school_id")},
        **{name: stay.get(name) for name in ("entry_date", "exit_date", "entry_code", "exit_code")},
        "preferred_name": student.preferred,
        "birth_date": student.birth_date,
        "gender": student.gender,
        "email": student.email,
        "home_phone": student.phone,
        **_place(student, student.street, ""),
        **_place(student, student.mailing_street, "mailing_"),
        "emergency_contact_name1": student.emergency_name,
        "emergency_phone1": student.emergency_phone,
        "guardian_email": student.guardian_email,
        "mother": student.mother,
        "father": student.father,
        "federal_ethnicity": 1 if student.ethnicity == "YES" else 0,
        "races": ",".join(student.races),
    }


def _place(student: Student, street: str, prefix: str) -> Row:
    return {prefix + name: value for name, value in rows.address(street, student).items()}


def _stay(resources: Resources, stint: Stint) -> Row:
    return {
        "id": rows.dcid("reenrollment", stint.serial),
        "student_id": rows.dcid("student", stint.student),
        "school_id": rows.dcid("school", stint.school),
        "grade_level": stint.grade,
        "entry_date": stint.entry,
        "exit_date": stint.exit,
        "entry_code": stint.entry_code,
        "exit_code": stint.exit_code,
    }


def _post(resources: Resources, affiliation: Affiliation) -> Row:
    staff = resources.district.staff[affiliation.staff]
    return {
        "id": rows.dcid("school_staff", affiliation.serial),
        "users_dcid": rows.dcid("users", staff.serial),
        "school_id": None if affiliation.school is None else rows.dcid("school", affiliation.school),
        "kind": 1 if affiliation.teacher else 2,
        "status": 1,
        "local_id": staff.number,
        "admin_username": staff.username,
        "teacher_username": staff.username if affiliation.teacher else None,
        "first_name": staff.given,
        "middle_name": staff.middle,
        "last_name": staff.family,
        "work_email": staff.email,
    }


def _term(resources: Resources, term: Term) -> Row:
    return rows.term_row(term)


def _course(resources: Resources, course: Course) -> Row:
    return {**rows.course_row(course), "department": course.department}


def _section(resources: Resources, section: Section) -> Row:
    return rows.section_row(section)


def _enrollment(resources: Resources, enrollment: Enrollment) -> Row:
    district = resources.district
    row = {**rows.enrollment_row(enrollment), "dropped": int(enrollment.dropped)}
    row["school_id"] = rows.dcid("school", district.sections[enrollment.section].school)
    return row if enrollment.student in district.students else row | {"student_id": None}


def _itself(resources: Resources, record: Keyed) -> tuple[Keyed | None, ...]:
    return (record,)


def _with_stint(resources: Resources, student: Student) -> tuple[Keyed | None, ...]:
    return student, resources.district.stints.get(-1 if student.stint is None else student.stint)


COLUMNS_ON_REQUEST: Mapping[str, Mapping[str, str]] = {
    "preferred_name": {"preferred_name": f"{rows.PREFERRED_NAME_TABLE}.{rows.PREFERRED_NAME_FIELD}"},
    "birth_date": {"birth_date": "students.dob"},
    "gender": {"gender": "students.gender"},
    "emails": {"email": "psm_studentcontact.email"},
    "phones": {"home_phone": "students.home_phone"},
    "addresses": {
        f"{prefix}{name}": f"students.{prefix}{column}"
        for prefix in ("", "mailing_")
        for name, column in {"street": "street", "city": "city", "state_province": "state", "postal_code": "zip"}.items()
    },
    "contacts": {
        **{f"emergency_contact_name{place}": f"students.emerg_contact_{place}" for place in (1, 2)},
        **{f"emergency_phone{place}": f"students.emerg_phone_{place}" for place in (1, 2)},
        "guardian_email": "students.guardianemail",
        "mother": "students.mother",
        "father": "students.father",
    },
    "demographics": {"federal_ethnicity": "students.fedethnicity", "races": "studentrace.racecd"},
}
JOINS_ON_REQUEST: Mapping[str, tuple[str, ...]] = {
    "preferred_name": (f"{rows.PREFERRED_NAME_TABLE}.studentsdcid", "students.dcid"),
    "emails": (
        "students.dcid",
        "sync_studentmap.studentid",
        "sync_studentmap.studentsdcid",
        "psm_studentcontact.studentid",
        "psm_studentcontact.studentcontacttypeid",
        "psm_studentcontacttype.id",
        "psm_studentcontacttype.name",
    ),
    "demographics": ("students.id", "studentrace.studentid"),
}
_COURSE = ("courses.dcid", "courses.course_number", "courses.schoolid", "sections.course_number", "sections.schoolid")
_PERSON = ("first_name", "middle_name", "last_name")
_YEAR = frozenset(("yearid",))
#: By the last part of their names.
QUERIES: Mapping[str, Query] = {
    "students": Query(
        core="STUDENTS",
        table="student",
        columns={
            "id": "students.dcid",
            "made_for": "students.dcid",
            "local_id": "students.student_number",
            "state_province_id": "students.state_studentnumber",
            "student_username": "students.student_web_id",
            **{name: f"students.{name}" for name in _PERSON},
            "enroll_status_code": "students.enroll_status",
            "grade_level": "students.grade_level",
            "school_number": "students.schoolid",
            "school_id": "schools.dcid",
            "entry_date": "students.entrydate",
            "exit_date": "students.exitdate",
            "entry_code": "students.entrycode",
            "exit_code": "students.exitcode",
        },
        found=lambda resources, arguments: resources.district.students.values(),
        sources=_with_stint,
        row=_student,
        joins=("students.schoolid", "schools.school_number"),
    ),
    "history": Query(
        core="REENROLLMENTS",
        table="reenrollment",
        columns={
            "id": "reenrollments.dcid",
            "student_id": "students.dcid",
            "school_id": "schools.dcid",
            "grade_level": "reenrollments.grade_level",
            "entry_date": "reenrollments.entrydate",
            "exit_date": "reenrollments.exitdate",
            "entry_code": "reenrollments.entrycode",
            "exit_code": "reenrollments.exitcode",
        },
        found=_former_stays,
        # It became a former stay when the student changed.
        sources=lambda resources, stint: (stint, resources.district.students[stint.student]),
        row=_stay,
        joins=("reenrollments.studentid", "students.id", "reenrollments.schoolid", "schools.school_number"),
        joined=lambda resources, stint: (resources.district.students[stint.student],),
        arguments=frozenset(("since",)),
    ),
    "staff": Query(
        core="SCHOOLSTAFF",
        table="school_staff",
        columns={
            "id": "schoolstaff.dcid",
            "users_dcid": "users.dcid",
            "school_id": "schools.dcid",
            "kind": "schoolstaff.staffstatus",
            "status": "schoolstaff.status",
            "local_id": "users.teachernumber",
            "admin_username": "users.loginid",
            "teacher_username": "users.teacherloginid",
            **{name: f"users.{name}" for name in _PERSON},
            "work_email": "users.email_addr",
        },
        found=_staff,
        sources=_itself,
        row=_post,
        joins=("schoolstaff.users_dcid", "schoolstaff.schoolid", "schools.school_number"),
        joined=lambda resources, post: (resources.district.staff[post.staff],),
    ),
    "terms": Query(
        core="TERMS",
        table="term",
        columns={
            "id": "terms.dcid",
            "local_id": "terms.id",
            "school_id": "schools.dcid",
            "start_year": "terms.yearid",
            "portion": "terms.portion",
            "start_date": "terms.firstday",
            "end_date": "terms.lastday",
            "abbreviation": "terms.abbreviation",
            "name": "terms.name",
        },
        found=_terms,
        sources=_itself,
        row=_term,
        joins=("terms.schoolid", "schools.school_number"),
        arguments=_YEAR,
    ),
    "courses": Query(
        core="COURSES",
        table="course",
        columns={
            "id": "courses.dcid",
            "course_number": "courses.course_number",
            "course_name": "courses.course_name",
            "department": "courses.sched_department",
        },
        found=_courses,
        sources=_itself,
        row=_course,
        joins=(*_COURSE, "sections.termid"),
        arguments=_YEAR,
    ),
    "sections": Query(
        core="SECTIONS",
        table="section",
        columns={
            "id": "sections.dcid",
            "school_id": "schools.dcid",
            "course_id": "courses.dcid",
            "term_id": "terms.dcid",
            "staff_id": "schoolstaff.dcid",
            "section_number": "sections.section_number",
            "expression": "sections.expression",
            "external_expression": "sections.external_expression",
        },
        found=_sections,
        sources=_itself,
        row=_section,
        joins=(
            *_COURSE,
            "schools.school_number",
            "sections.termid",
            "terms.id",
            "terms.schoolid",
            "sections.teacher",
            "schoolstaff.id",
        ),
        joined=lambda resources, section: (resources.district.affiliations.get(section.teacher),),
        arguments=_YEAR,
    ),
    "enrollments": Query(
        core="CC",
        table="section_enrollment",
        columns={
            "id": "cc.dcid",
            "student_id": "students.dcid",
            "section_id": "sections.dcid",
            "school_id": "schools.dcid",
            "dropped": "cc.sectionid",
            "entry_date": "cc.dateenrolled",
            "exit_date": "cc.dateleft",
        },
        found=_enrollments,
        sources=_itself,
        row=_enrollment,
        joins=("cc.studentid", "students.id", "sections.id", "sections.schoolid", "schools.school_number", "cc.termid"),
        joined=lambda resources, row: (resources.district.students.get(row.student), resources.district.sections[row.section]),
        arguments=_YEAR,
    ),
}
