"""The synthetic district, read through every way in which OneRoster is spoken, is one and the same roster, day after day."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oneroster_truth import ASKED, KINDS, connected, wrong
from sis_connect.connection import connect
from sis_connect.discovery import discover
from sis_connect.testing.sandbox import RunningSandbox, running_sandbox

WAYS = [("oneroster", "1.1"), ("oneroster", "1.2"), ("oneroster_csv", "1.1"), ("oneroster_csv", "1.2")]
#: Ordinary days, some weeks at once, and the next school year.
DAYS = (0, 1, 45, 250)


@pytest.fixture(params=WAYS, ids=[" ".join(way) for way in WAYS])
def sandbox(request: pytest.FixtureRequest) -> Iterator[RunningSandbox]:
    provider, version = request.param
    with running_sandbox(discover().info(provider), students=60, settings={"version": version}) as running:
        yield running


async def test_the_roster_is_the_districts_day_by_day(sandbox: RunningSandbox, tmp_path: Path) -> None:
    office = await connected(sandbox, tmp_path)
    for day in DAYS:
        sandbox.set_day(day)
        report = await office.sync()
        assert (report.error, report.incomplete) == (None, []), day
        assert all(applied.status == "succeeded" for applied in await office.approve_all()), day
        assert await wrong(office, everybody=sandbox.provider == "oneroster_csv") == [], day


async def test_all_that_is_asked_for_comes_and_changes(sandbox: RunningSandbox, tmp_path: Path) -> None:
    everybody = {"people": "users"} if sandbox.provider == "oneroster" else {}
    office = await connected(sandbox, tmp_path, fields=ASKED, **everybody)
    for day in (0, 30):
        sandbox.set_day(day)
        report = await office.sync()
        assert (report.error, report.incomplete) == (None, []), day
        await office.approve_all()
        assert await wrong(office, (*KINDS, "guardians"), fields=ASKED) == [], day


async def test_p7_what_is_not_asked_for_is_not_kept(sandbox: RunningSandbox, tmp_path: Path) -> None:
    office = await connected(sandbox, tmp_path)
    await office.sync()
    students = await office.roster("students")
    assert not {"birth_date", "gender", "emails", "phones", "demographics"} & {
        name for row in students.values() for name in row if row[name]
    }
    assert await office.roster("guardians") == {}
    assert b"@example.org" not in b"".join(str(row).encode() for row in students.values())


async def test_where_people_just_vanish_a_setting_says_so(tmp_path: Path) -> None:
    with running_sandbox(discover().info("oneroster"), students=60, settings={"deleted": "purged"}) as sandbox:
        office = await connected(sandbox, tmp_path, leaving="absence", deltas="false")
        for day in (0, 1, 2):
            sandbox.set_day(day)
            assert (await office.sync()).status == "succeeded"
            assert await wrong(office, everybody=False) == []


async def test_a_first_bulk_package_and_deltas_after_it_are_the_district(tmp_path: Path) -> None:
    with running_sandbox(discover().info("oneroster_csv"), students=60) as sandbox:
        office = await connected(sandbox, tmp_path)
        await office.sync()
        sandbox.set(mode="delta")
        for day in (1, 2, 3):
            sandbox.set_day(day)
            report = await office.sync()
            assert report.error is None
            assert await wrong(office) == [], day


async def test_at_a_cap_of_100_a_read_costs_hardly_more_requests_than_there_are_hundreds_of_rows() -> None:
    with running_sandbox(discover().info("oneroster"), students=5000, settings={"cap": "100"}) as sandbox:
        access: dict[str, Any] = {
            "client_id": sandbox.client_id,
            "client_secret": sandbox.client_secret,
            "token_url": sandbox.token_url,
        }
        async with connect("oneroster", base_url=sandbox.base_url, rate_limit="off", **access) as sis:
            rows = sum([page.received async for page in sis.pages(KINDS)])
        assert sandbox.stats()["requests"] <= 1.02 * rows / 100
