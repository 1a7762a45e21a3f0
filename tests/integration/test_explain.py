"""Why a student is on a roster, or is not: the chain is true, and the words are for people who never saw a program."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

from desk_service import service_of
from roster_fixture import Desk, bad, enrollment, section, staff, stay, student, students
from sis_connect.errors import ConfigurationError
from sis_connect.roster import explain, reasons, stints
from sis_connect.roster.belonging import CARRIERS
from sis_connect.roster.explain import Explainer, Explanation
from sis_connect.store.outbox import expire


async def explained(desk: Desk, asked: str, at: str | None = None) -> Explanation:
    run = desk.synchroniser()
    explainer = Explainer(
        integration_id=1,
        integration="lincoln",
        target=desk.target,
        capabilities=run.info.capabilities,
        grace=run.config.absence_grace,
        today=desk.today,
    )
    async with desk.store.read() as connection:
        return await explainer.explain(connection, asked, at)


async def words(desk: Desk, asked: str, at: str | None = None) -> str:
    return "\n".join((await explained(desk, asked, at)).sentences)


async def test_somebody_whom_a_person_withdrew_is_not_said_to_have_left_by_the_sis(desk: Desk) -> None:
    desk.sis.put("students", *students(30))
    await desk.sync()
    await (await service_of(desk)).withdraw("lincoln", students=["s0001"], actor="ada")
    told = await words(desk, "s0001")
    assert "because" not in next(line for line in told.splitlines() if "was withdrawn" in line)
    assert "The rule: a person withdrew the student." in told


# -- on the roster, or not ---------------------------------------------------------------------------------------------


async def test_a_student_on_the_roster_is_found_by_any_id_and_the_chain_is_told(desk: Desk) -> None:
    desk.sis.put("students", student("s1", ids={"student_number": "4711", "state_id": "9"}), student("s2", ids={"state_id": "9"}))
    desk.sis.put("school_enrollments", stay("st1", student="s1"))
    report = await desk.sync(actor="ada")
    it = await explained(desk, "4711")
    assert (it.verdict, it.asked, it.student and it.student.sis_id) == ("on", "4711", "s1")
    run = f"by the sync of ada ({report.operation[:8]}), because the SIS told of it for the first time."
    assert list(it.sentences) == [
        "The student s1 is on the roster.",
        "The SIS says that the student is active: the list students, last read on 22 November 2026, 08:00 UTC.",
        f"The student was put on the roster on 22 November 2026, 08:00 UTC {run}",
        "The stay at school A (from 12 August 2026) is on the roster.",
        "The SIS says that the stay is active: the list school_enrollments, last read on 22 November 2026, 08:00 UTC.",
        f"The stay was put on the roster on 22 November 2026, 08:00 UTC {run}",
    ]
    assert it.student is not None
    assert it.student.history[-1]["operation"] == report.operation
    with pytest.raises(ConfigurationError, match="2 students go by this id"):
        await explained(desk, "9")


async def test_p7_an_explanation_holds_no_names(desk: Desk) -> None:
    desk.sis.put("students", student("s1", given_name="Bartholomew"))
    await desk.sync()
    it = await explained(desk, "s1")
    assert "Bartholomew" not in json.dumps(it.as_dict())
    assert "Vale" not in json.dumps(it.as_dict())
    assert repr(it.student) == "<Standing of one of students>"
    assert "roster" not in repr(it)


async def test_a_student_whom_nobody_knows_and_one_whose_row_cannot_be_read(desk: Desk) -> None:
    feed = desk.sis.put("students", student("s1"), bad("77"))
    await desk.sync()
    it = await explained(desk, "999")
    assert (it.verdict, it.student, it.sentences[0][:19]) == ("unknown", None, "Nobody goes by 999:")
    it = await explained(desk, "77")
    assert (it.verdict, it.sentences[0]) == ("unreadable", "The student 77 is not on the roster.")
    waits = (
        "What the SIS delivers in the list students waits in quarantine since 22 November 2026, 08:00 UTC: "
        "grade is not a grade (fields: grade)."
    )
    assert it.sentences[1].startswith(waits)
    feed["s1"] = bad("s1")
    await desk.sync()
    it = await explained(desk, "s1")
    assert (it.verdict, it.sentences[-1].startswith(waits)) == ("on", True)


async def test_in_a_section_today_later_or_never(desk: Desk) -> None:
    desk.sis.put("students", *students(3))
    desk.sis.put("sections", section("x", ids={"number": "101"}))
    desk.sis.put(
        "enrollments", enrollment("e1", user="s0000"), enrollment("e2", user="s0001", begin_date="2026-12-01")
    )  # fmt: skip
    await desk.sync()
    assert (await explained(desk, "s0000", "101")).sentences[0] == "The student s0000 is in the section x."
    it = await explained(desk, "s0001", "x")
    assert (it.verdict, it.sentences[0]) == ("off", "The student s0001 is not in the section x.")
    assert it.sentences[1] == "The place e2 (from 1 December 2026) is expected on the roster, but not there yet."
    assert "On 1 December 2026 that changes by itself, since the SIS gave that day." in it.sentences
    assert "has not told that the student is in this section" in await words(desk, "s0002", "x")
    assert "There is no section y: the SIS has not told of it" in await words(desk, "s0002", "y")


# -- who has left, and what is in between ------------------------------------------------------------------------------


async def test_missing_within_the_time_of_grace_then_withdrawn_then_back_by_hand(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(30), student("s1"))
    await desk.sync()
    feed.drop("s1")
    await desk.sync()
    assert (await explained(desk, "s1")).verdict == "on"
    assert "has not delivered the student since 22 November 2026, 08:00 UTC, in one complete read" in await words(desk, "s1")
    assert "A withdrawal follows once another complete read, 12 hours after the first" in await words(desk, "s1")
    await desk.clock.sleep(13 * 3600)
    await desk.sync()
    it = await explained(desk, "s1")
    assert (it.verdict, it.sentences[0]) == ("off", "The student s1 is not on the roster any more.")
    assert "because the SIS did not deliver it any more. The rule: missing from complete reads" in await words(desk, "s1")
    assert "in 2 complete reads in a row" in await words(desk, "s1")


async def test_what_waits_for_a_person_is_told_and_what_a_person_refused_or_protects(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    desk.sis.put("students", *students(30))
    await desk.sync()
    await desk.run(
        "INSERT INTO sis_pin (id, integration_id, kind, sis_id, reason, actor, created_at, expires_on) "
        "VALUES ('p1', 1, 'students', 's0001', 'new here', 'ada', '2026-11-22T08:00:00+00:00', '2026-12-24')"
    )
    await desk.edit("s0001", grade="07")
    desk.sis.put("students", *students(30)[10:])
    report = await desk.sync()
    [hold] = report.holds
    said = await words(desk, "s0002")
    assert "The guard withdrawals of school holds a withdrawal since 22 November 2026, 08:00 UTC, together with others: " in said
    assert f"a person approves or rejects the hold {hold.id}." in said
    await desk.reject(hold)
    assert "ada has refused a change on 22 November 2026, 08:00 UTC." in await words(desk, "s0002")
    said = await words(desk, "s0001")
    assert "ada protects the student from being withdrawn before 24 December 2026 (new here)." in said
    assert "The app has changed these fields itself: grade." in said


async def test_a_record_that_the_app_deleted_and_one_whose_details_have_expired(desk: Desk) -> None:
    desk.settings = {"strategy": "local_wins"}
    desk.sis.put("students", *students(2))
    await desk.sync()
    await desk.delete("s0001")
    await desk.sync()
    assert (await explained(desk, "s0001")).sentences[0] == (
        "The student s0001 is not on the roster: the app has deleted the record."
    )
    await expire(desk.store, desk.clock.now() + timedelta(days=1))
    assert "That was decided on 22 November 2026, 08:00 UTC; the details are not kept any more." in await words(desk, "s0000")


async def test_an_office_reads_a_sentence_for_every_reason_that_the_code_writes() -> None:
    def words_in(names: Iterable[str]) -> set[str]:
        pattern = r'(?:reason|ended|REASON|OVER|PINNED)(?:: str)? ?= ?"(\w+)"|_outcome\(.*?, "(\w+)", "'
        found = [re.findall(pattern, (Path(explain.__file__).parent / f"{name}.py").read_text()) for name in names]
        return {word for one in found for match in one for word in match if word}

    written = words_in(("merge", "plan", "undo", "succession", "years", "withdrawing", "carriers", "cases", "enrolment"))
    assert {"resolved", "reverted", "first_contact", "split", "merged", "undone", "rollover", "pinned"} <= written
    written |= {f"{carrier.removesuffix('s')}_withdrawn" for carrier in CARRIERS}
    written |= {*reasons._LEFT.values(), *reasons._PLAIN_ENDS, *get_args(stints.Succession), "role", "remapped", "began"}
    assert written - {"same"} - explain._REASONS.keys() == set()


async def test_a_student_who_is_staff_too_has_two_records_that_the_same_person_joins(desk: Desk) -> None:
    desk.sis.put("students", student("s1", ids={"person": "p1"}), student("s2"))
    desk.sis.put("staff", staff("t1", "t1", badge="1", ids={"badge": "1", "person": "p1"}), staff("t2", "t2", badge="2"))
    await desk.sync()
    assert (await desk.student("s1"))["ids"]["person"] == (await desk.roster("staff"))["t1"]["ids"]["person"] == "p1"
    it = await explained(desk, "s1")
    assert (it.same_person, it.as_dict()["same_person"]) == (["t1"], ["t1"])
    assert it.sentences[-1].startswith("The same person works here, too, as t1 of the staff")
    assert (await explained(desk, "s2")).same_person == []
    assert "s1" not in repr(it)
