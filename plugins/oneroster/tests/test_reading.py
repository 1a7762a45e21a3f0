"""How words, ids, grades and statuses are understood, however a server writes them."""

from __future__ import annotations

from typing import Any

import pytest

from sis_connect_oneroster.mapping import year
from sis_connect_oneroster.reading import grade, grades, ids, word, words

CEDS = ["IT", "PR", "PK", "TK", "KG", *(f"{number:02}" for number in range(1, 14)), "PS", "UG"]


@pytest.mark.parametrize("code", CEDS)
def test_every_ceds_code_is_itself(code: str) -> None:
    assert grade(code) == code


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("6", "06"),
        ("06", "06"),
        ("006", "06"),
        (" 6 ", "06"),
        ("6th", "06"),
        ("1st Grade", "01"),
        ("Grade 9", "09"),
        ("GR10", "10"),
        ("K", "KG"),
        ("kg", "KG"),
        ("0", "KG"),
        ("Kindergarten", "KG"),
        ("K5", "KG"),
        ("PK", "PK"),
        ("Pre-K", "PK"),
        ("PK3", "PK"),
        ("K4", "PK"),
        ("-1", "PK"),
        ("tk", "TK"),
    ],
)
def test_usual_spellings_of_grades_are_understood(written: str, code: str) -> None:
    assert grade(written) == code


@pytest.mark.parametrize("written", ["", "Other", "14", "99", "Adult", "Year 7", "6-8", "graduated"])
def test_what_is_no_clear_grade_is_none(written: str) -> None:
    assert grade(written) is None


@pytest.mark.parametrize(
    ("delivered", "code", "text"),
    [
        (["06"], "06", "06"),
        ("06", "06", "06"),
        (6, "06", "6"),
        ([6], "06", "6"),
        (["Other", "09", "10"], "09", "Other, 09, 10"),
        (["Transition"], None, "Transition"),
        ("", None, None),
        (None, None, None),
        ([], None, None),
        ([""], None, None),
    ],
)
def test_grades_come_as_a_list_or_not_and_the_text_is_kept(delivered: Any, code: str | None, text: str | None) -> None:
    assert grades(delivered) == {"grade": code, "grade_text": text}


@pytest.mark.parametrize(
    ("delivered", "found"),
    [
        ({"href": "https://sis.example.org/orgs/s-1", "sourcedId": "s-1", "type": "org"}, ["s-1"]),
        ([{"sourcedId": "s-1"}, {"sourcedId": "s-2"}], ["s-1", "s-2"]),
        ("s-1", ["s-1"]),
        (["s-1", "s-2"], ["s-1", "s-2"]),
        (17, ["17"]),
        ([{"sourcedId": 17}], ["17"]),
        ({"sourcedId": " s-1 "}, ["s-1"]),
        ("", []),
        (None, []),
        ([], []),
        ([None, {}, {"sourcedId": None}, {"sourcedId": " "}], []),
        ([["s-1"], {"sourcedId": ["s-1"]}], []),
    ],
)
def test_a_reference_is_an_object_a_list_or_a_plain_id(delivered: Any, found: list[str]) -> None:
    assert ids(delivered) == found


@pytest.mark.parametrize(
    ("delivered", "found"), [("Student", "student"), (" TEACHER ", "teacher"), (None, ""), ([], ""), (1, "1")]
)
def test_the_case_of_a_word_does_not_count(delivered: Any, found: str) -> None:
    assert word(delivered) == found


def test_a_list_of_texts_becomes_one() -> None:
    assert (words(["1", "3"]), words("1"), words([1]), words(""), words([None, ""])) == ("1, 3", "1", "1", None, None)


@pytest.mark.parametrize(
    ("delivered", "found"),
    [("2027", 2027), (2027, 2027), (2027.0, 2027), ("2026-2027", 2027), ("2026-27", 2027), ("", None), (None, None), ("x", None)],
)
def test_a_school_year_is_the_one_it_ends_in(delivered: Any, found: int | None) -> None:
    assert year(delivered) == found
