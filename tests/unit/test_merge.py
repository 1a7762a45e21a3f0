"""The three-way merge of fields: row by row of the design's table, and what holds whatever the values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sis_connect.roster.conflict import Clocks, Policy
from sis_connect.roster.merge import FieldConflict, Merged, merge_fields
from sis_connect.settings import FieldPolicy, Owner, Strategy

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
STRATEGIES: tuple[Strategy, ...] = ("sis_wins", "local_wins", "newest_wins", "manual")
Values = Mapping[str, Any]


def policy(strategy: Strategy = "sis_wins", **owners: Owner) -> Policy:
    return Policy(strategy, {f"students.{name}": FieldPolicy(owner=owner) for name, owner in owners.items()})


def merge(sis: Values, local: Values, base: Values | None = None, base_local: Values | None = None, /, **more: Any) -> Merged:
    given = {"policy": Policy(), "clocks": Clocks(), "base_sis": base, "base_local": base if base_local is None else base_local}
    return merge_fields("students", sis=sis, local=local, **{**given, **more})


# -- the table ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("s", "mine", "base", "writes", "kept"),
    [
        pytest.param("Ada", "Ada", "Ada", {}, [], id="neither has changed: nothing"),
        pytest.param("Eda", "Ada", "Ada", {"given_name": "Eda"}, [], id="the SIS has changed: it is taken"),
        pytest.param("Ada", "Ida", "Ada", {}, ["given_name"], id="the app has changed: its edit stays"),
        pytest.param("Eda", "Eda", "Ada", {}, [], id="both have changed to the same: agreed"),
        pytest.param(None, "Ada", "Ada", {"given_name": None}, [], id="the SIS has blanked it: blank is a value"),
        pytest.param("Ada", None, None, {"given_name": "Ada"}, [], id="the SIS has filled it: it is taken"),
    ],
)
def test_a_change_of_one_side_is_no_conflict(s: Any, mine: Any, base: Any, writes: Values, kept: list[str]) -> None:
    merged = merge({"given_name": s}, {"given_name": mine}, {"given_name": base})
    assert (merged.writes, merged.kept, merged.conflicts) == (writes, kept, [])


@pytest.mark.parametrize(
    ("strategy", "decided"), [("sis_wins", "sis"), ("local_wins", "local"), ("manual", "ask"), ("newest_wins", "ask")]
)
def test_a_field_that_changed_on_both_sides_is_settled_by_its_strategy(strategy: Strategy, decided: str) -> None:
    merged = merge({"grade": "06"}, {"grade": "07"}, {"grade": "05"}, policy=Policy(strategy))
    assert merged.conflicts == [FieldConflict("grade", strategy, decided)]
    assert merged.writes == ({"grade": "06"} if decided == "sis" else {})


def test_p2_a_field_that_was_not_delivered_takes_no_part() -> None:
    merged = merge({"grade": "06"}, {"grade": "05", "given_name": "Ida"}, {"grade": "05", "given_name": "Ada"})
    assert merged.writes == {"grade": "06"}


def test_a_field_that_the_sis_owns_is_restored() -> None:
    merged = merge({"grade": "05"}, {"grade": "07"}, {"grade": "05"}, policy=policy("manual", grade="sis"))
    assert merged.writes == {"grade": "05"}
    assert not merged.conflicts


def test_a_field_that_the_app_owns_is_never_written() -> None:
    for mine, base in (("05", "05"), ("07", "05")):
        merged = merge({"grade": "06"}, {"grade": mine}, {"grade": base}, policy=policy(grade="local"))
        assert not merged.writes
        assert not merged.conflicts


def test_a_column_that_trims_is_no_local_edit() -> None:
    merged = merge({"given_name": "Bartholomew"}, {"given_name": "Barth"}, {"given_name": "Bartholomew"}, {"given_name": "Barth"})
    assert merged == Merged()
    merged = merge({"given_name": "Bart"}, {"given_name": "Barth"}, {"given_name": "Bartholomew"}, {"given_name": "Barth"})
    assert merged.writes == {"given_name": "Bart"}
    assert not merged.conflicts


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_a_new_mapping_reads_differently_is_taken_and_never_a_conflict(strategy: Strategy) -> None:
    base = {"grade": "5", "given_name": "ADA"}
    merged = merge(
        {"grade": "05", "given_name": "Ada"}, {"grade": "5", "given_name": "Ida"}, base, policy=Policy(strategy), remapped=True
    )
    assert merged.writes == {"grade": "05"}
    assert merged.kept == ["given_name"]
    assert not merged.conflicts


@pytest.mark.parametrize("blank", [None, [], {}])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_at_first_contact_a_blank_takes_the_other_side(strategy: Strategy, blank: Any) -> None:
    merged = merge({"emails": ["a"], "grade": blank}, {"emails": blank, "grade": "05"}, policy=Policy(strategy))
    assert merged.writes == {"emails": ["a"]}
    assert not merged.conflicts


@pytest.mark.parametrize(("strategy", "writes"), [("sis_wins", {"grade": "06"}), ("local_wins", {}), ("manual", {})])
def test_at_first_contact_what_differs_is_settled_by_its_strategy(strategy: Strategy, writes: Values) -> None:
    merged = merge({"grade": "06", "school": "A"}, {"grade": "05", "school": "A"}, policy=Policy(strategy))
    assert merged.writes == writes
    assert [conflict.field for conflict in merged.conflicts] == ["grade"]


def test_a_field_that_is_asked_for_anew_is_first_contact_of_its_own() -> None:
    base = {"grade": "05"}
    assert merge({"grade": "05", "gender": "X"}, {"grade": "05"}, base).writes == {"gender": "X"}
    asked = merge({"grade": "05", "gender": "X"}, {"grade": "05", "gender": "Y"}, base, policy=Policy("manual"))
    assert [conflict.field for conflict in asked.conflicts] == ["gender"]


def test_strategies_and_owners_are_set_field_by_field_and_for_all_ids() -> None:
    rule = Policy("manual", {"students.grade": FieldPolicy(strategy="local_wins"), "students.ids": FieldPolicy(owner="sis")})
    assert rule.of("students", "grade") == ("local_wins", "shared")
    assert rule.of("students", "ids.state_id") == ("manual", "sis")
    assert rule.of("students", "given_name") == ("manual", "shared")
    assert rule.of("staff", "grade") == ("manual", "shared")


# -- two clocks ---------------------------------------------------------------------------------------------------------

HOURS = {name: NOW + timedelta(hours=number) for number, name in enumerate(("first", "second", "third"))}


@pytest.mark.parametrize(
    ("reliable", "sis", "base", "edited", "decided"),
    [
        (True, "third", "second", "first", "sis"),
        (True, "third", "first", "first", "sis"),
        (True, "second", "first", "third", "local"),
        (True, "third", "first", "second", "ask"),
        (True, "second", "first", "second", "ask"),
        (False, "third", "second", "first", "ask"),
        (True, None, "second", "first", "ask"),
        (True, "third", "second", None, "ask"),
        (True, "second", None, "third", "local"),
    ],
)
def test_the_newest_wins_only_by_two_honest_clocks(
    reliable: bool, sis: str | None, base: str | None, edited: str | None, decided: str
) -> None:
    clocks = Clocks(
        sis=HOURS[sis] if sis else None,
        sis_reliable=reliable,
        base=HOURS[base] if base else None,
        local=HOURS[edited] if edited else None,
    )
    merged = merge({"grade": "06"}, {"grade": "07"}, {"grade": "05"}, policy=Policy("newest_wins"), clocks=clocks)
    assert [conflict.decided for conflict in merged.conflicts] == [decided]


# -- whatever the values ------------------------------------------------------------------------------------------------

names = st.sampled_from(["given_name", "school", "grade", "username"])
texts = st.one_of(st.none(), st.sampled_from("abc"))
flat = st.dictionaries(names, texts)
strategies = st.sampled_from(STRATEGIES)


@given(flat, flat, flat, flat, strategies, st.booleans())
def test_p2_what_was_not_delivered_is_never_written(
    sis: Values, mine: Values, base: Values, base_local: Values, strategy: Strategy, remapped: bool
) -> None:
    merged = merge(sis, mine, base, base_local, policy=Policy(strategy), remapped=remapped)
    assert merged.writes.keys() <= sis.keys()
    assert all(merged.writes[name] == sis[name] for name in merged.writes)


@given(flat, flat, flat, strategies)
def test_p5_merging_twice_writes_nothing_more(sis: Values, mine: Values, base: Values, strategy: Strategy) -> None:
    once = merge(sis, mine, base, policy=Policy(strategy))
    after = {**mine, **once.writes}
    agreed = {name: after.get(name) for name in sis if after.get(name) == sis[name]}
    twice = merge(sis, after, {**base, **sis}, {**base, **agreed, **once.writes}, policy=Policy(strategy))
    assert twice.writes == {}
    assert twice.conflicts == []


@given(flat, flat, flat)
def test_with_sis_wins_what_changed_in_the_sis_ends_as_the_sis_has_it(sis: Values, mine: Values, base: Values) -> None:
    after = {**mine, **merge(sis, mine, base).writes}
    assert all(after.get(name) == sis[name] for name in sis.keys() & base.keys() if sis[name] != base[name])


@given(flat, flat, flat)
def test_where_the_sis_owns_all_it_ends_as_the_sis_has_it(sis: Values, mine: Values, base: Values) -> None:
    owned = Policy("manual", {f"students.{name}": FieldPolicy(owner="sis") for name in sis})
    after = {**mine, **merge(sis, mine, base, policy=owned).writes}
    assert all(after.get(name) == sis[name] for name in sis)


@given(flat, strategies)
def test_where_nothing_changed_nothing_is_written(values: Values, strategy: Strategy) -> None:
    assert merge(values, values, values, policy=Policy(strategy)) == Merged()
