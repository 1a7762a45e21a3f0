"""The decision about one record: what to do, why, and what guards are told of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sis_connect.capabilities import Leaving
from sis_connect.roster.conflict import Policy
from sis_connect.roster.documents import at_date, flatten, nest
from sis_connect.roster.merge import UNSTATED, Decision, FieldConflict, Local, Mapped, Rules, Source, decide
from sis_connect.settings import FieldPolicy, Owner, Strategy

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
TODAY = date(2026, 11, 23)
STRATEGIES: tuple[Strategy, ...] = ("sis_wins", "local_wins", "newest_wins", "manual")
Values = Mapping[str, Any]
Row = dict[str, Any]


def policy(strategy: Strategy = "sis_wins", **owners: Owner) -> Policy:
    return Policy(strategy, {f"students.{name}": FieldPolicy(owner=owner) for name, owner in owners.items()})


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


def test_a_record_hands_its_clocks_to_the_strategy() -> None:
    edited = Local(document=told(document(grade="07")), edited_at=NOW)
    changed = Source(document=document(grade="06"), updated_at=NOW - timedelta(hours=1))
    trusting = rules("newest_wins", reliable_updated_at=True)
    assert [c.decided for c in decide("students", changed, edited, mapped(), trusting).conflicts] == ["local"]
    assert [c.decided for c in decide("students", changed, edited, mapped(), rules("newest_wins")).conflicts] == ["ask"]


names = st.sampled_from(["given_name", "school", "grade", "username"])
flat = st.dictionaries(names, st.one_of(st.none(), st.sampled_from("abc")))
strategies = st.sampled_from(STRATEGIES)


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
