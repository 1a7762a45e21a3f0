"""What an operator is told in the same words about any SIS."""

from __future__ import annotations

from datetime import date

import pytest

from sis_connect.findings import age, rows, spoken_year, time_zone, untold_fields

TODAY = date(2026, 11, 20)


def test_fields_that_nobody_tells_are_named() -> None:
    told = {"emails", "guardians"}
    (finding,) = untold_fields(("students.contacts", "emails", "addresses", "guardians"), told, "Example")
    assert (finding.topic, finding.level) == ("fields", "warning")
    assert "Example does not tell students.contacts, addresses" in finding.message
    assert untold_fields(("emails",), told, "Example") == []


def test_a_time_zone_that_is_not_known_is_asked_for() -> None:
    unknown = time_zone(None, "Example")
    assert (unknown.level, "time_zone" in unknown.remedy) == ("warning", True)
    assert time_zone("America/Denver", "Example").facts == {"time_zone": "America/Denver"}


def test_lists_without_a_row_are_a_warning() -> None:
    empty = rows({"users": 12_000, "classes": 0})
    assert (empty.level, empty.message) == ("warning", "It has 12,000 users, 0 classes.")
    assert rows({"users": 1}).level == "ok"


@pytest.mark.parametrize(
    ("made", "level", "words"),
    [
        (date(2026, 11, 21), "ok", "0 days ago"),
        (date(2026, 11, 19), "ok", "1 day ago"),
        (date(2026, 11, 13), "ok", "7 days ago"),
        (date(2026, 11, 12), "warning", "8 days ago"),
        (None, "warning", "does not say"),
    ],
)
def test_an_export_that_has_grown_old_is_a_warning(made: date | None, level: str, words: str) -> None:
    finding = age(made, TODAY)
    assert (finding.level, words in finding.message) == (level, True)


def test_a_school_year_is_named_as_people_say_it() -> None:
    assert [spoken_year(year) for year in (2027, 2000)] == ["2026-27", "1999-00"]
