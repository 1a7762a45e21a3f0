"""One school year in one run, over real HTTP: night after night the sync reads the district, and at the end nothing is wrong.

The suite lives it with 500 students and looks in every few nights; `nox -s long` lives it with 10,000 and every night.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from office import OFFERED, Office, differences, expected
from sis_connect.capabilities import Kind
from sis_connect.discovery import discover
from sis_connect.roster.report import SyncReport
from sis_connect.testing.sandbox import running_sandbox

STUDENTS = int(os.environ.get("YEAR_STUDENTS", "500"))
#: A sync in every so many nights.
NIGHTS = int(os.environ.get("YEAR_NIGHTS", "15"))
SCHOOL_DAYS = 180
#: Kinds whose removals are held against the truth of each night; the others are at the end.
PEOPLE: tuple[Kind, ...] = ("staff", "students", "school_enrollments")


async def test_p1_after_a_year_the_roster_is_the_truth_and_nobody_was_removed_who_had_not_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_sandbox(discover().info("powerschool"), students=STUDENTS) as sandbox:
        sandbox.set(package="installed", past_years="1")
        office = Office(sandbox, tmp_path / "roster.db")
        # Everything is read each night. With that, who is missing is gone: a second look would only come a night later.
        await office.connect(road="bulk", full_every="0", absence_grace="0")
        year = Year(office)
        for day in [*range(0, SCHOOL_DAYS, NIGHTS), SCHOOL_DAYS]:
            sandbox.set_day(day)
            await year.night()
        assert year.wrongly_removed == []
        assert await year.strayed() == []
        assert await year.wrong_stints() == []
        assert year.events() == year.written
        assert year.unsettled() == []
    with capsys.disabled():
        print(f"\n{year}")


class Year:
    """What happened in a year, as one office saw it."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.wrongly_removed: list[str] = []
        self.written: Counter[str] = Counter()
        self.held: Counter[str] = Counter()
        self.nights = self.requests = self.records = 0
        self.began, self.worked = time.monotonic(), time.process_time()

    def __str__(self) -> str:
        wrote = ", ".join(f"{number:,} {what}" for what, number in sorted(self.written.items()))
        held = ", ".join(f"{guard} {number}" for guard, number in sorted(self.held.items())) or "none"
        return (
            f"a year of {STUDENTS:,} students: {self.nights} syncs of {self.records:,} records in the end, {self.requests:,} "
            f"requests, {time.monotonic() - self.began:.0f} s ({time.process_time() - self.worked:.0f} s of processor time); "
            f"written: {wrote}; approved holds: {held}"
        )

    async def night(self) -> None:
        """One sync, and a person who says yes to what a guard holds. Who was removed has to have left."""
        report = await self.office.sync()
        assert report.status in ("succeeded", "held"), report
        self.nights, self.requests = self.nights + 1, self.requests + report.requests
        self.records = sum(number for number in report.records.values() if isinstance(number, int))
        self._count(report)
        if report.holds:
            self.held.update(hold.guard for hold in report.holds)
            for approved in await self.office.approve_all():
                assert not approved.skipped
                self._count(approved)
        for kind in PEOPLE:
            if report.changes.get(kind, {}).get("withdraw") or report.held.get(kind, {}).get("withdraw"):
                self._look_for_removals(kind)

    def _count(self, report: SyncReport) -> None:
        for kind, counts in report.changes.items():
            self.written.update({f"{kind} {action}": n for action, n in counts.items() if action != "unchanged"})

    def _look_for_removals(self, kind: Kind) -> None:
        here = {sis_id for sis_id, row in expected(self.office.sandbox, kind).items() if row["status"] != "inactive"}
        gone = self.office.query(f"SELECT sis_id FROM roster_{kind} WHERE status = 'inactive'")
        self.wrongly_removed += [f"{self.office.sandbox.date} {kind} {sis_id}" for (sis_id,) in gone if sis_id in here]

    async def strayed(self) -> list[str]:
        """Where the roster is not what the sandbox knows to be true."""
        lines = []
        for kind in OFFERED:
            found = differences(await self.office.roster(kind), expected(self.office.sandbox, kind))
            lines += [f"{kind} {line}" for line in found]
        return lines

    async def wrong_stints(self) -> list[str]:
        """Where the stays differ from all stays of the district so far, of the students whom the roster knows.

        Nothing is deleted (promise P6): a stay that was announced and taken back before it began is kept, without a day.
        """
        ended = dict(self.office.query("SELECT sis_id, json_extract(spans, '$[#-1][1]') FROM sis_school_enrollment_mapping"))
        students = await self.office.roster("students")
        history = self.office.sandbox.truth("school_enrollments", history=True)
        stays = await self.office.roster("school_enrollments")
        names = ("student", "school", "entry_date", "exit_date", "grade")
        right = {row["sis_id"]: [row.get(name) for name in names] for row in history if row["student"] in students}
        taken_back = {
            sis_id for sis_id, row in stays.items()
            if row["status_reason"] == "no_longer_stated" and ended[sis_id] <= row["entry_date"] and sis_id not in right
        }  # fmt: skip
        here = {sis_id: [row.get(name) for name in names] for sis_id, row in stays.items() if sis_id not in taken_back}
        return [f"{sis_id}: {here.get(sis_id)}, not {right.get(sis_id)}" for sis_id in sorted(here.keys() | right.keys())
                if here.get(sis_id) != right.get(sis_id)]  # fmt: skip

    def events(self) -> Counter[str]:
        """The events of the year: one for each change."""
        rows = self.office.query("SELECT kind || ' ' || action, COUNT(*) FROM sis_event GROUP BY 1")
        return Counter(dict(rows))

    def unsettled(self) -> list[tuple[Any, ...]]:
        """What still waits for a person."""
        return self.office.query("SELECT guard, kind, count FROM sis_hold WHERE state = 'open'")
