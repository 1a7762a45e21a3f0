"""The decision about one record: what to do, why, and what guards are told of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sis_connect.capabilities import Leaving
from sis_connect.roster.conflict import Filed, Policy, Said
from sis_connect.roster.documents import at_date, flatten, nest
from sis_connect.roster.merge import (
    UNSTATED,
    Decision,
    FieldConflict,
    Local,
    Mapped,
    Rules,
    Source,
    answered,
    decide,
    decision_to_write,
)
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


def filed(sis: Any, local: Any, decision: str | None = None, **more: Any) -> Filed:
    state = "decided" if decision else "open"
    return Filed(
        **{"id": "q", "state": state, "base": "05", "sis": sis, "local": local, "decision": decision, "value": None, **more}
    )


def test_manual_keeps_the_local_value_and_lets_the_other_fields_flow() -> None:
    decision = decide("students", source(grade="06", school="B"), local(grade="07"), mapped(), rules("manual"))
    assert (decision.action, decision.writes, decision.rule) == ("update", {"school": "B"}, "manual")
    assert decision.conflicts == [FieldConflict("grade", "manual", "ask")]
    alone = decide("students", source(grade="06"), local(grade="07"), mapped(), rules("manual"))
    assert (alone.action, alone.base) == ("conflict", document())


def test_p5_an_open_question_that_is_asked_again_is_no_new_change() -> None:
    waiting = Said(filed={"grade": filed("06", "07")})
    same = decide("students", source(grade="06"), local(grade="07"), mapped(), rules("manual"), waiting)
    assert (same.action, same.base, same.closes) == ("unchanged", document(), set())
    for s, mine in (("08", "07"), ("06", "08")):
        other = decide("students", source(grade=s), local(grade=mine), mapped(), rules("manual"), waiting)
        assert (other.action, other.base) == ("conflict", document())


@pytest.mark.parametrize(("decision", "writes"), [("sis", {"grade": "06"}), ("local", {}), ("value", {"grade": "09"})])
def test_what_a_person_decided_about_these_two_values_outranks_the_strategy(decision: str, writes: Values) -> None:
    said = Said(filed={"grade": filed("06", "07", decision, value="09")})
    for strategy in STRATEGIES:
        decided = decide("students", source(grade="06"), local(grade="07"), mapped(), rules(strategy), said)
        assert (decided.writes, decided.base) == (writes, document(grade="06"))
        assert [(it.rule, it.decided) for it in decided.conflicts] == [("decided", decision)]
    moved = decide("students", source(grade="08"), local(grade="07"), mapped(), rules("manual"), said)
    assert moved.action == "conflict"


def test_p6_what_is_pinned_is_not_withdrawn() -> None:
    pinned, gone = Said(pinned=frozenset([""])), source(status="inactive", grade="06")
    for state in (gone, missing(3, 30), Source(document=document(), ended="ended")):
        kept = decide("students", state, local(), mapped(), rules(), pinned)
        assert (kept.action, kept.reason, kept.writes, kept.base) == ("unchanged", "pinned", {}, None)
        assert decide("students", state, local(), mapped(), rules(), Said(pinned=frozenset(["grade"]))).action == "withdraw"
    assert decide("students", source(grade="06"), local(), mapped(), rules(), pinned).writes == {"grade": "06"}


@pytest.mark.parametrize(("owner", "strategy"), [("local", "sis_wins"), ("shared", "manual"), ("shared", "local_wins")])
def test_a_reason_is_not_written_without_its_status(owner: Owner, strategy: Strategy) -> None:
    rule = rules(policy=Policy(strategy, {"students.status": FieldPolicy(owner=owner, strategy=strategy)}))
    left = source(status="inactive", status_reason="transferred", grade="06")
    decision = decide("students", left, local(status="on leave"), mapped(), rule)
    assert (decision.action, decision.writes) == ("update", {"grade": "06"})


@pytest.mark.parametrize(("answer", "action"), [("sis", "create"), ("local", "unchanged"), (None, "unchanged")])
def test_a_question_about_a_deleted_row_is_answered_and_asked_once(answer: str | None, action: str) -> None:
    said = Said(filed={"*": filed("active", None, answer), "grade": filed("06", "07")})
    decision = decide("students", source(), None, mapped(), rules("manual"), said)
    assert (decision.action, decision.status) == (action, {"sis": "active", "local": "deleted", None: ""}[answer])
    assert "grade" in decision.closes
    again = decide("students", source(), local(), mapped(), rules("manual"), Said(filed={"*": filed("active", None)}))
    assert again.closes == {"*"}


def test_an_answer_touches_only_the_fields_that_it_is_about() -> None:
    said = Said(filed={"grade": filed("06", "07", "sis")})
    now = source(grade="06", school="B", status="inactive")
    decision = answered("students", now, local(grade="07"), mapped(), rules("manual"), said, {"grade"})
    assert (decision.action, decision.writes, decision.base) == ("update", {"grade": "06"}, document(grade="06"))


def test_what_somebody_decided_elsewhere_becomes_an_action_with_its_flags() -> None:
    gone = decision_to_write(local(), {"status": "inactive"}, reason="undone", rule="a person undid it")
    assert (gone.action, set(gone.flags), gone.base) == ("withdraw", {"removal"}, None)
    back = decision_to_write(local(status="inactive"), {"status": "active"}, reason="undone", rule="a person undid it")
    assert (back.action, back.status) == ("reenroll", "active")


def test_a_stay_that_we_ended_and_that_is_told_of_again_ends_when_the_sis_says() -> None:
    stay = {"student": "s1", "school": "A", "entry_date": "2026-08-12"}
    closed = {**stay, "status": "inactive", "status_reason": "transfer", "exit_date": "2026-10-01", "exit_inferred": True}
    before = Mapped(status="inactive", base_sis=closed, base_local=closed)
    again = Source(document=at_date("school_enrollments", stay, TODAY)[0])
    decision = decide("school_enrollments", again, Local(document=closed), before, rules())
    assert decision.action == "reenroll"
    assert decision.writes == {"status": "active", "status_reason": None, "exit_date": None, "exit_inferred": False}


def test_a_record_hands_its_clocks_to_the_strategy() -> None:
    edited = Local(document=told(document(grade="07")), edited_at=NOW, edits={"grade": NOW})
    changed = Source(document=document(grade="06"), updated_at=NOW - timedelta(hours=1))
    trusting = rules("newest_wins", reliable_updated_at=True)
    assert [c.decided for c in decide("students", changed, edited, mapped(), trusting).conflicts] == ["local"]
    assert [c.decided for c in decide("students", changed, edited, mapped(), rules("newest_wins")).conflicts] == ["ask"]
    of_the_record = Local(document=told(document(grade="07")), edited_at=NOW)
    assert [c.decided for c in decide("students", changed, of_the_record, mapped(), trusting).conflicts] == ["ask"]
    long_ago = Local(document=told(document(grade="07")), edited_at=NOW - timedelta(days=2))
    assert [c.decided for c in decide("students", changed, long_ago, mapped(), trusting).conflicts] == ["sis"]


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
    read_back = {**flatten(told(document(**before))), **decision.writes}
    agreed = {name: value for name, value in flatten(now.document).items() if flatten(stands).get(name) == value}
    carried_out = Mapped(status=decision.status, base_sis=decision.base, base_local=nest({**read_back, **agreed}))
    said = Said(filed={c.field: filed(c.sis, c.local) for c in decision.conflicts if c.decided == "ask"})
    again = decide("students", now, Local(document=stands), carried_out, rules(strategy), said)
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
