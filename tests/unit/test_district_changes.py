"""When records of the synthetic district changed, what ceased to be, and who the guardians are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from sis_connect.testing.district import District
from sis_connect.testing.district_guardians import Guardian, guardians
from sis_connect.testing.district_records import Affiliation, Enrollment, Keyed, Section, Term

ROLLED_OVER = 200


@pytest.fixture(scope="module")
def opened() -> District:
    return District(students=300)


@pytest.fixture(scope="module")
def later() -> District:
    district = District(students=300)
    district.move_to(60)
    return district


@pytest.fixture(scope="module")
def next_year() -> District:
    district = District(students=300)
    district.move_to(ROLLED_OVER)
    return district


def records(district: District) -> Iterator[Keyed]:
    for table in district._tables.values():
        yield from table.values()


# Changes


def test_what_the_story_begins_with_changed_at_some_time_before(opened: District) -> None:
    days = {opened.changed_on(record) for record in records(opened)}
    assert max(days) < opened.today
    assert min(days) > opened.today - timedelta(days=90)
    assert len(days) > 30


def test_a_record_changes_on_the_day_on_which_it_is_another_object() -> None:
    district = District(students=300)
    for day in range(1, 12):
        before = {record.key: record for record in records(district)}
        district.move_to(day)
        for record in records(district):
            assert (district.changed_on(record) == district.today) == (before.get(record.key) is not record), record.key


def test_changes_are_the_same_however_the_day_was_reached(next_year: District) -> None:
    wandering = District(students=300)
    for day in (30, 5, ROLLED_OVER + 20, ROLLED_OVER):
        wandering.move_to(day)
    assert wandering.removed == next_year.removed
    assert wandering.former_teachers == next_year.former_teachers
    assert [wandering.changed_on(r) for r in records(wandering)] == [next_year.changed_on(r) for r in records(next_year)]


def test_only_what_changed_is_remembered(opened: District, later: District) -> None:
    assert not any(opened._changed.values())
    assert sum(len(days) for days in later._changed.values()) < 0.4 * sum(1 for _ in records(later))


# What ceased to be


def test_an_enrolment_that_never_came_to_pass_is_remembered_as_removed() -> None:
    district = District(students=300)
    for day in range(1, 100):
        before, date = dict(district.enrollments), district.today
        district.move_to(day)
        for serial, row in before.items():
            if serial not in district.enrollments:
                assert district.removed[Enrollment][serial] == (row, district.today)
                assert district.changed_on(row) == district.today > date
                return
    pytest.fail("nothing was removed")


def test_nothing_of_the_current_year_counts_as_removed(later: District, next_year: District) -> None:
    for district in (later, next_year):
        assert not set(district.removed[Section]) & {s for taught in district.sections_of.values() for s in taught}
        assert {district.terms[serial].year for serial in district.removed[Term]} <= {district.year.year - 1}
        assert not any(district.affiliations[serial].active for serial in district.removed[Affiliation])


def test_the_past_year_ends_when_the_next_one_begins(next_year: District) -> None:
    ended = next_year.removed[Term]
    assert set(ended) == {serial for serial, term in next_year.terms.items() if term.year == 2027}
    (day,) = {since for _, since in ended.values()}
    assert day == next_year.year.rollover
    assert {since for _, since in next_year.removed[Section].values()} == {day}
    past = {s.serial for s in next_year.sections.values() if next_year.terms[s.term].year == 2027}
    assert set(next_year.removed[Section]) == past


def test_somebody_who_left_the_staff_is_remembered(opened: District) -> None:
    ((gone, since),) = opened.removed[Affiliation].values()
    assert f"staff-{gone.staff}" in opened.hard_cases["staff_who_left"]
    assert since < opened.today


def test_a_class_remembers_who_taught_it_before() -> None:
    district = District(students=300)
    for day in range(1, 190):
        before, ends = {serial: section.teacher for serial, section in district.sections.items()}, district.former_teachers
        district.move_to(day)
        for serial, teacher in before.items():
            now = district.sections[serial].teacher
            assert now not in ends.get(serial, {}), "the teacher of today is none of those before"
            if now != teacher:
                assert ends[serial][teacher] == district.today
    assert ends


# Guardians


def test_guardians_are_made_of_what_the_students_records_say(opened: District) -> None:
    people = guardians(opened)
    student = next(s for s in opened.students.values() if s.mother and s.father and s.guardian_email)
    mother, father = people[4 * student.serial], people[4 * student.serial + 1]
    assert f"{mother.family}, {mother.given}" == student.mother
    assert f"{father.family}, {father.given}" == student.father
    assert (mother.email, mother.phone) == (student.guardian_email, student.emergency_phone)
    assert father.email == ""
    assert student.serial in mother.students


def test_who_is_called_in_an_emergency_and_is_no_parent_is_a_relative(opened: District) -> None:
    relatives = [g for g in guardians(opened).values() if g.relationship == "relative"]
    assert relatives
    assert all(not opened.students[g.students[0]].mother for g in relatives)


def test_a_student_without_contacts_has_no_guardian(opened: District) -> None:
    lonely = int(opened.hard_cases["without_contacts"][0].removeprefix("student-"))
    assert all(lonely not in guardian.students for guardian in guardians(opened).values())


@pytest.mark.parametrize(("students", "seed"), [(1, 1), (200, 1), (200, 2), (2000, 7)])
def test_every_kind_of_guardian_is_there_at_any_size(students: int, seed: int) -> None:
    people = list(guardians(District(students=students, seed=seed)).values())
    assert {guardian.relationship for guardian in people} == {"parent", "guardian", "relative"}
    assert any(len(guardian.students) > 1 for guardian in people), "siblings share one"
    assert any(not guardian.portal for guardian in people)
    assert len([guardian for guardian in people if guardian.staff is not None]) == 1
    assert len({guardian.key for guardian in people}) == len(people)


def test_guardians_keep_their_keys(opened: District, next_year: District) -> None:
    before, after = guardians(opened), guardians(next_year)
    assert before.keys() <= after.keys()

    def same(guardian: Guardian) -> tuple[str, str, tuple[int, ...]]:
        return guardian.given, guardian.family, guardian.students[:1]

    assert {serial: same(guardian) for serial, guardian in before.items()} == {s: same(after[s]) for s in before}
