"""How gently the vendor's server is read: requests at once by the hour of the day, requests in all, and what `doctor` says."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from manual_clock import ManualClock
from sis_connect.connection import connect
from sis_connect.discovery import discover
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox
from sis_connect.transport.http import Transport

MONDAY_MORNING = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)  # 10:00 in Denver
MONDAY_NIGHT = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)  # 20:00 in Denver


@pytest.mark.parametrize(
    ("moment", "zone", "most"),
    [(MONDAY_MORNING, "America/Denver", 1), (MONDAY_NIGHT, "America/Denver", 5), (MONDAY_NIGHT, None, 1)],
    ids=["in school hours", "at night", "nobody knows the time"],
)
async def test_so_many_requests_are_under_way_at_once(
    sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch, moment: datetime, zone: str | None, most: int
) -> None:
    under_way: list[int] = [0]
    get_json = Transport.get_json

    async def counted(self: Transport, *arguments: Any, **named: Any) -> Any:
        under_way.append(under_way[-1] + 1)
        await asyncio.sleep(0.01)
        answer = await get_json(self, *arguments, **named)
        under_way.append(under_way[-1] - 1)
        return answer

    monkeypatch.setattr(Transport, "get_json", counted)
    told: dict[str, Any] = {"base_url": sandbox.base_url, "token_url": sandbox.token_url, **sandbox.settings}
    mine: dict[str, Any] = {
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "concurrency": 8,
        "page_size": 50,
    }
    async with connect("infinite_campus", clock=ManualClock(moment), time_zone=zone, **told, **mine) as campus:
        enrollments = [record async for record in campus.enrollments()]
    assert len(enrollments) > 1000
    assert max(under_way) == most


async def test_a_full_read_takes_few_requests_and_one_without_changes_fewer(office: Any) -> None:
    """As many pages as 10,000 students have at 5000 rows a page."""
    with running_sandbox(discover().info("infinite_campus"), students=1000) as sandbox:
        larger = type(office)(sandbox, office.database)
        await larger.connect(page_size="500")
        assert (await larger.sync()).requests <= 40
        assert (await larger.sync()).requests <= 15


async def test_doctor_finds_nothing_wrong(office: Any) -> None:
    await office.connect(time_zone="America/Denver")
    async with office.open() as service:
        findings = await service.doctor("lincoln")
    assert not [finding for finding in findings if finding.level == "error"], [finding.topic for finding in findings]
    (cost,) = (finding.requests for finding in findings if finding.requests is not None)
    assert cost <= 40


async def test_doctor_foretells_what_is_missing_as_long_as_demographics_are_not_shared(office: Any) -> None:
    office.sandbox.set(demographics="withheld")
    await office.connect(time_zone="America/Denver", fields="addresses,phones,guardians")
    async with office.open() as service:
        (refused,) = [finding for finding in await service.doctor("lincoln") if finding.level == "error"]
    assert refused.topic == "demographics"
    assert "addresses and phones" in refused.message
    assert "data to share" in refused.remedy
    report = await office.sync()
    assert [refused.remedy in unread["reason"] for unread in report.incomplete] == [True]


def test_a_week_passes_between_two_reads_of_everything() -> None:
    assert discover().info("infinite_campus").full_every == 7 * 24
