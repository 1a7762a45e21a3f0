"""Documents: flattened, dated, and put together from several source rows."""

from __future__ import annotations

import itertools
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sis_connect.roster.documents import at_date, combine, flatten, nest

TODAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("entry", "leave", "status", "reason", "due"),
    [
        ("2026-08-12", None, "active", None, None),
        ("2026-08-12", "2026-11-24", "active", None, "2026-11-24"),
        ("2026-08-12", "2026-11-23", "inactive", "ended", None),
        ("2026-08-12", "2026-08-12", "inactive", "no_show", None),
        ("2026-08-12", "2025-08-13", "inactive", "no_show", None),  # a slip in the year
        ("2026-11-23", None, "active", None, None),
        ("2026-11-24", None, "scheduled", None, "2026-11-24"),
        ("2026-11-24", "2027-05-28", "scheduled", None, "2026-11-24"),
        ("2026-11-30", "2026-11-30", "inactive", "no_show", None),
    ],
)
def test_a_stay_holds_from_its_first_day_in_to_its_first_day_out(
    entry: str, leave: str | None, status: str, reason: str | None, due: str | None
) -> None:
    values, moves = at_date("school_enrollments", {"entry_date": entry, "exit_date": leave}, TODAY)
    assert (values["status"], values["status_reason"]) == (status, reason)
    assert moves == due


def test_an_enrolment_without_dates_holds_and_one_that_was_ended_stays_ended() -> None:
    assert at_date("enrollments", {}, TODAY)[0]["status"] == "active"
    dropped, due = at_date("enrollments", {"begin_date": "2026-12-01", "status": "inactive", "status_reason": "dropped"}, TODAY)
    assert (dropped["status"], dropped["status_reason"], due) == ("inactive", "dropped", None)
    assert at_date("students", {"status": "tobedeleted"}, TODAY)[0]["status_reason"] == "deleted"


def test_one_human_at_two_schools_is_one_record() -> None:
    both = combine(
        [
            {"ids": {"badge": "66"}, "schools": ["B"], "status": "inactive", "status_reason": "left", "given_name": "Ida"},
            {"ids": {"badge": "65"}, "schools": ["A"], "status": "active", "role": "teacher"},
        ]
    )
    assert both == {
        "ids": {"badge": ["65", "66"]},
        "schools": ["A", "B"],
        "status": "active",
        "status_reason": None,
        "given_name": "Ida",
        "role": "teacher",
    }


def test_parts_add_fields_and_have_no_say_in_the_status() -> None:
    record = {"given_name": "Ida", "family_name": "Roe", "status": "inactive", "emails": [], "ids": {"badge": "65"}, "custom": {}}
    parts: list[dict[str, object]] = [
        {"birth_date": "1990-01-02", "status": "active", "ids": {"badge": "66", "person": "9"}},
        {"given_name": "Eda", "emails": [{"address": "ida@example.org"}], "custom": {"bus": "7"}},
    ]
    expected = {
        "given_name": "Ida",
        "family_name": "Roe",
        "status": "inactive",
        "birth_date": "1990-01-02",
        "emails": [{"address": "ida@example.org"}],
        "ids": {"badge": ["65", "66"], "person": "9"},
        "custom": {"bus": "7"},
    }
    for order in itertools.permutations(parts):
        assert combine([record], list(order)) == expected
    assert "status" not in combine([{"given_name": "Ida"}], parts)


texts = st.one_of(st.none(), st.sampled_from("abc"))
parts = st.fixed_dictionaries(
    {},
    optional={
        "given_name": texts,
        "schools": st.lists(st.sampled_from("ABC"), unique=True),
        "ids": st.dictionaries(st.sampled_from(["badge", "person"]), st.sampled_from("123")),
        "status": st.sampled_from(["active", "inactive"]),
    },
)


@given(st.lists(parts, min_size=2, max_size=4))
def test_the_order_in_which_rows_come_does_not_matter(rows: list[dict[str, Any]]) -> None:
    outcomes = [combine(list(order)) for order in itertools.permutations(rows)]
    assert all(outcome == outcomes[0] for outcome in outcomes)


@given(st.dictionaries(st.sampled_from(["given_name", "school"]), texts))
def test_a_document_flattened_and_nested_is_the_same(values: dict[str, Any]) -> None:
    whole = {**values, "ids": {"a": "1", "b": ["2", "3"]}, "custom": {"c": 4}}
    assert nest(flatten(whole)) == whole
