"""The decision about one record, row by row of the design's table, and what holds whatever the values."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sis_connect.capabilities import Leaving
from sis_connect.roster.conflict import Clocks, Policy
from sis_connect.roster.documents import at_date, combine, flatten, nest
from sis_connect.roster.merge import (
    UNSTATED,
    Decision,
    FieldConflict,
    Local,
    Mapped,
    Merged,
    Rules,
    Source,
    decide,
    merge_fields,
)
from sis_connect.settings import FieldPolicy, Owner, Strategy

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
TODAY = date(2026, 11, 23)
STRATEGIES: tuple[Strategy, ...] = ("sis_wins", "local_wins", "newest_wins", "manual")
Values = Mapping[str, Any]
Row = dict[str, Any]


def policy(strategy: Strategy = "sis_wins", **owners: Owner) -> Policy:
    return Policy(strategy, {f"students.{name}": FieldPolicy(owner=owner) for name, owner in owners.items()})


def merge(sis: Values, local: Values, base: Values | None = None, base_local: Values | None = None, /, **more: Any) -> Merged:
    given = {"policy": Policy(), "clocks": Clocks(), "base_sis": base, "base_local": base if base_local is None else base_local}
    return merge_fields("students", sis=sis, local=local, **{**given, **more})


def rules(strategy: Strategy = "sis_wins", *, leaving: Leaving = "absence", hours: float = 12.0, **more: Any) -> Rules:
    given = {"policy": Policy(strategy), "reliable_updated_at": False, "today": TODAY, "now": NOW}
    return Rules(**{**given, "leaving": leaving, "grace": timedelta(hours=hours), **more})


def document(**fields: Any) -> dict[str, Any]:
    known = {"given_name": "Ada", "family_name": "Vale", "school": "A", "grade": "05", "status": "active"}
    return at_date("students", {**known, **fields}, TODAY)[0]


def source(**fields: Any) -> Source:
    return Source(document=document(**fields))


def told(values: Values) -> dict[str, Any]:
    """As a target's row reads: what is blank is not there."""
    return {name: value for name, value in values.items() if value is not None}


def mapped(known: str = "active", **fields: Any) -> Mapped:
    base = document(**fields)
    return Mapped(status=known, base_sis=base, base_local=told(base), base_at=NOW - timedelta(days=1))


def local(**fields: Any) -> Local:
    return Local(document=told(document(**fields)))


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


# -- the record --------------------------------------------------------------------------------------------------------


def test_what_is_new_is_created_and_what_has_left_before_we_knew_it_is_not() -> None:
    new = decide("students", source(), None, None, rules())
    assert (new.action, new.reason, new.base) == ("create", "new", document())
    gone = decide("students", source(status="inactive", status_reason="graduated"), None, None, rules())
    assert (gone.action, gone.reason, gone.base) == ("unchanged", "graduation", None)


def test_an_app_that_had_the_record_already_is_met_for_the_first_time() -> None:
    met = decide("students", source(grade="06"), local(grade=None, username="ada"), None, rules())
    assert (met.action, met.reason, met.writes) == ("update", "first_contact", {"grade": "06"})
    same = decide("students", source(), local(), None, rules())
    assert (same.action, same.base) == ("unchanged", document())


@pytest.mark.parametrize(
    ("strategy", "owner", "action", "status"),
    [
        ("sis_wins", "shared", "create", "active"),
        ("manual", "sis", "create", "active"),
        ("local_wins", "shared", "unchanged", "deleted"),
        ("sis_wins", "local", "unchanged", "deleted"),
        ("manual", "shared", "conflict", ""),
        ("newest_wins", "shared", "conflict", ""),
    ],
)
def test_a_row_that_the_app_deleted_is_never_silently_made_again(
    strategy: Strategy, owner: Owner, action: str, status: str
) -> None:
    rule = rules(strategy, policy=policy(strategy, **{"*": owner}))
    decision = decide("students", source(), None, mapped(), rule)
    assert (decision.action, decision.reason, decision.status) == (action, "deleted_locally", status)


def test_what_is_gone_on_both_sides_is_let_go() -> None:
    decision = decide("students", source(status="inactive"), None, mapped(), rules("manual"))
    assert (decision.action, decision.status) == ("unchanged", "inactive")


def test_a_tombstone_outlives_what_the_sis_says() -> None:
    decision = decide("students", source(grade="06"), None, mapped("deleted"), rules())
    assert (decision.action, decision.rule) == ("unchanged", "tombstone")
    assert decision.base == document(grade="06")


@pytest.mark.parametrize(
    ("fields", "action", "reason"),
    [
        ({"status": "inactive", "status_reason": "transferred"}, "withdraw", "transfer"),
        ({"status": "inactive", "status_reason": "graduated"}, "withdraw", "graduation"),
        ({"status": "inactive"}, "withdraw", "withdrawal"),
        ({"status": "tobedeleted"}, "withdraw", "deleted"),
        ({"school": "B"}, "update", "transfer"),
        ({"grade": "06"}, "update", "promotion"),
        ({"family_name": "Voss"}, "update", "correction"),
        ({}, "unchanged", "correction"),
    ],
)
def test_a_change_has_a_reason(fields: Values, action: str, reason: str) -> None:
    decision = decide("students", source(**fields), local(), mapped(), rules())
    assert (decision.action, decision.reason) == (action, reason)


def test_p6_a_student_who_returns_is_revived_without_the_reason_for_leaving() -> None:
    left: Row = {"status": "inactive", "status_reason": "absence"}
    decision = decide("students", source(), local(**left), mapped("inactive", **left), rules())
    assert (decision.action, decision.reason) == ("reenroll", "re_entry")
    assert decision.writes == {"status": "active", "status_reason": None}
    assert not decision.flags


def missing(pulls: int, hours: float) -> Source:
    return Source(document=document(), missing_pulls=pulls, missing_since=NOW - timedelta(hours=hours))


@pytest.mark.parametrize(
    ("pulls", "since", "grace", "action"),
    [
        (1, 0, 12, "unchanged"),
        (1, 48, 12, "unchanged"),
        (2, 11.9, 12, "unchanged"),
        (2, 12, 12, "withdraw"),
        (3, 30, 12, "withdraw"),
        (1, 0, 0, "withdraw"),
    ],
)
def test_p1_absence_withdraws_after_two_complete_pulls_and_the_time_of_grace(
    pulls: int, since: float, grace: float, action: str
) -> None:
    decision = decide("students", missing(pulls, since), local(), mapped(), rules(hours=grace))
    assert (decision.action, decision.reason) == (action, "absence")


def test_absence_is_an_anomaly_where_leaving_is_a_status() -> None:
    decision = decide("students", missing(1, 0), local(), mapped(), rules(leaving="status"))
    assert decision.action == "withdraw"
    assert decision.flags == {"absent", "anomaly", "removal"}
    expected = decide("students", missing(2, 12), local(), mapped(), rules())
    assert expected.flags == {"absent", "removal"}


def test_absence_is_what_the_sis_says_so_that_the_app_is_heard() -> None:
    owned = rules(policy=policy(status="local", status_reason="local"))
    decision = decide("students", missing(2, 12), local(), mapped(), owned)
    assert (decision.action, decision.writes) == ("unchanged", {})
    gone = decide("students", missing(2, 12), local(status="inactive"), mapped(), rules())
    assert gone.action == "update"
    assert not gone.flags & {"removal", "absent"}


def test_what_has_been_withdrawn_stays_so_while_it_is_absent() -> None:
    decision = decide("students", missing(9, 99), local(status="inactive"), mapped("inactive", status="inactive"), rules())
    assert decision.action == "unchanged"


def test_what_a_row_speaks_of_no_longer_ends_at_once() -> None:
    ended = Source(document=document(), ended=UNSTATED)
    decision = decide("enrollments", ended, local(), mapped(), rules())
    assert (decision.action, decision.reason) == ("withdraw", UNSTATED)
    assert decision.flags == {"absent", "removal"}
    assert decide("enrollments", ended, None, None, rules()).action == "unchanged"


def test_flags_tell_guards_of_identity_and_blanks() -> None:
    before: Row = {"username": "ada", "ids": {"state_id": "9", "number": "1"}, "birth_date": "2015-01-01"}
    after = {"username": "eda", "ids": {"state_id": "9", "number": "1"}, "birth_date": None}
    decision = decide("students", source(**after), local(**before), mapped(**before), rules())
    assert decision.flags == {"identity", "blank:birth_date"}
    first = decide("students", source(username="ada"), local(), mapped(), rules())
    assert not first.flags
    number = {**before, "ids": {"state_id": "9", "number": "2"}}
    assert decide("students", source(**number), local(**before), mapped(**before), rules()).flags == {"identity"}


def test_manual_keeps_the_local_value_and_lets_the_other_fields_flow() -> None:
    decision = decide("students", source(grade="06", school="B"), local(grade="07"), mapped(), rules("manual"))
    assert (decision.action, decision.writes, decision.rule) == ("update", {"school": "B"}, "manual")
    assert decision.conflicts == [FieldConflict("grade", "manual", "ask")]
    alone = decide("students", source(grade="06"), local(grade="07"), mapped(), rules("manual"))
    assert alone.action == "conflict"
    assert alone.base is not None
    assert alone.base["grade"] == "06"


def test_a_decided_conflict_is_not_asked_again_until_a_side_moves() -> None:
    once = decide("students", source(grade="06"), local(grade="07"), mapped(), rules("manual"))
    assert once.base is not None
    settled = Mapped(status="active", base_sis=once.base, base_local=told(document()))
    assert decide("students", source(grade="06"), local(grade="07"), settled, rules("manual")).conflicts == []
    assert decide("students", source(grade="08"), local(grade="07"), settled, rules("manual")).action == "conflict"


def test_a_stay_that_we_ended_and_that_is_told_of_again_ends_when_the_sis_says() -> None:
    stay = {"student": "s1", "school": "A", "entry_date": "2026-08-12"}
    closed = {**stay, "status": "inactive", "status_reason": "transfer", "exit_date": "2026-10-01", "exit_inferred": True}
    before = Mapped(status="inactive", base_sis=closed, base_local=closed)
    again = Source(document=at_date("school_enrollments", stay, TODAY)[0])
    decision = decide("school_enrollments", again, Local(document=closed), before, rules())
    assert decision.action == "reenroll"
    assert decision.writes == {"status": "active", "status_reason": None, "exit_date": None, "exit_inferred": False}


# -- two clocks --------------------------------------------------------------------------------------------------------

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


def test_a_record_hands_its_clocks_to_the_strategy() -> None:
    edited = Local(document=told(document(grade="07")), edited_at=NOW)
    changed = Source(document=document(grade="06"), updated_at=NOW - timedelta(hours=1))
    trusting = rules("newest_wins", reliable_updated_at=True)
    assert [c.decided for c in decide("students", changed, edited, mapped(), trusting).conflicts] == ["local"]
    assert [c.decided for c in decide("students", changed, edited, mapped(), rules("newest_wins")).conflicts] == ["ask"]


# -- dates -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "leave", "status", "reason", "due"),
    [
        ("2026-08-12", None, "active", None, None),
        ("2026-08-12", "2026-11-24", "active", None, "2026-11-24"),
        ("2026-08-12", "2026-11-23", "inactive", "ended", None),
        ("2026-08-12", "2026-08-12", "inactive", "no_show", None),
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
    assert moves == (date.fromisoformat(due) if due else None)


def test_an_enrolment_without_dates_holds_and_one_that_was_ended_stays_ended() -> None:
    assert at_date("enrollments", {}, TODAY)[0]["status"] == "active"
    dropped, due = at_date("enrollments", {"begin_date": "2026-12-01", "status": "inactive", "status_reason": "dropped"}, TODAY)
    assert (dropped["status"], dropped["status_reason"], due) == ("inactive", "dropped", None)
    assert at_date("students", {"status": "tobedeleted"}, TODAY)[0]["status_reason"] == "deleted"


# -- one record from several rows --------------------------------------------------------------------------------------


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


names = st.sampled_from(["given_name", "school", "grade", "username"])
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


# -- whatever the values -----------------------------------------------------------------------------------------------

flat = st.dictionaries(names, texts)
strategies = st.sampled_from(STRATEGIES)


@given(flat)
def test_a_document_flattened_and_nested_is_the_same(values: dict[str, Any]) -> None:
    whole = {**values, "ids": {"a": "1", "b": ["2", "3"]}, "custom": {"c": 4}}
    assert nest(flatten(whole)) == whole


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


@given(flat, flat, strategies, st.sampled_from(["active", "inactive"]))
def test_p5_a_decision_that_was_carried_out_is_not_made_again(
    before: dict[str, Any], after: dict[str, Any], strategy: Strategy, status: str
) -> None:
    now = source(**after, status=status)
    decision = decide("students", now, local(**before), mapped(**before), rules(strategy))
    assert decision.base is not None
    stands = told(nest({**flatten(local(**before).document), **decision.writes}))
    carried_out = Mapped(status=decision.status, base_sis=decision.base, base_local=stands)
    again = decide("students", now, Local(document=stands), carried_out, rules(strategy))
    assert (again.action, again.base, again.writes) == ("unchanged", decision.base, {})


def test_p7_no_state_of_a_record_shows_its_values() -> None:
    states = [
        source(),
        local(),
        mapped(),
        decide("students", source(), None, None, rules()),
        Decision(action="update", reason="", rule="", writes={"a": "Ada"}),
    ]
    assert not [state for state in states if "Ada" in repr(state)]
