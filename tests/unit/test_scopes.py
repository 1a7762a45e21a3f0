"""Whether an earlier run saw as much as a later one."""

from __future__ import annotations

from typing import Any

import pytest

from sis_connect.provider import Scope
from sis_connect.roster.scopes import as_stored, covers


def limited(schools: str | None = None, student: bool = False) -> Scope:
    return Scope(schools=None if schools is None else frozenset(schools), students=frozenset({"s1"}) if student else None)


@pytest.mark.parametrize(
    ("before", "now", "covered"),
    [
        (limited(), limited(), True),
        (limited(), limited("A"), True),
        (limited("A"), limited(), False),
        (limited("AB"), limited("A"), True),
        (limited("A"), limited("AB"), False),
        (limited("A"), limited("A"), True),
        (limited(student=True), limited(), False),
        (limited(student=True), limited(student=True), False),
        (limited(), limited(student=True), True),
    ],
)
def test_a_run_covers_what_lies_within_it(before: Scope, now: Scope, covered: bool) -> None:
    assert covers(as_stored(("students",), before), now) is covered


@pytest.mark.parametrize("stored", [{"kinds": ["students"]}, {"kinds": ["students"], "schools": None, "students": False}])
def test_a_plan_that_says_nothing_of_limits_had_none(stored: dict[str, Any]) -> None:
    assert covers(stored, limited())


def test_it_is_not_kept_which_students_a_run_was_limited_to() -> None:
    assert as_stored(("students",), limited(student=True)) == {"kinds": ["students"], "schools": None, "students": True}
