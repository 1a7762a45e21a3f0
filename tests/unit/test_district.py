"""The synthetic district: every hard case is there at any size, the story is the same however it is told, and it goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sis_connect.testing.district import District
from sis_connect.testing.district_records import Enrollment, School, Section, Staff, Stint, Student

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


# Hard cases, by name


def test_a_student_is_at_two_schools(district: District) -> None:
    student = only(district, "two_schools")
    sections = [district.sections[row.section] for row in district.current_classes(student.serial)]
    assert len({section.school for section in sections}) == 2
    assert [stint.primary for stint in stints(district, student)] == [True, False]


def test_two_children_share_a_state_id(district: District) -> None:
    one, other = students(district, "shared_state_id")
    assert one.state_id == other.state_id
    assert (one.given, one.family, one.number) != (other.given, other.family, other.number)


def test_a_former_pupils_number_belongs_to_a_newcomer(district: District) -> None:
    former, newcomer = students(district, "reissued_number")
    assert former.number == newcomer.number
    assert (former.status, newcomer.status) == ("historical", "active")
    assert former.state_id != newcomer.state_id


def test_one_child_is_recorded_twice(district: District) -> None:
    before, again = students(district, "same_child_twice")
    assert (before.state_id, before.family, before.birth_date) == (again.state_id, again.family, again.birth_date)
    assert before.number != again.number


def test_a_no_show_left_on_the_day_of_entry(district: District) -> None:
    student = only(district, "no_show")
    (stint,) = stints(district, student)
    assert stint.entry == stint.exit
    assert student.status != "active"


def test_a_no_show_may_enter_elsewhere_on_that_very_day(district: District) -> None:
    first, second = stints(district, only(district, "no_show_elsewhere"))
    assert first.entry == first.exit == second.entry
    assert first.school != second.school


def test_somebody_left_and_came_back_on_one_day(district: District) -> None:
    first, second = stints(district, only(district, "same_day_reentry"))
    assert first.exit == second.entry
    assert first.school == second.school


def test_somebody_came_back_after_a_gap(district: District) -> None:
    first, second = stints(district, only(district, "reentry"))
    assert first.exit < second.entry


def test_moves_are_known_before_they_come(district: District) -> None:
    today = district.today
    comes, leaves, moves = (only(district, case) for case in ("future_entry", "future_exit", "future_transfer"))
    assert stints(district, comes)[-1].entry > today
    assert today < stints(district, leaves)[-1].exit < district.year.end
    before, after = stints(district, moves)
    assert today < before.exit == after.entry
    assert {comes.status, leaves.status, moves.status} == {"active"}


def test_a_future_exit_is_a_withdrawal_once_its_day_has_come() -> None:
    district = District(students=200)
    leaves = only(district, "future_exit")
    district.move_to(6)
    assert only(district, "future_exit").status == "active"
    district.move_to(7)
    assert only(district, "future_exit").status == "transferred"
    assert not district.current_classes(leaves.serial)


def test_legal_and_preferred_names_differ(district: District) -> None:
    student = only(district, "preferred_name")
    assert (student.given, student.preferred) == ("Samantha", "Sam")


def test_one_school_has_one_of_everything(district: District) -> None:
    tiny = school(district, "one_of_each").serial
    sections = district.sections_of[tiny]
    assert len(sections) == 1
    assert len(district.rosters[sections[0]]) == 1
    assert len([s for s in district.students.values() if s.school == tiny]) == 1
    assert len([a for a in district.affiliations.values() if a.school == tiny]) == 1
    assert len([t for t in district.terms.values() if t.school == tiny]) == 1


def test_one_school_has_nothing_at_all(district: District) -> None:
    empty = school(district, "empty_school").serial
    assert empty not in {student.school for student in district.students.values()}
    assert empty not in {affiliation.school for affiliation in district.affiliations.values()}
    assert empty not in {term.school for term in district.terms.values()}
    assert empty not in {section.school for section in district.sections.values()}


@pytest.mark.parametrize(
    ("case", "look", "value"),
    [
        ("numeric_username", lambda s: s.username, "78654"),
        ("username_with_leading_zero", lambda s: s.username, "004512"),
        ("username_like_a_boolean", lambda s: s.username, "true"),
        ("state_id_with_leading_zero", lambda s: s.state_id, "0012345678"),
        ("without_state_id", lambda s: s.state_id, ""),
        ("without_email", lambda s: s.email, ""),
        ("without_phone", lambda s: s.phone, ""),
        ("without_address", lambda s: s.street, ""),
        ("without_contacts", lambda s: s.guardian_email, ""),
        ("postal_code_with_leading_zero", lambda s: s.postal_code, "01234"),
        ("name_like_a_boolean", lambda s: s.family, "True"),
        ("name_like_nothing", lambda s: (s.given, s.family), ("Null", "None")),
        ("name_like_a_number", lambda s: s.family, "7"),
        ("name_of_one_letter", lambda s: s.given, "X"),
    ],
)
def test_a_student_has_an_odd_detail(district: District, case: str, look: Callable[[Student], object], value: object) -> None:
    assert look(only(district, case)) == value


def test_names_come_in_every_script_and_length(district: District) -> None:
    assert "🌙" in only(district, "name_with_emoji").given
    assert "\u200c" in only(district, "name_right_to_left").family
    assert "א" in only(district, "name_mixed_direction").given
    assert "\u0308" in only(district, "name_with_combining_marks").given
    assert len(only(district, "name_very_long").given) >= 300
    assert "\u200b" in only(district, "name_with_invisible_characters").given
    assert {"<", "&", '"'} <= set(only(district, "name_with_punctuation").family)


def test_staff_have_numbers_and_names_of_every_kind(district: District) -> None:
    def person(case: str) -> Staff:
        (key,) = district.hard_cases[case]
        return district.staff[int(key.removeprefix("staff-"))]

    assert person("numeric_staff_number").number == "5"
    assert person("staff_number_with_letters").number == "J.Doe"
    assert person("staff_number_with_leading_zero").number == "00123"
    assert person("numeric_staff_username").username == "8080"
    assert person("staff_name_like_a_boolean").family == "False"
    assert person("staff_without_email").email == ""


def test_one_of_the_staff_works_at_two_schools_and_one_has_left(district: District) -> None:
    (shared,), (gone,) = district.hard_cases["staff_at_two_schools"], district.hard_cases["staff_who_left"]
    places = [a.school for a in district.affiliations.values() if f"staff-{a.staff}" == shared]
    assert len(set(places)) == 2
    assert [a.active for a in district.affiliations.values() if f"staff-{a.staff}" == gone] == [False]


def test_courses_and_sections_are_called_by_numbers(district: District) -> None:
    courses = {f"course-{serial}": course for serial, course in district.courses.items()}
    sections: dict[str, Section] = {f"section-{serial}": section for serial, section in district.sections.items()}
    assert courses[district.hard_cases["course_number_with_leading_zero"][0]].number.startswith("0")
    assert courses[district.hard_cases["numeric_course_number"][0]].number.isdecimal()
    assert courses[district.hard_cases["numeric_title"][0]].name == "1984"
    assert sections[district.hard_cases["section_number_with_leading_zero"][0]].number == "01A"


def test_some_enrollments_point_at_nobody(district: District) -> None:
    orphans = [row for row in district.enrollments.values() if row.student not in district.students]
    assert [row.key for row in orphans] == list(district.hard_cases["orphan_enrollment"])
    assert len(orphans) == 3


def test_a_dropped_class_keeps_its_row(district: District) -> None:
    (key,) = district.hard_cases["dropped_enrollment"]
    dropped: Enrollment = district.enrollments[int(key.removeprefix("enrollment-"))]
    assert dropped.dropped
    assert dropped.end < district.today


def test_graduates_former_and_coming_pupils_are_on_the_list(district: District) -> None:
    graduate = only(district, "graduated")
    assert (graduate.status, graduate.school, graduate.grade) == ("graduated", None, 12)
    assert only(district, "transferred").status == "transferred"
    assert only(district, "historical").status == "historical"
    assert only(district, "inactive").status == "inactive"
    assert stints(district, only(district, "pre_registered"))[0].entry == district.year.next.start
    assert only(district, "pre_registered_without_dates").stint is None
    assert {student.grade for student in students(district, "preschool")} == {-1, -2}
