"""The strategies: a clash in, a side out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sis_connect.errors import ConfigurationError
from sis_connect.roster.conflict import Policy, check_policy
from sis_connect.settings import FieldPolicy
from sis_connect.strategies import STRATEGIES, Clash, Clocks, local_wins, manual, newest_wins, sis_wins

START = datetime(2026, 11, 1, tzinfo=UTC)
hours = st.one_of(st.none(), st.integers(0, 5).map(lambda number: START + timedelta(hours=number)))
clocks = st.builds(Clocks, sis=hours, sis_reliable=st.booleans(), base=hours, local=hours, local_exact=st.booleans())


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
        assert clocks.local_exact


@given(clocks)
def test_without_an_honest_clock_of_the_sis_a_person_is_asked(clocks: Clocks) -> None:
    if not clocks.sis_reliable or clocks.sis is None or clocks.local is None:
        assert newest_wins(clash(clocks)) == "ask"


@pytest.mark.parametrize("named", ["students.shoes", "pupils.grade", "grade"])
def test_a_policy_of_a_field_that_there_is_not_is_refused(named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"no field '{named}'"):
        check_policy("sis_wins", {named: FieldPolicy(owner="sis")}, STRATEGIES)


def test_a_strategy_that_nobody_brings_is_refused_with_those_that_there_are() -> None:
    check_policy("higher_wins", {"students.*": FieldPolicy(), "staff.ids.badge": FieldPolicy()}, [*STRATEGIES, "higher_wins"])
    for strategy, fields in (("coin", {}), ("manual", {"students.grade": FieldPolicy(strategy="coin")})):
        with pytest.raises(ConfigurationError, match=r"no strategy 'coin' .*newest_wins, manual"):
            check_policy(strategy, fields, STRATEGIES)


def test_a_policy_of_a_kind_stands_for_all_of_its_fields_that_have_none() -> None:
    rule = Policy("sis_wins", {"students.*": FieldPolicy(strategy="manual"), "students.grade": FieldPolicy(owner="local")})
    assert (rule.of("students", "school"), rule.of("students", "*")) == (("manual", "shared"), ("manual", "shared"))
    assert (rule.of("students", "grade"), rule.of("staff", "grade")) == (("sis_wins", "local"), ("sis_wins", "shared"))


def test_p7_a_clash_does_not_show_its_values() -> None:
    shown = repr(clash(Clocks()))
    assert "family_name" in shown
    assert not [name for name in ("Vale", "Voss", "Wend") if name in shown]
