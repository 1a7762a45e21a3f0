"""Planning: data first, nothing written; what a plan says, shows and counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from roster_fixture import CAPABILITIES, Desk, bad, enrollment, school, section, staff, student, students
from sis_connect.provider import Scope
from sis_connect.roster.cases import load
from sis_connect.roster.plan_rows import plan_rows
from sis_connect.settings import FieldPolicy
from sis_connect.store.target import BuiltInTarget


async def test_p3_a_plan_writes_nothing_to_the_roster(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(5))
    await desk.sync()
    before = await desk.everything()
    feed["s0001"] = student("s0001", grade="06")
    feed.rows.append(student("new"))
    report = await desk.plan()
    assert (report.status, report.changes["students"]) == ("succeeded", {"update": 1, "create": 1, "unchanged": 4})
    assert await desk.everything() == before


async def test_a_plan_row_says_what_why_by_which_rule_and_from_which_evidence(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(30))
    await desk.sync()
    feed["s0001"] = student("s0001", grade="06", school="B")
    feed["s0002"] = student("s0002", status="inactive", status_reason="transferred")
    feed.rows.append(student("new"))
    rows = await desk.rows(await desk.plan())
    moved = rows["students s0001"]
    assert (moved.action, moved.reason, moved.state) == ("update", "transfer", "planned")
    assert (moved.before, moved.after) == ({"school": "A", "grade": "05"}, {"school": "B", "grade": "06"})
    left = rows["students s0002"]
    assert (left.action, left.reason) == ("withdraw", "transfer")
    new = rows["students new"]
    assert (new.action, new.before, new.after["given_name"]) == ("create", {}, "Givennew")
    assert new.as_dict()["rule"] == "new in the SIS"


async def test_an_absence_carries_its_evidence(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    feed = desk.sis.put("students", *students(5))
    await desk.sync()
    feed.drop("s0001")
    since = desk.clock.now()
    row = (await desk.rows(await desk.plan()))["students s0001"]
    assert row.evidence["missing_pulls"] == 1
    assert row.evidence["missing_since"] == str(since)


async def test_p7_no_plan_no_report_and_no_case_shows_a_pupil(desk: Desk) -> None:
    feed = desk.sis.put("students", student("s1", family_name="Okonkwo"), student("s2"))
    desk.sis.put("enrollments", enrollment("e1"), bad("e2"))
    await desk.sync()
    await desk.edit("s1", family_name="Okonkwo-Reyes")
    feed["s1"] = student("s1", family_name="Okonkwo-Silva")
    report = await desk.plan()
    shown = [repr(row) async for row in plan_rows(desk.store, str(report.plan))]
    assert shown == ["<PlanRow: update one of students>"]
    async with desk.store.read() as connection:
        cases = await load(connection, BuiltInTarget(1), 1, "students", ["s1"], desk.today)
    pages = [page async for page in desk.sis.pages(desk.sis.info.capabilities.offered(), scope=Scope())]
    assert cases["s1"].mapping is not None
    for thing in (cases, cases["s1"].mapping, report, report.as_dict(), pages):
        assert "Okonkwo" not in repr(thing)
    for table in ("sis_sync_operation", "sis_audit", "sis_hold", "sis_quarantine", "sis_stream", "sis_candidate"):
        assert "Okonkwo" not in str(await desk.ask(f"SELECT * FROM {table}")), table


@pytest.mark.parametrize(
    ("strategy", "grade", "conflicts", "changes"),
    [
        ("sis_wins", "06", 0, {"update": 1, "unchanged": 4}),
        ("local_wins", "07", 0, {"unchanged": 5}),
        ("manual", "07", 1, {"conflict": 1, "unchanged": 4}),
        ("newest_wins", "07", 1, {"conflict": 1, "unchanged": 4}),
    ],
)
async def test_a_conflict_is_settled_by_the_strategy_and_reported_once(
    desk: Desk, strategy: str, grade: str, conflicts: int, changes: dict[str, int]
) -> None:
    desk.settings = {"strategy": strategy}
    feed = desk.sis.put("students", *students(5))
    await desk.sync()
    await desk.edit("s0001", grade="07")
    feed["s0001"] = student("s0001", grade="06")
    report = await desk.sync()
    assert (report.status, report.conflicts, report.changes["students"]) == ("succeeded", conflicts, changes)
    assert (await desk.student("s0001"))["grade"] == grade
    again = await desk.sync()
    assert (again.conflicts, again.changes["students"]) == (conflicts, {"unchanged": 5})


async def test_a_local_edit_is_no_conflict_and_outlives_writes_to_other_fields(desk: Desk) -> None:
    desk.settings = {"strategy": "manual"}
    feed = desk.sis.put("students", *students(5))
    await desk.sync()
    await desk.edit("s0001", given_name="Eda")
    feed["s0001"] = student("s0001", grade="06")
    assert (await desk.sync()).conflicts == 0
    found = await desk.student("s0001")
    assert (found["given_name"], found["grade"]) == ("Eda", "06")
    feed["s0001"] = student("s0001", grade="06", given_name="Ida")
    report = await desk.sync()
    assert report.conflicts == 1
    assert (await desk.student("s0001"))["given_name"] == "Eda"


async def test_one_of_several_ids_may_be_edited_without_a_conflict(desk: Desk) -> None:
    desk.settings = {"strategy": "manual"}
    feed = desk.sis.put("students", student("s1", ids={"state_id": "9", "locker": "1"}))
    await desk.sync()
    await desk.edit("s1", ids='{"state_id":"9","locker":"77"}')
    feed["s1"] = student("s1", ids={"state_id": "8", "locker": "1"})
    assert (await desk.sync()).conflicts == 0
    assert (await desk.student("s1"))["ids"] == {"state_id": "8", "locker": "77"}
    feed["s1"] = student("s1", ids={"state_id": "8", "locker": "2"})
    assert (await desk.sync()).conflicts == 1
    assert (await desk.student("s1"))["ids"] == {"state_id": "8", "locker": "77"}


async def test_the_newest_wins_by_the_time_of_the_edit(desk: Desk) -> None:
    desk.settings = {"strategy": "newest_wins"}
    desk.sis.offer(students=replace(CAPABILITIES["students"], reliable_updated_at=True))
    feed = desk.sis.put("students", *students(5))
    await desk.sync()
    for sis_id, edited in (("s0001", timedelta(hours=3)), ("s0002", timedelta(hours=1)), ("s0003", -timedelta(hours=1))):
        await desk.edit(sis_id, grade="07")
        at = (desk.clock.now() + edited).isoformat()
        await desk.run("UPDATE sis_local_edit SET at = :at WHERE sis_id = :id", at=at, id=sis_id)
        feed[sis_id] = student(sis_id, grade="06", updated_at=(desk.clock.now() + timedelta(hours=2)).isoformat())
    await desk.sync()
    grades = {sis_id: found["grade"] for sis_id, found in (await desk.roster("students")).items()}
    assert grades == {"s0000": "05", "s0001": "07", "s0002": "07", "s0003": "06", "s0004": "05"}


async def test_a_deleted_row_is_a_tombstone_where_the_app_wins(desk: Desk) -> None:
    desk.settings = {"strategy": "local_wins"}
    feed = desk.sis.put("students", *students(5))
    await desk.sync()
    await desk.delete("s0001")
    for grade in ("05", "06", "07"):
        feed["s0001"] = student("s0001", grade=grade)
        assert (await desk.sync()).status == "succeeded"
        assert "s0001" not in await desk.roster("students")


async def test_a_deleted_row_is_asked_about_once_where_a_person_decides(desk: Desk) -> None:
    desk.settings = {"policies": {"students.*": FieldPolicy(strategy="manual")}}
    desk.sis.put("students", *students(5))
    await desk.sync()
    await desk.delete("s0001")
    report = await desk.sync()
    assert (report.conflicts, report.changes["students"]) == (1, {"conflict": 1, "unchanged": 4})
    again = await desk.sync()
    assert (again.conflicts, again.changes["students"]) == (1, {"unchanged": 5})
    assert "s0001" not in await desk.roster("students")


async def test_an_app_that_had_its_students_already_is_met_without_duplicates(desk: Desk) -> None:
    desk.settings = {"strategy": "local_wins"}
    await desk.run(
        "INSERT INTO roster_students (integration_id, sis_id, given_name, family_name, status) "
        "VALUES (1, 's0001', 'Eda', 'Vale', 'active')"
    )
    desk.sis.put("students", *students(3))
    report = await desk.sync()
    assert report.reasons["students"] == {"new": 2, "first_contact": 1}
    met = await desk.student("s0001")
    assert (met["given_name"], met["grade"]) == ("Eda", "05")
    assert (await desk.sync()).changes["students"] == {"unchanged": 3}


async def test_a_limited_run_decides_about_what_it_is_limited_to(desk: Desk) -> None:
    desk.sis.put("schools", school("A"), school("B"))
    feed = desk.sis.put("students", student("a"), student("b", school="B"), student("c", school="B"))
    desk.sis.put("staff", staff("65", "t1", badge="65"))
    await desk.sync()
    for one, at in (("a", "A"), ("b", "B"), ("c", "B")):
        feed[one] = student(one, school=at, grade="06")
    await desk.sync(scope=Scope(schools=frozenset(["A"])))
    await desk.sync(scope=Scope(students=frozenset(["b"])))
    grades = {sis_id: found["grade"] for sis_id, found in (await desk.roster("students")).items()}
    assert grades == {"a": "06", "b": "06", "c": "05"}
    await desk.sync()
    assert (await desk.student("c"))["grade"] == "06"


async def test_references_by_another_id_are_resolved(desk: Desk) -> None:
    desk.sis.put("staff", staff("65", "t1", badge="65"))
    desk.sis.put("students", student("s1"))
    desk.sis.put("sections", section("x"))
    lead = {"user": {"ref": ["staff", "badge", "65"]}, "role": "teacher"}
    feed = desk.sis.put("enrollments", enrollment("e1", **lead))
    await desk.sync()
    assert (await desk.roster("enrollments"))["e1"]["user"] == "t1"
    feed["e1"] = enrollment("e1", primary=True, **lead)
    assert (await desk.rows(await desk.plan()))["enrollments e1"].after == {"primary": True}
