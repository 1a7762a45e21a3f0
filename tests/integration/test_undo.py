"""Undo: what an operation wrote is taken back, guarded like anything else, and the next sync leaves it at that."""

from __future__ import annotations

from typing import Any

import pytest

from desk_service import service_of
from roster_fixture import Desk, enrollment, school, section, stay, student, students
from sis_connect.capabilities import Kind
from sis_connect.errors import AuthorizationError, ConfigurationError
from sis_connect.roster.holds import find_hold
from sis_connect.roster.report import SyncReport
from sis_connect.roster.undo import Undone, undo


async def undone(desk: Desk, report: SyncReport, *, preview: bool = False, **what: Any) -> SyncReport:
    """Undo the operation of a report, as the service does."""
    await desk.clock.sleep(60)
    it = Undone(operation=report.operation, started_at=desk.clock.now(), **what)
    return await undo(desk.synchroniser(), it, actor="ada", preview=preview)


async def settled(desk: Desk) -> None:
    """The next sync writes nothing, though it compares everything."""
    before = await desk.everything()
    await desk.clock.sleep(60)
    report = await desk.sync(full=True)
    assert {action for counts in report.changes.values() for action in counts} <= {"unchanged"}
    assert await desk.everything() == before


# -- each action -------------------------------------------------------------------------------------------------------


async def test_who_was_created_is_withdrawn_and_stays_so(desk: Desk) -> None:
    desk.sis.put("students", *students(5))
    await desk.sync()
    feed = desk.sis.put("students", *students(6))
    report = await undone(desk, await desk.sync())
    assert (report.status, report.changes["students"]) == ("succeeded", {"withdraw": 1})
    assert report.reasons["students"] == {"undone": 1}
    found = await desk.student("s0005")
    assert (found["status"], found["status_reason"]) == ("inactive", "undone")
    await settled(desk)
    feed["s0005"] = student("s0005", grade="06", status="inactive")
    await desk.sync()
    found = await desk.student("s0005")
    assert (found["status"], found["grade"]) == ("inactive", "06")
    feed["s0005"] = student("s0005")
    await desk.sync()
    assert (await desk.student("s0005"))["status"] == "active"  # the SIS says it anew


async def test_a_field_gets_its_former_value_back_until_the_sis_says_something_new(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(5))
    await desk.sync()
    feed["s0001"] = student("s0001", grade="06", ids={"locker": "7"})
    report = await undone(desk, await desk.sync())
    assert (report.changes["students"], report.conflicts) == ({"update": 1}, 0)
    found = await desk.student("s0001")
    assert (found["grade"], (found.get("ids") or {}).get("locker")) == ("05", None)
    await settled(desk)
    feed["s0001"] = student("s0001", grade="07", ids={"locker": "7"})
    await desk.sync()
    found = await desk.student("s0001")
    assert (found["grade"], (found.get("ids") or {}).get("locker")) == ("07", None)


@pytest.mark.parametrize("leaving", ["status", "absence"])
async def test_who_was_withdrawn_is_put_back_as_they_were(desk: Desk, leaving: str) -> None:
    desk.settings = {"absence_grace": 0}
    feed = desk.sis.put("students", *students(6))
    desk.sis.put("sections", section("x"))
    desk.sis.put("enrollments", enrollment("e1", user="s0001"))
    await desk.sync()
    before = {kind: await desk.roster(kind) for kind in ("students", "enrollments")}
    if leaving == "absence":
        feed.drop("s0001")
        desk.sis.put("enrollments")
    else:
        feed["s0001"] = student("s0001", status="inactive", status_reason="withdrawn")
        desk.sis.put("enrollments", enrollment("e1", user="s0001", status="inactive"))
    gone = await desk.sync()
    for hold in gone.holds:
        gone = await desk.approve(hold)
    operation = (await desk.ask("SELECT operation_id FROM sis_event WHERE action = 'withdraw' AND kind = 'students'"))[0][0]
    assert (await desk.student("s0001"))["status"] == "inactive"
    report = await undone(desk, SyncReport(operation=operation, integration="lincoln"))
    assert report.changes["students"] == {"reenroll": 1}
    after = await desk.roster("students")
    assert {**after["s0001"], "revision": 0} == {**before["students"]["s0001"], "revision": 0}
    await settled(desk)


async def test_who_was_put_back_is_withdrawn_with_the_former_reason(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(5))
    await desk.sync()
    feed["s0001"] = student("s0001", status="inactive", status_reason="transferred")
    await desk.sync()
    feed["s0001"] = student("s0001")
    report = await undone(desk, await desk.sync())
    found = await desk.student("s0001")
    assert report.changes["students"] == {"withdraw": 1}
    assert (found["status"], found["status_reason"]) == ("inactive", "transferred")


# -- what is left as it is ---------------------------------------------------------------------------------------------


async def test_a_record_that_has_changed_since_in_such_a_field_is_left_and_reported(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(6))
    await desk.sync()
    for sis_id in ("s0000", "s0001", "s0002", "s0003", "s0004", "s0005"):
        feed[sis_id] = student(sis_id, grade="06")
    done = await desk.sync()
    await desk.clock.sleep(60)
    await desk.edit("s0001", grade="08")
    await desk.edit("s0002", given_name="Eda")
    feed["s0003"] = student("s0003", grade="07")
    await desk.edit("s0004", grade="09")  # both sides come to agree
    feed["s0004"] = student("s0004", grade="09")
    await desk.sync()
    await desk.delete("s0005")
    report = await undone(desk, done)
    assert (report.changes["students"], report.skipped["students"]) == ({"update": 2}, {"update": 4})
    [warning] = report.warnings
    assert (warning["warning"], warning["message"]) == ("changed_since", "4 records have changed since, and are not undone.")
    grades = {sis_id: row["grade"] for sis_id, row in (await desk.roster("students")).items()}
    assert grades == {"s0000": "05", "s0001": "08", "s0002": "05", "s0003": "07", "s0004": "09"}
    assert (await desk.student("s0002"))["given_name"] == "Eda"


async def test_a_column_that_the_database_trims_can_be_undone(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(5))
    await desk.sync()
    await desk.run(
        "CREATE TRIGGER trims AFTER UPDATE OF given_name ON roster_students WHEN length(NEW.given_name) > 8 BEGIN "
        "UPDATE roster_students SET given_name = substr(NEW.given_name, 1, 3) WHERE id = NEW.id; END"
    )
    feed["s0001"] = student("s0001", given_name="Bartholomew")
    done = await desk.sync()
    assert (await desk.student("s0001"))["given_name"] == "Bar"
    assert (await undone(desk, done)).changes["students"] == {"update": 1}
    assert (await desk.student("s0001"))["given_name"] == "Givens0001"[:3]


async def test_what_was_over_before_it_came_is_nothing_to_take_back(desk: Desk) -> None:
    desk.sis.put("students", *students(2))
    desk.sis.offer(school_enrollments=desk.sis.info.capabilities.of("school_enrollments").__class__(
        offered=True, leaving="absence", stint_history=True
    ))  # fmt: skip
    desk.sis.put("school_enrollments", stay("old", student="s0001", exit_date="2026-09-01"))
    done = await desk.sync()
    assert (await desk.roster("school_enrollments"))["old"]["status"] == "inactive"
    report = await undone(desk, done, kinds=("school_enrollments",))
    assert (report.changes, report.skipped) == ({}, {})


# -- parts of it, undo of undo, preview --------------------------------------------------------------------------------


async def test_only_some_kinds_and_actions_are_undone(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(5))
    desk.sis.put("sections", section("x"))
    await desk.sync()
    feed["s0001"] = student("s0001", grade="06")
    feed["s0002"] = student("s0002", status="inactive")
    desk.sis.put("sections", section("x", title="Art"))
    done = await desk.sync()
    report = await undone(desk, done, kinds=("students",), actions=("withdraw",))
    assert {kind: counts for kind, counts in report.changes.items() if counts} == {"students": {"reenroll": 1}}
    assert (await desk.roster("sections"))["x"]["title"] == "Art"
    report = await undone(desk, done, actions=("update",))
    assert {kind: counts for kind, counts in report.changes.items() if counts} == {
        "students": {"update": 1},
        "sections": {"update": 1},
    }


async def test_an_undo_can_be_undone_and_then_that_again(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(5))
    await desk.sync()
    feed["s0001"] = student("s0001", grade="06")
    feed["s0002"] = student("s0002", status="inactive", status_reason="graduated")
    desk.sis.feeds["students", ""].rows.append(student("s0005"))
    states = []
    report = await desk.sync()
    for _ in range(4):
        states.append({sis_id: (row["grade"], row["status"], row.get("status_reason"))
                       for sis_id, row in (await desk.roster("students")).items()})  # fmt: skip
        report = await undone(desk, report)
        assert (report.status, report.skipped) == ("succeeded", {})
    assert states[0] == states[2] != states[1] == states[3]
    await settled(desk)


async def test_a_preview_writes_nothing_and_its_plan_can_be_applied(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(5))
    await desk.sync()
    feed["s0001"] = student("s0001", grade="06")
    done = await desk.sync()
    before = await desk.everything()
    preview = await undone(desk, done, preview=True)
    assert (preview.changes["students"], await desk.everything()) == ({"update": 1}, before)
    assert [row.reason for row in (await desk.rows(preview)).values()] == ["undone"]
    assert (await desk.ask("SELECT type FROM sis_sync_operation WHERE id = :o", o=preview.operation)) == [("plan",)]
    assert (await desk.apply(preview)).changes["students"] == {"update": 1}
    assert (await desk.student("s0001"))["grade"] == "05"


# -- guards ------------------------------------------------------------------------------------------------------------


async def test_p3_an_undo_that_withdraws_too_many_is_held_and_can_be_approved(desk: Desk) -> None:
    desk.sis.put("students", *students(100))
    await desk.sync()
    desk.sis.put("students", *students(108))
    done = await desk.sync()
    before = await desk.everything()
    report = await undone(desk, done)
    assert (report.status, report.held["students"]) == ("held", {"withdraw": 8})
    assert await desk.everything() == before
    [hold] = report.holds
    assert (hold.guard, hold.kind, hold.count) == ("withdrawals", "students", 8)
    approved = await desk.approve(await find_hold(desk.store, hold.id))
    assert approved.changes["students"] == {"withdraw": 8}
    assert list((await desk.statuses("students")).values()).count("inactive") == 8


async def test_whom_somebody_has_pinned_an_undo_does_not_withdraw(desk: Desk) -> None:
    desk.sis.put("students", *students(2))
    done = await desk.sync()
    await desk.run(
        "INSERT INTO sis_pin (id, integration_id, kind, sis_id, actor, created_at) VALUES ('p', 1, 'students', 's0001', '', '')"
    )
    report = await undone(desk, done, kinds=("students",))
    assert (report.changes["students"], report.skipped["students"]) == ({"withdraw": 1}, {"withdraw": 1})
    assert [warning["message"] for warning in report.warnings] == ["1 record is pinned, and is not undone."]


async def test_whatever_wrote_can_be_undone_also_what_a_person_approved(desk: Desk) -> None:
    desk.sis.put("students", *students(100))
    await desk.sync()
    desk.settings = {"absence_grace": 0}
    desk.sis.put("students", *students(90))
    held = await desk.sync()
    approved = await desk.approve(held.holds[0])
    assert approved.changes["students"] == {"withdraw": 10}
    assert (await undone(desk, approved)).changes["students"] == {"reenroll": 10}
    assert set((await desk.statuses("students")).values()) == {"active"}


async def test_what_hangs_from_a_section_that_is_taken_back_goes_with_it(desk: Desk) -> None:
    desk.sis.put("schools", school("A"))
    desk.sis.put("students", *students(2))
    await desk.sync()
    desk.sis.put("sections", section("x"))
    created = await desk.sync()
    desk.sis.put("enrollments", enrollment("e1", user="s0001"))
    await desk.sync()
    kinds: tuple[Kind, ...] = ("sections",)
    report = await undone(desk, created, kinds=kinds)
    for hold in report.holds:
        await desk.approve(hold)
    assert (await desk.statuses("sections")) == {"x": "inactive"}
    for hold in (await desk.sync()).holds:
        await desk.approve(hold)
    assert (await desk.roster("enrollments"))["e1"]["status"] == "inactive"
    await settled(desk)


async def test_an_undo_that_was_previewed_and_applied_does_as_much_as_one_without_a_preview(desk: Desk) -> None:
    desk.settings = {"absence_grace": 0}
    desk.sis.put("students", *students(3))
    feed = desk.sis.put("sections", section("x"), section("y"))
    desk.sis.put("enrollments", enrollment("e1", user="s0001", section="x"))
    await desk.sync()
    feed.drop("x")
    done = await desk.sync()
    preview = await undone(desk, done, kinds=("sections",), preview=True)
    assert await desk.ask("SELECT * FROM sis_audit WHERE action = 'undo.begun'") == []
    await desk.apply(preview)
    await desk.sync()
    assert ((await desk.statuses("sections"))["x"], await desk.statuses("enrollments")) == ("active", {"e1": "active"})
    ((actor, detail),) = await desk.ask("SELECT actor, detail FROM sis_audit WHERE action = 'undo.begun'")
    assert actor == "ada"
    assert done.operation in detail


async def test_p5_an_undo_fires_one_event_for_each_change_and_says_who_did_it(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(5))
    await desk.sync()
    feed["s0001"] = student("s0001", grade="06")
    done = await desk.sync()
    report = await undone(desk, done)
    found = await desk.ask(
        "SELECT e.kind, e.sis_id, e.action, o.type, o.actor FROM sis_event e JOIN sis_sync_operation o ON o.id = e.operation_id "
        "WHERE e.operation_id = :o", o=report.operation,
    )  # fmt: skip
    assert found == [("students", "s0001", "update", "undo", "ada")]
    audited = await desk.ask("SELECT action, detail FROM sis_audit WHERE actor = 'ada' ORDER BY id")
    assert [action for action, _ in audited] == ["undo.begun", "undo.succeeded"]
    assert done.operation in audited[0][1]


async def test_whom_the_app_does_not_let_undo_something_cannot(desk: Desk) -> None:
    report = await desk.sync()
    service = await service_of(desk, permission=lambda actor, action, name: (actor, action) == ("ada", "undo"))
    with pytest.raises(AuthorizationError, match="eve may not undo in lincoln"):
        await service.undo(report.operation, actor="eve")
    with pytest.raises(ConfigurationError, match="no operation that begins with 'x'"):
        await service.undo("x", actor="ada")
