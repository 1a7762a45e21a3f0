"""Other values under the same ids: whoever keeps what was read shows the old ones."""

from __future__ import annotations

from dataclasses import replace

from sis_connect.testing.district_state import DistrictState

_FURTHER = "II"
#: Put before a number, which stays one, and as unlike any other as before.
_BEFORE = "7"


def rename(state: DistrictState) -> None:
    """Give each school, course, class and person another name, and each student another number."""
    for school in list(state.schools.values()):
        state.put(replace(school, name=f"{school.name} {_FURTHER}"))
    for course in list(state.courses.values()):
        state.put(replace(course, name=f"{course.name} {_FURTHER}"))
    for section in list(state.sections.values()):
        state.put(replace(section, number=f"{_BEFORE}{section.number}"))
    for human in list(state.staff.values()):
        state.put(replace(human, family=f"{human.family} {_FURTHER}"))
    for student in list(state.students.values()):
        state.put(replace(student, number=f"{_BEFORE}{student.number}", family=f"{student.family} {_FURTHER}"))
