"""The rows of the sandbox: what each record of the synthetic district looks like in `/ws/v1`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta

from sis_connect.testing.district import District
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
from sis_connect_powerschool.sandbox_wire import Tree

#: One column of ids per table, so that no id fits where another belongs. STUDENTS.ID is in none of the `/ws/v1` rows.
_COLUMNS = {
    name: FIRST_FREE_COLUMN + place
    for place, name in enumerate(
        (
            "student",
            "student_internal",
            "school",
            "school_staff",
            "users",
            "course",
            "section",
            "term",
            "section_enrollment",
            "reenrollment",
        )
    )
}
#: Where ids start, in steps: above all school and term numbers.
_FLOOR = 200
GRADUATED_SCHOOL_NUMBER, GRADUATED_GRADE = 999999, 99
GRADUATED_SCHOOL_ID = identifier(_COLUMNS["school"], 99_999)

STATUS: Mapping[str, tuple[int, str, str]] = {
    "pre_registered": (-1, "P", "Pre-registered"),
    "active": (0, "A", "Active"),
    "inactive": (1, "I", "Inactive"),
    "transferred": (2, "T", "Transferred out"),
    "graduated": (3, "G", "Graduated"),
    "historical": (4, "H", "Historical"),
}
STUDENT_EXPANSIONS = (
    "demographics, addresses, alerts, phones, school_enrollment, ethnicity_race, contact, contact_info, initial_enrollment, "
    "schedule_setup, fees, lunch"
)
PREFERRED_NAME_TABLE, PREFERRED_NAME_FIELD = "u_students_extension", "preferredname"
STUDENT_EXTENSIONS = f"s_stu_x,{PREFERRED_NAME_TABLE},studentcorefields"
_RACES = {
    "WH": ("White", "White"),
    "BL": ("Black or African American", "Black"),
    "AS": ("Asian", "Asian"),
    "NA": ("American Indian or Alaska Native", "Native American"),
    "PI": ("Native Hawaiian or Other Pacific Islander", "Pacific Islander"),
}


def dcid(table: str, serial: int) -> int:
    """The id that rows of a table have."""
    return identifier(_COLUMNS[table], serial, floor=_FLOOR)


def serial_of(table: str, number: int) -> int | None:
    """The record that an id of this table belongs to; None for the ids of other tables."""
    steps, column = divmod(number, identifier(0, 0))
    return steps - _FLOOR if column == _COLUMNS[table] else None


def school_row(school: School) -> Tree:
    return {
        "id": dcid("school", school.serial),
        "name": school.name,
        "school_number": school.number,
        "state_province_id": school.state_id,
        "low_grade": school.low_grade,
        "high_grade": school.high_grade,
        "alternate_school_number": 0,
        "addresses": {"physical": {"street": school.street, "city": "Anytown", "state_province": "AZ", "postal_code": "85001"}},
        "phones": {"main": {"number": school.phone}},
        "principal": {"name": {"first_name": "Ada", "last_name": "Vale"}, "email": "avale@example.org"},
    }


GRADUATED_SCHOOL: Tree = {
    "id": GRADUATED_SCHOOL_ID,
    "name": "Graduated Students",
    "school_number": GRADUATED_SCHOOL_NUMBER,
    "low_grade": 0,
    "high_grade": 0,
    "addresses": "",
    "phones": "",
}


def term_row(term: Term) -> Tree:
    """`local_id` counts from 1990-91; `end_date` is the last day of the term."""
    return {
        "id": dcid("term", term.serial),
        "local_id": (term.year - 1991) * 100 + term.part,
        "school_id": dcid("school", term.school),
        "start_year": term.year - 1,
        "portion": term.portion,
        "start_date": term.start,
        "end_date": term.end - timedelta(days=1),
        "abbreviation": term.abbreviation,
        "name": term.name,
    }


def course_row(course: Course) -> Tree:
    return {"id": dcid("course", course.serial), "course_number": course.number, "course_name": course.name}


def section_expressions(section: Section) -> tuple[str, str | None]:
    """When it meets, internally and, for every other section, as shown."""
    return f"{section.period}(A-E)", f"{section.period}(M-F)" if section.serial % 2 else None


def section_row(section: Section) -> Tree:
    expression, external = section_expressions(section)
    return {
        "id": dcid("section", section.serial),
        "school_id": dcid("school", section.school),
        "course_id": dcid("course", section.course),
        "term_id": dcid("term", section.term),
        "staff_id": dcid("school_staff", section.teacher),
        "section_number": section.number,
        "expression": expression,
        "external_expression": external,
        "gradebooktype": "PTP",
    }


def enrollment_row(enrollment: Enrollment) -> Tree:
    return {
        "id": dcid("section_enrollment", enrollment.serial),
        "section_id": dcid("section", enrollment.section),
        "student_id": dcid("student", enrollment.student),
        "entry_date": enrollment.begin,
        "exit_date": enrollment.end,
        "dropped": enrollment.dropped,
    }


def staff_row(affiliation: Affiliation, staff: Staff, expansions: Collection[str]) -> Tree:
    row: Tree = {
        "id": dcid("school_staff", affiliation.serial),
        "local_id": staff.number,
        "admin_username": staff.username,
        "teacher_username": staff.username if affiliation.teacher else None,
        "name": {"first_name": staff.given, "middle_name": staff.middle or None, "last_name": staff.family},
    }
    expanded: Tree = {
        "addresses": {},
        "emails": {"work_email": staff.email or None},
        "phones": {"home_phone": staff.phone},
        "school_affiliations": {"school_affiliation": [_affiliation(affiliation)]},
    }
    return row | {name: expanded[name] for name in expanded if name in expansions} | {"users_dcid": dcid("users", staff.serial)}


def _affiliation(affiliation: Affiliation) -> Tree:
    school = 0 if affiliation.school is None else dcid("school", affiliation.school)
    return {"school_id": school, "type": 1 if affiliation.teacher else 2, "status": 1 if affiliation.active else 2}


# Students


def student_row(
    district: District, student: Student, expansions: Collection[str], extensions: Collection[str], *, valid: bool = True
) -> Tree:
    """One student with what was asked for. An invalid one lacks the family name."""
    stint = None if student.stint is None else district.stints[student.stint]
    row: Tree = {
        "id": dcid("student", student.serial),
        "local_id": student.number,
        "state_province_id": student.state_id or None,
        "student_username": student.username or None,
        "name": {
            "first_name": student.given,
            "middle_name": student.middle or None,
            "last_name": student.family if valid else None,
        },
    }
    for name in STUDENT_EXPANSIONS.split(", "):
        if name == "school_enrollment" and name in expansions:
            row[name] = school_enrollment(district, student, stint)
        elif name in expansions:
            row[name] = _EXPAND[name](student)
    tables = [_EXTEND[name](student) for name in _EXTEND if name in extensions]
    return row | ({"_extension_data": {"_table_extension": tables}} if tables else {})


def school_enrollment(district: District, student: Student, stint: Stint | None) -> Tree:
    """The present stint; graduates are at a school that is none."""
    code, letter, description = STATUS[student.status]
    row: Tree = {"enroll_status": letter, "enroll_status_description": description, "enroll_status_code": code}
    if student.status == "graduated":
        left = stint.exit if stint else None
        return row | {
            "grade_level": GRADUATED_GRADE,
            "entry_date": left,
            "exit_date": left,
            "school_number": GRADUATED_SCHOOL_NUMBER,
            "school_id": GRADUATED_SCHOOL_ID,
        }
    row |= {"grade_level": student.grade}
    if stint is not None:
        row |= {"entry_date": stint.entry, "exit_date": stint.exit}
    if student.school is not None:
        row |= {"school_number": district.schools[student.school].number, "school_id": dcid("school", student.school)}
    return row | {
        "entry_code": stint.entry_code or None if stint else None,
        "exit_code": stint.exit_code or None if stint else None,
        "district_of_residence": "4235",
        "track": "A",
        "full_time_equivalency": {"fteid": 12, "name": "Full Time"},
    }


def address(street: str, student: Student) -> Tree:
    if not street:
        return {}
    return {"street": street, "city": student.city, "state_province": "AZ", "postal_code": student.postal_code}


def _addresses(student: Student) -> Tree:
    places = {"physical": address(student.street, student), "mailing": address(student.mailing_street, student)}
    return {name: place for name, place in places.items() if place}


def _races(student: Student) -> Tree:
    races = [
        {
            "district_race_code": code,
            "district_race_code_description": _RACES[code][0],
            "federal_race_code_category": _RACES[code][1],
        }
        for code in student.races
    ]
    ethnicity = {"scheduling_reporting_ethnicity": student.races[0], "federal_ethnicity": student.ethnicity}
    return {**ethnicity, "races": races}


def _contact(student: Student) -> Tree:
    return {
        "emergency_contact_name1": student.emergency_name or None,
        "emergency_phone1": student.emergency_phone or None,
        "guardian_email": student.guardian_email or None,
        "mother": student.mother or None,
        "father": student.father or None,
    }


def _alerts(student: Student) -> Tree:
    return {"medical": {"description": "Peanut allergy"}} if student.serial % 50 == 49 else {}


_EXPAND: Mapping[str, Callable[[Student], Tree]] = {
    "demographics": lambda s: {
        "gender": s.gender or None,
        "birth_date": s.birth_date,
        "projected_graduation_year": s.birth_date.year + 18,
    },
    "addresses": _addresses,
    "alerts": _alerts,
    "phones": lambda s: {"main": {"number": s.phone}} if s.phone else {},
    "ethnicity_race": _races,
    "contact": _contact,
    "contact_info": lambda s: {"email": s.email or None},
    "initial_enrollment": lambda s: {"district_entry_grade_level": min(s.grade, 0)},
    "schedule_setup": lambda s: {"home_room": f"B{s.serial % 40}", "sched_next_year_grade": s.grade + 1},
    "fees": lambda s: {},
    "lunch": lambda s: {f"balance_{place}": "0.00" for place in (1, 2, 3, 4)} | {"lunch_id": 0},
}


def _extension(table: str, fields: Mapping[str, str]) -> Tree:
    """Values stay text here. `recordFound` is false also where there are values, as it is on the real server."""
    rows = tuple({"name": name, "type": "String", "value": value} for name, value in fields.items() if value)
    return {"recordFound": False, "name": table, "_field": rows or None}


_EXTEND: Mapping[str, Callable[[Student], Tree]] = {
    PREFERRED_NAME_TABLE: lambda s: _extension(PREFERRED_NAME_TABLE, {PREFERRED_NAME_FIELD: s.preferred}),
    "studentcorefields": lambda s: _extension("studentcorefields", {"graduation_year": str(s.birth_date.year + 18)}),
}
