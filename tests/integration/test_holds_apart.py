"""Holds that stand apart: of lists that came empty, of what a person decided, and of ends that hang from a held one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from desk_service import service_of
from roster_fixture import HOUR, Desk, enrollment, school, section, stay, student, students
from sis_connect.capabilities import KindCapabilities
from sis_connect.chosen import Choices
from sis_connect.discovery import Registry
from sis_connect.guards import Stop
from sis_connect.provider import Scope
from sis_connect.roster.cases import load
from sis_connect.roster.holds import Hold
from sis_connect.roster.merge import decide
from sis_connect.roster.plan import Planner


async def everybody_withdrawn(desk: Desk, number: int, **asked: bool) -> list[str]:
    """A person withdraws students, as the bulk withdrawal does; the guards whose holds are open after that."""

    async def propose(planner: Planner) -> None:
        async with desk.store.read() as connection:
            names = [f"s{n:04d}" for n in range(number)]
            cases = await load(connection, desk.target, 1, "students", names, desk.today)
        for case in cases.values():
            assert case.source is not None
            case.source.document = {**case.source.document, "status": "inactive"}
        rules = planner.rules("students")
        await planner.put("students", [(it, decide("students", it.source, it.local, it.mapped, rules)) for it in cases.values()])

    report = await desk.synchroniser().carry_out("withdraw", "ada", propose)
    return [hold.guard for hold in report.holds]


# -- what a person decided ---------------------------------------------------------------------------------------------


async def test_p3_what_a_person_decided_is_held_and_no_sync_renews_it_or_lets_it_lapse(desk: Desk) -> None:
    desk.sis.put("students", *students(100))
    await desk.sync()
    assert await everybody_withdrawn(desk, 30) == ["withdrawals_of_school", "withdrawals"]
    before = await desk.ask("SELECT id, plan, expires_at FROM sis_hold WHERE state = 'open' ORDER BY id")
    desk.sis.feeds["students", ""]["s0050"] = student("s0050", grade="06")
    report = await desk.sync(full=True)
    assert (report.status, report.holds, report.changes["students"]) == ("succeeded", [], {"update": 1, "unchanged": 99})
    assert await desk.ask("SELECT id, plan, expires_at FROM sis_hold WHERE state = 'open' ORDER BY id") == before
    holds = await (await service_of(desk)).holds()
    approved = await desk.approve(next(hold for hold in holds if hold.guard == "withdrawals_of_school"))
    assert approved.changes["students"]["withdraw"] == 30


async def test_to_refuse_what_a_person_decided_refuses_nothing_that_the_sis_says(desk: Desk) -> None:
    desk.sis.put("students", *students(100))
    await desk.sync()
    await everybody_withdrawn(desk, 30)
    for hold in await (await service_of(desk)).holds():
        await desk.reject(hold)
    assert await desk.ask("SELECT * FROM sis_rejection") == []


async def test_a_hold_of_a_sync_and_one_of_a_person_stay_two(desk: Desk) -> None:
    desk.sis.put("students", *students(100))
    await desk.sync()
    await everybody_withdrawn(desk, 30)
    for n in range(40, 80):
        desk.sis.feeds["students", ""][f"s{n:04d}"] = student(f"s{n:04d}", status="inactive")
    await desk.sync()
    counts = await desk.ask("SELECT guard, count FROM sis_hold WHERE state = 'open' ORDER BY guard, count")
    assert counts == [("withdrawals", 30), ("withdrawals", 40), ("withdrawals_of_school", 30), ("withdrawals_of_school", 40)]


# -- lists that came empty ---------------------------------------------------------------------------------------------


async def test_p9_who_is_missing_from_an_empty_list_is_held_at_once_and_goes_when_a_person_says_so(desk: Desk) -> None:
    desk.sis.put("students", *students(5))  # with the usual time of grace
    await desk.sync()
    desk.sis.put("students")
    report = await desk.sync()
    assert report.held == {"students": {"withdraw": 5}}
    (hold,) = [hold for hold in report.holds if hold.guard == "empty"]
    assert (await desk.approve(hold)).changes["students"]["withdraw"] == 5
    assert set((await desk.statuses("students")).values()) == {"inactive"}
    assert (await desk.sync()).holds == []


async def test_p9_who_comes_back_on_the_list_was_never_gone(desk: Desk) -> None:
    desk.sis.put("students", *students(5))
    await desk.sync()
    desk.sis.put("students")
    await desk.sync()
    desk.sis.put("students", *students(5))
    desk.clock.advance(HOUR)
    assert ((await desk.sync()).status, await desk.holds()) == ("succeeded", [])
    assert set((await desk.statuses("students")).values()) == {"active"}


# -- what goes with a held end -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["sis_wins"])
async def test_p3_a_deleted_row_whose_end_goes_with_a_held_one_is_not_forgotten(desk: Desk, strategy: str) -> None:
    desk.settings = {"strategy": strategy, "absence_grace": 0}
    desk.sis.put("students", student("s1"))
    rows = [section("x"), section("y")]
    desk.sis.put("sections", *rows)
    desk.sis.put("enrollments", enrollment("e1"))
    await desk.sync()
    await desk.delete("e1", kind="enrollments")
    desk.sis.put("sections")
    assert (await desk.sync()).status == "held"
    desk.sis.put("sections", *rows)
    assert (await desk.sync()).changes["enrollments"]["create"] == 1


async def test_p3_an_end_that_was_refused_for_its_own_sake_stays_refused_when_its_students_refusal_lapses(desk: Desk) -> None:
    def nobody_leaves() -> Iterator[Stop]:
        for kind in ("enrollments", "students"):
            yield Stop(kind=kind, action="withdraw", limit="none")

    desk.guards = Choices(Registry(guards={"office:watch": nobody_leaves})).guards(["office:watch"])
    pupils = desk.sis.put("students", student("s1"))
    desk.sis.put("sections", section("x"))
    lessons = desk.sis.put("enrollments", enrollment("e1"))
    await desk.sync()
    pupils["s1"], lessons["e1"] = student("s1", status="inactive"), enrollment("e1", status="inactive")
    holds = (await desk.sync()).holds
    assert {hold.kind for hold in holds} == {"enrollments", "students"}
    for hold in sorted(holds, key=lambda it: it.kind):
        await desk.reject(hold)
    assert (await desk.sync()).status == "succeeded"
    pupils["s1"] = student("s1", grade="06")  # the SIS says something else: the refusal of the student lapses
    assert (await desk.sync()).changes["students"] == {"update": 1, "unchanged": 0}
    for _ in range(2):
        assert ((await desk.sync(full=True)).status, await desk.holds()) == ("succeeded", [])
    assert await desk.statuses("enrollments") == {"e1": "active"}


async def test_who_has_only_moved_to_another_list_is_not_missing_so_that_a_newcomer_shares_nothing(desk: Desk) -> None:
    desk.sis.put("schools", school("A"), school("B"))
    del desk.sis.feeds["students", ""]
    moved = student("s1", ids={"state_id": "9"})
    desk.sis.put("students", moved, *students(3), context="school=A")
    desk.sis.put("students", student("b"), context="school=B")
    await desk.sync()
    desk.sis.put("students", *students(3), student("s2", ids={"state_id": "9"}), context="school=A")
    desk.sis.put("students", student("b"), student("s1", ids={"state_id": "9"}, school="B"), context="school=B")
    assert (await desk.sync()).holds == []


async def test_what_turns_blank_is_compared_with_those_who_are_active_in_the_schools_read(desk: Desk) -> None:
    desk.sis.put("schools", school("A"), school("B"))
    rows = [student(f"a{n}", username=f"a{n}") for n in range(25)]
    feed = desk.sis.put("students", *rows, *[student(f"gone{n}", username=f"g{n}") for n in range(4)])
    await desk.sync()
    for n in range(4):
        feed[f"gone{n}"] = student(f"gone{n}", username=f"g{n}", status="inactive")
    for hold in (await desk.sync()).holds:
        await desk.approve(hold)
    feed["a1"], feed["a2"] = student("a1", username=None), student("a2", username=None)
    assert [(hold.guard, hold.count, hold.of) for hold in (await desk.sync()).holds] == [("blank", 2, 25)]


# -- ends that have lost their ground ----------------------------------------------------------------------------------


async def closed_school(desk: Desk) -> Hold:
    """School B is gone, and with it its section; the ends of the enrolments in it are held."""
    desk.settings = {"absence_grace": 0}
    schools = desk.sis.put("schools", school("A"), school("B"))
    desk.sis.put("students", student("s1"), student("s2"))
    desk.sis.put("sections", section("x", school="B"))
    desk.sis.put("enrollments", *[enrollment(f"e{n}", user=f"s{n}", section="x", school="B") for n in (1, 2)])
    await desk.sync()
    schools.drop("B")
    await desk.clock.sleep(60)
    (hold,) = [hold for hold in (await desk.sync()).holds if hold.kind == "enrollments"]
    return hold


async def test_p6_nobody_is_withdrawn_with_a_section_whose_end_was_taken_back(desk: Desk) -> None:
    hold = await closed_school(desk)
    ((operation,),) = await desk.ask("SELECT id FROM sis_sync_operation ORDER BY started_at DESC LIMIT 1")
    service = await service_of(desk)
    await service.undo(operation, actor="ada")
    assert (await desk.statuses("sections"))["x"] == "active"
    assert (await desk.approve(hold)).skipped["enrollments"] == {"withdraw": 2}
    assert set((await desk.statuses("enrollments")).values()) == {"active"}


async def test_p6_nobody_is_withdrawn_with_a_section_that_came_back_while_that_waited(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    desk.sis.put("schools", school("A"))
    desk.sis.put("students", student("s1"), student("s2"))
    desk.sis.put("sections", section("x", school="A"))
    feed = desk.sis.put("enrollments", *[enrollment(f"e{n}", user=f"s{n}", section="x", school="A") for n in (1, 2)])
    await desk.sync()
    desk.sis.put("schools")
    (hold,) = [hold for hold in (await desk.sync()).holds if hold.kind == "enrollments"]
    desk.sis.put("schools", school("A"))
    feed.total = None  # so that the hold on their enrolments stays, though it has nothing to hold
    await desk.sync()
    assert (await desk.approve(hold)).skipped["enrollments"] == {"withdraw": 2}
    assert set((await desk.statuses("enrollments")).values()) == {"active"}


async def test_p3_what_was_held_and_has_been_decided_since_is_held_no_more(desk: Desk) -> None:
    desk.sis.offer(students=KindCapabilities(offered=True, leaving="status"))
    desk.sis.put("schools", school("A"), school("B"))
    desk.sis.put("students", student("s1", school="A"), student("s2", school="A"))
    stays = desk.sis.put("school_enrollments", stay("y1"))
    await desk.sync()
    desk.sis.put("students", student("s2", school="A"))
    assert (await desk.sync(scope=Scope(schools=frozenset("A")))).held == {"students": {"withdraw": 1}}
    desk.sis.put("students", student("s1", school="B"), student("s2", school="A"))
    assert (await desk.sync(scope=Scope(schools=frozenset("B")))).changes["students"]["update"] == 1
    desk.sis.put("students", student("s1", school="B", grade="06"))
    stays["y1"] = stay("y1", exit_date="2026-08-20")
    (hold,) = (await desk.sync(scope=Scope(schools=frozenset("A")))).holds
    assert (hold.guard, hold.count, await desk.statuses("school_enrollments")) == ("absence", 1, {"y1": "inactive"})
