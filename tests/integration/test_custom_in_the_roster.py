"""Fields of a district's own on their way through a sync: merged, exported, quarantined, forgotten where nobody declares them."""

from __future__ import annotations

from typing import Any

import pytest

from roster_fixture import Desk, Row, student
from sis_connect.roster.export import roster_rows

DECLARED = {"custom": "students.bus:text, students.locker:integer"}


def riding(number: int = 3, **custom: Any) -> list[Row]:
    return [student(f"s{n:04d}", custom=custom) for n in range(number)]


async def remembered(desk: Desk) -> str:
    """What is staged, and what was last decided on."""
    staged = await desk.ask("SELECT document FROM sis_staged")
    return repr([*staged, *await desk.ask("SELECT base_sis, base_local FROM sis_student_mapping")])


@pytest.fixture(autouse=True)
def settings(desk: Desk) -> None:
    desk.settings = dict(DECLARED)


async def test_declared_fields_are_kept_and_exported_and_a_second_sync_writes_nothing(desk: Desk) -> None:
    desk.sis.put("students", *riding(bus="7", locker=12, secret="never-kept"))
    await desk.sync()
    exported = [row["custom"] async for row in roster_rows(desk.store, 1, "students")]
    assert exported == [{"bus": "7", "locker": 12}] * 3
    assert "never-kept" not in await remembered(desk)
    before = await desk.everything()
    report = await desk.sync()
    assert report.changes["students"] == {"unchanged": 3}
    assert await desk.everything() == before


async def test_each_is_merged_for_itself(desk: Desk) -> None:
    desk.sis.put("students", *riding(bus="7", locker=12))
    await desk.sync()
    await desk.edit("s0000", custom='{"bus": "9", "locker": 12}')
    desk.sis.put("students", *riding(bus="7", locker=13))
    await desk.sync()
    assert (await desk.student("s0000"))["custom"] == {"bus": "9", "locker": 13}
    desk.settings = {**DECLARED, "policies": {"students.custom.bus": {"owner": "sis"}}}
    await desk.sync()
    assert (await desk.student("s0000"))["custom"] == {"bus": "7", "locker": 13}


async def test_p2_a_wrong_value_waits_in_quarantine_and_the_student_keeps_the_last_good_state(desk: Desk) -> None:
    desk.sis.put("students", *riding(bus="7", locker=12))
    await desk.sync()
    feed = desk.sis.put("students", *riding(bus="8", locker=13))
    feed["s0000"] = student("s0000", custom={"bus": "8", "locker": "never-said"})
    report = await desk.sync()
    assert (report.quarantined, report.changes["students"]["update"]) == (1, 2)
    assert (await desk.student("s0000"))["custom"] == {"bus": "7", "locker": 12}
    ((fields, reason),) = await desk.ask("SELECT fields, reason FROM sis_quarantine")
    assert ("custom.locker" in fields, "never-said" in str(reason)) == (True, False)


async def test_p2_a_field_that_is_not_delivered_takes_no_part(desk: Desk) -> None:
    desk.sis.put("students", *riding(bus="7", locker=12))
    await desk.sync()
    desk.sis.put("students", *riding(locker=13))
    await desk.sync()
    assert (await desk.student("s0001"))["custom"] == {"bus": "7", "locker": 13}


async def test_p7_what_is_declared_no_more_is_remembered_no_more(desk: Desk) -> None:
    desk.sis.put("students", *riding(bus="bus-seven", locker=12))
    await desk.sync()
    desk.settings = {"custom": "students.locker:integer"}
    desk.sis.put("students", *riding(bus="bus-seven", locker=13))
    await desk.sync()
    assert "bus-seven" not in await remembered(desk)
    desk.settings = {}
    desk.sis.put("students", *riding(bus="bus-seven", locker=14))
    await desk.sync()
    assert '"locker"' not in await remembered(desk)
