"""Decisions that meet: pins and plans, previews and questions, a person's reasons and the SIS's word."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from desk_service import asked, only_question, service_of
from roster_fixture import Desk, enrollment, section, student, students
from sis_connect.errors import ConfigurationError


async def settled(desk: Desk) -> None:
    """The next sync writes nothing, though it compares everything."""
    before = await desk.everything()
    await desk.clock.sleep(60)
    await desk.sync(full=True)
    assert await desk.everything() == before


async def contested(desk: Desk) -> None:
    """s0000's grade has changed on both sides, and a person is asked."""
    desk.settings = {"strategy": "manual"}
    feed = desk.sis.put("students", *students(4))
    await desk.sync()
    await desk.edit("s0000", grade="07")
    feed["s0000"] = student("s0000", grade="06")
    await desk.sync()


async def test_who_is_pinned_after_a_plan_or_a_hold_was_made_is_protected_from_it(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    feed = desk.sis.put("students", *students(40))
    await desk.sync()
    service = await service_of(desk)
    ends: dict[str, Any] = {"expires_on": desk.today + timedelta(days=1), "actor": "ada"}
    feed.drop("s0000")
    plan = await desk.plan()
    await service.pin("lincoln", "students", "s0000", **ends)
    assert (await desk.apply(plan)).skipped["students"] == {"withdraw": 1}
    feed.drop(*[f"s{n:04d}" for n in range(30)])
    (hold,) = (await desk.sync()).holds
    await service.pin("lincoln", "students", "s0001", **ends)
    approved = await desk.approve(hold)
    assert (approved.changes["students"], approved.skipped["students"]) == ({"withdraw": 28}, {"withdraw": 1})
    assert {(await desk.student(sis_id))["status"] for sis_id in ("s0000", "s0001")} == {"active"}
    desk.today += timedelta(days=1)
    await desk.sync()  # the pins have ended, and what they held back goes on
    assert (await desk.student("s0000"))["status"] == "inactive"


async def test_a_pinned_field_is_written_by_no_decision_about_something_else(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(4))
    await desk.sync()
    feed["s0001"] = student("s0001", grade="06")
    await desk.clock.sleep(60)
    operation = (await desk.sync()).operation
    feed["s0001"] = student("s0001", grade="08")
    plan = await desk.plan()
    service = await service_of(desk)
    pin = await service.pin("lincoln", "students", "s0001", field="grade", actor="ada")
    assert (await desk.apply(plan)).skipped["students"] == {"update": 1}
    undone = await service.undo(operation, actor="ada")
    assert (undone.skipped["students"], [it["warning"] for it in undone.warnings]) == ({"update": 1}, ["pinned"])
    assert (await desk.student("s0001"))["grade"] == "06"
    await service.unpin(pin.id, actor="ada")
    await desk.sync()
    assert (await desk.student("s0001"))["grade"] == "08"


async def test_an_answer_about_a_pinned_field_waits_for_the_end_of_the_pin(desk: Desk) -> None:
    await contested(desk)
    service = await service_of(desk)
    pin = await service.pin("lincoln", "students", "s0000", field="grade", actor="ada")
    report = await service.resolve_all("lincoln", take="sis", actor="ada")
    assert (report.status, [it["warning"] for it in report.warnings]) == ("succeeded", ["pinned"])
    await desk.sync()
    assert (await desk.student("s0000"))["grade"] == "07"
    await service.unpin(pin.id, actor="ada")
    await desk.sync()
    assert (await desk.student("s0000"))["grade"] == "06"
    await settled(desk)


@pytest.mark.parametrize(("answer", "grade"), [({"take": "sis"}, "06"), ({"take": "local"}, "07"), ({"value": "09"}, "09")])
async def test_a_previewed_answer_that_is_applied_answers_the_question(desk: Desk, answer: dict[str, Any], grade: str) -> None:
    await contested(desk)
    service = await service_of(desk)
    plan = await service.resolve_all("lincoln", preview=True, actor="ada", **answer)
    assert (await only_question(desk)).state == "open"
    assert (await desk.apply(plan)).conflicts == 0
    assert ((await desk.student("s0000"))["grade"], await asked(desk)) == (grade, [])
    (decided,) = await service.conflicts("lincoln", state="decided")
    assert (decided.decided_by, decided.decision) == ("ada", answer.get("take", "value"))
    await settled(desk)
    assert await asked(desk) == []


async def test_an_edit_that_is_given_up_answers_what_was_asked_about_it(desk: Desk) -> None:
    await contested(desk)
    service = await service_of(desk)
    report = await service.revert("lincoln", "students", "s0000", actor="ada")
    assert (report.changes["students"], report.conflicts, await asked(desk)) == ({"update": 1}, 0, [])
    await settled(desk)
    (decided,) = await service.conflicts("lincoln", state="decided")
    assert (decided.decided_by, decided.decision) == ("ada", "sis")


async def test_who_is_back_in_the_sis_has_lost_the_reason_that_a_person_gave(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(30))
    await desk.sync()
    service = await service_of(desk)
    await service.withdraw("lincoln", students=["s0001"], actor="ada")
    assert (await desk.student("s0001"))["status_reason"] == "withdrawn"
    feed["s0001"] = student("s0001", status="inactive")
    await desk.sync()
    feed["s0001"] = student("s0001")
    await desk.sync()
    found = await desk.student("s0001")
    assert (found["status"], found.get("status_reason")) == ("active", None)
    await settled(desk)


@pytest.mark.parametrize("fields", [{}, {"ids": {}}, {"ids": "x"}, {"ids.": "4"}, {"grade.": "05"}, {"grade.x": "05"}])
async def test_an_edit_that_is_none_is_refused_in_words(desk: Desk, fields: dict[str, Any]) -> None:
    desk.sis.put("students", *students(1))
    await desk.sync()
    with pytest.raises(ConfigurationError):
        await (await service_of(desk)).edit("lincoln", "students", "s0000", fields, actor="ada")


async def test_a_reference_to_nobody_is_refused_before_anything_is_written(desk: Desk) -> None:
    desk.sis.put("students", *students(2))
    desk.sis.put("sections", section("x"))
    desk.sis.put("enrollments", enrollment("e1", user="s0000"))
    await desk.sync()
    service = await service_of(desk)
    for fields in ({"user": "nobody"}, {"section": "y"}):
        with pytest.raises(ConfigurationError):
            await service.edit("lincoln", "enrollments", "e1", fields, actor="ada")
    await service.edit("lincoln", "enrollments", "e1", {"user": "s0001"}, actor="ada")
    assert (await desk.roster("enrollments"))["e1"]["user"] == "s0001"


async def test_a_list_can_be_blanked_by_an_answer(desk: Desk) -> None:
    desk.settings = {"strategy": "manual", "fields": ["emails"]}
    feed = desk.sis.put("students", student("s1", emails=[{"address": "a@example.org"}]))
    await desk.sync()
    service = await service_of(desk)
    await service.edit("lincoln", "students", "s1", {"emails": [{"address": "b@example.org"}]}, actor="ada")
    feed["s1"] = student("s1", emails=[{"address": "c@example.org"}])
    await desk.sync()
    assert (await service.resolve((await only_question(desk)).id, value="", actor="ada")).status == "succeeded"
    assert (await desk.student("s1"))["emails"] == []
    await settled(desk)


async def test_the_same_decision_taken_twice_is_held_once(desk: Desk) -> None:
    desk.sis.put("students", *students(40))
    await desk.sync()
    service = await service_of(desk)
    await service.withdraw("lincoln", students=[f"s{n:04d}" for n in range(10)], actor="ada")
    for _ in range(2):
        await service.withdraw("lincoln", school="A", actor="ada")
    assert [hold.count for hold in await service.holds("lincoln")] == [40]
    (hold,) = await service.holds("lincoln")
    assert (await service.approve(hold.id, actor="ada")).changes["students"] == {"withdraw": 40}
    assert (await desk.sync()).status == "succeeded"
