"""What a guard holds waits for a person, who approves or rejects it: on the command line, and in Python."""

from __future__ import annotations

import pytest

from acceptance.conftest import CommandLine
from office import STUDENTS_ONLY, Office, differences, expected

REPORT = {
    *("operation", "integration", "status", "requests", "bytes", "seconds", "records", "changes", "held", "conflicts"),
    *("quarantined", "holds", "error"),
}
HOLD = {"id", "guard", "kind", "action", "scope", "count", "of", "limit", "expires"}
ONLY = [f"--kind={kind}" for kind in STUDENTS_ONLY]


@pytest.fixture
def command(synced: Office) -> CommandLine:
    """The command line after the first sync."""
    return CommandLine(synced.database.parent, {"SIS_CONNECT_DATABASE_URL": synced.url})


def on_day(day: int, synced: Office, command: CommandLine) -> None:
    command.environment["SIS_CONNECT_TODAY"] = synced.sandbox.set_day(day).isoformat()


async def test_p3_what_is_held_is_approved_by_its_id_and_then_applied(synced: Office, command: CommandLine) -> None:
    on_day(192, synced, command)
    held = command("sync", "lincoln", *ONLY, "--json")
    assert (held.code, held.document["status"]) == (3, "held")
    assert held.document.keys() >= REPORT
    assert all(hold.keys() >= HOLD for hold in held.document["holds"])
    assert held.document["held"]["students"]["withdraw"] > 0
    students = next(hold for hold in held.document["holds"] if hold["kind"] == "students")
    approved = command("approve", students["id"], "--json")
    assert (approved.code, approved.document["changes"]["students"]) == (0, {"withdraw": students["count"]})
    assert approved.document.keys() >= REPORT
    assert differences(await synced.roster("students"), expected(synced.sandbox, "students")) == []
    async with synced.open() as service:
        assert students["id"] not in [hold.id for hold in await service.holds()]
        twice = await service.approve(students["id"])
    assert (twice.exit_code, twice.error is not None and twice.error.category) == (1, "conflict")


async def test_p3_what_is_rejected_does_not_come_back_until_the_sis_says_something_else(
    synced: Office, command: CommandLine
) -> None:
    on_day(192, synced, command)
    await synced.sync(kinds=STUDENTS_ONLY)
    before = await synced.active()
    [first, *others] = command("holds", "lincoln", "--json").document["items"]
    rejected = command("reject", first["id"], "--json")
    assert (rejected.code, rejected.document["state"]) == (0, "rejected")
    async with synced.open() as service:
        assert {(await service.reject(hold["id"], actor="a test")).state for hold in others} == {"rejected"}
    again = await synced.sync(kinds=STUDENTS_ONLY)
    assert (again.exit_code, again.holds) == (0, [])
    assert await synced.active() == before
    assert differences(await synced.roster("students"), expected(synced.sandbox, "students")) != []


async def test_p3_strict_holds_everything_as_soon_as_one_guard_does(synced: Office) -> None:
    before = await synced.content()
    synced.sandbox.set_day(192)
    report = await synced.sync(kinds=STUDENTS_ONLY, strict=True)
    assert report.exit_code == 3
    assert {action for counts in report.changes.values() for action, count in counts.items() if count} <= {"unchanged"}
    assert await synced.content() == before
    await synced.approve_all()
    assert differences(await synced.roster("students"), expected(synced.sandbox, "students")) == []


async def test_p3_a_plan_writes_nothing_and_is_applied_later_as_far_as_the_world_has_not_moved_on(synced: Office) -> None:
    before = await synced.content()
    synced.sandbox.set_day(5)
    async with synced.open() as service:
        plan = await service.plan("lincoln", kinds=STUDENTS_ONLY)
        changes = [row async for row in service.plan_rows(plan.id)]
    assert changes
    assert await synced.content() == before
    edited = next(row.sis_id for row in changes if row.kind == "students")
    synced.query("UPDATE roster_students SET middle_name = 'Of The Office' WHERE sis_id = ? RETURNING id", edited)
    async with synced.open() as service:
        report = await service.apply(plan)
        assert report.skipped["students"]
        assert sum(report.changes["students"].values()) >= len([row for row in changes if row.kind == "students"]) - 1
    await synced.sync(kinds=STUDENTS_ONLY)
    row = (await synced.roster("students"))[edited]
    assert row["middle_name"] == "Of The Office"
    truth = expected(synced.sandbox, "students")[edited]
    assert {name: row[name] for name in truth if name != "middle_name"} == {n: v for n, v in truth.items() if n != "middle_name"}
