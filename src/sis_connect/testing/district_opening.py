"""The synthetic district as it opens: its schools, courses, staff and students."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sis_connect.testing.district_classes import GRADES, ONE_ROOM, PRESCHOOL, SUBJECTS, course_number
from sis_connect.testing.district_names import SCHOOL_NAMES, STREETS
from sis_connect.testing.district_people import add_staff, add_student
from sis_connect.testing.district_records import (
    SCHOOL_NUMBER,
    Course,
    Level,
    School,
    identifier,
)
from sis_connect.testing.district_state import DistrictState

LEVELS: dict[Level, tuple[int, int]] = {
    "elementary": (-1, 5),
    "middle": (6, 8),
    "high": (9, 12),
    "one_room": (-2, 8),
    "unopened": (0, 5),
}
PUPILS_PER_SCHOOL: dict[Level, int] = {"elementary": 450, "middle": 600, "high": 1100}


def open_schools(state: DistrictState, students: int) -> None:
    """As many schools as the number of students asks for, a school with one pupil, and one without any."""
    for level, pupils in PUPILS_PER_SCHOOL.items():
        share = len(GRADES[level]) / 13 * students
        for _ in range(max(1, round(share / pupils))):
            name = SCHOOL_NAMES[len(state.schools) % len(SCHOOL_NAMES)].replace("-", " ")
            _add_school(state, f"{name} {level.capitalize()} School", level)
    state.note("one_of_each", _add_school(state, "Prairie Creek School", "one_room"))
    state.note("empty_school", _add_school(state, "Meadow Gate Elementary School", "unopened"))


def _add_school(state: DistrictState, name: str, level: Level) -> School:
    serial = state.next_serial(School)
    low, high = LEVELS[level]
    number, state_id = str(identifier(SCHOOL_NUMBER, serial, floor=2)), f"{77_000 + serial:06d}"
    street = f"{serial + 1} {STREETS[serial % len(STREETS)]} Rd"
    return state.put(School(serial, name, number, state_id, level, low, high, street, f"602-555-{serial:04d}"))


def open_catalog(state: DistrictState) -> None:
    """The district's courses: one per subject and grade, some with numbers and names that look like something else."""
    for level, grades in GRADES.items():
        for grade in grades:
            for place, (subject, department) in enumerate(SUBJECTS[level]):
                _add_course(state, course_number(level, grade, place), f"{subject} {grade or 'K'}", department)
    _add_course(state, PRESCHOOL, "Preschool", "")
    _add_course(state, ONE_ROOM, "One-Room Studies", "")
    courses = {course.number: course for course in state.courses.values()}
    state.note("course_number_with_leading_zero", courses[course_number("elementary", 1, 0)])
    state.note("numeric_course_number", courses[course_number("middle", 6, 0)])
    novel = courses[course_number("high", 12, len(SUBJECTS["high"]) - 1)]
    state.note("numeric_title", state.put(replace(novel, name="1984", department="English")))


def _add_course(state: DistrictState, number: str, name: str, department: str) -> None:
    course = state.put(Course(state.next_serial(Course), number, name, department))
    state.course_numbers[number] = course.serial


def admit_students(state: DistrictState, students: int) -> None:
    """Those who attend, those who have left, those who are to come: `students` records in all, beside those there already."""
    attending = [school for school in state.schools.values() if school.level in GRADES]
    by_grade = {grade: [s for s in attending if grade in GRADES[s.level]] for grade in range(13)}
    by_grade[-1] = by_grade[-2] = by_grade[0]
    opening = state.year.start
    for index in range(students - len(state.students)):
        chance = index % 100
        grade = state.random.randrange(13) if chance % 25 else -1
        school = state.random.choice(by_grade[grade]).serial
        details = {"state_id": ""} if chance == 50 else {}
        student = add_student(state, grade, **details).serial
        if chance < 93:
            late = timedelta(days=state.random.randrange(40)) if state.random.random() < 0.04 else timedelta(0)
            state.open_stint(student, school, grade, opening + late)
        elif chance < 96:
            _graduated(state, student, state.random.choice(by_grade[12]).serial)
        elif chance == 99:
            pre_register(state, student, state.random.choice(by_grade[0]).serial)
        elif chance == 98:
            _historical(state, student, school, grade)
        else:
            left = opening + timedelta(days=state.random.randrange(5, 45))
            state.open_stint(student, school, grade, opening)
            state.leave(student, left, "W1")


def _graduated(state: DistrictState, student: int, school: int) -> None:
    entry = state.year.start - timedelta(days=365)
    state.open_stint(student, school, 12, entry, entry + timedelta(days=297))
    graduate(state, student)


def _historical(state: DistrictState, student: int, school: int, grade: int) -> None:
    left = state.year.start - timedelta(days=state.random.randrange(455, 495))
    state.open_stint(student, school, grade, left - timedelta(days=200), left, "E1")
    state.close_stint(student, left, "W1")
    state.change_student(student, status="historical")


def graduate(state: DistrictState, student: int) -> None:
    """The present stint ended with a diploma; the student belongs to no school any more."""
    stint = state.students[student].stint
    if stint is not None:
        state.close_stint(student, state.stints[stint].exit, "G1")
    state.change_student(student, status="graduated", school=None)


def pre_register(state: DistrictState, student: int, school: int) -> None:
    """A kindergartner of the coming year."""
    following = state.year.next
    state.open_stint(student, school, 0, following.start, following.end)
    state.change_student(student, status="pre_registered")


def staff_offices(state: DistrictState) -> None:
    """People who teach nobody: one or two at each school, some at the district office."""
    for school in [s.serial for s in state.schools.values() if s.level in GRADES]:
        add_staff(state, school, teacher=False)
    add_staff(state, None, teacher=False)
