"""Why somebody comes, moves or goes, as an office person would say it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from itertools import permutations
from typing import Any

import pytest

from sis_connect.calendar import SchoolCalendar
from sis_connect.roster.reasons import Change, Person, Stay, of_enrollment, of_stay, of_student, word_for
from sis_connect.roster.stints import Stint, is_likely, succession

YEARS = SchoolCalendar.of([(2026, date(2025, 8, 13), date(2026, 5, 30)), (2027, date(2026, 8, 12), date(2027, 5, 29))])
NONE = SchoolCalendar()
Values = Mapping[str, Any]


def stint(school: str, entry: str, leave: str | None = None, grade: str = "05") -> Stint:
    return Stint(school, date.fromisoformat(entry), date.fromisoformat(leave) if leave else None, grade)


def told(sis_id: str, *known: Any, before: Stint | None = None, **more: Any) -> Stay:
    return Stay(sis_id, stint(*known, **more), before)


def gone(sis_id: str, *known: Any) -> Stay:
    """A stay that the SIS tells of no longer."""
    return Stay(sis_id, None, stint(*known))


def document(known: Stint) -> dict[str, Any]:
    leave = known.exit_date.isoformat() if known.exit_date else None
    entry = known.entry_date.isoformat()
    return {"student": "s1", "school": known.school, "entry_date": entry, "exit_date": leave, "grade": known.grade}


def student(action: str, reason: str, before: Values | None = None, **writes: Any) -> Change:
    known = {"school": "A", "grade": "05", **(before or {})}
    return Change(action, reason, known, {**known, **writes})


def of(stay: Stay, action: str, reason: str, *others: Stay, person: Person | None = None, years: SchoolCalendar = YEARS) -> str:
    """The reason of a change of one stay, in whatever order the others are looked at."""
    after = stay.now or stay.before
    assert after is not None
    change = Change(action, reason, document(stay.before or after), document(after))
    answers = {of_stay(change, stay.sis_id, order, person, years) for order in permutations([stay, *others])}
    assert len(answers) == 1, "the order of the stays makes a difference"
    return answers.pop()


# -- how stays follow each other ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("former", "successor", "known", "without_years"),
    [
        (stint("A", "2026-08-12", "2026-10-05"), stint("B", "2026-10-07"), "transfer", "transfer"),
        (stint("A", "2026-08-12", "2026-12-19"), stint("B", "2027-01-05"), "transfer", "transfer"),
        (stint("A", "2026-08-12", "2026-09-04"), stint("B", "2026-11-02"), "re_entry", "re_entry"),
        (stint("A", "2026-08-12", "2026-10-05"), stint("A", "2026-11-02"), "re_entry", "re_entry"),
        (stint("A", "2026-08-12", "2026-10-05"), stint("A", "2026-10-05"), "correction", "correction"),
        (stint("A", "2026-08-12", "2026-10-05"), stint("A", "2026-10-05", grade="06"), "promotion", "promotion"),
        (stint("A", "2025-08-13", "2026-05-30"), stint("A", "2026-08-12", grade="06"), "rollover", "promotion"),
        (stint("A", "2025-08-13", "2026-05-30"), stint("B", "2026-08-12", grade="06"), "rollover", "rollover"),
        (stint("A", "2025-08-13", "2026-05-30"), stint("A", "2026-08-12"), "rollover", "re_entry"),
        (stint("A", "2025-08-13", "2026-05-30"), stint("B", "2026-07-01", grade="06"), "rollover", "rollover"),
        (stint("A", "2026-07-01", "2026-08-12"), stint("B", "2026-08-12"), "transfer", "transfer"),
        (stint("A", "2026-08-12", "2027-05-29"), stint("A", "2027-08-11", grade="06"), "rollover", "promotion"),
        (stint("A", "2024-08-14", "2025-05-30"), stint("A", "2025-08-13", grade="06"), "rollover", "promotion"),
    ],
)
def test_one_stay_follows_another(former: Stint, successor: Stint, known: str, without_years: str) -> None:
    assert (succession(former, successor, YEARS), succession(former, successor)) == (known, without_years)


def test_years_that_overlap_do_not_hide_that_one_begins() -> None:
    overlapping = SchoolCalendar.of([(2026, date(2025, 8, 13), date(2026, 8, 20)), (2027, date(2026, 8, 12), date(2027, 5, 29))])
    assert succession(stint("A", "2025-08-13", "2026-05-30"), stint("A", "2026-08-12"), overlapping) == "rollover"


def test_a_date_of_long_ago_is_not_likely_where_the_years_are_known() -> None:
    assert not is_likely(date(2019, 8, 14), YEARS)
    assert not is_likely(date(2062, 8, 14), YEARS)
    assert is_likely(date(2024, 9, 1), YEARS)
    assert is_likely(date(1900, 1, 1), NONE)


# -- stays -------------------------------------------------------------------------------------------------------------

AT_A = told("1", "A", "2026-08-12", "2026-10-05")
AT_B = told("2", "B", "2026-10-05")


@pytest.mark.parametrize(
    ("others", "person", "reason"),
    [
        ((), None, "new"),
        ((AT_A,), None, "transfer"),
        ((AT_A,), Person("create", "new"), "new"),
        ((told("1", "A", "2026-08-12"),), None, "new"),  # she stays at A as well
        ((gone("1", "A", "2026-08-12"),), None, "transfer"),  # she does not: the SIS only does not say until when
        ((told("1", "A", "2026-10-05", "2026-10-05"),), None, "correction"),
        ((told("1", "A", "2026-09-01", "2026-09-01"),), None, "new"),  # she never came, and comes now
        ((told("1", "A", "2025-08-13", "2026-05-30"),), None, "rollover"),
        ((AT_A, told("0", "C", "2025-08-13", "2026-05-30")), None, "transfer"),
        ((AT_A, told("0", "C", "2026-08-12", "2026-09-01")), None, "transfer"),  # of two that began together, the longer one
        ((told("1", "B", "2026-08-12", "2026-09-11"),), None, "re_entry"),
        ((told("1", "B", "2026-08-12", "2026-10-05"),), None, "correction"),
        ((told("1", "B", "2026-08-12", "2026-10-05", grade="04"),), None, "promotion"),
    ],
)  # fmt: skip
def test_why_a_stay_begins(others: tuple[Stay, ...], person: Person | None, reason: str) -> None:
    assert of(AT_B, "create", "new", *others, person=person) == reason


LEFT = Person("withdraw", "withdrawal")


@pytest.mark.parametrize(
    ("stay", "merged", "others", "person", "reason"),
    [
        (AT_A, "ended", (), None, "ended"),
        (AT_A, "ended", (), LEFT, "withdrawal"),
        (AT_A, "ended", (), Person("withdraw", "graduation"), "graduation"),
        (AT_A, "ended", (), Person("gone", "withdrawal"), "withdrawal"),
        (AT_A, "ended", (), Person("update", "correction"), "ended"),
        (AT_A, "ended", (AT_B,), None, "transfer"),
        (AT_A, "ended", (told("2", "A", "2026-10-05"),), None, "correction"),
        (AT_A, "ended", (told("2", "A", "2026-11-02"),), None, "ended"),  # the return is the next stay's reason
        (AT_A, "ended", (told("2", "B", "2026-09-01"),), LEFT, "withdrawal"),  # at B she had been all along
        (told("1", "A", "2025-08-13", "2026-05-30"), "ended", (AT_B,), None, "rollover"),
        (told("1", "A", "2026-08-12", "2026-08-12"), "no_show", (), None, "no_show"),
        (told("1", "A", "2026-08-12", "2026-08-12"), "no_show", (), LEFT, "no_show"),
        (told("1", "A", "2026-08-12", "2026-08-12"), "no_show", (told("2", "B", "2026-08-12"),), None, "correction"),
        (told("1", "A", "2026-08-12", "2026-08-12"), "no_show", (told("2", "A", "2026-08-19"),), None, "correction"),
        (gone("1", "A", "2026-08-12"), "absence", (), None, "absence"),
        (gone("1", "A", "2026-08-12"), "absence", (), LEFT, "withdrawal"),
        (gone("1", "A", "2026-08-12"), "absence", (AT_B,), None, "transfer"),
        (gone("1", "A", "2026-08-12"), "no_longer_stated", (AT_B,), None, "transfer"),
        (AT_A, "school_withdrawn", (), LEFT, "school_withdrawn"),
        (AT_A, "undone", (AT_B,), LEFT, "undone"),
    ],
)  # fmt: skip
def test_why_a_stay_ends(stay: Stay, merged: str, others: tuple[Stay, ...], person: Person | None, reason: str) -> None:
    assert of(stay, "withdraw", merged, *others, person=person) == reason


@pytest.mark.parametrize(
    ("stay", "action", "merged", "others", "reason"),
    [
        (told("1", "A", "2026-08-10", before=stint("A", "2026-08-12")), "update", "correction", (), "correction"),
        (told("1", "A", "2026-08-12", "2026-12-01", before=stint("A", "2026-08-12")), "update", "correction", (), "correction"),
        (
            told("1", "A", "2026-08-12", "2026-12-01", before=stint("A", "2026-08-12")), "update", "correction",
            (told("2", "B", "2026-12-01"),), "transfer",
        ),
        (
            told("1", "A", "2026-08-12", grade="06", before=stint("A", "2026-08-12")), "update", "correction", (), "promotion",
        ),
        (
            told("1", "A", "2026-08-12", grade="04", before=stint("A", "2026-08-12")), "update", "correction", (), "correction",
        ),
        (told("1", "A", "2026-12-01", before=stint("A", "2026-08-12")), "update", "re_entry", (), "correction"),
        (told("1", "A", "2026-08-12"), "update", "began", (), "began"),
        (told("1", "A", "2026-08-12", before=stint("A", "2026-08-12", "2026-10-05")), "reenroll", "re_entry", (), "correction"),
        (told("1", "A", "2026-08-12", before=stint("A", "2026-08-12")), "reenroll", "re_entry", (), "re_entry"),
        (told("1", "A", "2026-08-12"), "reenroll", "undone", (), "undone"),
        (told("1", "A", "2025-08-13", "2026-05-30"), "create", "history", (AT_A, AT_B), "history"),
    ],
)  # fmt: skip
def test_why_a_stay_changes(stay: Stay, action: str, merged: str, others: tuple[Stay, ...], reason: str) -> None:
    assert of(stay, action, merged, *others) == reason


def test_accident_17_two_stays_that_begin_on_one_day_are_told_apart_in_any_order() -> None:
    here, there = told("1", "A", "2026-10-05", "2026-10-05"), told("2", "B", "2026-10-05")
    former = told("0", "C", "2026-08-12", "2026-10-05")
    assert of(there, "create", "new", here, former) == "correction"
    assert of(here, "withdraw", "no_show", there, former) == "correction"
    assert of(former, "withdraw", "ended", here, there) == "transfer"
    with_another = [told(f"{n}", school, "2026-10-05") for n, school in enumerate("BCD", 5)]
    assert of(former, "withdraw", "ended", *with_another) == "transfer"


def test_accident_19_a_stale_entry_date_is_no_evidence() -> None:
    stale = told("2", "B", "2019-08-14")
    assert of(told("2", "B", "2062-10-05"), "create", "new", AT_A) == "new"
    assert of(stale, "create", "new", AT_A) == "new"
    assert of(AT_A, "withdraw", "ended", stale, person=LEFT) == "withdrawal"
    assert of(AT_B, "create", "new", told("1", "A", "2019-08-14", "2026-10-05")) == "new"


# -- students ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "stays", "reason"),
    [
        (student("withdraw", "withdrawal"), (), "withdrawal"),
        (student("withdraw", "absence"), (AT_A,), "absence"),
        (student("withdraw", "transfer"), (AT_A,), "withdrawal"),  # out of the district: nothing follows
        (student("withdraw", "inactive"), (AT_A,), "withdrawal"),
        (student("withdraw", "graduation"), (told("1", "A", "2026-08-12", "2026-08-12"),), "graduation"),
        (student("withdraw", "withdrawal"), (told("1", "A", "2026-08-12", "2026-08-12"),), "no_show"),
        (
            student("withdraw", "withdrawal"),
            (told("0", "A", "2025-08-13", "2026-05-30"), told("1", "A", "2026-08-12", "2026-08-12")), "no_show",
        ),
        (student("withdraw", "withdrawal"), (AT_A, told("2", "B", "2026-10-05", "2026-10-05")), "withdrawal"),
        (student("withdraw", "withdrawal"), (AT_A, told("2", "B", "2026-08-12", "2026-08-12")), "withdrawal"),
        (student("update", "transfer", school="B"), (AT_A, AT_B), "transfer"),
        (student("update", "transfer", school="B"), (), "transfer"),
        (student("update", "transfer", school="B", grade="06"), (), "transfer"),
        (student("update", "transfer", school="B"), (told("1", "A", "2026-10-05", "2026-10-05"), AT_B), "correction"),
        (
            student("update", "transfer", school="B", grade="06"),
            (told("0", "A", "2025-08-13", "2026-05-30"), told("1", "B", "2026-08-12", grade="06")), "promotion",
        ),
        (
            student("update", "transfer", school="B"),
            (told("0", "A", "2025-08-13", "2026-05-30"), told("1", "B", "2026-08-12")), "rollover",
        ),
        (  # of the new school, the stays do not tell yet
            student("update", "transfer", school="B"),
            (told("0", "A", "2025-08-13", "2026-05-30"), told("1", "A", "2026-08-12")), "transfer",
        ),
        (student("update", "promotion", grade="06"), (), "promotion"),
        (student("update", "promotion", grade="04"), (), "correction"),
        (student("update", "promotion", {"grade": None}, grade="04"), (), "correction"),
        (student("update", "remapped", school="B"), (AT_A, AT_B), "remapped"),
        (student("reenroll", "re_entry"), (), "re_entry"),
        (student("reenroll", "re_entry"), (AT_A, AT_B), "transfer"),
        (student("reenroll", "re_entry"), (AT_A, told("2", "A", "2026-11-02")), "re_entry"),
        (student("reenroll", "re_entry"), (told("1", "A", "2026-08-12", before=stint("A", "2026-08-12", "2026-10-05")),),
         "correction"),
        (  # absent for a while, in a stay that was known all along
            student("reenroll", "re_entry"),
            (told("0", "A", "2025-08-13", "2026-05-30"), told("1", "A", "2026-08-12", before=stint("A", "2026-08-12"))),
            "re_entry",
        ),
        (student("reenroll", "undone"), (AT_A, AT_B), "undone"),
    ],
)  # fmt: skip
def test_why_a_student_changes(change: Change, stays: tuple[Stay, ...], reason: str) -> None:
    assert {of_student(change, order, YEARS) for order in permutations(stays)} == {reason}


def test_without_known_years_a_long_summer_lies_before_a_no_show() -> None:
    last_year, never = told("0", "A", "2025-08-13", "2026-05-30"), told("1", "A", "2026-08-12", "2026-08-12")
    assert of_student(student("withdraw", "withdrawal"), (last_year, never), NONE) == "no_show"
    lately = told("0", "A", "2026-01-05", "2026-08-10")
    assert of_student(student("withdraw", "withdrawal"), (lately, never), NONE) == "withdrawal"


@pytest.mark.parametrize(
    ("stated", "word"),
    [
        ("graduated", "graduation"),
        ("transferred", "withdrawal"),
        ("withdrawn", "withdrawal"),
        ("no_show", "no_show"),
        (None, "withdrawal"),
    ],
)
def test_what_an_sis_states_of_somebody_who_left(stated: str | None, word: str) -> None:
    assert word_for(stated) == word


# -- enrolments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "merged", "person", "reason"),
    [
        ("create", "new", None, "new"),
        ("create", "new", Person("create", "new"), "new"),
        ("create", "new", Person("reenroll", "re_entry"), "re_entry"),
        ("create", "new", Person("update", "transfer"), "transfer"),
        ("create", "new", Person("update", "correction"), "new"),
        ("create", "history", Person("update", "transfer"), "history"),
        ("withdraw", "absence", None, "absence"),
        ("withdraw", "absence", Person("withdraw", "withdrawal"), "withdrawal"),
        ("withdraw", "ended", Person("withdraw", "no_show"), "no_show"),
        ("withdraw", "absence", Person("gone", "graduation"), "graduation"),
        ("withdraw", "ended", Person("update", "transfer"), "transfer"),
        ("withdraw", "ended", Person("update", "correction"), "ended"),
        ("withdraw", "no_show", Person("update", "correction"), "correction"),
        ("withdraw", "no_show", None, "correction"),
        ("withdraw", "section_withdrawn", Person("withdraw", "withdrawal"), "section_withdrawn"),
        ("reenroll", "re_entry", Person("reenroll", "transfer"), "transfer"),
        ("reenroll", "re_entry", Person("update", "transfer"), "re_entry"),
        ("reenroll", "undone", None, "undone"),
    ],
)
def test_why_an_enrolment_changes(action: str, merged: str, person: Person | None, reason: str) -> None:
    assert of_enrollment(Change(action, merged), person) == reason


def test_a_teacher_who_becomes_the_lead_changes_the_role() -> None:
    before, after = {"role": "co_teacher", "primary": False}, {"role": "teacher", "primary": True}
    assert of_enrollment(Change("update", "correction", before, after), None) == "role"
    assert of_enrollment(Change("update", "correction", before, before | {"end_date": "2026-12-18"}), None) == "correction"


def test_p7_what_reasons_are_made_from_shows_no_pupil() -> None:
    change = Change("update", "transfer", {"family_name": "Okonkwo"}, {"family_name": "Okonkwo"})
    assert "Okonkwo" not in repr(change)
    assert "2026" not in repr(AT_A)
