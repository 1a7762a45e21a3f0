"""The rows of Qmlativ's objects, over the synthetic district.

A row is flat: its own fields, by their names on the wire, its key first. `_entities` and `_year` say in which context it is
listed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from sis_connect.testing.district_records import Student
from sis_connect.testing.district_values import grade_code
from sis_connect_skyward.sandbox_qmlativ_tables import (
    CENSUS,
    CENSUS_CODE,
    DISTRICT,
    SYSTEM,
    Makers,
    Row,
    Tables,
    course_number,
    full_address,
    name_of_guardian,
    name_of_staff,
    name_of_student,
    number,
)

_RELATIONSHIPS = ("parent", "guardian", "relative")


def _entities(t: Tables) -> Iterator[Row]:
    for key, code, name in ((SYSTEM, "SYS", "System"), (DISTRICT, "DIST", "District"), (CENSUS, CENSUS_CODE, "Census")):
        wide = {"IsDistrictWide": key == DISTRICT, "IsSystemWide": key == SYSTEM}
        yield _entity(t, key, code, name) | wide
    for school in t.district.schools.values():
        yield _entity(t, number("entity", school.serial), school.number, school.name)


def _entity(t: Tables, key: int, code: str, name: str) -> Row:
    return {
        "EntityID": key, "Code": code, "Name": name, "SchoolYearIDCurrent": t.year_id(), "DistrictID": 1,
        "IsDistrictWide": False, "IsSystemWide": False, "CodeName": f"{code} - {name}", "_entities": {key},
    }  # fmt: skip


def _school_years(t: Tables) -> Iterator[Row]:
    early = t.settings["numeric_year"] == "start"
    for year in (t.year - 1, t.year, t.year + 1):
        named = {"NumericYear": year - early, "Description": f"{year - 1}-{year}", "NextNumericYear": year + 1 - early}
        current = {"IsCurrentYearForProvidedEntity": year == t.year, "IsUpcomingYearForProvidedEntity": year == t.year + 1}
        yield {"SchoolYearID": t.year_id(year), **named, **current}


def _schools(t: Tables) -> Iterator[Row]:
    """Schools are kept for each year anew."""
    for school in t.district.schools.values():
        key = number("school", t.year % 100 * 1000 + school.serial)
        row = {"SchoolID": key, "DistrictID": 1, "Code": school.number, "Name": school.name, "SchoolYearID": t.year_id()}
        yield row | {"SchoolNumber": school.number, "PhoneNumber": school.phone, "_entities": {number("entity", school.serial)}}


def _section_lengths(t: Tables) -> Iterator[Row]:
    for term in t.district.terms.values():
        yield {
            "SectionLengthID": number("term", term.serial), "Code": term.abbreviation, "Description": term.name,
            "StartDate": term.start.isoformat(), "EndDate": t.last(term.end), "CourseLengthID": term.portion,
            "_entities": {number("entity", term.school)}, "_year": t.year_id(term.year),
        }  # fmt: skip


def _departments(t: Tables) -> Iterator[Row]:
    names = sorted({course.department for course in t.district.courses.values()} - {""})
    for place, name in enumerate(names):
        yield {
            "DepartmentID": number("department", t.year % 100 * 100 + place), "SchoolYearID": t.year_id(),
            "EntityID": DISTRICT, "Code": name[:4].upper(), "Description": name,
        }  # fmt: skip


def _courses(t: Tables) -> Iterator[Row]:
    departments = {row["Description"]: key for key, row in t.rows("Staff/Department").items()}
    for school, key in sorted({(section.school, section.course) for section in t.current_sections()}):
        course, entity = t.district.courses[key], number("entity", school)
        yield {
            "CourseID": course_number(t.district, school, key), "CourseCode": course.number, "Description": course.name,
            "SchoolYearID": t.year_id(), "EntityID": entity, "DepartmentID": departments.get(course.department),
            "IsActive": True, "_entities": {entity},
        }  # fmt: skip


def _sections(t: Tables) -> Iterator[Row]:
    for section in t.current_sections():
        entity = number("entity", section.school)
        yield {
            "SectionID": number("section", section.serial), "CourseID": course_number(t.district, section.school, section.course),
            "Code": section.number, "SectionLengthID": number("term", section.term), "EntityID": entity,
            "SchoolYearID": t.year_id(), "MaximumStudentCount": 30, "IsActive": True, "_entities": {entity},
        }  # fmt: skip


def _staff(t: Tables) -> Iterator[Row]:
    places: defaultdict[int, set[int]] = defaultdict(set)
    for a in t.district.affiliations.values():
        if a.active:
            places[a.staff].add(DISTRICT if a.school is None else number("entity", a.school))
    for person in t.district.staff.values():
        yield {
            "StaffID": number("staff", person.serial), "NameID": name_of_staff(person.serial), "DistrictID": 1,
            "StaffNumber": person.number, "IsActiveForDistrict": bool(places[person.serial]),
            "IsCurrentStaffEntityYear": bool(places[person.serial]), "_entities": places[person.serial],
        }  # fmt: skip


def _staff_entity_years(t: Tables) -> Iterator[Row]:
    for a in t.district.affiliations.values():
        entity = DISTRICT if a.school is None else number("entity", a.school)
        yield {
            "StaffEntityYearID": number("staff_entity", a.serial), "StaffID": number("staff", a.staff), "EntityID": entity,
            "SchoolYearID": t.year_id(), "IsActive": a.active, "IsTeacher": a.teacher, "_entities": {entity},
        }  # fmt: skip


def _students(t: Tables) -> Iterator[Row]:
    for student in t.district.students.values():
        yield {
            "StudentID": number("student", student.serial), "NameID": name_of_student(student.serial),
            "StudentNumber": student.number, "CalculatedStudentStateID": student.state_id or None,
            "Grade": grade_code(student.grade), "GradeNumeric": student.grade, "GradYear": t.year + 12 - student.grade,
            "IsGraduated": student.status == "graduated", "IsCurrentActive": student.status == "active",
            "_entities": set(t.entities_of(student)),
        }  # fmt: skip


def _student_entity_years(t: Tables) -> Iterator[Row]:
    for student in t.district.students.values():
        entities = t.entities_of(student)
        for place, entity in enumerate(entities):
            yield {
                "StudentEntityYearID": number("student_entity", 10 * student.serial + place), "EntityID": entity,
                "StudentID": number("student", student.serial), "SchoolYearID": t.year_id(), "_entities": {entity},
                "IsDefaultEntity": entity == t.default_of(student, entities), "IsActive": student.status == "active",
            }  # fmt: skip


def _names(t: Tables) -> Iterator[Row]:
    for student in t.district.students.values():
        legal = student.given if student.preferred else None
        yield _name(name_of_student(student.serial), student.preferred or student.given, student.middle, student.family) | {
            "FirstNameLegal": legal, "BirthDate": student.birth_date.isoformat(), "Race": ", ".join(student.races),
            "IsHispanic": student.ethnicity == "YES", "IsStudentName": True,
        }  # fmt: skip
    for person in t.district.staff.values():
        yield _name(name_of_staff(person.serial), person.given, person.middle, person.family) | {"IsStaffName": True}
    for guardian in t.guardians.values():
        if guardian.staff is None:
            yield _name(name_of_guardian(guardian), guardian.given, "", guardian.family) | {"IsGuardianName": True}


def _name(key: int, first: str, middle: str, last: str) -> Row:
    marks = {"IsHispanic": None, "IsStudentName": False, "IsStaffName": False, "IsGuardianName": False}
    names = {"NameID": key, "FirstName": first, "MiddleName": middle or None, "LastName": last}
    return {**names, "FirstNameLegal": None, "LastNameLegal": None, "BirthDate": None, "Race": None, **marks}


def _stays(t: Tables) -> Iterator[Row]:
    codes = _code_keys("EntryWithdrawal")
    for stint in t.stints():
        entity, end, never = number("entity", stint.school), t.stay_end(stint), stint.entry == stint.exit
        year = stint.entry.year + (stint.entry.month >= 7)
        yield {
            "EntryWithdrawalID": number("stay", stint.serial), "StudentID": number("student", stint.student),
            "EntityID": entity, "SchoolYearID": t.year_id(year), "StartDate": stint.entry.isoformat(),
            "EndDate": stint.entry.isoformat() if never else t.last(end), "EntryCodeID": codes.get(stint.entry_code),
            "WithdrawalCodeID": codes.get(stint.exit_code), "GradeReferenceID": stint.grade + 10, "IsNoShow": never,
            "IsDefaultEntity": stint.primary, "PercentEnrolled": 100, "_entities": {entity},
        }  # fmt: skip


def _student_sections(t: Tables) -> Iterator[Row]:
    for section, enrollment in t.rosters():
        entity = number("entity", section.school)
        yield {
            "StudentSectionID": number("roster", enrollment.serial), "StudentID": number("student", enrollment.student),
            "SectionID": number("section", section.serial), "EntityIDCourse": entity, "SchoolYearIDCourse": t.year_id(),
            "StartDate": enrollment.begin.isoformat(), "EndDate": t.last(enrollment.end),
            "Status": "Dropped" if enrollment.dropped else "Scheduled", "StatusCode": "D" if enrollment.dropped else "S",
            "IsForCurrentSchoolYear": True, "_entities": {entity}, "_year": t.year_id(),
        }  # fmt: skip


def _staff_meets(t: Tables) -> Iterator[Row]:
    for section in t.current_sections():
        for one in t.teachers(section):
            yield {
                "StaffMeetID": one.key, "MeetID": number("meet", section.serial), "StaffID": number("staff", one.staff),
                "SectionID": number("section", section.serial), "SchoolYearID": t.year_id(), "IsPrimary": one.primary,
                "EffectiveStartDate": one.begin.isoformat(), "EffectiveEndDate": t.last(one.end), "IsSubstitute": one.substitute,
                "HasGradebookAccess": True, "HasAttendanceAccess": True, "_entities": {number("entity", section.school)},
            }  # fmt: skip


def _student_guardians(t: Tables) -> Iterator[Row]:
    for guardian in t.guardians.values():
        for rank, student in enumerate(guardian.students):
            yield {
                "StudentGuardianID": number("guardian", 10 * guardian.serial + rank), "StudentID": number("student", student),
                "NameIDGuardian": name_of_guardian(guardian), "IsCustodialGuardian": guardian.relationship != "relative",
                "RelationshipID": 1 + _RELATIONSHIPS.index(guardian.relationship), "Rank": 1 + rank,
            }  # fmt: skip


def _emails(t: Tables) -> Iterator[Row]:
    """Some of the staff have a private address, too, that is not their primary one; it comes first."""
    alone = {s.serial for s in t.district.staff.values()} - {g.staff for g in t.guardians.values()}
    for table, name, rank, address, kind in [
        *(("student", name_of_student(s.serial), 1, s.email, 1) for s in t.district.students.values()),
        *(("private", name_of_staff(s), 2, f"a.private.{s}@example.org", 3) for s in sorted(alone) if s % 3),
        *(("staff", name_of_staff(s.serial), 1, s.email, 2) for s in t.district.staff.values()),
        *(("guardian", name_of_guardian(g), 1, g.email, 3) for g in t.guardians.values() if g.staff is None),
    ]:
        if address:
            key = number("email", 2 * name + rank)
            yield {"NameEmailID": key, "NameID": name, "Rank": rank, "EmailAddress": address, "EmailTypeID": kind, "Note": table}


def _phones(t: Tables) -> Iterator[Row]:
    """The staff's numbers are to be kept from others."""
    for name, digits, kind, secret in [
        *((name_of_student(s.serial), s.phone, 1, False) for s in t.district.students.values()),
        *((name_of_staff(s.serial), s.phone, 1, True) for s in t.district.staff.values()),
        *((name_of_guardian(g), g.phone, 2, False) for g in t.guardians.values() if g.staff is None),
    ]:
        if digits:
            row = {"NamePhoneID": number("phone", name), "NameID": name, "Rank": 1, "PhoneNumber": digits, "PhoneTypeID": kind}
            yield row | {"IsConfidential": secret, "IsInternational": False, "FormattedPhoneNumber": digits}


def _places(t: Tables) -> Iterator[tuple[int, Student, str, bool, bool]]:
    for student in t.district.students.values():
        same = student.street == student.mailing_street
        lived = [(student.street, True, same)] if student.street else []
        written = [(student.mailing_street, False, True)] if student.mailing_street and not same else []
        for place, (street, physical, mailing) in enumerate([*lived, *written]):
            yield number("address", 2 * student.serial + place), student, street, physical, mailing


def _name_addresses(t: Tables) -> Iterator[Row]:
    for key, student, _, physical, mailing in _places(t):
        row = {"NameAddressID": key, "NameID": name_of_student(student.serial), "AddressID": key}
        yield row | {"IsPhysical": physical, "IsMailing": mailing}


def _addresses(t: Tables) -> Iterator[Row]:
    for key, student, street, _, _ in _places(t):
        yield {"AddressID": key, "FullAddress": full_address(student, street), "AddressLine2": None, "POBox": None}


def _code_keys(name: str) -> dict[str, int]:
    """The keys of codes."""
    return {code: place for place, code in enumerate(_CODES[name], start=1)}


def _codes(name: str, key: str) -> Callable[[Tables], Iterator[Row]]:
    def rows(t: Tables) -> Iterator[Row]:
        for code, place in _code_keys(name).items():
            yield {key: place, "Code": code, "Description": code, "CodeDescription": f"{code} - {code}"}

    return rows


def _grade_levels(t: Tables) -> Iterator[Row]:
    for grade in range(-2, 13):
        yield {"GradeLevelID": grade + 10, "Code": grade_code(grade), "Description": grade_code(grade), "NumericValue": grade}


def _grade_references(t: Tables) -> Iterator[Row]:
    for grade in range(-2, 13):
        row = {"GradeReferenceID": grade + 10, "GradeLevelID": grade + 10}
        yield row | {"GradYear": t.year + 12 - grade, "SchoolYearID": t.year_id()}


_CODES = {
    "EntryWithdrawal": ("E1", "R1", "T1", "P1", "W1", "W2", "W3", "NS", "G1"),
    "EmailType": ("School", "Work", "Home"),
    "PhoneType": ("Home", "Cell"),
    "Relationship": ("Parent", "Guardian", "Relative"),
}
#: The rows of each object, by module and object.
MAKERS: Makers = {
    "District/Entity": _entities,
    "District/SchoolYear": _school_years,
    "Enrollment/School": _schools,
    "Enrollment/StudentEntityYear": _student_entity_years,
    "Enrollment/EntryWithdrawal": _stays,
    "Enrollment/EntryCode": _codes("EntryWithdrawal", "EntryCodeID"),
    "Enrollment/WithdrawalCode": _codes("EntryWithdrawal", "WithdrawalCodeID"),
    "Enrollment/GradeReference": _grade_references,
    "Enrollment/GradeLevel": _grade_levels,
    "Scheduling/SectionLength": _section_lengths,
    "Scheduling/Course": _courses,
    "Scheduling/Section": _sections,
    "Scheduling/StudentSection": _student_sections,
    "Scheduling/StaffMeet": _staff_meets,
    "Staff/Department": _departments,
    "Staff/Staff": _staff,
    "Staff/StaffEntityYear": _staff_entity_years,
    "Student/Student": _students,
    "Demographics/Name": _names,
    "Demographics/NameEmail": _emails,
    "Demographics/NamePhone": _phones,
    "Demographics/NameAddress": _name_addresses,
    "Demographics/Address": _addresses,
    "Demographics/EmailType": _codes("EmailType", "EmailTypeID"),
    "Demographics/PhoneType": _codes("PhoneType", "PhoneTypeID"),
    "Demographics/Relationship": _codes("Relationship", "RelationshipID"),
    "Family/StudentGuardian": _student_guardians,
}
