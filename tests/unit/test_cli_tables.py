"""Text that lines up, whatever is in it."""

from __future__ import annotations

import pytest

from sis_connect.cli.tables import counted, duration, indented, number, size, table, width


def test_columns_line_up_and_numbers_stand_to_the_right() -> None:
    assert table(["kind", "read"], [["students", "10,000"], ["staff", "64"]], right=["read"]) == (
        "kind        read\nstudents  10,000\nstaff         64"
    )


def test_a_table_without_rows_is_its_headings() -> None:
    assert table(["kind", "read"], []) == "kind  read"


def test_wide_and_combining_characters_take_the_room_they_take() -> None:
    assert [width(text) for text in ("Riley", "李雷", "Ame\u0301lie", "")] == [5, 4, 6, 0]
    assert table(["name", "x"], [["李雷", "1"], ["Ana", "2"]]).splitlines()[1:] == ["李雷  1", "Ana   2"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (12.4, "12 s"),
        (60, "1 min 00 s"),
        (125.4, "2 min 05 s"),
        (3600, "1 h 00 min"),
        (7322, "2 h 02 min"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (34_100_000, "34.1 MB"), (5_500_000_000_000, "5500.0 GB")],
)
def test_sizes_have_the_unit_that_fits(count: int, said: str) -> None:
    assert size(count) == said


def test_nothing_is_a_dash_and_what_is_no_number_is_itself() -> None:
    assert [number(value) for value in (12345, 0, None, "not_offered")] == ["12,345", "-", "-", "not offered"]


def test_one_is_not_many() -> None:
    assert [counted(1, "hold"), counted(3, "hold"), counted(0, "entry", "entries")] == ["1 hold", "3 holds", "0 entries"]


def test_blank_lines_are_not_indented() -> None:
    assert indented("a\n\nb") == "  a\n\n  b"
