"""Answers of people to what the queue asks: carried out at once, remembered, and never against what has moved on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from desk_service import asked, service_of
from roster_fixture import CAPABILITIES, Desk, Feed, student, students
from sis_connect.errors import AuthorizationError, ConfigurationError, ConflictError
from sis_connect.roster import resolving
from sis_connect.roster.report import SyncReport


@pytest.fixture
async def feed(desk: Desk) -> Feed:
    """Five students. The first four are in grade 06 by now for the SIS, and in 07 for the app: that is asked about."""
    desk.settings = {"strategy": "manual"}
    feed = desk.sis.put("students", *students(5))
    await desk.sync()
    for sis_id in ("s0000", "s0001", "s0002", "s0003"):
        await desk.edit(sis_id, grade="07")
        feed[sis_id] = student(sis_id, grade="06")
    assert (await desk.sync()).conflicts == 4
    return feed


async def answer(desk: Desk, sis_id: str, **given: Any) -> SyncReport:
    service = await service_of(desk)
    (question,) = [it for it in await service.conflicts("lincoln") if it.sis_id == sis_id]
    return await service.resolve(question.id, actor="ada", **given)


async def grades(desk: Desk) -> list[str | None]:
    return [found.get("grade") for _, found in sorted((await desk.roster("students")).items())]


async def test_p5_an_answer_is_carried_out_at_once_and_outlives_the_syncs(desk: Desk, feed: Feed) -> None:
    answers: dict[str, dict[str, Any]] = {
        "s0000": {"take": "sis"}, "s0001": {"take": "local"}, "s0002": {"value": "08"}, "s0003": {"value": None}
    }  # fmt: skip
    for waiting, (sis_id, given) in zip((3, 2, 1, 0), answers.items(), strict=True):
        report = await answer(desk, sis_id, **given)
        assert (report.status, report.conflicts) == ("succeeded", waiting)
    assert await grades(desk) == ["06", "07", "08", None, "05"]
    assert await desk.ask("SELECT DISTINCT state, decided_by FROM sis_conflict") == [("decided", "ada")]
    bases = await desk.ask(
        "SELECT json_extract(base_sis, '$.grade'), json_extract(COALESCE(base_local, base_sis), '$.grade') "
        "FROM sis_student_mapping ORDER BY sis_id"
    )
    assert bases == [("06", "06"), ("06", "05"), ("06", "08"), ("06", None), ("05", "05")]
    before = await desk.everything()
    again = await desk.sync(full=True)
    assert (again.conflicts, again.changes["students"], await desk.everything()) == (0, {"unchanged": 5}, before)
    for sis_id in answers:
        feed[sis_id] = student(sis_id, grade="09")
    report = await desk.sync()  # something new: what was written gives way, what the app keeps is asked about again
    assert (report.conflicts, await asked(desk)) == (1, [("s0001", "grade", "06", "09", "07")])
    assert await grades(desk) == ["09", "07", "09", "09", "05"]


async def test_the_audit_and_the_list_of_operations_say_who_decided(desk: Desk, feed: Feed) -> None:
    report = await answer(desk, "s0001", value="08")
    (entry,) = await desk.ask("SELECT actor, detail FROM sis_audit WHERE action = 'conflict.decided'")
    assert entry[0] == "ada"
    assert '"08"' not in entry[1]
    assert await desk.ask("SELECT type, actor FROM sis_sync_operation WHERE id = :o", o=report.operation) == [("resolve", "ada")]
    assert (report.changes["students"]["update"], report.reasons["students"]) == (1, {"resolved": 1})
    (row,) = (await desk.rows(report)).values()
    assert (row.before, row.after, row.rule) == ({"grade": "07"}, {"grade": "08"}, "decided")


async def test_a_question_that_has_moved_on_is_not_answered(desk: Desk, feed: Feed) -> None:
    ids = {question.sis_id: question.id for question in await (await service_of(desk)).conflicts()}
    await desk.edit("s0000", grade="08")
    feed["s0001"] = student("s0001", grade="08")
    service = await service_of(desk)
    report = await service.resolve(ids["s0000"], take="sis")
    assert (report.status, report.exit_code) == ("failed", 1)
    assert report.error is not None
    assert report.error.category == "conflict"
    assert len(await asked(desk)) == 4
    await desk.plan()
    with pytest.raises(ConflictError, match="replaced by a newer one"):
        await service.resolve(ids["s0001"], take="sis")
    assert await grades(desk) == ["08", "07", "07", "07", "05"]


async def test_p4_an_answer_whose_run_is_killed_is_carried_out_by_the_next_sync(
    desk: Desk, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(resolving, "answered", killed)
        with pytest.raises(KeyboardInterrupt):
            await answer(desk, "s0001", value="08")
    assert (await grades(desk))[1] == "07"
    assert (await desk.sync()).conflicts == 3
    assert (await grades(desk))[1] == "08"
    assert (await desk.sync()).changes["students"] == {"unchanged": 5}


async def test_p3_an_answer_does_not_let_through_what_a_guard_holds_of_the_same_record(desk: Desk, feed: Feed) -> None:
    desk.settings = {"strategy": "manual", "absence_grace": 0}
    desk.sis.offer(students=replace(CAPABILITIES["students"], leaving="status"))
    feed.drop("s0001")
    held = await desk.sync()
    assert [hold.guard for hold in held.holds] == ["absence"]
    await answer(desk, "s0001", take="sis")
    assert ((await grades(desk))[1], (await desk.statuses("students"))["s0001"]) == ("06", "active")
    assert await desk.ask("SELECT sis_id FROM sis_candidate") == [("s0001",)]  # what waits is not forgotten
    again = await desk.sync()
    assert ([hold.guard for hold in again.holds], (await desk.statuses("students"))["s0001"]) == (["absence"], "active")
    await desk.approve(again.holds[0])
    assert (await desk.statuses("students"))["s0001"] == "inactive"


async def test_bulk_answers_follow_one_rule_and_leave_the_rest(desk: Desk, feed: Feed) -> None:
    for sis_id in ("s0000", "s0001"):
        await desk.edit(sis_id, family_name="Local")
        feed[sis_id] = student(sis_id, grade="06", family_name="Sis")
    assert (await desk.sync()).conflicts == 6
    service = await service_of(desk)
    preview = await service.resolve_all("lincoln", kind="students", field="grade", take="sis", preview=True, actor="ada")
    assert (preview.changes["students"]["update"], preview.conflicts, len(await asked(desk))) == (4, 6, 6)
    await desk.edit("s0003", grade="08")
    report = await service.resolve_all("lincoln", kind="students", field="grade", take="sis", actor="ada")
    assert (report.status, report.changes["students"]["update"]) == ("succeeded", 3)
    assert (report.skipped, report.conflicts) == ({"students": {"conflict": 1}}, 3)
    assert await grades(desk) == ["06", "06", "06", "08", "05"]
    report = await service.resolve_all("lincoln", take="local")
    assert (report.conflicts, [sis_id for sis_id, *_ in await asked(desk)]) == (1, ["s0003"])
    assert (await desk.sync()).conflicts == 1


async def test_p6_a_row_that_the_app_deleted_is_made_again_or_let_go_as_a_person_says(desk: Desk, feed: Feed) -> None:
    await (await service_of(desk)).resolve_all("lincoln", take="sis")
    await desk.delete("s0001")
    await desk.delete("s0002")
    await desk.sync()
    assert await asked(desk) == [(sis_id, "*", None, "active", None) for sis_id in ("s0001", "s0002")]
    with pytest.raises(ConfigurationError, match="has no value"):
        await answer(desk, "s0001", value="x")
    assert (await answer(desk, "s0001", take="sis")).changes["students"]["create"] == 1
    assert (await answer(desk, "s0002", take="local")).status == "succeeded"
    for sis_id in ("s0001", "s0002"):
        feed[sis_id] = student(sis_id, grade="08")
    assert (await desk.sync()).conflicts == 0
    assert sorted(await desk.roster("students")) == ["s0000", "s0001", "s0003", "s0004"]


async def test_at_first_contact_each_differing_field_is_asked_about_and_answered(desk: Desk) -> None:
    desk.settings = {"strategy": "manual"}
    desk.sis.put("students", student("s1", grade="06", username="ada"))
    await desk.run(
        "INSERT INTO roster_students (integration_id, sis_id, given_name, family_name, school, grade, status) "
        "VALUES (1, 's1', 'Givens1', 'Vale', 'A', '07', 'active')"
    )
    assert (await desk.sync()).conflicts == 1
    assert await asked(desk) == [("s1", "grade", None, "06", "07")]
    assert (await desk.student("s1"))["username"] == "ada"
    assert (await desk.sync(full=True)).conflicts == 1
    await answer(desk, "s1", take="sis")
    assert ((await desk.student("s1"))["grade"], (await desk.sync()).conflicts) == ("06", 0)


# -- who may, and what may be asked ------------------------------------------------------------------------------------


async def test_the_hosts_permission_check_is_asked_before_anything_is_decided(desk: Desk, feed: Feed) -> None:
    told: list[tuple[str, str, str]] = []

    def permission(actor: str, action: str, integration: str) -> bool:
        told.append((actor, action, integration))
        return actor == "ada"

    service = await service_of(desk, permission=permission)
    question = (await service.conflicts())[0]
    before = await desk.everything()
    calls: Sequence[Any] = (
        lambda actor: service.resolve(question.id, take="sis", actor=actor),
        lambda actor: service.resolve_all("lincoln", take="sis", actor=actor),
        lambda actor: service.pin("lincoln", "students", "s0002", actor=actor),
        lambda actor: service.edit("lincoln", "students", "s0002", {"grade": "08"}, actor=actor),
        lambda actor: service.revert("lincoln", "students", "s0002", actor=actor),
    )
    for call in calls:
        with pytest.raises(AuthorizationError, match="bob may not"):
            await call("bob")
    assert await desk.everything() == before
    for call in calls:
        await call("ada")
    assert [action for actor, action, _ in told if actor == "bob"] == ["resolve", "resolve", "pin", "edit", "revert"]
    assert {integration for *_, integration in told} == {"lincoln"}


async def test_a_permission_check_that_gives_no_clear_yes_says_no(desk: Desk) -> None:
    service = await service_of(desk, permission=lambda *_: "yes")  # type: ignore[arg-type]
    with pytest.raises(AuthorizationError):
        await service.resolve_all("lincoln", take="sis", actor="ada")


async def test_p7_an_answer_that_cannot_be_is_refused_without_repeating_it(desk: Desk, feed: Feed) -> None:
    refused: Sequence[tuple[dict[str, Any], str]] = (
        ({}, "either a side or a value"),
        ({"take": "sis", "value": "06"}, "either a side or a value"),
        ({"take": "both"}, "no side 'both'"),
        ({"value": "Okonkwo"}, "does not fit grade"),
    )
    for given, message in refused:
        with pytest.raises(ConfigurationError, match=message) as raised:
            await answer(desk, "s0001", **given)
        assert "Okonkwo" not in str(raised.value)
    service = await service_of(desk)
    for unknown in ("", "zz"):
        with pytest.raises(ConfigurationError, match="no question that begins"):
            await service.resolve(unknown, take="sis")
    assert len(await asked(desk)) == 4


async def test_answers_about_who_somebody_is_are_not_previewed_as_nothing(desk: Desk, feed: Feed) -> None:
    with pytest.raises(ConfigurationError, match="cannot be previewed"):
        await (await service_of(desk)).resolve_all("lincoln", field="local_id", take="local", preview=True, actor="ada")
