"""Accidents that have happened to others, each told and made harmless: what was read, and what was not.

The numbers are those of the list of accidents that this project keeps; in every case the roster is what has to survive.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import replace

from changing_sis import STUDENTS, ChangingSIS
from roster_fixture import (
    CAPABILITIES,
    HOUR,
    Desk,
    FakeSIS,
    bad,
    enrollment,
    school,
    section,
    staff,
    stay,
    student,
    students,
)
from sis_connect.errors import AuthenticationError
from sis_connect.provider import Page, Scope, Since, Stream
from sis_connect.roster.integrity import list_findings
from sis_connect.roster.waiting import list_quarantined


async def test_accident_1_a_typo_in_an_export_makes_nobody_missing(desk: Desk) -> None:
    """One wrong word failed validation for 1,052 students; who was not imported was taken for gone."""
    desk.settings = {"absence_grace": 0}
    feed = desk.sis.put("students", *students(40))
    await desk.sync()
    for n in range(30):
        feed[f"s{n:04d}"] = bad(f"s{n:04d}", "Not Eligibile is no status")
    for _ in range(3):
        report = await desk.sync()
        assert [(hold.guard, hold.count) for hold in report.holds] == [("quarantine", 30)]
        assert "withdraw" not in report.changes["students"]
    assert set((await desk.statuses("students")).values()) == {"active"}
    desk.sis.put("students", *students(40))
    report = await desk.sync()
    assert (report.status, report.quarantined, report.changes["students"]) == ("succeeded", 0, {"unchanged": 40})


async def test_accident_2_who_was_not_looked_at_is_not_removed(desk: Desk) -> None:
    """An importer was run on one folder, and what lay outside of it was destroyed."""
    desk.settings = {"absence_grace": 0}
    desk.sis.put("schools", school("A"), school("B"))
    for at in "AB":
        rows = [student(f"{at}{n}", school=at) for n in range(10)]
        desk.sis.put("students", *rows, context=f"school={at}", school=at)
    del desk.sis.feeds["students", ""]
    await desk.sync()
    desk.sis.feeds["students", "school=A"].drop("A0")
    desk.sis.feeds["students", "school=B"].drop("B0", "B1")
    planned = await desk.plan(scope=Scope(schools=frozenset("A")))
    report = await desk.sync(scope=Scope(schools=frozenset("A")))
    assert {name for name, one in (await desk.rows(planned)).items() if one.action != "unchanged"} == {"students A0"}
    assert report.changes["students"]["withdraw"] == 1
    assert [sis_id for sis_id, status in (await desk.statuses("students")).items() if status == "inactive"] == ["A0"]


async def test_accident_3_one_district_withdraws_by_status_and_another_by_leaving_out(desk: Desk) -> None:
    """Code that knew one of the two ways lost children, or kept them for ever."""
    desk.settings = {"absence_grace": 0}
    feed = desk.sis.put("students", *students(40))
    await desk.sync()
    feed.drop("s0000")
    feed["s0001"] = student("s0001", status="inactive", status_reason="transferred")
    await desk.sync()
    found = await desk.roster("students")
    assert [(found[one]["status"], found[one]["status_reason"]) for one in ("s0000", "s0001")] == [
        ("inactive", "absence"), ("inactive", "transferred"),
    ]  # fmt: skip
    assert len(found) == 40  # both are kept
    desk.sis.offer(students=replace(CAPABILITIES["students"], leaving="status"))
    feed.drop("s0002")
    report = await desk.sync()  # here, nobody who leaves vanishes: something is wrong
    assert [(hold.guard, hold.count) for hold in report.holds] == [("absence", 1)]
    assert (await desk.student("s0002"))["status"] == "active"


async def test_accident_4_a_school_that_does_not_exist_stops_nobody_else(desk: Desk) -> None:
    """A child who had left was kept at a pseudo-school, and the whole import died of it."""
    desk.sis.put("students", *students(3), student("gone", school="33"))
    desk.sis.put("school_enrollments", stay("here", student="s0001"), stay("there", student="gone", school="33"))
    report = await desk.sync()
    assert (report.status, report.quarantined) == ("succeeded", 1)
    assert set(await desk.roster("school_enrollments")) == {"here"}
    [waiting] = [one async for one in list_quarantined(desk.store, 1)]
    assert (waiting.kind, waiting.key, waiting.fields) == ("school_enrollments", "there", ("school",))
    assert waiting.reason == "refers to what is not there (school)"
    desk.sis.put("schools", school("A"), school("33"))
    assert (await desk.sync()).quarantined == 0
    assert set(await desk.roster("school_enrollments")) == {"here", "there"}


async def test_accident_6_what_is_known_to_be_bad_does_not_drown_what_is_new(desk: Desk) -> None:
    """The same bad rows raised the alarm every night, until nobody looked any more."""
    feed = desk.sis.put("students", *students(96), *[bad(f"b{n}") for n in range(4)])
    for _ in range(3):
        assert (await desk.sync()).holds == []
    feed.rows += [bad(f"c{n}") for n in range(6)]
    report = await desk.sync()
    assert [(hold.guard, hold.count) for hold in report.holds] == [("quarantine", 6)]


class Locked(FakeSIS):
    """A SIS that does not accept our credentials any more."""

    async def pages(
        self,
        kinds: Collection[str],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        for stream, feed in self.feeds.items():
            error = AuthenticationError("The SIS does not accept the client secret.")
            yield Page(endpoint=stream[0], context=stream[1], kinds=feed.kinds, read=self._read, more=True, error=error)


async def test_accident_8_a_run_that_could_do_nothing_is_no_success(desk: Desk) -> None:
    """No token could be had, the job did nothing, and was logged as completed for a month."""
    desk.sis.put("students", *students(3))
    await desk.sync()
    before = await desk.everything()
    desk.sis = Locked(feeds=desk.sis.feeds, clock=desk.clock)
    report = await desk.sync()
    assert (report.status, report.exit_code) == ("failed", 1)
    assert report.error is not None
    assert report.error.category == "authentication"
    assert await desk.ask("SELECT status FROM sis_sync_operation ORDER BY rowid DESC LIMIT 1") == [("failed",)]
    assert await desk.everything() == before


async def test_accident_8_a_first_sync_without_students_is_no_success_either(desk: Desk) -> None:
    report = await desk.sync()
    assert (report.status, report.exit_code) == ("failed", 1)
    assert "no students" in str(report.error)


async def test_accident_20_codes_that_a_mapping_does_not_know_blank_no_field_of_a_school(desk: Desk) -> None:
    """Only 3 of 11 codes had a translation, and a rate that everybody trusted read 83 %."""
    codes = [f"{n:02d}" for n in range(1, 12)]
    feed = desk.sis.put("students", *[student(f"s{n:04d}", grade=codes[n % 11], grade_text=codes[n % 11]) for n in range(44)])
    await desk.sync()
    before = {sis_id: one["grade"] for sis_id, one in (await desk.roster("students")).items()}
    feed.rows = [student(f"s{n:04d}", grade=codes[n % 11] if n % 11 < 3 else None, grade_text=codes[n % 11]) for n in range(44)]
    report = await desk.sync()
    assert [(hold.guard, hold.scope, hold.count, hold.of) for hold in report.holds] == [("blank", "field=grade", 32, 44)]
    assert {sis_id: one["grade"] for sis_id, one in (await desk.roster("students")).items()} == before


async def taught(desk: Desk) -> None:
    """Two schools of 20 sections, each section with a teacher and a student."""
    desk.sis.put("schools", school("A"), school("B"))
    desk.sis.put("staff", staff("t1", "t1", badge="1", schools=["A", "B"]))
    desk.sis.put("students", *[student(f"{at}{n}", school=at) for at in "AB" for n in range(20)])
    desk.sis.put("sections", *[section(f"x{at}{n}", school=at) for at in "AB" for n in range(20)])
    at_x = [(f"{at}{n}", at) for at in "AB" for n in range(20)]
    desk.sis.put(
        "enrollments",
        *[enrollment(f"e{one}", user=one, section=f"x{one}", school=at) for one, at in at_x],
        *[enrollment(f"t{one}", user="t1", section=f"x{one}", role="teacher", school=at) for one, at in at_x],
    )
    assert (await desk.sync()).status == "succeeded"


async def test_accident_21_a_school_that_loses_all_its_teachers_does_not_hide_in_the_totals(desk: Desk) -> None:
    """One region had no teacher in any of 4,252 places, the others had nearly all; somebody found it by hand."""
    await taught(desk)
    feed = desk.sis.feeds["enrollments", ""]
    for n in range(20):  # the teachers of B become aides: nobody is withdrawn, so no guard against removals sees it
        feed[f"tB{n}"] = enrollment(f"tB{n}", user="t1", section=f"xB{n}", role="aide", school="B")
    report = await desk.sync()
    [warning] = report.warnings
    assert warning["message"] == "At school B, 0% of 20 sections have a teacher; before that, it was 100% of 20."
    assert report.integrity == {"sections_without_teacher": 20}
    found = [it async for it in list_findings(desk.store, 1, desk.today)]
    assert {it.school for it in found} == {"B"}


async def test_accident_24_a_list_of_changes_without_rows_changes_nothing(desk: Desk, sis: ChangingSIS) -> None:
    """An incremental load that brought nothing new emptied the table."""
    sis.put("students", *students(30))
    await desk.sync()
    before = await desk.everything()
    for _ in range(3):
        report = await desk.sync()
        assert (report.status, sis.listed[STUDENTS], report.changes["students"]) == ("succeeded", 0, {"unchanged": 30})
    assert await desk.everything() == before


async def test_accident_24_a_row_at_the_very_mark_is_neither_lost_nor_written_twice(desk: Desk, sis: ChangingSIS) -> None:
    """Rows with the same time as the cursor were lost, four years on."""
    sis.overlap = 1
    feed = sis.put("students", *students(5))
    await desk.sync()
    feed["s0001"] = student("s0001", grade="06")
    await desk.sync()
    sis.number -= 1  # what changes now bears the same number as the last read
    feed["s0002"] = student("s0002", grade="07")
    report = await desk.sync()
    assert report.changes["students"] == {"update": 1, "unchanged": 4}
    assert ((await desk.student("s0001"))["grade"], (await desk.student("s0002"))["grade"]) == ("06", "07")
    assert (await desk.student("s0001"))["revision"] == 2


async def test_accident_9_and_22_rows_that_were_skipped_are_not_missing(desk: Desk) -> None:
    """Pages moved while they were read, or were smaller than asked for: what fell between them was deleted."""
    desk.settings = {"absence_grace": 0}
    feed = desk.sis.put("students", *students(30), size=10)
    await desk.sync()
    feed.total = 30
    feed.drop("s0005", "s0006")  # the server still counts 30, so two were not shown
    report = await desk.sync()
    assert (report.status, report.exit_code) == ("incomplete", 4)
    assert set((await desk.statuses("students")).values()) == {"active"}
    desk.clock.advance(HOUR)
    feed.breaks, feed.total = 1, "rows"
    assert (await desk.sync()).status == "incomplete"
    assert set((await desk.statuses("students")).values()) == {"active"}
