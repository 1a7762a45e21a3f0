"""Two records of the SIS that are one child, and one that was two: all history stays, and the reasons say what happened."""

from __future__ import annotations

import pytest

from roster_fixture import Desk, Row, enrollment, section, student
from sis_connect.capabilities import KindCapabilities


@pytest.fixture(autouse=True)
def tells_former_ids(desk: Desk) -> None:
    desk.sis.offer(students=KindCapabilities(offered=True, leaving="absence", former_ids=("legacy",), strong_ids=("state_id",)))
    desk.sis.put("students", *[child(n) for n in range(1, 6)])
    desk.sis.put("sections", section("x"))
    desk.sis.put("enrollments", enrollment("e1", user="s1"), enrollment("e2", user="s2"))


def child(number: int, **ids: str) -> Row:
    return student(f"s{number}", ids={"state_id": f"S{number}", **ids})


@pytest.mark.parametrize("turned", [False, True])
async def test_who_is_another_one_now_leaves_as_merged_in_whatever_order(desk: Desk, turned: bool) -> None:
    await desk.sync()
    feed = desk.sis.feeds["students", ""]
    feed.drop("s2")
    feed["s1"] = child(1, legacy="s2")
    desk.sis.put("enrollments", enrollment("e1", user="s1"), enrollment("e2", user="s1"))
    if turned:
        feed.rows.reverse()
    report = await desk.sync()  # at once: nobody waits whether he comes back
    change = (await desk.rows(report))["students s2"]
    assert (report.status, change.action, change.reason) == ("succeeded", "withdraw", "merged")
    gone = await desk.student("s2")
    assert (gone["status"], gone["status_reason"], gone["given_name"]) == ("inactive", "merged", "Givens2")  # P6: it stays
    assert (await desk.roster("enrollments"))["e2"]["user"] == "s1"
    before = await desk.everything()
    await desk.sync(full=True)
    assert await desk.everything() == before


async def test_p1_nobody_is_merged_while_he_may_only_be_unread(desk: Desk) -> None:
    await desk.sync()
    feed = desk.sis.feeds["students", ""]
    feed.drop("s2")
    feed["s1"] = child(1, legacy="s2")
    feed.size, feed.breaks = 2, 1
    await desk.edit("s2", grade="06")  # he is looked at for another reason
    await desk.sync()
    assert (await desk.student("s2"))["status"] == "active"


async def test_who_was_merged_by_mistake_comes_back_as_himself(desk: Desk) -> None:
    await desk.sync()
    feed = desk.sis.feeds["students", ""]
    feed.drop("s2")
    feed["s1"] = child(1, legacy="s2")
    await desk.sync()
    mine = (await desk.student("s2"))["id"]
    feed["s1"] = child(1)
    feed.rows.append(child(2))
    report = await desk.sync()
    change = (await desk.rows(report))["students s2"]
    assert (change.action, change.reason) == ("reenroll", "re_entry")
    assert ((await desk.student("s2"))["id"], (await desk.student("s2"))["status"]) == (mine, "active")


async def test_without_proof_that_he_is_still_the_same_a_person_decides(desk: Desk) -> None:
    await desk.sync()
    feed = desk.sis.feeds["students", ""]
    feed.drop("s2")
    feed["s1"] = student("s1", ids={"state_id": "S2", "legacy": "s2"})  # perhaps the second one has the first one's id now
    report = await desk.sync()
    assert [hold.guard for hold in report.holds] == ["change_of_id"]
    assert (await desk.student("s1"))["ids"] == {"state_id": "S1"}


async def test_who_was_part_of_another_comes_as_split(desk: Desk) -> None:
    await desk.sync()
    before = await desk.student("s1")
    feed = desk.sis.feeds["students", ""]
    feed.rows.insert(0, student("n1", given_name="Twin", ids={"legacy": "s1"}))
    report = await desk.sync()
    change = (await desk.rows(report))["students n1"]
    assert (report.status, change.action, change.reason) == ("succeeded", "create", "split")
    assert await desk.student("s1") == before
    assert (await desk.sync(full=True)).changes["students"] == {"unchanged": 6}
