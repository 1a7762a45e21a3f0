"""Time is an argument; the school date is the district's."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from sis_connect.clock import SystemClock, school_date


@pytest.mark.parametrize(
    ("zone", "day"),
    [("UTC", date(2026, 3, 9)), ("America/Denver", date(2026, 3, 8)), ("Pacific/Auckland", date(2026, 3, 9))],
)
def test_the_school_date_is_the_day_in_the_district(zone: str, day: date) -> None:
    assert school_date(datetime(2026, 3, 9, 3, 30, tzinfo=UTC), zone) == day


def test_the_hour_that_a_change_of_clocks_leaves_out_is_still_that_day() -> None:
    assert school_date(datetime(2026, 3, 8, 9, 59, tzinfo=UTC), "America/Denver") == date(2026, 3, 8)


async def test_the_machines_clock_tells_utc_and_never_runs_backwards() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0.001)
    assert clock.monotonic() > before
    assert clock.now().tzinfo is UTC
