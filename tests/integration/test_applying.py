"""Applying: one writer, in batches, only what is still as planned, and never twice."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from roster_fixture import Desk, Killed, enrollment, school, section, staff, stay, student, students
from sis_connect.provider import Scope
from sis_connect.roster.apply import Applier


def whole_district(desk: Desk, updated_at: str = "2026-11-01T00:00:00Z") -> None:
    """Something of every kind, each row with a time that may always move."""
    moment = {"updated_at": updated_at}
    desk.sis.put("schools", school("A", **moment))
    desk.sis.put("courses", {"key": "c1", "courses": {"sis_id": "c1", "title": "Art", **moment}})
    desk.sis.put("staff", staff("65", "t1", badge="65", **moment))
    desk.sis.put("students", *[student(f"s{n}", ids={"state_id": f"9{n}"}, username=None, **moment) for n in range(5)])
    desk.sis.put("school_enrollments", *[stay(f"stay{n}", student=f"s{n}", **moment) for n in range(5)])
    desk.sis.put("sections", section("x", course="c1", **moment))
    lead = {"sis_id": "x-65", "section": "x", "user": {"ref": ["staff", "badge", "65"]}, "role": "teacher", **moment}
    desk.sis.put(
        "enrollments", *[enrollment(f"e{n}", user=f"s{n}", **moment) for n in range(5)], {"key": "x", "enrollments": lead}
    )


# -- once --------------------------------------------------------------------------------------------------------------


async def test_p5_a_second_sync_of_an_unchanged_source_writes_nothing_to_the_roster(desk: Desk) -> None:
    whole_district(desk)
    await desk.sync()
    before = await desk.everything()
    for full in (False, True):
        report = await desk.sync(full=full)
        assert {action for counts in report.changes.values() for action in counts} == {"unchanged"}
        assert await desk.everything() == before


async def test_p5_not_even_where_the_times_of_the_vendor_always_move(desk: Desk) -> None:
    whole_district(desk)
    await desk.sync()
    before = await desk.everything()
    mapped = await desk.ask("SELECT * FROM sis_student_mapping")
    whole_district(desk, updated_at="2026-11-23T07:59:59Z")
    report = await desk.sync()
    assert {action for counts in report.changes.values() for action in counts} == {"unchanged"}
    assert await desk.everything() == before
    assert await desk.ask("SELECT * FROM sis_student_mapping") == mapped


async def test_p5_a_local_edit_that_stays_is_not_written_again(desk: Desk) -> None:
    whole_district(desk)
    await desk.sync()
    await desk.edit("s1", grade="07", ids='{"locker":"5"}')
    await desk.sync()
    before = await desk.everything()
    await desk.sync()
    assert await desk.everything() == before
    assert (await desk.student("s1"))["grade"] == "07"


async def test_p5_a_column_that_the_database_trims_is_no_edit(desk: Desk) -> None:
    await desk.run(
        "CREATE TRIGGER trims AFTER INSERT ON roster_students BEGIN "
        "UPDATE roster_students SET given_name = substr(NEW.given_name, 1, 3) WHERE id = NEW.id; END"
    )
    feed = desk.sis.put("students", student("s1", given_name="Bartholomew"))
    await desk.sync()
    assert (await desk.student("s1"))["given_name"] == "Bar"
    before = await desk.everything()
    report = await desk.sync()
    assert (report.conflicts, report.changes["students"]) == (0, {"unchanged": 1})
    assert await desk.everything() == before
    feed["s1"] = student("s1", given_name="Barbara")
    report = await desk.sync()
    assert (report.conflicts, report.changes["students"]) == (0, {"update": 1, "unchanged": 0})


async def test_what_both_sides_blank_is_agreed_on(desk: Desk) -> None:
    desk.settings = {"strategy": "manual"}
    feed = desk.sis.put("students", student("s1", middle_name="Ann"))
    await desk.sync()
    await desk.edit("s1", middle_name=None)
    feed["s1"] = student("s1", middle_name=None)
    await desk.sync()
    feed["s1"] = student("s1", middle_name="Kit")
    assert (await desk.sync()).conflicts == 0
    assert (await desk.student("s1"))["middle_name"] == "Kit"


async def test_a_plan_that_was_applied_is_not_applied_twice(desk: Desk) -> None:
    whole_district(desk)
    planned = await desk.plan()
    first = await desk.apply(planned)
    assert (first.status, first.changes["students"]) == ("succeeded", {"create": 5})
    before = await desk.everything()
    again = await desk.apply(planned)
    assert (again.status, again.changes) == ("succeeded", {})
    assert await desk.everything() == before


async def test_ids_and_names_of_any_shape_survive(desk: Desk) -> None:
    ids = ["7", "007", "a:b", "50%", "x'y", 'say "so"', "under_score", "two words", "ß", "日本", "🦉"]
    names = ["Zoë", "עדה", "نور\u200cالدین", "李", "👩‍👧", "O'Brien-Ng", "x" * 300, "%", "NULL", "a\u200bb", "{}"]
    rows = [student(sis_id, given_name=name, school=sis_id) for sis_id, name in zip(ids, names, strict=True)]
    desk.sis.put("schools", school("A"), *[school(sis_id) for sis_id in ids])
    feed = desk.sis.put("students", *rows)
    desk.sis.put("enrollments", *[enrollment(f"e {sis_id}", user=sis_id) for sis_id in ids])
    desk.sis.put("sections", section("x"))
    assert (await desk.sync()).status == "succeeded"
    found = await desk.roster("students")
    assert [found[sis_id]["given_name"] for sis_id in ids] == [name.replace("\u200b", "") for name in names]
    for sis_id in ids:
        feed[sis_id] = student(sis_id, grade="06", school=sis_id)
    planned = await desk.plan()
    assert (await desk.apply(planned)).changes["students"] == {"update": len(ids)}
    assert (await desk.sync()).changes["students"] == {"unchanged": len(ids)}
    assert len(await desk.roster("enrollments")) == len(ids)


# -- only what is still as planned -------------------------------------------------------------------------------------


async def planned_updates(desk: Desk) -> list[str]:
    feed = desk.sis.put("students", *students(6))
    await desk.sync()
    ids = [f"s{number:04d}" for number in range(6)]
    for sis_id in ids:
        feed[sis_id] = student(sis_id, grade="06")
    return ids


async def test_an_old_plan_skips_a_record_whose_source_has_moved(desk: Desk) -> None:
    ids = await planned_updates(desk)
    planned = await desk.plan()
    desk.sis.feeds["students", ""]["s0001"] = student("s0001", grade="08")
    await desk.plan()
    report = await desk.apply(planned)
    assert (report.changes["students"], report.skipped["students"]) == ({"update": 5}, {"update": 1})
    assert (await desk.student("s0001"))["grade"] == "05"
    assert [row.state for row in (await desk.rows(planned)).values()] == ["applied", "skipped", *["applied"] * 4]
    await desk.sync()
    assert [(await desk.student(sis_id))["grade"] for sis_id in ids] == ["06", "08", *["06"] * 4]


async def test_an_old_plan_skips_a_record_that_the_app_has_edited_or_deleted(desk: Desk) -> None:
    await planned_updates(desk)
    planned = await desk.plan()
    await desk.edit("s0001", given_name="Eda")
    await desk.delete("s0002")
    report = await desk.apply(planned)
    assert (report.changes["students"], report.skipped["students"]) == ({"update": 4}, {"update": 2})
    assert (await desk.student("s0001"))["grade"] == "05"
    report = await desk.sync()
    assert report.changes["students"] == {"update": 1, "create": 1, "unchanged": 4}
    assert (await desk.student("s0001"))["given_name"] == "Eda"


async def test_an_old_plan_skips_a_record_whose_base_has_moved(desk: Desk) -> None:
    await planned_updates(desk)
    old = await desk.plan()
    assert (await desk.sync()).changes["students"] == {"update": 6, "unchanged": 0}
    report = await desk.apply(old)
    assert (report.changes.get("students", {}), report.skipped["students"]) == ({}, {"update": 6})


async def test_an_old_plan_does_not_create_what_is_there_by_now(desk: Desk) -> None:
    desk.sis.put("students", *students(2))
    old = await desk.plan()
    await desk.sync()
    before = await desk.everything()
    report = await desk.apply(old)
    assert report.skipped["students"] == {"create": 2}
    assert await desk.everything() == before


async def test_a_row_that_the_database_of_the_app_refuses_is_skipped_and_tried_again(desk: Desk) -> None:
    await desk.run(
        "CREATE TRIGGER refuse BEFORE INSERT ON roster_students WHEN NEW.sis_id = 's0001' BEGIN SELECT RAISE(IGNORE); END"
    )
    desk.sis.put("students", *students(2))
    report = await desk.sync()
    assert (report.changes["students"]["create"], report.skipped["students"]) == (1, {"create": 1})
    await desk.run("DROP TRIGGER refuse")
    assert (await desk.sync()).changes["students"] == {"create": 1, "unchanged": 1}


# -- killed ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batches", range(1, 12))
async def test_p4_killed_between_two_batches_the_next_run_ends_in_the_same_state(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    whole_district(desk)
    reach, left = Applier._reach, batches

    async def killed(self: Applier, *arguments: object, **options: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        await reach(self, *arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Applier, "_reach", killed)
        patch.setattr(Applier.__init__, "__kwdefaults__", {**(Applier.__init__.__kwdefaults__ or {}), "batch_size": 2})
        with pytest.raises(Killed):
            await desk.sync()
    assert await desk.ask(
        "SELECT COUNT(*) FROM roster_enrollments WHERE section NOT IN (SELECT sis_id FROM roster_sections)"
    ) == [(0,)]
    report = await desk.sync()
    assert (report.status, report.quarantined) == ("succeeded", 0)
    assert {kind: len(rows) for kind, rows in (await desk.everything()).items() if rows} == {
        "schools": 1, "courses": 1, "staff": 1, "students": 5, "school_enrollments": 5, "sections": 1, "enrollments": 6,
    }  # fmt: skip
    assert {row[0] for row in await desk.ask("SELECT revision FROM roster_enrollments")} == {1}
    before = await desk.everything()
    await desk.sync()
    assert await desk.everything() == before


async def test_p4_an_interrupted_plan_goes_on_where_it_was(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_district(desk)
    planned = await desk.plan()
    reach, left = Applier._reach, 4

    async def killed(self: Applier, *arguments: object, **options: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        await reach(self, *arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Applier, "_reach", killed)
        with pytest.raises(Killed):
            await desk.apply(planned)
    report = await desk.apply(planned)
    assert (report.status, report.skipped) == ("succeeded", {})
    assert set(report.changes) == {"school_enrollments", "sections", "enrollments"}


async def test_p4_the_roster_is_whole_in_another_process_at_any_time(desk: Desk) -> None:
    whole_district(desk)
    await desk.sync()
    ((path,),) = await desk.ask("SELECT file FROM pragma_database_list WHERE name = 'main'")
    with closing(sqlite3.connect(path)) as other:
        rows = other.execute("SELECT COUNT(*) FROM roster_students r JOIN sis_student_mapping m ON m.local_id = r.id").fetchone()
    assert rows == (5,)


# -- never green without evidence --------------------------------------------------------------------------------------


async def test_p9_a_first_sync_without_students_has_failed(desk: Desk) -> None:
    await desk.sync(kinds=("schools",))
    report = await desk.sync()
    assert (report.status, report.exit_code) == ("failed", 1)
    assert report.error is not None
    assert "no students" in report.error.message
    assert await desk.roster("students") == {}


async def test_p9_a_district_that_is_empty_where_there_was_a_roster_is_held(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    whole_district(desk)
    await desk.sync()
    before = await desk.everything()
    for feed in desk.sis.feeds.values():
        feed.rows = []
    for _ in range(2):
        report = await desk.sync()
        assert (report.status, report.exit_code) == ("held", 3)
        assert {hold.kind for hold in report.holds if hold.guard == "empty"} >= {"students", "staff", "sections"}
        assert await desk.everything() == before


async def test_p9_a_school_that_is_empty_is_held_also_for_kinds_that_name_no_school(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    desk.sis.put("schools", school("A"), school("B"))
    desk.sis.put("students", *students(3))
    for at in ("A", "B"):
        rows = [{"key": f"{at}{n}", "courses": {"sis_id": f"{at}{n}", "title": "Art"}} for n in range(3)]
        desk.sis.put("courses", *rows, context=at, school=at)
    del desk.sis.feeds["courses", ""]
    await desk.sync()
    desk.sis.put("courses", context="A", school="A")
    report = await desk.sync()
    assert (report.status, report.held["courses"]) == ("held", {"withdraw": 3})
    assert await desk.holds() == [("empty", "courses", "school=A", 3)]
    # Unread, an empty school is no reason to let go of what was held.
    desk.sis.feeds["courses", "A"].total = None
    await desk.sync()
    assert set((await desk.statuses("courses")).values()) == {"active"}


async def test_a_school_whose_students_have_all_moved_is_not_empty_for_ever(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    desk.sis.put("schools", school("A"), school("B"))
    del desk.sis.feeds["students", ""]
    desk.sis.put("students", *[student(f"a{n}") for n in range(3)], context="A", school="A")
    desk.sis.put("students", student("b", school="B"), context="B", school="B")
    await desk.sync()
    desk.sis.put("students", context="A", school="A")
    moved = [student(f"a{n}", school="B") for n in range(3)]
    desk.sis.put("students", student("b", school="B"), *moved, context="B", school="B")
    report = await desk.sync()
    assert (report.status, report.changes["students"]) == ("succeeded", {"update": 3, "unchanged": 1})


async def test_a_limited_run_leaves_the_rest_of_the_roster_as_it_is(desk: Desk) -> None:
    whole_district(desk)
    await desk.sync()
    before = await desk.everything()
    await desk.sync(scope=Scope(students=frozenset(["s1"])), kinds=("students",))
    assert await desk.everything() == before
