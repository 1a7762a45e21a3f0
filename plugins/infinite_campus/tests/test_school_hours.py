"""When school is in: one request at a time then."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest
from pydantic import ValidationError

from sis_connect_infinite_campus.settings import Hours, InfiniteCampusSettings

HOURS = Hours(time(7), time(17))
DENVER = "America/Denver"


@pytest.mark.parametrize(
    ("moment", "in_school"),
    [
        ("2026-11-23T06:59:59-07:00", False),
        ("2026-11-23T07:00:00-07:00", True),
        ("2026-11-23T16:59:59-07:00", True),
        ("2026-11-23T17:00:00-07:00", False),
        ("2026-11-27T12:00:00-07:00", True),
        ("2026-11-28T12:00:00-07:00", False),
        ("2026-11-29T12:00:00-07:00", False),
        ("2026-07-01T07:30:00-06:00", True),
    ],
)
def test_school_is_in_from_monday_to_friday_in_the_districts_own_time(moment: str, in_school: bool) -> None:
    assert HOURS.hold(datetime.fromisoformat(moment).astimezone(UTC), DENVER) is in_school


def test_nobody_knows_when_school_is_in_without_a_time_zone() -> None:
    assert HOURS.hold(datetime(2026, 11, 29, 3, tzinfo=UTC), None)


@pytest.mark.parametrize("text", ["", "7-17", "17:00-07:00", "07:00-07:00", "07:00-25:00", "seven to five"])
def test_hours_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="FROM-TO"):
        InfiniteCampusSettings.model_validate({"school_hours": text})


@pytest.mark.parametrize("text", ["7:30-16:00", " 07:30-16:00 ", "07:30 - 16:00"])
def test_hours_may_be_written_in_several_ways(text: str) -> None:
    assert InfiniteCampusSettings.model_validate({"school_hours": text}).school_hours == (time(7, 30), time(16))
