"""The district as SMS 2.0 shows it: whom it lists, under which numbers, and the rows on the wire."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from sis_connect.testing.district import District
from sis_connect.testing.district_guardians import Guardian, guardians
from sis_connect.testing.district_records import FIRST_FREE_COLUMN, Enrollment, School, Student, identifier
from sis_connect.testing.district_values import grade_code

Row = dict[str, Any]
_COLUMNS = {name: FIRST_FREE_COLUMN + place for place, name in enumerate(("student", "guardian", "course", "enrollment"))}
_RACES = {"NA": "I", "AS": "A", "BL": "B", "PI": "P", "WH": "W"}
#: The entity that counts everybody and teaches nobody.
CENSUS = "800"
_NO_DATE = "0001-01-01T00:00:00"


def number(table: str, serial: int) -> int:
    """The number of a record in the tables of SMS."""
    return identifier(_COLUMNS[table], serial, floor=100)


def open_end(enrollment: Enrollment) -> bool:
    """Some classes have no end on record until they are left."""
    return enrollment.serial % 7 == 3 and not enrollment.dropped


class Population:
    """Whom and what SMS lists today: students of this year, those who went idle in the census entity only."""

    def __init__(self, district: District, settings: Mapping[str, str]) -> None:
        self.district, self.settings = district, settings
        self.students = {
            number("student", serial): student
            for serial, student in district.students.items()
            if student.status == "inactive" or (student.status == "active" and student.school is not None)
        }
        self.codes = {school.serial: self.code(school) for school in district.schools.values()}
        self.sections = {serial for sections in district.sections_of.values() for serial in sections}
        active = {student.serial for student in self.students.values() if student.status == "active"}
        self.guardians = {
            number("guardian", guardian.serial): guardian
            for guardian in guardians(district).values()
            if active & set(guardian.students)
        }
        self.guardians_of: defaultdict[int, list[Guardian]] = defaultdict(list)
        for guardian in self.guardians.values():
            for student in guardian.students:
                self.guardians_of[student].append(guardian)

    def code(self, school: School) -> str:
        """The code of an entity, with the zeros that the district leads it with."""
        return school.number.zfill(int(self.settings["code_width"]))

    def entities(self, student: Student) -> list[str]:
        """The entities of a student, the default one first, which for some is the census."""
        if student.status == "inactive" or student.school is None:
            return [CENSUS]
        stints = [self.district.stints[serial] for serial in self.district.stays[student.serial]]
        others = [self.codes[s.school] for s in stints if not s.primary and s.exit > self.district.today]
        codes = list(dict.fromkeys([self.codes[student.school], *others]))
        return [CENSUS, *codes] if student.serial % 10 == 3 else codes

    def enrollments(self, student: Student) -> Iterator[Enrollment]:
        """A student's classes of this year."""
        for serial in self.district.schedules.get(student.serial, ()):
            enrollment = self.district.enrollments[serial]
            if enrollment.section in self.sections:
                yield enrollment

    def end_of(self, enrollment: Enrollment) -> date | None:
        """The first day out, where there is one on record."""
        return None if open_end(enrollment) else enrollment.end

    # Rows

    def schools(self) -> Iterator[Row]:
        """All entities."""
        for school in self.district.schools.values():
            yield self._school(self.codes[school.serial], school.name, school.low_grade, school.high_grade, school.street)
        yield self._school(CENSUS, "Census", -1, 12, "")

    def _school(self, code: str, name: str, low: int, high: int, street: str) -> Row:
        return {
            "SchoolId": code,
            "SchoolName": name,
            "GradeLow": grade_code(low),
            "GradeHigh": grade_code(high),
            "StreetAddress": street,
            "City": "Anytown",
            "State": "AZ",
            "ZipCode": "85001",
        }

    def student(self, student: Student) -> Row:
        """A student; fields that are blank are there all the same."""
        entities = self.entities(student)
        return {
            **_person(student.given, student.middle, student.family, student.phone, student.emergency_phone),
            **_place(student.street, student.city, student.postal_code),
            "NameId": number("student", student.serial),
            "DisplayId": student.number,
            "StateId": student.state_id,
            "GradYr": self.district.year.year + 12 - student.grade,
            "GradeLevel": grade_code(student.grade),
            "Gender": student.gender,
            "HispanicLatinoEthnicity": student.ethnicity == "YES",
            "FederalRace": "".join(sorted(_RACES[race] for race in student.races)),
            "DateOfBirth": _moment(student.birth_date),
            "SchoolEmail": student.email,
            "DefaultSchoolId": entities[0],
            "SchoolIds": entities,
            "FoodServiceKeyPadNumber": student.serial % 10_000,
        }

    def enrollment(self, student: Student, enrollment: Enrollment) -> Row:
        """A class of a student. The section's number says nothing without its course."""
        section, out = self.district.sections[enrollment.section], self.end_of(enrollment)
        last = 1 if self.settings["end_dates"] == "inclusive" else 0
        return {
            "EnrollmentId": number("enrollment", enrollment.serial),
            "CourseId": number("course", section.course),
            "SectionId": section.number,
            "SchoolId": self.codes[section.school],
            "NameId": number("student", student.serial),
            "EnrType": "C",
            "EnrStatus": "D" if enrollment.dropped else "A",
            "StartDate": _moment(enrollment.begin),
            "EndDate": _NO_DATE if out is None else _moment(out - timedelta(days=last)),
        }

    def guardian(self, guardian: Guardian) -> Row:
        """A guardian with all students on the list who are theirs."""
        kept = [s for s in guardian.students if number("student", s) in self.students]
        return {
            **_person(guardian.given, "", guardian.family, guardian.phone, ""),
            **_place("", "", ""),
            "GuardianNameId": number("guardian", guardian.serial),
            "Email": guardian.email,
            "FamilyOrderNumber": 1 if guardian.relationship == "parent" else 2,
            "Students": [
                {"StudentNameId": number("student", serial), "RelationshipDesc": guardian.relationship.capitalize()}
                for serial in kept
            ],
        }


def _person(given: str, middle: str, family: str, home: str, mobile: str) -> Row:
    numbers = {"PhoneNumber": home, "PhoneNumberType": "Home", "PhoneNumber2": mobile, "PhoneNumber2Type": "Cellular"}
    names = {"FirstName": given, "MiddleName": middle, "LastName": family}
    return {**names, **numbers, "PhoneNumber3": "", "PhoneNumber3Type": ""}


def _place(street: str, city: str, postal_code: str) -> Row:
    return {"StreetAddress": street, "City": city, "State": "AZ" if city else "", "ZipCode": postal_code}


def _moment(day: date) -> str:
    return f"{day.isoformat()}T00:00:00"
