"""The guards: each at its limit, just below it, and below the floor (promise P3)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sis_connect.capabilities import Kind
from sis_connect.roster.guard import Counts, Guard, Limit, Population, Profile, Trip, condition, emptied, evaluate


def population(of: int) -> Population:
    """So many in the district, in each school, and with a value in each field."""
    return Population(total=lambda kind: of, of_school=lambda kind, school: of, having=lambda kind, name: of)


def counted(kind: Kind, school: str, *flags: str, times: int = 1) -> Counts:
    counts = Counts()
    for _ in range(times):
        for flag in flags:
            counts.add(kind, school, flag)
    return counts


def guards(counts: Counts, of: int, **more: Any) -> list[tuple[str, Kind, str, int]]:
    trips = evaluate(counts, population(of), **more)
    assert all(trip.of == of for trip in trips if trip.guard not in ("change_of_id", "empty", "quarantine"))
    return [(trip.guard, trip.kind, trip.scope, trip.count) for trip in trips]


def removals(kind: Kind, school: str = "") -> Callable[[int, int], Counts]:
    return lambda number, of: counted(kind, school, "removal", times=number)


def flagged(kind: Kind, flag: str) -> Callable[[int, int], Counts]:
    return lambda number, of: counted(kind, "", flag, times=number)


def creates(number: int, of: int) -> Counts:
    return Counts(creates={"students": number})


def newly_bad(number: int, of: int) -> Counts:
    return Counts(newly_bad={"students": (number, of)})


@pytest.mark.parametrize(
    ("counts", "number", "of", "trips"),
    [
        pytest.param(removals("students"), 5, 100, ["withdrawals"], id="students: 5 %"),
        pytest.param(removals("students"), 4, 100, [], id="students: just below 5 %"),
        pytest.param(removals("students"), 99, 99, [], id="students: fewer than the floor of 100"),
        pytest.param(removals("students"), 500, 1_000_000, ["withdrawals"], id="students: 500"),
        pytest.param(removals("students"), 499, 1_000_000, [], id="students: 499"),
        pytest.param(removals("school_enrollments"), 5, 100, ["withdrawals"], id="stays: 5 %"),
        pytest.param(removals("school_enrollments"), 4, 100, [], id="stays: just below 5 %"),
        pytest.param(removals("students", "A"), 4, 20, ["withdrawals_of_school"], id="a school: 20 %"),
        pytest.param(removals("students", "A"), 3, 20, [], id="a school: just below 20 %"),
        pytest.param(removals("students", "A"), 19, 19, [], id="a school: fewer than the floor of 20"),
        pytest.param(removals("enrollments"), 1, 10, ["withdrawals"], id="enrolments: 10 %"),
        pytest.param(removals("enrollments"), 9, 91, [], id="enrolments: just below 10 %"),
        pytest.param(removals("enrollments"), 500, 1_000_000, [], id="enrolments: no limit by number"),
        pytest.param(removals("enrollments", "A"), 18, 60, ["withdrawals_of_school", "withdrawals"], id="enrolments at a school"),
        pytest.param(removals("enrollments", "A"), 17, 60, ["withdrawals"], id="a school's enrolments: just below 30 %"),
        pytest.param(removals("enrollments", "A"), 59, 59, ["withdrawals"], id="a school's enrolments: floor of 60"),
        pytest.param(flagged("staff", "absent"), 1, 1000, ["staff"], id="staff: one who is absent"),
        pytest.param(removals("staff"), 1, 1000, [], id="staff: one who left by status"),
        pytest.param(flagged("students", "absent"), 1, 1000, [], id="students: one who is absent"),
        pytest.param(flagged("students", "anomaly"), 1, 1000, ["absence"], id="absence where leaving is a status"),
        pytest.param(creates, 100, 1000, ["creates"], id="new: 10 % and 100"),
        pytest.param(creates, 99, 100, [], id="new: just below 100"),
        pytest.param(creates, 100, 1001, [], id="new: just below 10 %"),
        pytest.param(creates, 5000, 0, [], id="new: a kind of which there was nothing"),
        pytest.param(flagged("students", "identity"), 2, 20, ["identity"], id="identity: 10 %"),
        pytest.param(flagged("students", "identity"), 2, 21, [], id="identity: just below 10 %"),
        pytest.param(flagged("students", "identity"), 19, 19, [], id="identity: fewer than the floor of 20"),
        pytest.param(flagged("students", "blank:grade"), 1, 20, ["blank"], id="a field turns blank: 5 %"),
        pytest.param(flagged("students", "blank:grade"), 1, 21, [], id="a field turns blank: just below 5 %"),
        pytest.param(flagged("students", "blank:grade"), 19, 19, [], id="a field turns blank: fewer than the floor of 20"),
        pytest.param(newly_bad, 5, 100, ["quarantine"], id="newly bad: 5 %"),
        pytest.param(newly_bad, 4, 100, [], id="newly bad: just below 5 %"),
        pytest.param(newly_bad, 19, 19, [], id="newly bad: fewer than the floor of 20"),
        pytest.param(lambda n, of: Counts(changes_of_id={"students": n}), 1, 1000, ["change_of_id"], id="perhaps the same"),
        pytest.param(lambda number, of: Counts(emptied={("students", "A"): number}), 1, 1, ["empty"], id="no rows where one was"),
    ],
)  # fmt: skip
def test_p3_a_guard_holds_from_its_limit_on(
    counts: Callable[[int, int], Counts], number: int, of: int, trips: list[Guard]
) -> None:
    assert [guard for guard, *_ in guards(counts(number, of), of)] == trips


def test_the_school_and_the_district_are_guarded_each_for_itself() -> None:
    counts = counted("students", "A", "removal", times=30)
    for _ in range(20):
        counts.add("students", "B", "removal")
    assert guards(counts, 100) == [
        ("withdrawals_of_school", "students", "school=A", 30),
        ("withdrawals_of_school", "students", "school=B", 20),
        ("withdrawals", "students", "district", 50),
    ]


def test_on_a_first_sync_creations_are_not_limited() -> None:
    assert guards(creates(100_000, 0), 100, first={"students"}) == []
    assert guards(creates(100_000, 0), 100, first={"sections"}) != []


def test_one_change_may_concern_several_guards() -> None:
    counts = counted("students", "A", "absent", "anomaly", "removal", times=20)
    assert [guard for guard, *_ in guards(counts, 100)] == ["withdrawals_of_school", "withdrawals", "absence"]


def test_each_field_that_turns_blank_is_counted_for_itself() -> None:
    counts = counted("students", "A", "blank:grade", times=9)
    for _ in range(10):
        counts.add("students", "A", "blank:ids.state_id")
    assert guards(counts, 200) == [("blank", "students", "field=ids.state_id", 10)]


def test_nothing_trips_where_nothing_changes() -> None:
    assert evaluate(Counts(), population(0)) == []
    assert not Limit(share=0.0, count=0).trips(0, 0)


def test_a_profile_may_widen_the_limits() -> None:
    rollover = Profile(withdrawals=Limit(share=0.5, floor=100), creates=Limit(share=0.9, count=100, both=True))
    counts = counted("students", "", "removal", times=30)
    counts.creates["students"] = 80
    assert guards(counts, 100, profile=rollover) == []


@given(st.sampled_from([(0.05, 20), (0.1, 10), (0.2, 5), (0.3, None)]), st.integers(0, 2_000_000), st.integers(1, 2_000_000))
def test_at_or_above_a_share_is_exact(share: tuple[float, int | None], number: int, of: int) -> None:
    limit = Fraction(str(share[0])) * of
    assert Limit(share=share[0]).trips(number, of) == (number > 0 and number >= limit)
    if limit.denominator == 1 and limit > 0:
        assert Limit(share=share[0]).trips(int(limit), of)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (Limit(share=0.05, floor=100, count=500), "5% or 500"),
        (Limit(share=0.1, count=100, both=True), "10% and 100"),
        (Limit(count=1), "1"),
    ],
)
def test_a_limit_can_be_read(limit: Limit, words: str) -> None:
    assert str(limit) == words


# -- what a guard holds ------------------------------------------------------------------------------------------------

ROWS: Mapping[str, dict[str, str]] = {
    "withdrawn at A": {"action": "withdraw", "school": "A", "flags": " removal "},
    "withdrawn at B": {"action": "withdraw", "school": "B", "flags": " absent removal "},
    "vanished": {"action": "withdraw", "school": "B", "flags": " absent anomaly removal "},
    "new": {"action": "create", "school": "A", "flags": ""},
    "perhaps the same": {"action": "create", "school": "A", "flags": " change_of_id "},
    "renamed": {"action": "update", "school": "A", "flags": " identity "},
    "blanked": {"action": "update", "school": "A", "flags": " blank:ids.state_id "},
    "blanked elsewhere": {"action": "update", "school": "A", "flags": " blank:idsxstate_id "},
    "from an empty school": {"action": "withdraw", "school": "", "flags": f" absent {emptied('A')} removal "},
    "from an empty district": {"action": "withdraw", "school": "", "flags": f" absent {emptied('')} removal "},
    "corrected": {"action": "update", "school": "A", "flags": ""},
}


@pytest.mark.parametrize(
    ("guard", "scope", "action", "held"),
    [
        ("withdrawals", "district", "withdraw", {name for name, row in ROWS.items() if row["action"] == "withdraw"}),
        ("withdrawals_of_school", "school=A", "withdraw", {"withdrawn at A"}),
        ("absence", "district", "withdraw", {"vanished"}),
        ("creates", "district", "create", {"new", "perhaps the same"}),
        ("change_of_id", "district", "create", {"perhaps the same"}),
        ("identity", "district", "update", {"renamed"}),
        ("blank", "field=ids.state_id", "update", {"blanked"}),
        ("quarantine", "district", "quarantine", set()),
        ("empty", "school=A", "withdraw", {"from an empty school"}),
        ("empty", "district", "withdraw", {"from an empty district"}),
        ("staff", "district", "withdraw", {name for name, row in ROWS.items() if " absent " in row["flags"]}),
    ],
)
def test_p3_a_guard_holds_the_changes_of_its_own_class(guard: Guard, scope: str, action: str, held: set[str]) -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE plan (name, kind, action, school, flags)")
        rows = [(name, kind, *row.values()) for name, row in ROWS.items() for kind in ("students", "courses")]
        database.executemany("INSERT INTO plan VALUES (?, ?, ?, ?, ?)", rows)
        trip = Trip(guard=guard, kind="students", action=action, scope=scope, count=1, of=1, limit="1")
        where, values = condition(trip)
        found = database.execute(f"SELECT name, kind FROM plan WHERE {where}", dict(values)).fetchall()
    assert found == [(name, "students") for name in ROWS if name in held]
