"""Who somebody is: what tells it for certain, and what is only a reason to ask."""

from __future__ import annotations

from typing import Any

import pytest

from sis_connect.capabilities import Kind
from sis_connect.roster.matching import Recognised, recognise

PERSON = {
    "given_name": "Ida",
    "family_name": "Roe",
    "ids.student_number": "7",
    "ids.state_id": "S7",
    "birth_date": "2014-02-03",
    "emails": [{"address": "ida@example.org"}],
}


def asked(*rows: dict[str, Any], by_email: bool = False, kind: Kind = "students", **person: Any) -> Recognised | None:
    known = {str(number): row for number, row in enumerate(rows, 1)}
    return recognise(kind, {**PERSON, **person}, known, by_email=by_email)


NUMBER = {"ids.student_number": "7"}
STATE = {"ids.state_id": "S7"}
EMAIL = {"emails": "Ida@example.org"}
NAMED = {"given_name": "Ida", "family_name": "Roe"}


@pytest.mark.parametrize("row", [NUMBER, STATE, {**NUMBER, **STATE}, {**NUMBER, **NAMED}, {**NUMBER, "family_name": "Vale"}])
def test_a_number_that_nothing_contradicts_tells_who_somebody_is(row: dict[str, Any]) -> None:
    found = asked(row)
    assert found is not None
    assert (found.certain, found.local_ids) == (True, ("1",))


@pytest.mark.parametrize(
    ("more", "but"),
    [
        ({"ids.state_id": "S8"}, "state id"),
        ({"birth_date": "2013-02-03"}, "birth date"),
        ({"given_name": "Otto", "family_name": "Vale"}, "name"),
    ],
)
def test_a_number_that_something_contradicts_is_a_question(more: dict[str, Any], but: str) -> None:
    assert asked({**NUMBER, **more}) == Recognised(("1",), f"the same student number, but another {but}", certain=False)


def test_two_whom_the_numbers_point_to_are_a_question() -> None:
    found = asked(NUMBER, STATE)
    assert found == Recognised(("1", "2"), "several people have the state id or student number", certain=False)
    assert asked(NUMBER, NUMBER) is not None


def test_an_address_tells_only_where_it_may() -> None:
    assert asked(EMAIL) is None
    found = asked(EMAIL, by_email=True)
    assert found is not None
    assert found.certain
    found = asked(NUMBER, EMAIL, by_email=True)  # a family's address, perhaps
    assert found is not None
    assert not found.certain


@pytest.mark.parametrize(
    ("row", "alike"),
    [
        ({"given_name": "IDA", "family_name": "roe", "birth_date": "2014-02-03"}, True),
        ({"given_name": "Idi", "family_name": "Roe", "birth_date": "2014-02-03"}, True),
        ({"given_name": "Ada", "family_name": "Roe", "birth_date": "2014-02-03"}, False),
        ({"given_name": "Ida", "family_name": "Roe"}, False),
        ({"given_name": "Ida", "family_name": "Roe", "birth_date": "2014-02-04"}, False),
    ],
)
def test_a_name_and_a_birth_date_are_never_more_than_a_question(row: dict[str, Any], alike: bool) -> None:
    found = asked(row, preferred_given_name="Idi")
    assert found == (Recognised(("1",), "the same name and birth date", certain=False) if alike else None)


def test_staff_are_known_by_their_own_numbers() -> None:
    person: dict[str, Any] = {"ids.student_number": None, "ids.state_id": None, "ids.staff_number": "t7"}
    found = asked({"ids.staff_number": "t7"}, kind="staff", **person)
    assert found is not None
    assert found.certain
    assert asked({"ids.student_number": "t7"}, kind="staff", **person) is None


def test_p7_no_value_shows_in_what_is_found() -> None:
    assert "S7" not in repr(asked(STATE))
    assert "Roe" not in repr(asked({**NAMED, "birth_date": "2014-02-03"}))
