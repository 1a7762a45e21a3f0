"""A row that is another one than the day before says that it changed on this day: no reader of changes misses anything."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from sis_connect.testing.district import District
from sis_connect_oneroster.sandbox_roster import TABLES, Roster

#: A stretch of ordinary days, and the roll-over to the next year.
DAYS = [*range(25), 192, 193, 194]


def rows(district: District, version: str) -> dict[tuple[str, str], dict[str, Any]]:
    roster = Roster(district, version, {})
    return {(table, entry.sourced_id): roster.row(entry) for table in TABLES for entry in roster.entries(table).values()}


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_whatever_changes_is_dated_and_nothing_goes_back_in_time(version: str) -> None:
    district = District(students=60)
    told: list[dict[tuple[str, str], dict[str, Any]]] = []
    moved = 0
    for before, day in pairwise(DAYS):
        district.move_to(before)
        told = [rows(district, version)]
        district.move_to(day)
        told.append(rows(district, version))
        for key, row in told[1].items():
            old = told[0].get(key, {})
            if {**row, "dateLastModified": ""} != {**old, "dateLastModified": ""}:
                moved += 1
                since = row["dateLastModified"][:10]
                assert since == district.today.isoformat() if day == before + 1 else since > "2026-11-01", key
            assert row["dateLastModified"] >= old.get("dateLastModified", "")
    assert moved > 100


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_a_new_day_takes_over_what_is_as_it_was_and_nothing_else(version: str) -> None:
    district = District(students=200)
    former = Roster(district, version, {})
    for day in DAYS:
        district.move_to(day)
        following, fresh = Roster(district, version, {}), Roster(district, version, {})
        following.follow(former)
        shares = {}
        for table in TABLES:
            entries = following.entries(table)
            assert list(entries.items()) == list(fresh.entries(table).items()), (table, day)
            shares[table] = sum(former.entries(table).get(one) is entry for one, entry in entries.items()) / len(entries)
        # A day's changes are few; only the roll-over changes everything.
        assert day in (0, 192, 193) or min(shares["user"], shares["enrollment"]) > 0.9, (day, shares)
        former = following


def test_only_what_was_gone_for_long_vanishes() -> None:
    district = District(students=60)
    district.move_to(5)
    before = rows(district, "1.2")
    district.move_to(20)
    after = rows(district, "1.2")
    assert {before[key]["status"] for key in before.keys() - after.keys()} <= {"tobedeleted"}
