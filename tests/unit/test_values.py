"""How values arrive on the wire, read tolerantly, and without repeating them where they cannot be read."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from sis_connect.provider import InvalidRow
from sis_connect.values import Many, Value, day, day_after, first, given, identifiers, many, moment, number, text, truth


@pytest.mark.parametrize(
    ("value", "read"),
    [("Ada", "Ada"), ("", None), (None, None), (7, "7"), (True, "true"), (False, "false"), (0, "0"), (" x ", " x ")],
)
def test_text_is_what_the_office_typed(value: Value, read: str | None) -> None:
    assert text(value) == read


@pytest.mark.parametrize(("value", "read"), [(7, 7), ("7", 7), ("007", 7), ("", None), (None, None), (-1, -1)])
def test_a_number_may_be_written_as_text(value: Value, read: int | None) -> None:
    assert number(value, "size") == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (True, True),
        ("true", True),
        ("True", True),
        (1, True),
        ("1", True),
        ("false", False),
        (0, False),
        ("", None),
        (None, None),
    ],
)
def test_truth_comes_in_many_spellings(value: Value, read: bool | None) -> None:
    assert truth(value, "primary") is read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("2026-09-01", date(2026, 9, 1)),
        ("2026-09-01T00:00:00.000Z", date(2026, 9, 1)),
        ("0001-01-01T00:00:00", None),
        ("9999-12-31", None),
        ("9999-12-31T23:59:59.9999999", None),
        ("", None),
        (None, None),
    ],
)
def test_a_date_is_read_as_it_is_written(value: Value, read: date | None) -> None:
    assert day(value, "begin") == read


def test_the_day_after_a_last_day() -> None:
    assert day_after("2026-12-31", "end") == date(2027, 1, 1)
    assert day_after("9999-12-31", "end") is day_after("0001-01-01", "end") is day_after(None, "end") is None
    assert day_after("9999-12-30", "end") == date.max


@pytest.mark.parametrize(
    "written", ["2026-11-01T10:00:00.000Z", "2026-11-01T10:00:00Z", "2026-11-01T10:00:00", "2026-11-01T11:00:00+01:00"]
)
def test_a_moment_comes_with_or_without_fractions_and_zone(written: str) -> None:
    assert moment(written) == datetime(2026, 11, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize("written", ["", None, "yesterday", True])
def test_what_is_no_moment_is_none_since_it_decides_nothing(written: Value) -> None:
    assert moment(written) is None


@pytest.mark.parametrize("read", [number, truth, day])
def test_p7_what_cannot_be_read_names_the_field_and_not_the_value(read: object) -> None:
    with pytest.raises(InvalidRow) as caught:
        read("Ada Example", "grade")  # type: ignore[operator]
    assert caught.value.fields == ("grade",)
    assert "Ada" not in str(caught.value)


def test_one_item_may_come_without_its_list() -> None:
    several: Many[int] = [1, 2]
    none: Many[int] = ""
    assert many(several) == [1, 2]
    assert many({"a": 1}) == [{"a": 1}]
    assert many(none) == many(None) == []


def test_what_was_not_delivered_is_left_out() -> None:
    assert given(a=1, b=None, c="") == {"a": 1, "c": ""}
    assert identifiers(number=7, state=" 12 ", other="", none=None) == {"number": "7", "state": "12"}
    assert first([None, 0, 1]) == 0
    assert first([None]) is None
