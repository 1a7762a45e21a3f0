"""The queue of questions: filed once, and kept until a side changes its mind or the policy settles them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from desk_service import asked, only_question
from roster_fixture import CAPABILITIES, Desk, student, students
from sis_connect.roster.conflict import Clash
from sis_connect.settings import FieldPolicy


async def disagreeing(desk: Desk, number: int = 1, **settings: Any) -> None:
    """Some students of a class of six who are in grade 06 by now for the SIS, and in 07 for the app."""
    desk.settings = {"strategy": "manual", **settings}
    feed = desk.sis.put("students", *students(6))
    await desk.sync()
    for sis_id in [f"s{n:04d}" for n in range(number)]:
        await desk.edit(sis_id, grade="07")
        feed[sis_id] = student(sis_id, grade="06")


async def test_p5_a_question_holds_what_a_person_needs_and_is_asked_once(desk: Desk) -> None:
    await disagreeing(desk)
    desk.sis.feeds["students", ""]["s0000"] = student("s0000", grade="06", family_name="Voss", updated_at="2026-11-22T10:00:00Z")
    first = await desk.sync()
    assert (first.conflicts, first.changes["students"]) == (1, {"update": 1, "unchanged": 5})
    assert first.clashes == {"manual": {"asked": 1}}
    question = await only_question(desk)
    assert (question.kind, question.sis_id, question.field, question.rule) == ("students", "s0000", "grade", "manual")
    assert (question.base, question.sis, question.local) == ("05", "06", "07")
    assert (question.operation, question.state, question.integration) == (first.operation, "open", "lincoln")
    assert (question.sis_at, question.local_at is not None) == ("2026-11-22T10:00:00+00:00", True)
    found = await desk.student("s0000")
    assert (found["grade"], found["family_name"]) == ("07", "Voss")
    before, events = await desk.everything(), await desk.ask("SELECT COUNT(*) FROM sis_event")
    again = await desk.sync(full=True)
    assert (again.conflicts, again.changes["students"], again.clashes) == (1, {"unchanged": 6}, {})
    assert await only_question(desk) == question
    assert (await desk.everything(), await desk.ask("SELECT COUNT(*) FROM sis_event")) == (before, events)
    ((base_sis, base_local),) = await desk.ask(
        "SELECT json_extract(base_sis, '$.grade'), json_extract(base_local, '$.grade') FROM sis_student_mapping "
        "WHERE base_local IS NOT NULL OR sis_id = 's0000'"
    )
    assert (base_sis, base_local or "05") == ("05", "05")


async def test_p7_a_question_does_not_show_its_values(desk: Desk) -> None:
    await disagreeing(desk)
    desk.sis.feeds["students", ""]["s0000"] = student("s0000", family_name="Okonkwo-Silva")
    await desk.edit("s0000", family_name="Okonkwo-Reyes")
    report = await desk.sync()
    assert report.conflicts == 1
    for shown in (repr(await only_question(desk)), repr(report), str(report.as_dict())):
        assert "Okonkwo" not in shown
    for table in ("sis_audit", "sis_sync_operation", "sis_candidate"):
        assert "Okonkwo" not in str(await desk.ask(f"SELECT * FROM {table}")), table


async def test_a_plan_files_the_question_and_the_sync_after_it_does_not_ask_again(desk: Desk) -> None:
    await disagreeing(desk)
    assert (await desk.plan()).conflicts == 1
    question = await only_question(desk)
    assert (await desk.sync()).conflicts == 1
    assert await only_question(desk) == question


async def test_a_question_ends_when_a_side_changes_its_mind(desk: Desk) -> None:
    await disagreeing(desk, 6)
    assert (await desk.sync()).conflicts == 6
    feed = desk.sis.feeds["students", ""]
    ends = {
        "s0000": ("the SIS takes it back", "05", None, "closed", "07"),
        "s0001": ("the app takes it back", None, "05", "closed", "06"),
        "s0002": ("the SIS comes round", "07", None, "closed", "07"),
        "s0003": ("the app comes round", None, "06", "closed", "06"),
        "s0004": ("the SIS says something else", "08", None, "superseded", "07"),
        "s0005": ("the app says something else", None, "08", "superseded", "08"),
    }
    for sis_id, (_, sis, local, _, _) in ends.items():
        if sis:
            feed[sis_id] = student(sis_id, grade=sis)
        if local:
            await desk.edit(sis_id, grade=local)
    report = await desk.sync()
    for sis_id, (what, sis, local, end, grade) in ends.items():
        assert (sis_id, "grade", "05", "06", "07") in await asked(desk, end), what
        newer = (sis_id, "grade", "05", sis or "06", local or "07")
        assert (newer in await asked(desk)) is (end == "superseded"), what
        assert (await desk.student(sis_id))["grade"] == grade, what
    assert report.conflicts == 2
    desk.settings = {"strategy": "sis_wins"}
    report = await desk.sync()
    assert (report.conflicts, report.clashes) == (0, {"sis_wins": {"sis": 2}})
    assert len(await asked(desk, "closed")) == 6


async def test_p2_a_question_about_a_field_that_is_not_delivered_waits(desk: Desk) -> None:
    desk.settings = {"strategy": "manual"}
    feed = desk.sis.put("students", student("s1", username="ada"))
    await desk.sync()
    await desk.edit("s1", username="ida")
    feed["s1"] = student("s1", username="eda")
    await desk.sync()
    feed["s1"] = student("s1")
    assert (await desk.sync()).conflicts == 1
    assert await asked(desk) == [("s1", "username", "ada", "eda", "ida")]


async def test_p7_what_is_asked_about_a_field_is_forgotten_with_the_field(desk: Desk) -> None:
    desk.settings = {"strategy": "manual", "fields": ("gender",)}
    feed = desk.sis.put("students", student("s1", gender="X"))
    await desk.sync()
    await desk.edit("s1", gender="Y")
    feed["s1"] = student("s1", gender="Z")
    assert (await desk.sync()).conflicts == 1
    desk.settings = {"strategy": "manual"}
    assert (await desk.sync()).conflicts == 0
    assert await desk.ask("SELECT * FROM sis_conflict") == []


# -- newest wins, and strategies of plugins ----------------------------------------------------------------------------


async def test_what_the_newest_could_not_decide_is_told_apart_in_the_report(desk: Desk) -> None:
    """A time of the record, or of another column, is no time of the edit; what was never agreed on proves nothing later."""
    desk.settings = {"strategy": "newest_wins"}
    desk.sis.offer(students=replace(CAPABILITIES["students"], reliable_updated_at=True))
    feed = desk.sis.put("students", *students(5))
    await desk.sync()
    start = desk.clock.now()
    hours = {"s0000": (1, 3), "s0001": (3, -1), "s0002": (3, 1), "s0003": (None, 1), "s0004": (3, 1)}
    for sis_id, (sis, local) in hours.items():
        await desk.edit(sis_id, grade="07")
        at = (start + timedelta(hours=local)).isoformat()
        await desk.run("UPDATE sis_local_edit SET at = :at WHERE sis_id = :s AND field = 'grade'", at=at, s=sis_id)
        told = {"updated_at": (start + timedelta(hours=sis)).isoformat()} if sis else {}
        feed[sis_id] = student(sis_id, grade="06", **told)
    await desk.edit("s0004", family_name="Voss")
    late = (start + timedelta(hours=9)).isoformat()
    await desk.run("UPDATE sis_local_edit SET at = :at WHERE field = 'family_name'", at=late)
    await desk.run("UPDATE roster_students SET edited_at = :at WHERE edited_at IS NOT NULL", at=late)
    desk.clock.advance(36000)
    report = await desk.sync()
    assert report.clashes == {"newest_wins": {"local": 1, "sis": 1, "asked": 2, "asked_without_clocks": 1}}
    assert (report.as_dict()["clashes"], report.conflicts) == (report.clashes, 3)
    desk.clock.advance(36000)  # another change of the record is written in the meantime
    feed["s0002"] = student("s0002", grade="06", family_name="Voss", updated_at=desk.clock.now().isoformat())
    assert (await desk.sync()).conflicts == 3
    desk.clock.advance(36000)
    feed["s0002"] = student("s0002", grade="08", updated_at=desk.clock.now().isoformat())
    report = await desk.sync()  # said after the question was filed, and so after the edit
    assert (report.conflicts, (await desk.student("s0002"))["grade"]) == (2, "08")


async def test_p12_a_strategy_of_a_plugin_decides_and_one_that_stumbles_or_is_gone_leaves_it_to_a_person(desk: Desk) -> None:
    def higher(clash: Clash) -> Any:
        if clash.field == "family_name":
            raise RuntimeError("no idea")
        if clash.field == "username":
            return ["whatever"]
        return "sis" if clash.sis > clash.local else "local"

    desk.settings = {"strategy": "higher_wins", "policies": {"students.school": FieldPolicy(strategy="uninstalled")}}
    desk.strategies = {"higher_wins": higher}
    feed = desk.sis.put("students", student("s1", username="ada"), student("s2"))
    await desk.sync()
    await desk.edit("s1", grade="07", family_name="Voss", username="ida", school="B")
    feed["s1"] = student("s1", grade="08", family_name="Wend", username="eda", school="C")
    await desk.edit("s2", grade="07")
    feed["s2"] = student("s2", grade="06")
    report = await desk.sync()
    assert (report.status, report.conflicts) == ("succeeded", 3)
    assert report.clashes == {"higher_wins": {"sis": 1, "local": 1, "asked": 2}, "uninstalled": {"asked": 1}}
    assert [(await desk.student(sis_id))["grade"] for sis_id in ("s1", "s2")] == ["08", "07"]
