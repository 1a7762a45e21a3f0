"""From what time on changes are asked for, and how that is written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from sis_connect.changes_since import ChangesSince, since, written_like
from sis_connect.transport.answers import Response

HOUR = timedelta(hours=1)
mark = ChangesSince(param="filter", stamp="dateLastModified").mark
AT = datetime(2026, 11, 20, 7, 8, 9, 120_000, tzinfo=UTC)


def answered(time: str | None = "Fri, 20 Nov 2026 12:00:00 GMT") -> Response:
    return Response(200, {"date": time} if time else {}, b"")


def rows(*stamps: object) -> list[bytes]:
    return [json.dumps({"sourcedId": "x", "dateLastModified": stamp}).encode() for stamp in stamps]


@pytest.mark.parametrize(
    ("example", "written"),
    [
        ("2026-11-01T10:00:00.000Z", "2026-11-20T07:08:09.120Z"),
        ("2026-11-01T10:00:00Z", "2026-11-20T07:08:09Z"),
        ("2026-11-01T10:00:00", "2026-11-20T07:08:09"),
        ("2026-11-01 10:00:00", "2026-11-20 07:08:09"),
        ("2026-11-01T10:00:00.0000000Z", "2026-11-20T07:08:09.1200000Z"),
        ("2026-11-01T10:00:00.1-06:00", "2026-11-20T01:08:09.1-06:00"),
        ("2026-11-01T10:00:00+0530", "2026-11-20T12:38:09+0530"),
        ("2026-11-01T10:00", "2026-11-20T07:08"),
        ("2026-11-01", "2026-11-20"),
        ("", "2026-11-20T07:08:09.120Z"),
    ],
)
def test_times_are_written_as_the_server_writes_them(example: str, written: str) -> None:
    assert written_like(example, AT) == written


def test_the_mark_is_the_latest_change_seen_and_changes_are_asked_for_from_before_it() -> None:
    told = mark(None, answered(), rows("2026-11-20T09:00:00.000Z", "2026-11-20T10:30:00.000Z", "2026-11-19T23:00:00.000Z"))
    assert told == "2026-11-20T12:00:00+00:00|2026-11-20T10:30:00.000Z"
    assert since(told, HOUR) == "2026-11-20T09:30:00.000Z"


def test_the_latest_of_all_pages_counts() -> None:
    first = mark(None, answered(), rows("2026-11-20T10:00:00Z"))
    assert mark(first, answered(), rows("2026-11-20T09:00:00Z")) == first
    assert (mark(first, answered(), rows("2026-11-20T11:00:00Z")) or "").endswith("|2026-11-20T11:00:00Z")
    assert mark(first, answered(), []) == first


def test_p4_what_changes_on_pages_behind_us_during_a_long_read_is_asked_for_again() -> None:
    first = mark(None, answered("Fri, 20 Nov 2026 12:00:00 GMT"), rows("2026-11-20T10:00:00Z"))
    last = mark(first, answered("Fri, 20 Nov 2026 16:00:00 GMT"), rows("2026-11-20T15:59:00Z"))
    assert last is not None
    assert since(last, HOUR) == "2026-11-20T11:00:00Z"


def test_changes_in_the_servers_own_future_are_no_mark() -> None:
    told = mark(None, answered(), rows("2031-01-01T00:00:00Z", "2026-11-20T11:00:00Z"))
    assert told is not None
    assert told.endswith("|2026-11-20T11:00:00Z")
    assert mark(None, answered(), rows("2031-01-01T00:00:00Z")) is None


@pytest.mark.parametrize("time", [None, "", "noon"])
def test_a_server_that_does_not_tell_the_time_gives_no_mark(time: str | None) -> None:
    assert mark(None, answered(time), rows("2026-11-20T11:00:00Z")) is None


@pytest.mark.parametrize("stamp", [None, "", "yesterday", 17, {}])
def test_rows_without_a_readable_time_give_no_mark(stamp: object) -> None:
    assert mark(None, answered(), rows(stamp)) is None


def test_times_to_the_day_are_asked_for_from_the_day_before() -> None:
    assert since("2026-11-20T12:00:00+00:00|2026-11-20", HOUR) == "2026-11-19"


def test_a_time_that_somebody_names_is_a_mark_too() -> None:
    assert since("2026-11-20T10:00:00.000Z", HOUR) == "2026-11-20T09:00:00.000Z"
