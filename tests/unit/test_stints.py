"""How a stay ends that the SIS speaks of no longer."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sis_connect.roster.stints import Closing, Stint, close

TODAY = date(2026, 11, 23)


def day(text: str) -> date:
    return date.fromisoformat(f"2026-{text}")


def stay(school: str, entry: str, leave: str | None = None, grade: str = "05") -> Stint:
    return Stint(school, day(entry), day(leave) if leave else None, grade)


@pytest.mark.parametrize(
    ("former", "successor", "closing"),
    [
        pytest.param(
            stay("A", "08-12"), stay("B", "10-05"), Closing(day("10-05"), True, "transfer", False), id="a transfer"
        ),
        pytest.param(
            stay("A", "08-12", "10-02"), stay("B", "10-05"), Closing(day("10-02"), False, "transfer", True),
            id="a transfer after an end of its own",
        ),
        pytest.param(
            stay("A", "08-12", "12-18"), stay("B", "10-05"), Closing(day("10-05"), True, "transfer", False),
            id="a transfer before the end that was planned",
        ),
        pytest.param(
            stay("A", "08-12", "10-05"), stay("A", "10-05"), Closing(day("10-05"), False, "correction", True),
            id="a re-entry on the day of leaving is a correction",
        ),
        pytest.param(
            stay("A", "08-12"), stay("A", "11-02"), Closing(day("11-02"), True, "re_entry", False), id="a re-entry"
        ),
        pytest.param(
            stay("A", "08-12"), stay("A", "11-02", grade="06"), Closing(day("11-02"), True, "promotion", False), id="a promotion"
        ),
        pytest.param(
            stay("A", "01-07", "05-29"), stay("B", "08-12", grade="06"), Closing(day("05-29"), False, "rollover", True),
            id="the year rolls over to the next school",
        ),
        pytest.param(
            stay("A", "01-07", "05-29"), stay("A", "08-12", grade="06"), Closing(day("05-29"), False, "promotion", True),
            id="the year rolls over within a school",
        ),
        pytest.param(
            stay("A", "08-12"), stay("A", "08-10"), Closing(day("08-12"), True, "correction", False), id="its begin is corrected"
        ),
        pytest.param(
            stay("A", "08-12"), stay("B", "08-12"), Closing(day("08-12"), True, "correction", False),
            id="the school is corrected: it never took place",
        ),
        pytest.param(
            stay("A", "08-12"), stay("B", "12-01"), Closing(day("12-01"), True, "transfer", False),
            id="a move that is still to come",
        ),
        pytest.param(
            stay("B", "12-01"), stay("C", "12-08"), Closing(day("12-01"), True, "correction", False),
            id="a move that was called off before it came",
        ),
        pytest.param(stay("A", "08-12"), None, Closing(TODAY, True, "withdrawal", False), id="nothing follows: it ends today"),
        pytest.param(
            stay("A", "08-12", "12-18"), None, Closing(TODAY, True, "withdrawal", False), id="nothing follows a later end"
        ),
        pytest.param(
            stay("A", "08-12", "10-02"), None, Closing(day("10-02"), False, "withdrawal", True), id="it was over by its own date"
        ),
        pytest.param(
            stay("A", "12-01"), None, Closing(day("12-01"), True, "withdrawal", False), id="it had not begun: it never does"
        ),
    ],
)  # fmt: skip
def test_a_former_stay_is_closed_from_the_one_that_follows(former: Stint, successor: Stint | None, closing: Closing) -> None:
    assert close(former, successor, TODAY) == closing


days = st.integers(-300, 300).map(lambda number: TODAY + timedelta(days=number))
stays = st.builds(Stint, st.sampled_from("AB"), days, st.one_of(st.none(), days), st.sampled_from(["05", "06"]))


@given(stays, st.one_of(st.none(), stays))
def test_a_stay_never_ends_before_it_began_nor_after_its_own_end(former: Stint, successor: Stint | None) -> None:
    closing = close(former, successor, TODAY)
    if former.exit_date is None or former.exit_date >= former.entry_date:
        assert closing.exit_date >= former.entry_date
        assert former.exit_date is None or closing.exit_date <= former.exit_date
    assert closing.inferred == (closing.exit_date != former.exit_date)


@given(stays, stays)
def test_two_stays_that_follow_each_other_do_not_overlap(former: Stint, successor: Stint) -> None:
    closing = close(former, successor, TODAY)
    if closing.reason != "correction":
        assert closing.exit_date <= successor.entry_date
