"""What a guard holds of a person's decision or preview: no sync waits for it, it ends by itself, and it can be refused."""

from __future__ import annotations

import pytest

from desk_service import asked, service_of
from roster_fixture import HOUR, Desk, Feed, student, students
from sis_connect.errors import AuthorizationError
from sis_connect.service import SISService

MANY = [f"s{number:04d}" for number in range(30)]


@pytest.fixture
async def feed(desk: Desk) -> Feed:
    feed = desk.sis.put("students", *[student(f"s{number:04d}", ids={"locker": f"{number}"}) for number in range(60)])
    await desk.sync()
    return feed


async def test_p3_a_preview_keeps_no_sync_from_writing_and_what_was_held_of_it_expires(desk: Desk, feed: Feed) -> None:
    service = await service_of(desk)
    preview = await service.withdraw("lincoln", students=MANY, preview=True, actor="ada")
    assert (preview.status, len(preview.holds), len(await service.holds())) == ("held", 1, 1)
    feed["s0050"] = student("s0050", grade="06")
    report = await desk.sync(strict=True)
    assert (report.status, report.holds, report.changes["students"]["update"]) == ("succeeded", [], 1)
    (hold,) = await service.holds()
    desk.clock.advance(HOUR * 24 * 15)
    await desk.sync()
    assert await service.holds() == []
    refused = await service.approve(hold.id, actor="ada")
    assert "it expired on 2026-12-06" in str(refused.error)
    refused = await service.apply(str(preview.plan), actor="ada")
    assert "has lapsed" in str(refused.error)


async def test_a_persons_run_reports_only_what_is_held_of_its_own(desk: Desk, feed: Feed) -> None:
    service = await service_of(desk)
    preview = await service.withdraw("lincoln", students=MANY, preview=True, actor="ada")
    assert (await service.withdraw("lincoln", students=["s0040"], actor="ada")).status == "succeeded"
    assert len((await service.apply(str(preview.plan), actor="ada")).holds) == 1


async def test_whom_the_app_does_not_let_apply_plans_cannot(desk: Desk, feed: Feed) -> None:
    service = await service_of(desk, permission=lambda actor, action, name: (actor, name) == ("ada", "lincoln"))
    preview = await service.withdraw("lincoln", students=["s0001"], preview=True, actor="ada")
    with pytest.raises(AuthorizationError, match="eve may not apply in lincoln"):
        await service.apply(str(preview.plan), actor="eve")
    assert (await desk.student("s0001"))["status"] == "active"


async def lockers_asked_about(desk: Desk, feed: Feed) -> SISService:
    """Twenty open questions about an id."""
    desk.settings = {"strategy": "manual"}
    service = await service_of(desk)
    for name in MANY[:20]:
        await service.edit("lincoln", "students", name, {"ids.locker": f"9{name}"}, actor="ada")
        feed[name] = student(name, ids={"locker": f"8{name}"})
    assert (await desk.sync()).conflicts == 20
    return service


async def test_answers_that_were_held_and_refused_are_asked_about_again(desk: Desk, feed: Feed) -> None:
    service = await lockers_asked_about(desk, feed)
    questions = await asked(desk)
    held = await service.resolve_all("lincoln", take="sis", actor="ada")
    assert ([hold.guard for hold in held.holds], await asked(desk)) == (["identity"], [])
    await service.reject(held.holds[0].id, actor="bob")
    assert await asked(desk) == questions
    report = await desk.sync()
    assert (report.status, report.conflicts, await desk.ask("SELECT * FROM sis_rejection")) == ("succeeded", 20, [])
    assert (await service.apply(str(held.plan), actor="ada")).status == "succeeded"
    assert await asked(desk) == questions  # that plan has been refused


async def test_an_edit_whose_field_is_pinned_is_not_given_up_and_the_report_says_so(desk: Desk) -> None:
    desk.sis.put("students", *students(3))
    await desk.sync()
    service = await service_of(desk)
    await service.edit("lincoln", "students", "s0001", {"grade": "07"}, actor="ada")
    await service.pin("lincoln", "students", "s0001", field="grade", actor="ada")
    report = await service.revert("lincoln", "students", "s0001", actor="ada")
    assert (report.skipped, [said["warning"] for said in report.warnings]) == ({"students": {"update": 1}}, ["pinned"])
    assert (await desk.student("s0001"))["grade"] == "07"
