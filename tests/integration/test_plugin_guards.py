"""Guards that plugins bring: what they stop waits for a person like what ours stop, and one that fails lets nothing through."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from roster_fixture import Desk, part_of, school, section, student, students
from sis_connect.chosen import Choices
from sis_connect.discovery import Registry
from sis_connect.guards import Changes, Guard, Population, Stop

NAME = "office:watch"


def watch(desk: Desk, judge: Any, **speaks_for: Any) -> None:
    """Let a guard of a plugin watch over a desk."""
    guard = Guard(judge, **speaks_for) if speaks_for else judge
    desk.guards = Choices(Registry(guards={NAME: guard})).guards([NAME])


def no_newcomers(changes: Changes) -> Iterator[Stop]:
    """Nobody comes unseen."""
    yield Stop(kind="students", action="create", limit="none")


def none_at_b(changes: Changes, school_date: date) -> Iterator[Stop]:
    """Nobody comes to B unseen."""
    assert school_date.year == 2026
    yield Stop(kind="students", action="create", limit="none", school="B")


async def settled(desk: Desk) -> None:
    desk.sis.put("schools", school("A"), school("B"))
    desk.sis.put("students", student("s1"), student("s2"))
    assert (await desk.sync()).status == "succeeded"


async def test_p3_what_a_guard_of_a_plugin_stops_is_held_and_the_rest_flows(desk: Desk) -> None:
    await settled(desk)
    watch(desk, none_at_b)
    desk.sis.put("students", student("s1", grade="06"), student("s2"), student("n1"), student("n2", school="B"))
    report = await desk.sync()
    assert report.status == "held"
    assert report.changes["students"] == {"create": 1, "update": 1, "unchanged": 1}
    assert report.held == {"students": {"create": 1}}
    (hold,) = report.holds
    assert (hold.guard, hold.kind, hold.action, hold.scope) == (NAME, "students", "create", "school=B")
    assert (hold.count, hold.of, hold.limit) == (1, 1, "none")
    assert set(await desk.roster("students")) == {"s1", "s2", "n1"}


async def test_a_hold_of_a_plugins_guard_is_renewed_and_approved_as_any_other(desk: Desk) -> None:
    await settled(desk)
    watch(desk, no_newcomers)
    desk.sis.put("students", student("s1"), student("s2"), student("n1"))
    (first,) = (await desk.sync()).holds
    desk.sis.put("students", student("s1"), student("s2"), student("n1"), student("n2"))
    (renewed,) = (await desk.sync()).holds
    assert (renewed.id, renewed.count) == (first.id, 2)
    assert (await desk.approve(renewed)).changes["students"]["create"] == 2
    assert (await desk.sync()).status == "succeeded"
    assert set(await desk.roster("students")) == {"s1", "s2", "n1", "n2"}


async def test_what_a_person_rejects_is_not_proposed_again(desk: Desk) -> None:
    await settled(desk)
    watch(desk, no_newcomers)
    desk.sis.put("students", student("s1"), student("s2"), student("n1"))
    (hold,) = (await desk.sync()).holds
    assert (await desk.reject(hold)).state == "rejected"
    assert (await desk.sync()).status == "succeeded"
    assert set(await desk.roster("students")) == {"s1", "s2"}


async def test_a_hold_lapses_where_its_guard_is_content_by_now(desk: Desk) -> None:
    await settled(desk)
    watch(desk, no_newcomers)
    desk.sis.put("students", student("s1"), student("s2"), student("n1"))
    assert (await desk.sync()).status == "held"
    watch(desk, lambda: ())
    assert (await desk.sync()).status == "succeeded"
    assert await desk.holds() == []
    assert "n1" in await desk.roster("students")


async def test_one_guard_may_hold_two_actions_of_a_kind_and_each_is_decided_for_itself(desk: Desk) -> None:
    def both() -> Iterator[Stop]:
        yield Stop(kind="students", action="create", limit="none")
        yield Stop(kind="students", action="update", limit="none")

    await settled(desk)
    watch(desk, both)
    desk.sis.put("students", student("s1", grade="06"), student("s2"), student("n1"))
    first = {hold.action: hold.id for hold in (await desk.sync()).holds}
    again = {hold.action: hold for hold in (await desk.sync()).holds}
    assert first == {action: hold.id for action, hold in again.items()}
    assert (await desk.approve(again["update"])).changes["students"] == {"update": 1}
    assert [hold.action for hold in (await desk.sync()).holds] == ["create"]


async def test_p3_two_equal_stops_are_one_hold_that_is_renewed_approved_and_gone(desk: Desk) -> None:
    def twice() -> Iterator[Stop]:
        yield Stop(kind="students", action="create", limit="none")
        yield Stop(kind="students", action="create", limit="none, once more")

    await settled(desk)
    watch(desk, twice)
    desk.sis.put("students", student("s1"), student("s2"), student("n1"))
    (first,) = (await desk.sync()).holds
    (renewed,) = (await desk.sync()).holds
    assert (renewed.id, renewed.count, renewed.limit) == (first.id, 1, "none")
    assert (await desk.approve(renewed)).changes["students"]["create"] == 1
    assert ((await desk.sync()).status, await desk.holds()) == ("succeeded", [])


async def test_p3_of_twins_that_are_open_already_only_the_one_that_holds_something_stays(desk: Desk) -> None:
    await settled(desk)
    watch(desk, no_newcomers)
    desk.sis.put("students", student("s1"), student("s2"), student("n1"))
    (hold,) = (await desk.sync()).holds
    names = 'plan, integration_id, guard, kind, action, scope, count, of, "limit", state, owner, expires_at'
    twin = f"INSERT INTO sis_hold (id, created_at, {names}) SELECT 'twin', '2026-12-31', {names} FROM sis_hold"
    await desk.run(twin)
    (renewed,) = (await desk.sync()).holds
    assert (renewed.id, len(await desk.holds())) == (hold.id, 1)


async def test_p3_what_belongs_to_no_school_is_held_apart_from_the_district(desk: Desk) -> None:
    def both() -> Iterator[Stop]:
        yield Stop(kind="courses", action="create", limit="none", school="")
        yield Stop(kind="courses", action="create", limit="1", school="A")

    await settled(desk)
    watch(desk, both)
    desk.sis.put("courses", part_of("courses", "c1", title="One", school=None), part_of("courses", "c2", title="Two", school="A"))
    first = {hold.scope: hold.id for hold in (await desk.sync()).holds}
    again = {hold.scope: hold for hold in (await desk.sync()).holds}
    assert set(first) == {"no school", "school=A"}
    assert {scope: hold.id for scope, hold in again.items()} == first
    assert (await desk.approve(again["no school"])).changes["courses"]["create"] == 1
    assert set(await desk.roster("courses")) == {"c1"}


async def test_a_guard_may_stop_what_happens_for_one_reason_only(desk: Desk) -> None:
    await settled(desk)
    watch(desk, lambda: [Stop(kind="students", action="withdraw", limit="none", reason="graduation")])
    desk.settings["absence_grace"] = 0
    desk.sis.put("students", student("s1", status="inactive", status_reason="graduated"))
    reasons = (await desk.plan()).reasons["students"]
    assert set(reasons) == {"graduation", "absence"}
    (hold,) = (await desk.sync()).holds
    assert (hold.scope, hold.count) == ("district reason=graduation", 1)
    assert await desk.statuses("students") == {"s1": "active", "s2": "inactive"}


async def test_a_guard_is_shown_numbers_of_the_plan_and_of_the_roster_and_no_pupil(desk: Desk) -> None:
    shown: dict[str, Any] = {}

    def look(changes: Changes, population: Population, first: frozenset[str]) -> tuple[()]:
        shown.update(changes=changes, population=population, first=first)
        return ()

    watch(desk, look)
    desk.sis.put("schools", school("A"), school("B"))
    desk.sis.put("students", *students(3), student("b1", school="B"))
    await desk.sync()
    assert "students" in shown["first"]
    assert shown["population"].number("students") == 0
    desk.sis.put("students", *students(3, grade="06"), student("b1", school="B"), student("b2", school="B"))
    await desk.sync()
    changes, population = shown["changes"], shown["population"]
    assert changes.number("students", "update") == changes.number("students", "update", school="A") == 3
    assert changes.number("students", "create", school="B", reason="new") == 1
    assert changes.number("students", "create", school="A") == changes.number("students", "withdraw") == 0
    assert (changes.schools("students", "create"), changes.schools("students", "update")) == (("B",), ("A",))
    assert (population.number("students"), population.number("students", school="B")) == (4, 1)
    assert "Given" not in repr(shown)
    assert "b1" not in repr(shown)


def raising() -> Any:
    raise KeyError("Ada Vale")


async def test_p3_p12_a_guard_that_fails_holds_all_it_speaks_for_and_is_named(desk: Desk) -> None:
    watch(desk, raising, kinds=("students",), actions=("create",))
    desk.sis.put("students", student("s1"), student("s2"))
    desk.sis.put("sections", section("x"))
    report = await desk.sync()
    assert report.status == "held"
    assert await desk.roster("students") == {}
    assert set(await desk.roster("sections")) == {"x"}
    assert [(hold.guard, hold.kind, hold.action, hold.count, hold.limit) for hold in report.holds] == [
        (NAME, "students", "create", 2, "the guard failed")
    ]
    (warning,) = (it for it in report.warnings if it["warning"] == "guard_failed")
    assert warning["guard"] == NAME
    assert NAME in warning["message"]
    assert "Ada" not in str(report.as_dict())


async def test_p3_a_guard_of_a_plugin_holds_in_a_strict_run_too_and_then_everything(desk: Desk) -> None:
    await settled(desk)
    watch(desk, none_at_b)
    desk.sis.put("students", student("s1", grade="06"), student("s2"), student("n2", school="B"))
    report = await desk.sync(strict=True)
    assert {hold.guard for hold in report.holds} == {NAME, "strict"}
    assert (await desk.student("s1"))["grade"] == "05"
