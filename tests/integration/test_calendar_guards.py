"""Guards by date: wider limits in some weeks, and pauses in which nobody is removed without a person's consent."""

from __future__ import annotations

from datetime import date

import pytest

from roster_fixture import Desk, school, staff, stay, student
from sis_connect.roster.report import SyncReport

WEEKS = "2026-11-01/2026-11-30"


@pytest.fixture(autouse=True)
async def hundred(desk: Desk) -> None:
    desk.sis.put("schools", school("A"), school("B"))
    desk.sis.put("students", *[student(f"s{n:04d}", school="AB"[n >= 90]) for n in range(100)])
    desk.sis.put("staff", staff("1", "t1", badge="1"))
    await desk.sync()


def leave(desk: Desk, number: int) -> None:
    for n in range(number):
        desk.sis.feeds["students", ""][f"s{n:04d}"] = student(f"s{n:04d}", status="inactive")


def held(report: SyncReport) -> list[tuple[str, int, int, str]]:
    return [(hold.guard, hold.count, hold.of, hold.limit) for hold in report.holds]


async def gone(desk: Desk) -> int:
    return list((await desk.statuses("students")).values()).count("inactive")


async def test_a_wider_profile_lets_more_through_says_so_and_ends_by_itself(desk: Desk) -> None:
    desk.settings = {"guard_profiles": f"{WEEKS}:back_to_school"}
    leave(desk, 15)
    report = await desk.sync()
    assert (report.status, await gone(desk)) == ("succeeded", 15)
    assert report.warnings == [
        {
            "warning": "guard_profile",
            "message": "The guards have the limits of the profile back_to_school until 2026-11-30.",
            "profile": "back_to_school",
            "until": "2026-11-30",
        }
    ]
    leave(desk, 19)
    desk.today = date(2026, 12, 1)
    report = await desk.sync()
    assert (held(report), report.warnings) == ([], [])  # of 85 who are left, too few to count shares
    leave(desk, 35)
    assert held(await desk.sync()) == [("withdrawals_of_school", 16, 71, "20%")]


async def test_a_hold_says_that_its_limit_was_not_the_usual_one(desk: Desk) -> None:
    desk.settings = {"guard_profiles": [{"from": "2026-11-01", "to": "2026-11-30", "profile": "rollover", "withdrawals": "30%"}]}
    leave(desk, 35)
    assert ("withdrawals", 35, 100, "30% (rollover with own limits)") in held(await desk.sync())


async def test_p3_no_profile_lets_absent_staff_or_an_empty_list_through(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0, "guard_profiles": f"{WEEKS}:rollover"}
    desk.sis.put("staff")
    report = await desk.sync()
    assert {hold.guard for hold in report.holds} == {"staff", "empty"}
    assert await desk.statuses("staff") == {"t1": "active"}


async def test_p3_in_a_pause_all_removals_wait_and_the_rest_flows(desk: Desk) -> None:
    desk.settings = {"pauses": WEEKS}
    leave(desk, 2)
    desk.sis.feeds["students", ""]["s0050"] = student("s0050", grade="06")
    desk.sis.feeds["students", ""].rows.append(student("new"))
    report = await desk.sync()
    assert held(report) == [("pause", 2, 100, "none until 2026-11-30")]
    assert report.changes["students"] == {"create": 1, "update": 1, "unchanged": 97}
    assert await gone(desk) == 0
    assert [said["message"] for said in report.warnings] == ["Nobody is removed without a person's consent until 2026-11-30."]
    assert (await desk.approve(report.holds[0])).changes["students"]["withdraw"] == 2
    assert await gone(desk) == 2


async def test_after_a_pause_what_waited_goes_on_and_the_hold_lapses(desk: Desk) -> None:
    desk.settings = {"pauses": WEEKS}
    leave(desk, 2)
    assert (await desk.sync()).status == "held"
    desk.today = date(2026, 12, 1)
    assert ((await desk.sync()).status, await gone(desk), await desk.holds()) == ("succeeded", 2, [])


async def test_in_a_pause_what_another_guard_holds_is_held_once(desk: Desk) -> None:
    desk.settings = {"pauses": WEEKS}
    leave(desk, 20)
    desk.sis.feeds["students", ""]["s0095"] = student("s0095", school="B", status="inactive")
    assert held(await desk.sync()) == [("withdrawals_of_school", 20, 90, "20%"), ("withdrawals", 21, 100, "5% or 500")]


async def test_in_a_pause_the_rest_is_held_where_a_guard_holds_those_of_one_school(desk: Desk) -> None:
    desk.settings = {"pauses": WEEKS, "guard_profiles": [{"from": "2026-11-01", "to": "2026-11-30", "withdrawals": "30%"}]}
    leave(desk, 20)
    desk.sis.feeds["students", ""]["s0095"] = student("s0095", school="B", status="inactive")
    report = await desk.sync()
    assert held(report) == [
        ("withdrawals_of_school", 20, 90, "20% (own limits)"),
        ("pause", 1, 100, "none until 2026-11-30"),
    ]
    assert report.held == {"students": {"withdraw": 21}}


async def test_p3_what_ends_by_its_date_is_no_removal_and_no_pause_holds_it(desk: Desk) -> None:
    desk.sis.put("school_enrollments", stay("e1", student="s0001", exit_date="2026-11-25"))
    await desk.sync()
    desk.settings = {"pauses": WEEKS}
    desk.today = date(2026, 11, 26)
    assert (await desk.sync()).status == "succeeded"
    assert await desk.statuses("school_enrollments") == {"e1": "inactive"}


async def test_a_decision_about_a_hold_that_is_closed_says_what_became_of_it(desk: Desk) -> None:
    desk.settings = {"pauses": WEEKS}
    leave(desk, 2)
    (hold,) = (await desk.sync()).holds
    await desk.reject(hold)
    report = await desk.approve(hold)
    assert "ada rejected it on 2026-" in str(report.error)
