"""The tables of the synthetic district, and the moves that keep them consistent: entering, leaving, joining classes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import date, timedelta
from itertools import count
from random import Random
from typing import Any, TypeVar

from sis_connect.testing.district_calendar import SchoolYear
from sis_connect.testing.district_records import (
    Affiliation,
    Course,
    Enrollment,
    Keyed,
    School,
    Section,
    Staff,
    Stint,
    Student,
    StudentStatus,
    Term,
)

R = TypeVar("R", bound=Keyed)


class DistrictState:
    """All records by serial, past school years included, with the indexes that the moves need.

    `rosters`: section → its enrolments. `schedules`: student → their enrolments. `stays`: student → their stints, oldest first.
    `sections_of`: school → its sections of the current year. `teachers_of`: school → affiliations of those who teach there now.
    `course_numbers`: number → course. `planned_exits`: students who leave on a date to come.
    `hard_cases`: name of the case → keys of the records that show it. Their records are spared by the daily churn.
    `removed`: table → serial → the record that is no longer current, and since when: enrolments that never came to pass or whose
    year is over, sections and terms of past years, affiliations that have ended. `former_teachers`: section → affiliations that
    taught it before, and until when.
    """

    def __init__(self, year: SchoolYear, today: date, random: Random) -> None:
        self.year = year
        self.today = self.opened = today
        self.random = random
        self.schools: dict[int, School] = {}
        self.terms: dict[int, Term] = {}
        self.courses: dict[int, Course] = {}
        self.staff: dict[int, Staff] = {}
        self.affiliations: dict[int, Affiliation] = {}
        self.students: dict[int, Student] = {}
        self.stints: dict[int, Stint] = {}
        self.sections: dict[int, Section] = {}
        self.enrollments: dict[int, Enrollment] = {}
        self.rosters: defaultdict[int, list[int]] = defaultdict(list)
        self.schedules: defaultdict[int, list[int]] = defaultdict(list)
        self.stays: defaultdict[int, list[int]] = defaultdict(list)
        self.sections_of: defaultdict[int, list[int]] = defaultdict(list)
        self.teachers_of: defaultdict[int, list[int]] = defaultdict(list)
        self.course_numbers: dict[str, int] = {}
        self.planned_exits: defaultdict[date, list[int]] = defaultdict(list)
        self.hard_cases: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
        self.spared: set[int] = set()
        self.spared_staff: set[int] = set()
        self._tables: dict[type[Keyed], dict[int, Any]] = {
            School: self.schools,
            Term: self.terms,
            Course: self.courses,
            Staff: self.staff,
            Affiliation: self.affiliations,
            Student: self.students,
            Stint: self.stints,
            Section: self.sections,
            Enrollment: self.enrollments,
        }
        self.removed: defaultdict[type[Keyed], dict[int, tuple[Any, date]]] = defaultdict(dict)
        self.former_teachers: defaultdict[int, dict[int, date]] = defaultdict(dict)
        self._changed: defaultdict[type[Keyed], dict[int, date]] = defaultdict(dict)
        self._serials: dict[type[Keyed], count[int]] = {table: count() for table in self._tables}

    def next_serial(self, table: type[Keyed]) -> int:
        return next(self._serials[table])

    def put(self, record: R) -> R:
        """Take in a record, in the place of the one with its serial if there is one."""
        if isinstance(record, Section):
            self._hand_over(record)
        self._tables[type(record)][record.serial] = record
        self._touch(record)
        return record

    def _touch(self, record: Keyed) -> None:
        """Remember that a record changes today; how things were on the first day needs no memory."""
        if self.today != self.opened:
            self._changed[type(record)][record.serial] = self.today

    def _hand_over(self, section: Section) -> None:
        """Remember who taught a section until today."""
        before = self.sections.get(section.serial)
        if before is not None and before.teacher != section.teacher:
            self.former_teachers[section.serial][before.teacher] = self.today
            self.former_teachers[section.serial].pop(section.teacher, None)

    def changed_on(self, record: Keyed) -> date:
        """The day on which a record last changed, or ceased to be current. Of what the story began with, a day before it."""
        gone = self.removed[type(record)].get(record.serial)
        if gone is not None:
            return gone[1]
        known = self._changed[type(record)].get(record.serial)
        return known or self.opened - timedelta(days=1 + record.serial * 7919 % 60)

    def retire(self, record: Keyed) -> None:
        """From today on a record is no longer current; what the story begins with has not been for a while."""
        since = self.changed_on(record) if self.today == self.opened else self.today
        self.removed[type(record)].setdefault(record.serial, (record, since))

    def end_affiliation(self, affiliation: Affiliation) -> Affiliation:
        """Somebody stops working at a school."""
        ended = self.put(replace(affiliation, active=False))
        self.retire(ended)
        return ended

    def close_year(self) -> None:
        """The terms, sections and class lists that were current belong to the past."""
        for term in self.terms.values():
            self.retire(term)
        for taught in self.sections_of.values():
            for section in taught:
                self.retire(self.sections[section])
                for enrollment in self.rosters.get(section, ()):
                    self.retire(self.enrollments[enrollment])

    def change_student(self, student: int, **changes: Any) -> Student:
        return self.put(replace(self.students[student], **changes))

    def note(self, case: str, *records: Keyed) -> None:
        """Remember that these records show a hard case; people among them are left alone from now on."""
        self.hard_cases[case] += tuple(record.key for record in records)
        self.spared.update(record.serial for record in records if isinstance(record, Student))
        self.spared_staff.update(record.serial for record in records if isinstance(record, Staff))

    def active_students(self) -> list[int]:
        return [serial for serial, student in self.students.items() if student.status == "active"]

    # Stays at schools

    def open_stint(
        self,
        student: int,
        school: int,
        grade: int,
        entry: date,
        exit_: date | None = None,
        code: str = "E1",
        *,
        primary: bool = True,
    ) -> Stint:
        """A student enters a school; a primary stint becomes the present one."""
        serial = self.next_serial(Stint)
        stint = self.put(Stint(serial, student, school, entry, exit_ or self.year.end, grade, code, "", primary))
        self.stays[student].append(serial)
        if primary:
            self.change_student(student, school=school, grade=grade, stint=serial, status="active")
        return stint

    def close_stint(self, student: int, exit_: date, code: str) -> None:
        """The present stint, and a second one beside it, end on a date; a stint that had not begun was a no-show."""
        for serial in self.stays[student]:
            stint = self.stints[serial]
            if stint.exit >= exit_ and (serial == self.students[student].stint or not stint.primary):
                self.put(replace(stint, exit=max(exit_, stint.entry), exit_code=code))

    def leave(self, student: int, exit_: date, code: str, status: StudentStatus = "transferred") -> None:
        """A student leaves the district."""
        self.close_stint(student, exit_, code)
        self.change_student(student, status=status)
        self.leave_classes(student, exit_)

    def plan_exit(self, student: int, when: date) -> None:
        """The exit date is known before it comes; until then the student stays active."""
        stint = self.students[student].stint
        if stint is not None:
            self.put(replace(self.stints[stint], exit=when))
            self.planned_exits[when].append(student)

    # Classes

    def enroll(self, student: int, section: int, begin: date, end: date, *, dropped: bool = False) -> Enrollment:
        serial = self.next_serial(Enrollment)
        enrollment = Enrollment(serial, student, section, begin, end, dropped)
        self.put(enrollment)
        self.rosters[section].append(serial)
        self.schedules[student].append(serial)
        return enrollment

    def remove_enrollment(self, serial: int) -> None:
        """An enrolment that never came to pass is in no list any more."""
        enrollment = self.enrollments.pop(serial)
        self.retire(enrollment)
        self.rosters[enrollment.section].remove(serial)
        self.schedules[enrollment.student].remove(serial)

    def current_classes(self, student: int) -> list[Enrollment]:
        """What a student has on the schedule today or later."""
        rows = (self.enrollments[serial] for serial in self.schedules.get(student, ()))
        return [row for row in rows if not row.dropped and row.end > self.today]

    def drop(self, enrollment: Enrollment, when: date) -> None:
        """Begun classes keep a row, dropped from the day it ends; those still to come vanish."""
        if enrollment.begin >= when:
            self.remove_enrollment(enrollment.serial)
        else:
            self.put(replace(enrollment, end=when, dropped=when <= self.today))

    def leave_classes(self, student: int, when: date) -> None:
        for enrollment in self.current_classes(student):
            self.drop(enrollment, when)

    def join_classes_of(self, student: int, classmate: int, begin: date) -> None:
        """Give a student the schedule of a classmate at their school."""
        school = self.students[student].school
        for row in self.current_classes(classmate):
            section = self.sections[row.section]
            term = self.terms[section.term]
            if section.school == school and term.end > begin:
                self.enroll(student, row.section, max(begin, term.start), term.end)
