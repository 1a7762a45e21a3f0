"""What `doctor` finds out about any REST interface."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from raw_server import answer
from sis_connect.diagnosis import clock_skew, cost
from sis_connect.provider import Scope
from sis_connect.transport.answers import Response
from small_sis import SmallSIS, opened, read, small_district

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def told(moment: datetime) -> Response:
    return Response(200, {"date": format_datetime(moment, usegmt=True)}, b"{}")


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [
        (30, "ok", "agree"),
        (-30, "ok", "agree"),
        (300, "warning", "300 seconds ahead of"),
        (-300, "warning", "300 seconds behind"),
    ],
)
def test_clocks_that_differ_are_named(ahead: int, level: str, words: str) -> None:
    found = clock_skew(told(NOW - timedelta(seconds=ahead)), NOW)
    assert found.level == level
    assert words in found.message


@pytest.mark.parametrize("headers", [{}, {"date": "yesterday"}])
def test_a_server_that_does_not_tell_the_time_is_named(headers: dict[str, str]) -> None:
    assert clock_skew(Response(200, headers, b"{}"), NOW).level == "warning"


async def test_the_cost_is_about_what_a_read_takes() -> None:
    sis = small_district()
    async with opened(sis) as provider:
        found = await cost(provider)
        sis.asked.clear()
        await read(provider, {"schools", "sections", "students"}, Scope())
    assert found.requests is not None
    assert abs(found.requests - len(sis.asked)) <= 6  # rosters of more than one page are not known in advance


async def test_the_cost_is_told_in_time_where_there_is_a_limit() -> None:
    async with opened(small_district(), rate_limit="6/60") as provider:
        found = await cost(provider)
    assert found.facts["minutes"] == 3
    assert "about 3 minutes at 6 in 60 seconds" in found.message


async def test_large_districts_are_told_in_hours() -> None:
    sis = SmallSIS(
        {"/schools": [{"id": 1, "name": "Only"}], "/schools/1/sections": []}, counted={"/schools/1/sections/count": 9000}
    )
    async with opened(sis, rate_limit="60/60") as provider:
        assert "hours" in (await cost(provider)).message


async def test_a_server_that_fails_is_a_finding_and_ends_the_check() -> None:
    sis = small_district()
    sis.broken["/ping"] = answer(b"", status=503)
    async with opened(sis) as provider:
        (found,) = await provider.check()
    assert (found.topic, found.level) == ("connection", "error")
    assert found.remedy
