"""The strategies: a clash in, a side out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sis_connect.roster.conflict import STRATEGIES, Clash, Clocks, local_wins, manual, newest_wins, sis_wins

START = datetime(2026, 11, 1, tzinfo=UTC)
hours = st.one_of(st.none(), st.integers(0, 5).map(lambda number: START + timedelta(hours=number)))
clocks = st.builds(Clocks, sis=hours, sis_reliable=st.booleans(), base=hours, local=hours)


def clash(clocks: Clocks) -> Clash:
    return Clash(field="family_name", base="Vale", sis="Voss", local="Wend", clocks=clocks)


def test_the_four_strategies_have_their_names() -> None:
    assert set(STRATEGIES) == {"sis_wins", "local_wins", "newest_wins", "manual"}


@given(clocks)
def test_three_strategies_do_not_look_at_a_clock(clocks: Clocks) -> None:
    assert [decide(clash(clocks)) for decide in (sis_wins, local_wins, manual)] == ["sis", "local", "ask"]


@given(clocks)
def test_the_newest_wins_never_guesses(clocks: Clocks) -> None:
    side = newest_wins(clash(clocks))
    if side == "sis":
        assert clocks.sis_reliable
        assert clocks.base is not None
        assert clocks.local is not None
        assert clocks.base >= clocks.local
    if side == "local":
        assert clocks.sis_reliable
        assert clocks.local is not None
        assert clocks.sis is not None
        assert clocks.local > clocks.sis


@given(clocks)
def test_without_an_honest_clock_of_the_sis_a_person_is_asked(clocks: Clocks) -> None:
    if not clocks.sis_reliable or clocks.sis is None or clocks.local is None:
        assert newest_wins(clash(clocks)) == "ask"


def test_p7_a_clash_does_not_show_its_values() -> None:
    shown = repr(clash(Clocks()))
    assert "family_name" in shown
    assert not [name for name in ("Vale", "Voss", "Wend") if name in shown]
