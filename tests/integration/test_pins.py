"""Pins and edits: what a person protects, how long, and what the app's own changes are known by."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest

from desk_service import asked, service_of
from roster_fixture import TODAY, Desk, Feed, stay, student, students
from sis_connect.errors import ConfigurationError
from sis_connect.roster.questions import Question
from sis_connect.roster.withdrawing import Withdrawal
from sis_connect.service import SISService


@pytest.fixture
async def feed(desk: Desk) -> Feed:
    """Six students; who is missing is withdrawn at once."""
    desk.settings = {"absence_grace": 0}
    feed = desk.sis.put("students", *students(6), student("s1"))
    desk.sis.put("school_enrollments", stay("e1"))
    await desk.sync()
    return feed


async def pinned(desk: Desk, *sis_ids: str, **given: Any) -> SISService:
    service = await service_of(desk)
    for sis_id in sis_ids:
        await service.pin("lincoln", "students", sis_id, actor="ada", **given)
    return service


# -- records -----------------------------------------------------------------------------------------------------------


async def test_p6_whoever_is_pinned_is_not_withdrawn_until_the_pin_ends(desk: Desk, feed: Feed) -> None:
    service = await pinned(desk, "s0000", expires_on=TODAY + timedelta(days=7))
    await pinned(desk, "s0001")
    feed.drop("s0000")
    feed["s0001"] = student("s0001", status="inactive", status_reason="transferred", grade="06")
    for _ in range(2):
        report = await desk.sync()
        assert (report.status, report.changes["students"].get("withdraw")) == ("succeeded", None)
        assert {sis_id for sis_id, status in (await desk.statuses("students")).items() if status != "active"} == set()
    assert [warning["sis_id"] for warning in report.warnings if warning["warning"] == "stale_pin"] == ["s0000", "s0001"]
    desk.today += timedelta(days=7)
    report = await desk.sync()
    assert report.changes["students"]["withdraw"] == 1
    assert (await desk.statuses("students"))["s0000"] == "inactive"
    (expired,) = [it for it in report.warnings if it["warning"] == "stale_pin" and it["sis_id"] == "s0000"]
    assert "has expired on 2026-11-30" in expired["message"]
    for pin in await service.pins("lincoln"):
        await service.unpin(pin.id, actor="ada")
    report = await desk.sync()
    assert (report.changes["students"]["withdraw"], report.reasons["students"]) == (1, {"transfer": 1})
    assert (await desk.student("s0001"))["grade"] == "06"
    assert [it for it in report.warnings if it["warning"] == "stale_pin"] == []


async def test_a_pin_of_a_stay_protects_it_while_its_student_goes_on(desk: Desk, feed: Feed) -> None:
    service = await service_of(desk)
    await service.pin("lincoln", "school_enrollments", "e1", reason="comes back after the winter", actor="ada")
    desk.sis.feeds["school_enrollments", ""].drop("e1")
    feed["s1"] = student("s1", grade="06")
    await desk.sync()
    assert (await desk.statuses("school_enrollments"))["e1"] == "active"
    assert (await desk.student("s1"))["grade"] == "06"
    (pin,) = await service.pins()
    assert (pin.as_dict()["reason"], pin.actor, pin.integration) == ("comes back after the winter", "ada", "lincoln")


# -- fields ------------------------------------------------------------------------------------------------------------


async def test_a_pinned_field_is_the_apps_until_the_pin_ends_and_is_then_decided_about_as_if_it_happened_then(
    desk: Desk, feed: Feed
) -> None:
    desk.settings = {"strategy": "manual"}
    service = await pinned(desk, "s0000", "s0001", "s0002", field="grade", expires_on=TODAY + timedelta(days=3))
    await desk.edit("s0000", grade="07")
    await desk.edit("s0002", grade="07")
    for sis_id in ("s0000", "s0001"):
        feed[sis_id] = student(sis_id, grade="06", family_name="Voss")
    report = await desk.sync()
    grades = {sis_id: found["grade"] for sis_id, found in (await desk.roster("students")).items()}
    assert [grades[sis_id] for sis_id in ("s0000", "s0001", "s0002")] == ["07", "05", "07"]
    assert (report.conflicts, report.changes["students"]["update"]) == (0, 2)
    assert (await desk.sync()).changes["students"] == {"unchanged": 7}
    desk.today += timedelta(days=3)
    report = await desk.sync()
    assert await asked(desk) == [("s0000", "grade", "05", "06", "07")]  # both have changed
    grades = {sis_id: found["grade"] for sis_id, found in (await desk.roster("students")).items()}
    assert [grades[sis_id] for sis_id in ("s0001", "s0002")] == ["06", "07"]  # the SIS has, and the app has
    assert len(await service.pins("lincoln")) == 3


async def test_a_pin_must_be_of_something_and_last_for_a_while(desk: Desk, feed: Feed) -> None:
    service = await service_of(desk)
    with pytest.raises(ConfigurationError, match="no such record"):
        await service.pin("lincoln", "students", "nobody")
    with pytest.raises(ConfigurationError, match="no field 'shoes'"):
        await service.pin("lincoln", "students", "s1", field="shoes")
    with pytest.raises(ConfigurationError, match="not in the future"):
        await service.pin("lincoln", "students", "s1", expires_on=TODAY)
    with pytest.raises(ConfigurationError, match="no kind 'pupils'"):
        await service.pin("lincoln", "pupils", "s1")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="no pin that begins"):
        await service.unpin("zz")
    first = await service.pin("lincoln", "students", "s1", reason="a while")
    second = await service.pin("lincoln", "students", "s1", reason="a year", expires_on=date(2027, 6, 1))
    assert [pin.id for pin in await service.pins()] == [second.id]
    assert first.id != second.id


# -- edits -------------------------------------------------------------------------------------------------------------


async def test_an_edit_is_known_by_field_time_and_author_until_it_is_written_over(desk: Desk, feed: Feed) -> None:
    service = await service_of(desk)
    desk.clock.advance(60)
    await service.edit("lincoln", "students", "s0001", {"grade": "07", "ids.locker": "12"}, actor="ada")
    noted = desk.clock.now().isoformat()
    found = await service.edits("lincoln", kind="students")
    assert [(it.sis_id, it.field, it.at, it.author) for it in found] == [
        ("s0001", "grade", noted, "ada"), ("s0001", "ids", noted, "ada")
    ]  # fmt: skip
    assert ((await desk.student("s0001"))["grade"], (await desk.student("s0001"))["ids"]) == ("07", {"locker": "12"})
    await desk.edit("s0001", username="somebody")  # without a name: not put down to ada
    assert {it.field: it.author for it in await service.edits("lincoln")} == {"grade": "ada", "ids": "ada", "username": None}
    assert (await desk.sync()).conflicts == 0
    feed["s0001"] = student("s0001", grade="06")
    await desk.sync()
    assert ((await desk.student("s0001"))["grade"], (await desk.student("s0001"))["ids"]) == ("06", {"locker": "12"})
    assert "grade" not in {it.field for it in await service.edits("lincoln")}
    ((actor, detail),) = await desk.ask("SELECT actor, detail FROM sis_audit WHERE action = 'roster.edited'")
    assert (actor, json.loads(detail)) == ("ada", {"fields": ["grade", "ids.locker"], "kind": "students", "sis_id": "s0001"})


async def test_a_question_names_who_edited_what_the_app_has(desk: Desk, feed: Feed) -> None:
    desk.settings = {"policies": {"students.grade": {"strategy": "manual"}}}
    service = await service_of(desk)
    await service.edit("lincoln", "students", "s0001", {"grade": "07"}, actor="ada")
    feed["s0001"] = student("s0001", grade="06")
    await desk.sync()
    (question,) = await service.conflicts("lincoln", kind="students", field="grade")
    assert (question.local_by, question.local_at) == ("ada", desk.clock.now().isoformat())


async def test_p7_an_edit_that_cannot_be_is_refused_without_repeating_it(desk: Desk, feed: Feed) -> None:
    service = await service_of(desk)
    before = await desk.everything()
    for fields, message in (
        ({"grade": "Okonkwo"}, "does not fit grade"),
        ({"shoes": "9"}, "no field 'shoes'"),
        ({"given_name": None}, "does not fit given_name"),
        ({"school": "Z"}, "no school 'Z'"),
    ):
        with pytest.raises(ConfigurationError, match=message) as raised:
            await service.edit("lincoln", "students", "s0001", fields, actor="ada")
        assert "Okonkwo" not in str(raised.value)
    with pytest.raises(ConfigurationError, match="no such record"):
        await service.edit("lincoln", "students", "nobody", {"grade": "07"}, actor="ada")
    assert await desk.everything() == before


async def test_what_the_app_edited_can_be_given_up(desk: Desk, feed: Feed) -> None:
    service = await service_of(desk)
    await service.edit("lincoln", "students", "s0001", {"grade": "07", "username": "ada", "family_name": "Voss"}, actor="ada")
    await desk.sync()
    report = await service.revert("lincoln", "students", "s0001", fields=("family_name",), actor="bob")
    assert (report.status, report.reasons["students"]) == ("succeeded", {"reverted": 1})
    assert ((await desk.student("s0001"))["family_name"], (await desk.student("s0001"))["grade"]) == ("Vale", "07")
    await service.revert("lincoln", "students", "s0001", actor="bob")
    assert (await desk.student("s0001"))["grade"] == "05"
    assert (await desk.student("s0001"))["username"] == "ada"  # of which the SIS says nothing
    feed["s0001"] = student("s0001", grade="06")
    await desk.sync()
    assert (await desk.student("s0001"))["grade"] == "06"
    assert (await service.revert("lincoln", "students", "nobody")).status == "failed"


async def test_p7_neither_a_pin_nor_an_edit_nor_a_question_shows_of_whom_it_is(desk: Desk, feed: Feed) -> None:
    service = await service_of(desk)
    pin = await service.pin(
        "lincoln", "students", "s0001", reason="custody case", actor="ada", expires_on=TODAY + timedelta(days=1)
    )
    await service.edit("lincoln", "students", "s0001", {"grade": "07"}, actor="ada")
    desk.today += timedelta(days=1)
    (warning,) = [it for it in (await desk.sync()).warnings if it["warning"] == "stale_pin"]
    (edit,) = await service.edits("lincoln")
    withdrawal, question = Withdrawal(students=["s0001"], day=TODAY), Question(sis_id="s0001", field="grade", rule="manual")
    for said in (*map(repr, (pin, edit, withdrawal, question)), warning["message"]):
        assert "s0001" not in said
        assert "custody" not in said
    assert warning["sis_id"] == "s0001"
