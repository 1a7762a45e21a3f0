"""What the service tells of a roster's quality, and who is missing but kept."""

from __future__ import annotations

from typing import Any

import pytest

from desk_service import service_of
from roster_fixture import HOUR, Desk, bad, school, stay, student, students
from sis_connect.errors import ConfigurationError

NO_SCHOOL = "This active student has no school."


async def listed(items: Any) -> list[dict[str, Any]]:
    return [item.as_dict() async for item in items]


async def test_the_service_lists_what_is_to_be_mended(desk: Desk) -> None:
    desk.sis.put("students", *students(3), student("s9", school=None))
    await desk.sync()
    service = await service_of(desk)
    expected = {"check": "students_without_school", "kind": "students", "sis_id": "s9", "school": None, "message": NO_SCHOOL}
    assert await listed(service.integrity("lincoln")) == [expected]
    assert await listed(service.integrity("lincoln", "shared_numbers")) == []
    for wrong in (service.integrity("lincoln", "nonsense"), service.integrity("nowhere"), service.quarantine("nowhere")):
        with pytest.raises(ConfigurationError, match="There is no"):
            await listed(wrong)


async def test_p7_the_service_lists_what_waits_in_quarantine_without_its_values(desk: Desk) -> None:
    desk.sis.put("students", *students(40), bad("dcid=5"))
    desk.sis.put("school_enrollments", stay("lost", student="s0001", school="33"))
    await desk.sync()
    waiting = await listed((await service_of(desk)).quarantine("lincoln"))
    since = desk.clock.now().isoformat()
    assert waiting == [
        {"kind": "school_enrollments", "key": "lost", "fields": ["school"], "endpoint": None, "since": since,
         "reason": "refers to what is not there (school)"},
        {"kind": "students", "key": "dcid=5", "fields": ["grade"], "endpoint": "students", "since": since,
         "reason": "grade is not a grade"},
    ]  # fmt: skip


async def test_p1_who_is_missing_and_kept_is_counted_until_that_is_decided(desk: Desk) -> None:
    feed = desk.sis.put("students", *students(40))
    desk.sis.put("schools", school("A"), school("B"))
    assert (await desk.sync()).missing == {}
    feed.drop("s0001", "s0002")
    for report in (await desk.plan(), await desk.sync()):
        assert report.missing == {"students": 2}
    feed.rows.append(student("s0002"))
    assert (await desk.sync()).missing == {"students": 1}
    desk.clock.advance(13 * HOUR)
    report = await desk.sync()
    assert (report.changes["students"]["withdraw"], report.missing) == (1, {})
    assert (await desk.sync()).missing == {}
