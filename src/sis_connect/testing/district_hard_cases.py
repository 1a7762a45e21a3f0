"""The cases that have broken other people's roster imports, planted by name into the synthetic district of any size."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from sis_connect.testing.district_people import add_staff, add_student, affiliate
from sis_connect.testing.district_records import Level, Student, StudentStatus
from sis_connect.testing.district_state import DistrictState

#: Serials of students who do not exist; enrolments point at them all the same.
ORPHANS = (90_000_001, 90_000_002, 90_000_003)

#: Names as they come: given, family.
NAMES: dict[str, tuple[str, str]] = {
    "name_with_emoji": ("Luna🌙", "Star 👩‍👩‍👧"),
    "name_right_to_left": ("عائشة", "بن‌علی"),
    "name_mixed_direction": ("דניאל", "Cohen"),
    "name_with_combining_marks": ("Zoe\u0308", "Nguye\u0302\u0303n"),
    "name_very_long": ("Wolfeschlegel" * 24, "Hausenbergerdorff" * 18),
    "name_with_invisible_characters": ("An\u200bna", " \ufeffSmith\u00ad "),
    "name_like_a_boolean": ("Max", "True"),
    "name_like_nothing": ("Null", "None"),
    "name_like_a_number": ("Seven", "7"),
    "name_with_punctuation": ("D'Arcy", 'O’Neil-<Smith> & "Co"'),
    "name_of_one_letter": ("X", "Æ"),
}


def plant_students(state: DistrictState) -> None:
    """All cases about one or two students, before anybody else is admitted."""
    school = {s.level: s.serial for s in reversed(state.schools.values())}
    for case, (given, family) in NAMES.items():
        state.note(case, _attending(state, school["elementary"], 3, given=given, family=family))
    for case, details in _ODD_DETAILS.items():
        state.note(case, _attending(state, school["middle"], 7, **details))
    state.note("preschool", _attending(state, school["elementary"], -1), _attending(state, school["elementary"], -2))
    state.note("one_student_school", _attending(state, school["one_room"], 3))
    for plant in (_shared_ids, _no_shows, _re_entries, _future_moves, _departed):
        plant(state, school)


_ODD_DETAILS: dict[str, dict[str, str]] = {
    "preferred_name": {"given": "Samantha", "preferred": "Sam"},
    "numeric_username": {"username": "78654"},
    "username_with_leading_zero": {"username": "004512"},
    "username_like_a_boolean": {"username": "true"},
    "state_id_with_leading_zero": {"state_id": "0012345678"},
    "without_state_id": {"state_id": ""},
    "without_email": {"email": ""},
    "without_phone": {"phone": "", "emergency_phone": "", "emergency_name": ""},
    "without_address": {"street": "", "mailing_street": "", "city": "", "postal_code": ""},
    "without_contacts": {"mother": "", "father": "", "guardian_email": "", "emergency_name": "", "emergency_phone": ""},
    "postal_code_with_leading_zero": {"postal_code": "01234"},
}


def _attending(state: DistrictState, school: int, grade: int, **details: str) -> Student:
    student = add_student(state, grade, **details).serial
    state.open_stint(student, school, grade, state.year.start)
    return state.students[student]


def _shared_ids(state: DistrictState, school: dict[Level, int]) -> None:
    """One state id on two children; one number used twice; one child recorded twice."""
    first = _attending(state, school["elementary"], 4)
    second = _attending(state, school["middle"], 6, state_id=first.state_id)
    state.note("shared_state_id", first, second)
    former = _attending(state, school["high"], 12)
    _gone(state, former, "historical")
    state.note("historical", state.students[former.serial])
    newcomer = _attending(state, school["elementary"], 0, number=former.number)
    state.note("reissued_number", state.students[former.serial], newcomer)
    before = _attending(state, school["middle"], 6)
    _gone(state, before, "historical")
    names = {"given": before.given, "middle": before.middle, "family": before.family}
    again = _attending(state, school["middle"], 7, state_id=before.state_id, **names)
    state.change_student(again.serial, birth_date=before.birth_date)
    state.note("same_child_twice", state.students[before.serial], state.students[again.serial])


def _gone(state: DistrictState, student: Student, status: StudentStatus) -> None:
    """Left the district a year ago."""
    stint = state.stints[state.stays[student.serial][-1]]
    year = timedelta(days=364)
    state.put(replace(stint, entry=stint.entry - year, exit=stint.exit - year, exit_code="W1"))
    state.change_student(student.serial, status=status)


def _no_shows(state: DistrictState, school: dict[Level, int]) -> None:
    """Expected on the first day and never seen; one of them at another school on that very day."""
    start = state.year.start
    never = _attending(state, school["elementary"], 1)
    state.leave(never.serial, start, "NS")
    state.note("no_show", state.students[never.serial])
    elsewhere = _attending(state, school["middle"], 8)
    state.close_stint(elsewhere.serial, start, "NS")
    state.open_stint(elsewhere.serial, school["high"], 9, start)
    state.note("no_show_elsewhere", state.students[elsewhere.serial])


def _re_entries(state: DistrictState, school: dict[Level, int]) -> None:
    same_day = _attending(state, school["middle"], 7)
    left = state.today - timedelta(days=14)
    state.close_stint(same_day.serial, left, "W1")
    state.open_stint(same_day.serial, school["middle"], 7, left, code="R1")
    state.note("same_day_reentry", state.students[same_day.serial])
    later = _attending(state, school["high"], 10)
    state.close_stint(later.serial, left - timedelta(days=10), "W1")
    state.open_stint(later.serial, school["high"], 10, left, code="R1")
    state.note("reentry", state.students[later.serial])


def _future_moves(state: DistrictState, school: dict[Level, int]) -> None:
    """Told today, true on a day to come."""
    soon = state.today + timedelta(days=8)
    comes = add_student(state, 9)
    state.open_stint(comes.serial, school["high"], 9, soon)
    state.note("future_entry", state.students[comes.serial])
    leaves = _attending(state, school["high"], 11)
    state.plan_exit(leaves.serial, soon + timedelta(days=1))
    state.note("future_exit", state.students[leaves.serial])
    moves = _attending(state, school["middle"], 8)
    state.close_stint(moves.serial, soon, "T1")
    state.open_stint(moves.serial, school["high"], 9, soon, code="T1")
    state.note("future_transfer", state.students[moves.serial])


def _departed(state: DistrictState, school: dict[Level, int]) -> None:
    start = state.year.start
    left = _attending(state, school["middle"], 6)
    state.leave(left.serial, start + timedelta(days=20), "W1")
    state.note("transferred", state.students[left.serial])
    idle = _attending(state, school["high"], 12)
    state.leave(idle.serial, start + timedelta(days=30), "W2", "inactive")
    state.note("inactive", state.students[idle.serial])
    last = _attending(state, school["high"], 12)
    _gone(state, last, "graduated")
    state.change_student(last.serial, school=None)
    state.note("graduated", state.students[last.serial])
    coming = add_student(state, 0)
    state.open_stint(coming.serial, school["elementary"], 0, state.year.next.start, state.year.next.end)
    state.change_student(coming.serial, status="pre_registered")
    state.note("pre_registered", state.students[coming.serial])
    waiting = add_student(state, 0)
    state.change_student(waiting.serial, school=school["elementary"])
    state.note("pre_registered_without_dates", state.students[waiting.serial])


_ODD_STAFF: dict[str, dict[str, Any]] = {
    "numeric_staff_number": {"number": "5"},
    "staff_number_with_letters": {"number": "J.Doe"},
    "staff_number_with_leading_zero": {"number": "00123"},
    "numeric_staff_username": {"username": "8080"},
    "staff_name_like_a_boolean": {"family": "False"},
    "staff_name_right_to_left": {"given": "مريم", "family": "الأحمد"},
    "staff_without_email": {"email": ""},
}


def plant_staff(state: DistrictState) -> None:
    """Odd numbers and names; one human at two schools; one who has left."""
    school = {s.level: s.serial for s in reversed(state.schools.values())}
    for case, details in _ODD_STAFF.items():
        person = add_staff(state, school["middle"]).staff
        state.note(case, state.put(replace(state.staff[person], **details)))
    shared = add_staff(state, school["middle"])
    affiliate(state, shared.staff, school["high"])
    state.note("staff_at_two_schools", state.staff[shared.staff])
    state.note("one_staff_school", state.staff[add_staff(state, school["one_room"]).staff])
    gone = add_staff(state, school["high"], teacher=False)
    state.end_affiliation(gone)
    state.note("staff_who_left", state.staff[gone.staff])


def plant_classes(state: DistrictState) -> None:
    """What must be there in every school year: a student at two schools, orphans, a dropped row, odd section numbers."""
    school = {s.level: s.serial for s in reversed(state.schools.values())}
    sections = state.sections_of[school["high"]]
    pupils = [s for s in state.active_students() if state.students[s].school == school["middle"]]
    at_middle = next((s for s in pupils if s in state.spared), pupils[0])
    state.open_stint(at_middle, school["high"], 9, state.year.start, primary=False)
    state.enroll(at_middle, sections[1], state.year.start, state.terms[state.sections[sections[1]].term].end)
    state.note("two_schools", state.students[at_middle])
    for orphan, section in zip(ORPHANS, sections[2:], strict=False):
        state.note("orphan_enrollment", state.enroll(orphan, section, state.year.start, state.year.end))
    left = state.current_classes(at_middle)[0]
    dropped = state.put(replace(left, end=state.year.start + timedelta(days=12), dropped=True))
    state.note("dropped_enrollment", dropped)
    odd = state.put(replace(state.sections[sections[0]], number="01A"))
    state.note("section_number_with_leading_zero", odd)
