"""The synthetic district has its size, is the same however its story is told, and goes on day by day through the years."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from itertools import pairwise

import pytest

from sis_connect.testing.district import District
from sis_connect.testing.district_calendar import SchoolYear, current_year, story_date
from sis_connect.testing.district_events import EVENTS
from sis_connect.testing.district_records import STEP, School, Stint, Student, identifier

SIZES = (200, 10_000)
_OPENED: dict[int, District] = {}


@pytest.fixture(params=SIZES, ids=lambda size: f"{size} students")
def district(request: pytest.FixtureRequest) -> District:
    """A district on its first day; the tests that take it only look."""
    size: int = request.param
    if size not in _OPENED:
        _OPENED[size] = District(students=size)
    return _OPENED[size]


def students(district: District, case: str) -> list[Student]:
    return [district.students[int(key.removeprefix("student-"))] for key in district.hard_cases[case]]


def stints(district: District, student: Student) -> list[Stint]:
    return [district.stints[serial] for serial in district.stays[student.serial]]


def only(district: District, case: str) -> Student:
    (student,) = students(district, case)
    return student


def school(district: District, case: str) -> School:
    (key,) = district.hard_cases[case]
    return district.schools[int(key.removeprefix("school-"))]


# Size, identity, determinism


def test_there_are_as_many_students_as_asked_for(district: District) -> None:
    assert len(district.students) == district.size
    assert len(district.active_students()) > 0.85 * district.size
    assert 7 < len(district.enrollments) / district.size < 8


def test_even_the_smallest_district_has_every_hard_case() -> None:
    small = District(students=1)
    assert set(small.hard_cases) == set(District(students=200).hard_cases)
    small.move_to(200)


def test_a_district_without_students_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        District(students=0)


def test_numbers_of_different_columns_never_coincide() -> None:
    columns = [{identifier(column, serial, floor=1 + column % 7 * 200) for serial in range(500)} for column in range(STEP)]
    assert len(set.union(*columns)) == 500 * STEP


def test_there_are_no_more_columns_than_fit() -> None:
    with pytest.raises(ValueError, match="columns"):
        identifier(STEP, 0)


def test_student_and_school_numbers_never_coincide(district: District) -> None:
    numbers = {student.number for student in district.students.values()}
    assert len(numbers) == len(district.students) - 1, "only the re-issued number is there twice"
    assert numbers.isdisjoint(place.number for place in district.schools.values())


def everything(district: District) -> tuple[object, ...]:
    return (
        district.today,
        district.schools,
        district.terms,
        district.courses,
        district.staff,
        district.affiliations,
        district.students,
        district.stints,
        district.sections,
        district.enrollments,
    )


def test_the_same_arguments_give_the_same_district_however_the_day_was_reached() -> None:
    straight, wandering = District(students=200, seed=5), District(students=200, seed=5)
    straight.move_to(205)
    for day in (3, 60, 12, 205):
        wandering.move_to(day)
    assert everything(straight) == everything(wandering)


def test_another_seed_gives_another_district() -> None:
    one, other = District(students=200, seed=1), District(students=200, seed=2)
    assert one.students != other.students


def test_the_story_does_not_start_before_day_zero() -> None:
    with pytest.raises(ValueError, match="day 0"):
        District(students=200).move_to(-1)


# The calendar


def test_day_zero_is_an_ordinary_school_day_and_days_are_weekdays() -> None:
    assert story_date(2027, 0) == date(2026, 10, 5)
    days = [story_date(2027, day) for day in range(300)]
    assert all(day.weekday() < 5 for day in days)
    assert all(timedelta(0) < later - earlier <= timedelta(3) for earlier, later in pairwise(days))


def test_a_school_year_has_its_dates() -> None:
    year = SchoolYear(2027)
    assert (year.start, year.second_semester, year.end) == (date(2026, 8, 12), date(2027, 1, 11), date(2027, 6, 5))
    assert year.next.rollover == date(2027, 7, 1)
    assert current_year(date(2027, 6, 30)) == year
    assert current_year(date(2027, 7, 1)) == year.next


def test_a_roll_over_on_a_weekend_waits_for_monday() -> None:
    assert SchoolYear(2029).rollover == date(2028, 7, 3)


@pytest.mark.parametrize("portion", [1, 2, 3, 4])
def test_the_parts_of_a_year_follow_each_other_without_a_gap(portion: int) -> None:
    year = SchoolYear(2027)
    parts = year.parts(portion)
    assert len(parts) == portion
    assert (parts[0][0], parts[-1][1]) == (year.start, year.end)
    assert all(former[1] == later[0] for former, later in pairwise(parts))


@pytest.mark.parametrize("school_year", [2027, 2028, 2035])
def test_quarters_are_halves_of_the_semesters(school_year: int) -> None:
    year = SchoolYear(school_year)
    quarters, semesters = year.parts(4), year.parts(2)
    for place, (start, end) in enumerate(semesters):
        first, second = quarters[2 * place : 2 * place + 2]
        assert (first[0], first[1], second[1]) == (start, second[0], end)
        assert 0 <= (second[1] - second[0]).days - (first[1] - first[0]).days <= 1


# Day by day


def touched(before: dict[int, Student], district: District) -> set[int]:
    return {serial for serial, student in district.students.items() if before.get(serial) is not student}


def test_a_small_share_of_the_students_changes_from_day_to_day() -> None:
    district = District(students=10_000)
    shares = []
    for day in range(1, 6):
        students_before, rows_before = dict(district.students), dict(district.enrollments)
        district.move_to(day)
        changed = touched(students_before, district)
        rows = {row.student for serial, row in district.enrollments.items() if rows_before.get(serial) is not row}
        rows |= {row.student for serial, row in rows_before.items() if serial not in district.enrollments}
        shares.append(len(changed | rows) / 10_000)
    assert all(0.003 <= share <= 0.012 for share in shares), shares


def test_unchanged_records_stay_the_same_objects() -> None:
    district = District(students=200)
    before = dict(district.enrollments)
    district.move_to(1)
    same = sum(district.enrollments.get(serial) is row for serial, row in before.items())
    assert same > 0.9 * len(before)


def test_everything_that_can_happen_happens_in_a_school_year() -> None:
    district = District(students=2_000)
    before = dict(district.students)
    leavers, enrolled_before = Counter(s.status for s in before.values())["transferred"], dict(district.enrollments)
    teachers = {serial: section.teacher for serial, section in district.sections.items()}
    district.move_to(100)
    now = {serial: district.students[serial] for serial in before}
    assert len(district.students) > len(before)
    assert Counter(s.status for s in district.students.values())["transferred"] > leavers
    for name in ("given", "family", "email", "username", "street", "state_id", "school"):
        assert any(getattr(now[serial], name) != getattr(before[serial], name) for serial in before), name
    assert any(district.students[serial].status == "active" for serial, s in before.items() if s.status == "transferred")
    assert any(district.sections[serial].teacher != teacher for serial, teacher in teachers.items())
    assert len(district.sections) > len(teachers)
    assert any(serial not in district.enrollments for serial in enrolled_before), "some rows vanish"
    assert any(
        row.dropped and not enrolled_before[serial].dropped
        for serial, row in district.enrollments.items()
        if serial in enrolled_before
    ), "others stay, dropped"
    assert len(EVENTS) == 17


def test_references_hold_all_year_but_for_the_orphans() -> None:
    district = District(students=300)
    for day in (0, 40, 120, 200, 250):
        district.move_to(day)
        assert all(row.section in district.sections for row in district.enrollments.values())
        assert all(stint.student in district.students for stint in district.stints.values())
        assert all(district.affiliations[section.teacher].staff in district.staff for section in district.sections.values())
        current = [section for sections in district.sections_of.values() for section in sections]
        assert all(district.affiliations[district.sections[serial].teacher].active for serial in current)
        assert all(stint.entry <= stint.exit for stint in district.stints.values())
        listed = Counter(serial for roster in district.rosters.values() for serial in roster)
        assert listed == Counter(district.enrollments.keys())


def test_a_student_has_one_present_stint_and_stints_are_told_apart_by_student_school_and_entry() -> None:
    district = District(students=1_000)
    district.move_to(220)
    for student in district.students.values():
        if student.status == "active" and student.stint is not None:
            assert district.stints[student.stint].school == student.school
    keys = Counter((s.student, s.school, s.entry) for s in district.stints.values() if s.primary)
    assert max(keys.values()) == 1


def test_the_school_year_rolls_over() -> None:
    district = District(students=1_000)
    last_day = next(day for day in range(150, 250) if story_date(2027, day + 1) >= SchoolYear(2028).rollover)
    district.move_to(last_day)
    assert district.year == SchoolYear(2027)
    before, old_sections = dict(district.students), {s for sections in district.sections_of.values() for s in sections}
    district.move_to(last_day + 1)
    assert district.year == SchoolYear(2028)
    here = [s for s in before.values() if s.status == "active" and s.stint is not None]
    here = [s for s in here if district.stints[s.stint or 0].entry < SchoolYear(2027).end]
    seniors = [s.serial for s in here if s.grade == 12]
    assert seniors
    assert {district.students[serial].status for serial in seniors} <= {"graduated", "transferred"}
    fifth = [s for s in here if s.grade == 5 and district.students[s.serial].status == "active"]
    assert fifth
    assert all(district.students[s.serial].grade == 6 and district.students[s.serial].school != s.school for s in fifth)
    coming = [s for s in before.values() if s.status == "pre_registered" and s.stint is not None]
    assert {district.students[s.serial].status for s in coming} == {"active"}
    assert all(
        district.stints[s.stint].entry >= SchoolYear(2028).start
        for s in district.students.values()
        if s.status == "active" and s.stint is not None
    )
    assert old_sections.isdisjoint(serial for sections in district.sections_of.values() for serial in sections)
    assert {term.year for term in district.terms.values()} == {2027, 2028}


def test_hard_cases_are_planted_again_in_the_new_year() -> None:
    district = District(students=200)
    district.move_to(200)
    current = {section for sections in district.sections_of.values() for section in sections}
    assert (
        len([row for row in district.enrollments.values() if row.student not in district.students and row.section in current])
        == 3
    )
    assert len(district.hard_cases["two_schools"]) == 2
    tiny = school(district, "one_of_each").serial
    assert len(district.sections_of[tiny]) == 1
