"""Holds: what a guard stopped waits for a person, with all that depends on it; the rest flows (promise P3)."""

from __future__ import annotations

from typing import Any

import pytest

from roster_fixture import Desk, bad, enrollment, school, section, stay, student, students
from sis_connect.errors import ConflictError
from sis_connect.provider import Scope

HUNDRED = 100


async def district(desk: Desk) -> None:
    """100 students, each with a stay and two enrolments, and a first sync."""
    desk.settings = {"absence_grace": 0}
    desk.sis.put("students", *[student(f"s{n:04d}", ids={"state_id": f"9{n:03d}"}) for n in range(HUNDRED)])
    desk.sis.put("school_enrollments", *[stay(f"stay{n}", student=f"s{n:04d}") for n in range(HUNDRED)])
    desk.sis.put("sections", section("x"), section("y"))
    who = [(n, at) for n in range(HUNDRED) for at in ("x", "y")]
    desk.sis.put("enrollments", *[enrollment(f"{at}{n}", user=f"s{n:04d}", section=at) for n, at in who])
    assert (await desk.sync()).status == "succeeded"


def leave(desk: Desk, number: int, first: int = 0) -> None:
    for n in range(first, first + number):
        sis_id = f"s{n:04d}"
        desk.sis.feeds["students", ""][sis_id] = student(sis_id, status="inactive", ids={"state_id": f"9{n:03d}"})


async def inactive(desk: Desk) -> int:
    return list((await desk.statuses("students")).values()).count("inactive")


# -- the class that a guard holds, and the rest -----------------------------------------------------------------------


async def test_p3_withdrawals_are_held_and_the_rest_flows(desk: Desk) -> None:
    await district(desk)
    leave(desk, 5)
    desk.sis.feeds["students", ""]["s0099"] = student("s0099", grade="06", ids={"state_id": "9099"})
    desk.sis.feeds["students", ""].rows.append(student("new"))
    report = await desk.sync()
    assert (report.status, report.exit_code) == ("held", 3)
    assert report.held == {"students": {"withdraw": 5}}
    assert report.changes["students"] == {"update": 1, "create": 1, "unchanged": 94}
    (hold,) = report.holds
    assert (hold.guard, hold.kind, hold.scope, hold.count, hold.of, hold.limit) == (
        "withdrawals", "students", "district", 5, 100, "5% or 500",
    )  # fmt: skip
    assert hold.integration == "lincoln"
    assert await inactive(desk) == 0
    assert (await desk.student("s0099"))["grade"] == "06"


async def test_p3_four_of_a_hundred_may_leave(desk: Desk) -> None:
    await district(desk)
    leave(desk, 4)
    assert (await desk.sync()).status == "succeeded"
    assert await inactive(desk) == 4


async def test_p3_ends_that_go_with_a_held_end_are_held_with_it(desk: Desk) -> None:
    await district(desk)
    leave(desk, 5)
    for n in range(7):
        desk.sis.feeds["enrollments", ""][f"x{n}"] = enrollment(f"x{n}", user=f"s{n:04d}", status="inactive")
    report = await desk.sync()
    assert report.held == {"students": {"withdraw": 5}, "enrollments": {"withdraw": 5}}
    assert report.changes["enrollments"] == {"withdraw": 2, "unchanged": 193}


async def test_p3_absences_and_what_ends_with_them_are_held_together(desk: Desk) -> None:
    await district(desk)
    desk.sis.feeds["students", ""].drop(*[f"s{n:04d}" for n in range(5)])
    desk.sis.feeds["school_enrollments", ""].drop(*[f"stay{n}" for n in range(4)])
    report = await desk.sync()
    assert report.held == {"students": {"withdraw": 5}, "school_enrollments": {"withdraw": 4}}
    assert {hold.kind for hold in report.holds} == {"students"}


async def test_p3_what_needs_a_held_record_is_held_with_it(desk: Desk) -> None:
    await district(desk)
    for n in range(200, 300):
        desk.sis.feeds["students", ""].rows.append(student(f"s{n:04d}"))
        desk.sis.feeds["school_enrollments", ""].rows.append(stay(f"stay{n}", student=f"s{n:04d}"))
    desk.sis.feeds["enrollments", ""]["x0"] = enrollment("x0", user="s0200")
    report = await desk.sync()
    assert {hold.guard for hold in report.holds if hold.kind == "students"} == {"creates"}
    assert report.held["students"] == {"create": 100}
    assert report.held["school_enrollments"] == {"create": 100}
    assert report.held["enrollments"] == {"update": 1}
    assert len(await desk.roster("school_enrollments")) == HUNDRED
    await desk.approve(next(hold for hold in report.holds if hold.kind == "students"))
    assert (await desk.roster("enrollments"))["x0"]["user"] == "s0200"
    assert len(await desk.roster("students")) == 200


@pytest.mark.parametrize(
    "narrow",
    [{"kinds": ("students",)}, {"scope": Scope(schools=frozenset({"A"}))}, {"scope": Scope(students=frozenset({"s0000"}))}],
    ids=["some kinds", "one school", "one student"],
)
async def test_the_first_sync_of_all_is_a_first_one_though_a_narrow_one_went_before(desk: Desk, narrow: dict[str, Any]) -> None:
    desk.sis.put("schools", school("A"), school("B"))
    many = [student(f"s{n:04d}", school="AB"[n % 2]) for n in range(300)]
    desk.sis.put("students", *many)
    desk.sis.put("school_enrollments", *[stay(f"stay{n}", student=f"s{n:04d}", school="AB"[n % 2]) for n in range(300)])
    assert (await desk.sync(**narrow)).holds == []
    assert (await desk.sync()).holds == []
    assert len(await desk.roster("school_enrollments")) == 300
    desk.sis.put("students", *many, *[student(f"t{n:04d}") for n in range(HUNDRED)])
    report = await desk.sync()
    assert [hold.guard for hold in report.holds] == ["creates"]


async def test_p3_strict_holds_everything(desk: Desk) -> None:
    await district(desk)
    leave(desk, 5)
    desk.sis.feeds["students", ""]["s0099"] = student("s0099", grade="06")
    before = await desk.everything()
    for run in (desk.plan, desk.sync):
        report = await run(strict=True)
        assert report.held["students"] == {"withdraw": 5, "update": 1}
        assert await desk.everything() == before
    assert [(hold.guard, hold.kind, hold.count, hold.of) for hold in report.holds] == [
        ("withdrawals", "students", 5, 100), ("strict", "everything", 1, 6),
    ]  # fmt: skip
    await desk.approve(report.holds[1])
    assert (await inactive(desk), (await desk.student("s0099"))["grade"]) == (0, "06")
    await desk.approve(report.holds[0])
    assert await inactive(desk) == 5


async def test_what_only_a_strict_run_held_is_not_refused_for_good(desk: Desk) -> None:
    await district(desk)
    leave(desk, 5)
    desk.sis.feeds["students", ""]["s0099"] = student("s0099", grade="06")
    for hold in (await desk.sync(strict=True)).holds:
        await desk.reject(hold)
    assert (await desk.sync(strict=True)).changes["students"] == {"update": 1, "unchanged": 99}
    assert await inactive(desk) == 0


async def test_a_school_is_guarded_for_itself(desk: Desk) -> None:
    desk.sis.put("schools", school("A"), school("B"))
    rows = [student(f"a{n}") for n in range(300)] + [student(f"b{n}", school="B") for n in range(20)]
    feed = desk.sis.put("students", *rows)
    await desk.sync()
    for n in range(4):
        feed[f"b{n}"] = student(f"b{n}", school="B", status="inactive")
        feed[f"a{n}"] = student(f"a{n}", status="inactive")
    report = await desk.sync()
    assert await desk.holds() == [("withdrawals_of_school", "students", "school=B", 4)]
    assert (report.held["students"], report.changes["students"]["withdraw"]) == ({"withdraw": 4}, 4)


async def test_a_limited_run_is_compared_with_what_it_is_limited_to(desk: Desk) -> None:
    desk.sis.put("schools", school("A"), school("B"))
    rows = [student(f"a{n}", username=f"a{n}") for n in range(20)] + [student(f"b{n}", school="B") for n in range(300)]
    feed = desk.sis.put("students", *rows)
    await desk.sync()
    for n in range(2):
        feed[f"a{n}"] = student(f"a{n}", username=f"changed{n}")
    report = await desk.sync(scope=Scope(schools=frozenset(["A"])))
    assert [(hold.guard, hold.count, hold.of) for hold in report.holds] == [("identity", 2, 20)]


async def test_a_field_that_turns_blank_everywhere_is_held(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(20, username="ada"))
    await desk.sync()
    feed["s0001"] = student("s0001", username=None, grade="06")
    report = await desk.sync()
    assert await desk.holds() == [("blank", "students", "field=username", 1)]
    assert report.held["students"] == {"update": 1}
    assert (await desk.student("s0001"))["username"] == "ada"


async def test_newly_bad_rows_are_held_once_and_then_known(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(20))
    await desk.sync()
    feed["s0001"], feed["s0002"] = bad("s0001"), student("s0002", grade="06")
    report = await desk.sync()
    assert (report.status, report.held["students"]) == ("held", {"quarantine": 1})
    assert (await desk.student("s0002"))["grade"] == "06"
    assert (await desk.sync()).status == "held"
    await desk.approve(report.holds[0])
    assert (await desk.sync()).status == "succeeded"
    assert await desk.waiting() == [("students", "s0001")]


async def test_p3_bad_rows_that_are_known_do_not_trip_a_guard_again(desk: Desk) -> None:
    desk.sis.put("students", *students(100), *[bad(f"b{n}") for n in range(4)])
    assert (await desk.sync()).status == "succeeded"
    desk.sis.feeds["students", ""].rows.append(bad("b4"))
    report = await desk.sync()
    assert (report.status, report.quarantined) == ("succeeded", 5)


# -- a change of id ----------------------------------------------------------------------------------------------------


async def test_a_new_record_with_a_strong_id_of_a_missing_one_may_be_the_same(desk: Desk) -> None:
    await district(desk)
    feed = desk.sis.feeds["students", ""]
    feed["s0001"] = student("other", ids={"state_id": "9001"})
    feed.rows.append(student("new", ids={"state_id": "unheard of"}))
    report = await desk.sync()
    assert (report.status, report.held["students"]) == ("held", {"create": 1, "withdraw": 1})
    assert await desk.holds() == [("change_of_id", "students", "district", 1)]
    assert "other" not in await desk.roster("students")
    assert (await desk.student("s0001"))["status"] == "active"
    assert "new" in await desk.roster("students")
    await desk.approve(report.holds[0])
    assert (await desk.student("other"))["status"] == "active"
    assert (await desk.student("s0001"))["status"] == "inactive"


async def test_siblings_with_one_id_who_both_come_are_two(desk: Desk) -> None:
    await district(desk)
    desk.sis.feeds["students", ""].rows.append(student("twin", ids={"state_id": "9001"}))
    assert (await desk.sync()).status == "succeeded"
    assert "twin" in await desk.roster("students")


# -- what a person decides ---------------------------------------------------------------------------------------------


async def test_a_later_sync_renews_a_hold(desk: Desk) -> None:
    await district(desk)
    leave(desk, 5)
    (first,) = (await desk.sync()).holds
    desk.clock.advance(3600)
    leave(desk, 2, first=5)
    (second,) = (await desk.sync()).holds
    assert (second.id, second.count) == (first.id, 7)
    assert second.plan > first.plan
    assert second.created_at == first.created_at
    assert second.expires_at > first.expires_at


async def test_a_hold_lapses_when_there_is_nothing_to_hold_any_more(desk: Desk) -> None:
    await district(desk)
    leave(desk, 5)
    await desk.sync()
    desk.sis.feeds["students", ""]["s0000"] = student("s0000", ids={"state_id": "9000"})
    report = await desk.sync()
    assert (report.status, report.holds) == ("succeeded", [])
    assert await inactive(desk) == 4


async def test_a_run_that_looks_elsewhere_lets_a_hold_be(desk: Desk) -> None:
    await district(desk)
    leave(desk, 5)
    (hold,) = (await desk.sync()).holds
    for request in ({"kinds": ("schools",)}, {"kinds": ("students",), "scope": Scope(students=frozenset(["s0099"]))}):
        report = await desk.sync(**request)
        assert [one.id for one in report.holds] == [hold.id]
    await desk.approve(hold)
    assert await inactive(desk) == 5


async def test_approval_applies_at_once_what_is_still_as_planned(desk: Desk) -> None:
    await district(desk)
    leave(desk, 6)
    report = await desk.sync()
    await desk.edit("s0001", given_name="Eda")
    approved = await desk.approve(report.holds[0])
    assert (approved.status, approved.changes["students"]) == ("succeeded", {"withdraw": 5})
    assert approved.skipped == {"students": {"withdraw": 1}}
    assert (await desk.student("s0001"))["status"] == "active"
    assert [row.state for row in (await desk.rows(report)).values()] == ["applied", "skipped", *["applied"] * 4]
    assert (await desk.sync()).changes["students"] == {"withdraw": 1, "unchanged": 99}


async def test_a_hold_is_decided_once(desk: Desk) -> None:
    await district(desk)
    leave(desk, 5)
    (hold,) = (await desk.sync()).holds
    await desk.approve(hold)
    report = await desk.approve(hold)
    assert report.status == "failed"
    assert isinstance(report.error, ConflictError)
    with pytest.raises(ConflictError):
        await desk.reject(hold)
    ((actor, state),) = await desk.ask("SELECT decided_by, state FROM sis_hold")
    assert (actor, state) == ("ada", "approved")


async def test_a_rejection_that_comes_too_late_refuses_nothing(desk: Desk) -> None:
    await district(desk)
    leave(desk, 5)
    (hold,) = (await desk.sync()).holds
    desk.sis.feeds["students", ""]["s0000"] = student("s0000", ids={"state_id": "9000"})
    await desk.sync()
    with pytest.raises(ConflictError):
        await desk.reject(hold)
    assert await desk.ask("SELECT * FROM sis_rejection") == []


async def test_what_was_refused_with_its_owner_comes_with_it(desk: Desk) -> None:
    await district(desk)
    many = range(200, 200 + HUNDRED)
    desk.sis.feeds["students", ""].rows += [student(f"s{n:04d}") for n in many]
    desk.sis.feeds["school_enrollments", ""].rows += [stay(f"stay{n}", student=f"s{n:04d}") for n in many]
    for hold in (await desk.sync()).holds:
        await desk.reject(hold)
    assert (await desk.sync()).status == "succeeded"
    desk.sis.feeds["students", ""]["s0200"] = student("s0200", grade="06")
    report = await desk.sync()
    assert (report.changes["students"]["create"], report.changes["school_enrollments"]["create"]) == (1, 1)
    assert (await desk.roster("school_enrollments"))["stay200"]["student"] == "s0200"


async def test_a_hold_that_nobody_decides_about_expires_and_a_sync_renews_it(desk: Desk) -> None:
    await district(desk)
    leave(desk, 5)
    (hold,) = (await desk.sync(actor="ida")).holds
    assert hold.owner == "ida"
    desk.clock.advance(15 * 24 * 3600)
    assert (await desk.approve(hold)).status == "failed"
    assert await inactive(desk) == 0
    (renewed,) = (await desk.sync()).holds
    assert renewed.id == hold.id
    assert (await desk.approve(renewed)).status == "succeeded"
    assert await inactive(desk) == 5


async def test_a_rejection_is_remembered_until_the_sis_says_something_else(desk: Desk) -> None:
    await district(desk)
    leave(desk, 5)
    (hold,) = (await desk.sync()).holds
    assert (await desk.reject(hold)).state == "rejected"
    for _ in range(2):
        report = await desk.sync(full=True)
        assert (report.status, report.changes["students"]) == ("succeeded", {"unchanged": 100})
    desk.sis.feeds["students", ""]["s0000"] = student("s0000", ids={"state_id": "9000"})
    assert (await desk.sync()).changes["students"] == {"unchanged": 100}
    leave(desk, 1)
    assert (await desk.sync()).changes["students"] == {"withdraw": 1, "unchanged": 99}
    assert await inactive(desk) == 1


async def test_a_rejected_absence_is_remembered_until_the_record_returns(desk: Desk) -> None:
    await district(desk)
    feed = desk.sis.feeds["students", ""]
    gone = feed.rows[:5]
    feed.rows = feed.rows[5:]
    report = await desk.sync()
    await desk.reject(report.holds[0])
    assert (await desk.sync()).status == "succeeded"
    feed.rows += gone
    assert (await desk.sync()).status == "succeeded"
    feed.drop("s0001")
    await desk.sync()
    assert (await desk.student("s0001"))["status"] == "inactive"
    assert await inactive(desk) == 1


async def test_p4_an_approval_that_was_interrupted_loses_nothing(desk: Desk) -> None:
    await district(desk)
    leave(desk, 5)
    (hold,) = (await desk.sync()).holds
    await desk.run("UPDATE sis_hold SET state = 'approved' WHERE id = :id", id=hold.id)  # and then the process died
    report = await desk.sync()
    assert report.held["students"] == {"withdraw": 5}
    await desk.approve(report.holds[0])
    assert await inactive(desk) == 5
