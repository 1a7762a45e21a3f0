"""The guardians of the synthetic district: people made from what students' records say about their families.

They are derived, not kept: the same students give the same guardians, and no chance is spent. A father may be shared with the
student before who has none of their own (a patchwork family), and one of the staff is also a guardian.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from sis_connect.testing.district_records import Keyed, Staff, Student
from sis_connect.testing.district_state import DistrictState

Relationship = Literal["parent", "guardian", "relative"]
MOTHER, FATHER, EMERGENCY, COLLEAGUE = range(4)


@dataclass(frozen=True, slots=True)
class Guardian(Keyed):
    """`students` are theirs, `portal` says whether the relationship is marked for the portal, `staff` who they are besides."""

    serial: int
    given: str
    family: str
    relationship: Relationship
    students: tuple[int, ...]
    email: str = ""
    phone: str = ""
    portal: bool = True
    staff: int | None = None


def guardians(state: DistrictState) -> dict[int, Guardian]:
    """All guardians by serial, those of former students among them."""
    found = {guardian.serial: guardian for student in state.students.values() for guardian in _of(student)}
    for student in state.students.values():
        shared = found.get(4 * (student.serial - 1) + FATHER)
        if student.mother and not student.father and shared is not None:
            found[shared.serial] = replace(shared, students=(*shared.students, student.serial))
    both = _colleague(state)
    return found | ({both.serial: both} if both else {})


def _of(student: Student) -> Iterator[Guardian]:
    """A student's own: mother, father, and whoever is called in an emergency where that is neither of them."""
    first = MOTHER if student.mother else FATHER
    people = ((MOTHER, student.mother), (FATHER, student.father), (EMERGENCY, student.emergency_name))
    for place, name in people:
        if not name or (place == EMERGENCY and name in (student.mother, student.father)):
            continue
        family, _, given = name.partition(", ")
        serial = 4 * student.serial + place
        yield Guardian(
            serial,
            given,
            family,
            "relative" if place == EMERGENCY else "parent",
            (student.serial,),
            student.guardian_email if place == first else "",
            student.emergency_phone if name == student.emergency_name else "",
            portal=serial % 11 != 5,
        )


def _colleague(state: DistrictState) -> Guardian | None:
    """The one of the staff who works at two schools is the guardian of a student."""
    (person,) = _cases(state, "staff_at_two_schools")
    (student,) = _cases(state, "preferred_name")
    staff: Staff = state.staff[person]
    serial = 4 * student + COLLEAGUE
    return Guardian(serial, staff.given, staff.family, "guardian", (student,), staff.email, staff.phone, staff=staff.serial)


def _cases(state: DistrictState, case: str) -> list[int]:
    return [int(key.rpartition("-")[2]) for key in state.hard_cases[case]]
