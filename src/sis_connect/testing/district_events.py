"""What happens in the synthetic district from one day to the next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

from sis_connect.testing.district_calendar import current_year
from sis_connect.testing.district_classes import GRADES, add_section, open_classes, open_terms
from sis_connect.testing.district_hard_cases import plant_classes
from sis_connect.testing.district_names import FAMILY, STREETS
from sis_connect.testing.district_opening import graduate, pre_register
from sis_connect.testing.district_people import add_staff, add_student, affiliate
from sis_connect.testing.district_records import Student
from sis_connect.testing.district_state import DistrictState

#: Share of the active students to whom something happens: on a school day, and in the summer.
TOUCHED, TOUCHED_IN_SUMMER = 0.006, 0.001


class Day:
    """One day of changes: who may be touched, and who sits in class with whom."""

    def __init__(self, state: DistrictState) -> None:
        self.state = state
        self.random = state.random
        self.peers: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        self.free: list[int] = []
        self.left: list[int] = []
        self.without_state_id: list[int] = []
        for serial, student in state.students.items():
            if serial in state.spared or student.school is None:
                continue
            if student.status == "active":
                self.free.append(serial)
                self.peers[student.school, student.grade].append(serial)
                if not student.state_id:
                    self.without_state_id.append(serial)
            elif student.status == "transferred":
                self.left.append(serial)
        self.random.shuffle(self.free)
        self.random.shuffle(self.left)

    def somebody(self) -> Student | None:
        """An active student who has not been touched today."""
        while self.free:
            student = self.state.students[self.free.pop()]
            if student.status == "active":
                return student
        return None

    def classmate(self, school: int, grade: int) -> int | None:
        peers = self.peers[school, grade]
        return self.random.choice(peers) if peers else None


def advance(state: DistrictState) -> None:
    """Everything that happens on `state.today`."""
    year = current_year(state.today)
    if year != state.year:
        roll_over(state)
        return
    for student in state.planned_exits.pop(state.today, ()):
        if state.students[student].status == "active":
            state.leave(student, state.today, "W1")
    day = Day(state)
    summer = not state.year.start <= state.today < state.year.end
    touched = max(2, round(len(day.free) * (TOUCHED_IN_SUMMER if summer else TOUCHED)))
    events = SUMMER_EVENTS if summer else EVENTS
    for event in state.random.choices(list(events), weights=list(events.values()), k=touched):
        event(day)


# Coming and going


def newcomer(day: Day) -> None:
    state, like = day.state, day.somebody()
    if like is None or like.school is None:
        return
    student = add_student(state, like.grade, state_id="" if day.random.random() < 0.3 else _state_id(day))
    days = day.random.randrange(2, 8) if day.random.random() < 0.15 else 0
    _enter(day, student.serial, like.school, like.grade, days, "E1")


def withdrawal(day: Day) -> None:
    student = day.somebody()
    if student:
        day.state.leave(student.serial, day.state.today, "W1")


def announced_withdrawal(day: Day) -> None:
    student = day.somebody()
    if student:
        day.state.plan_exit(student.serial, day.state.today + timedelta(days=day.random.choice((1, 7, 8))))


def transfer(day: Day) -> None:
    """To another school of the same level, today or in a few days."""
    state, student = day.state, day.somebody()
    if student is None or student.school is None or state.today >= state.year.end:
        return
    level = state.schools[student.school].level
    others = [s.serial for s in state.schools.values() if s.level == level and s.serial != student.school]
    if not others:
        return
    days = day.random.randrange(2, 8) if day.random.random() < 0.2 else 0
    when = max(state.today + timedelta(days=days), _entry(state, student))
    state.close_stint(student.serial, when, "T1")
    for row in state.current_classes(student.serial):
        state.drop(row, when)
    _enter(day, student.serial, day.random.choice(others), student.grade, days, "T1")


def reentry(day: Day) -> None:
    if not day.left:
        return
    student = day.state.students[day.left.pop()]
    if student.school is not None and student.stint is not None and day.state.stints[student.stint].exit < day.state.today:
        _enter(day, student.serial, student.school, student.grade, 0, "R1")


def same_day_reentry(day: Day) -> None:
    """Withdrawn and entered again on one day, as happens when a programme code is corrected."""
    state, student = day.state, day.somebody()
    if student is not None and student.school is not None and _entry(state, student) < state.today:
        state.close_stint(student.serial, state.today, "W1")
        state.open_stint(student.serial, student.school, student.grade, state.today, code="R1")


def registration(day: Day) -> None:
    """A kindergartner for next year."""
    schools = [s.serial for s in day.state.schools.values() if s.level == "elementary"]
    pre_register(day.state, add_student(day.state, 0).serial, day.random.choice(schools))


def _entry(state: DistrictState, student: Student) -> date:
    stint = state.stints.get(student.stint) if student.stint is not None else None
    return stint.entry if stint else state.year.start


def _enter(day: Day, student: int, school: int, grade: int, days: int, code: str) -> None:
    """The student starts today, in some days, or with the school year that comes next."""
    state = day.state
    year = state.year if state.today < state.year.end else state.year.next
    begin = min(max(state.today + timedelta(days=days), year.start), year.end - timedelta(days=1))
    state.open_stint(student, school, grade, begin, year.end, code)
    classmate = day.classmate(school, grade)
    if classmate is not None:
        state.join_classes_of(student, classmate, begin)


# Corrections


def section_change(day: Day) -> None:
    """Out of one class and into another of the same course, or into one of another course that meets then."""
    state, student = day.state, day.somebody()
    classes = [row for row in state.current_classes(student.serial) if row.begin <= state.today] if student else []
    if student is None or not classes:
        return
    row = day.random.choice(classes)
    old = state.sections[row.section]
    choices = [
        serial
        for serial in state.sections_of[old.school]
        if serial != old.serial and (other := state.sections[serial]).term == old.term and other.grade == old.grade
    ]
    same_course = [serial for serial in choices if state.sections[serial].course == old.course]
    taken = {state.enrollments[serial].section for serial in state.schedules[student.serial]}
    free = [serial for serial in same_course or choices if serial not in taken]
    state.drop(row, state.today)
    if free:
        state.enroll(student.serial, day.random.choice(free), state.today, state.terms[old.term].end)


def new_name(day: Day) -> None:
    student = day.somebody()
    if student:
        day.state.change_student(student.serial, family=f"{student.family}-{day.random.choice(FAMILY)}"[:50])


def first_name_spelling(day: Day) -> None:
    student = day.somebody()
    if student:
        day.state.change_student(student.serial, given=f"{student.given}e", preferred=student.given)


def new_email(day: Day) -> None:
    student = day.somebody()
    if student:
        day.state.change_student(student.serial, email=f"{student.username}.{day.random.randrange(100)}@students.example.org")


def new_username(day: Day) -> None:
    student = day.somebody()
    if student:
        day.state.change_student(student.serial, username=f"{student.username}{day.random.randrange(10)}")


def moved_house(day: Day) -> None:
    student = day.somebody()
    if student:
        street = f"{day.random.randrange(400, 900)} {day.random.choice(STREETS)} Ave"
        day.state.change_student(student.serial, street=street, mailing_street=street)


def state_id_assigned(day: Day) -> None:
    """The state answers with an id, a while after the child came."""
    if day.without_state_id:
        day.state.change_student(day.without_state_id.pop(), state_id=_state_id(day))


def _state_id(day: Day) -> str:
    return f"98{day.random.randrange(10**8):08d}"


def teacher_change(day: Day) -> None:
    """Another teacher of the school takes over a class."""
    state, student = day.state, day.somebody()
    classes = state.current_classes(student.serial) if student else []
    if classes:
        section = state.sections[day.random.choice(classes).section]
        others = [t for t in state.teachers_of[section.school] if t != section.teacher]
        if others:
            state.put(replace(section, teacher=day.random.choice(others)))


def staff_change(day: Day) -> None:
    """A new teacher comes, a teacher leaves and hands over, or one starts at a second school."""
    state, student = day.state, day.somebody()
    if student is None or student.school is None:
        return
    teachers = state.teachers_of[student.school]
    kind = day.random.random()
    if kind < 0.5 or len(teachers) < 3:
        add_staff(state, student.school)
        return
    chosen = state.affiliations[day.random.choice(teachers)]
    if kind < 0.8:
        level = state.schools[student.school].level
        others = [s.serial for s in state.schools.values() if s.level == level and s.serial != student.school]
        if others:
            affiliate(state, chosen.staff, day.random.choice(others))
        return
    if chosen.staff in state.spared_staff:
        return
    teachers.remove(chosen.serial)
    state.end_affiliation(chosen)
    for serial in state.sections_of[student.school]:
        if state.sections[serial].teacher == chosen.serial:
            state.put(replace(state.sections[serial], teacher=day.random.choice(teachers)))


def new_section(day: Day) -> None:
    """A crowded class is divided."""
    state, student = day.state, day.somebody()
    classes = state.current_classes(student.serial) if student else []
    if not classes:
        return
    old = state.sections[day.random.choice(classes).section]
    section = add_section(state, old.school, old.course, old.term, old.grade, number=f"{old.number}B", period=old.period)
    rows = [state.enrollments[serial] for serial in state.rosters[old.serial]]
    moving = [row for row in rows if not row.dropped and row.end > state.today and row.student not in state.spared]
    for row in moving[::2]:
        if row.student in state.students:
            state.drop(row, state.today)
            state.enroll(row.student, section.serial, max(state.today, row.begin), row.end)


EVENTS: dict[Callable[[Day], None], float] = {
    newcomer: 12,
    withdrawal: 8,
    announced_withdrawal: 3,
    transfer: 8,
    reentry: 4,
    same_day_reentry: 1,
    registration: 2,
    section_change: 30,
    new_name: 5,
    first_name_spelling: 3,
    new_email: 6,
    new_username: 3,
    moved_house: 8,
    state_id_assigned: 3,
    teacher_change: 3,
    staff_change: 0.6,
    new_section: 0.4,
}
SUMMER_EVENTS: dict[Callable[[Day], None], float] = {
    newcomer: 4,
    withdrawal: 3,
    transfer: 3,
    registration: 3,
    new_name: 2,
    moved_house: 5,
    staff_change: 1,
}


# The new school year


def roll_over(state: DistrictState) -> None:
    """Promote, graduate, take in the kindergartners, and open the new year's terms and classes."""
    state.close_year()
    state.year = current_year(state.today)
    state.planned_exits.clear()
    open_terms(state)
    for serial, student in list(state.students.items()):
        if student.status == "pre_registered" and student.stint is not None:
            state.change_student(serial, status="active")
        elif student.status == "active" and student.school is not None:
            _promote(state, student)
    open_classes(state)
    plant_classes(state)


def _promote(state: DistrictState, student: Student) -> None:
    if student.stint is not None and state.stints[student.stint].entry >= state.year.start:
        return  # came in the summer, for the new year
    if student.grade >= 12:
        graduate(state, student.serial)
        return
    if student.serial not in state.spared and state.random.random() < 0.02:
        stint = student.stint
        state.leave(student.serial, state.stints[stint].exit if stint is not None else state.today, "W3")
        return
    grade = student.grade + 1
    state.open_stint(student.serial, _next_school(state, student, grade), grade, state.year.start, code="P1")


def _next_school(state: DistrictState, student: Student, grade: int) -> int:
    school = state.schools[student.school or 0]
    if grade <= school.high_grade:
        return school.serial
    following = [s.serial for s in state.schools.values() if grade in GRADES.get(s.level, ())]
    return following[school.serial % len(following)]
