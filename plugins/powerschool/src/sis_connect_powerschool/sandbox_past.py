"""A longer past than the synthetic district begins with: former pupils, and stays of the years before. To measure reads with."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sis_connect.testing.district import District
from sis_connect.testing.district_people import add_student
from sis_connect.testing.district_records import Stint

_YEAR, _TERM_TIME = timedelta(days=364), timedelta(days=297)


def plant(district: District, *, former: int, years: int) -> None:
    """`former` students who left before this school year, and for everybody a stay in each of so many `years` before it.

    A district that has them already is left alone.
    """
    if "past" in district.hard_cases or not (former or years):
        return
    schools = [school for school in district.schools.values() if school.low_grade <= 0 <= school.high_grade]
    district.hard_cases["past"] = ("planted",)
    for index in range(former):
        school = schools[index % len(schools)].serial
        student = add_student(district, 5)
        left = district.year.start - timedelta(days=60)
        district.open_stint(student.serial, school, 5, left - _TERM_TIME, left)
        district.change_student(student.serial, status="transferred")
    for student in list(district.students.values()) if years else ():
        present = district.stints.get(-1 if student.stint is None else student.stint)
        if present is None:
            continue
        for back in range(1, years + 1):
            entry = present.entry - back * _YEAR
            past = Stint(
                district.next_serial(Stint), student.serial, present.school, entry, entry + _TERM_TIME, present.grade - back
            )
            district.put(replace(past, grade=max(past.grade, -1), entry_code="E1", exit_code="W3"))


def plant_no_shows(district: District, count: int) -> None:
    """So many students whose present stay began with another one that ended on its day of entry."""
    if "returned_no_show" in district.hard_cases or not count:
        return
    present = [student for student in district.students.values() if student.status == "active" and student.stint is not None]
    for student in present[:count]:
        stay = district.stints[student.stint or 0]
        serial = district.next_serial(Stint)
        district.put(Stint(serial, student.serial, stay.school, stay.entry, stay.entry, stay.grade, "E1", "W1"))
        district.note("returned_no_show", student)
