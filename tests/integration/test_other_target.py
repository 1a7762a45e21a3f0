"""A target whose accounts do not lie in our database: it creates row by row and tells what it reads back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from roster_fixture import Desk, Killed, enrollment, section, student
from sis_connect.capabilities import Kind, KindCapabilities
from sis_connect.store.creations import Creations, Outcome, Write
from sis_connect.store.target import LocalRow


class Accounts:
    """An app that keeps its accounts in its own memory and stores names in capitals."""

    def __init__(self) -> None:
        self.rows: dict[tuple[Kind, str], dict[str, Any]] = {}
        self.made = 0

    async def find(self, connection: AsyncConnection, kind: Kind, sis_ids: Sequence[str]) -> dict[str, LocalRow]:
        found = {sis_id: self.rows[kind, sis_id] for sis_id in sis_ids if (kind, sis_id) in self.rows}
        return {sis_id: LocalRow(f"user-{sis_id}", row, None, str(hash(str(row)))) for sis_id, row in found.items()}

    async def create(self, connection: AsyncConnection, creations: Creations) -> None:
        writes = await creations.writes(connection)
        there = [write.sis_id for write in writes if (creations.kind, write.sis_id) in self.rows]
        await creations.leave_out(connection, there)
        outcomes = {}
        for write in writes:
            if write.sis_id not in there:
                self.made += 1
                row = self.rows[creations.kind, write.sis_id] = self._kept(write.fields)
                outcomes[write.sis_id] = Outcome(f"user-{write.sis_id}", row)
        await creations.remember(connection, outcomes)

    async def update(self, connection: AsyncConnection, kind: Kind, writes: Sequence[Write]) -> dict[str, Outcome]:
        for write in writes:
            self.rows[kind, write.sis_id] = self._kept({**self.rows[kind, write.sis_id], **write.fields})
        return {write.sis_id: Outcome(write.local_id, self.rows[kind, write.sis_id]) for write in writes}

    async def settle(self, connection: AsyncConnection, kind: Kind, sis_ids: Sequence[str]) -> None:
        """It does not note who edited what."""

    async def nominate(self, connection: AsyncConnection, kind: Kind) -> None:
        """Nobody edits it but us."""

    @staticmethod
    def _kept(fields: Any) -> dict[str, Any]:
        return {name: value.upper() if name.endswith("_name") else value for name, value in fields.items() if value is not None}


async def test_accounts_elsewhere_are_created_once_and_mapped_by_their_own_ids(desk: Desk) -> None:
    accounts = desk.target = Accounts()
    desk.sis.put("students", student("s1"), student("s2"))
    assert (await desk.sync()).changes["students"] == {"create": 2, "unchanged": 0}
    assert accounts.rows["students", "s1"]["family_name"] == "VALE"
    assert await desk.ask("SELECT sis_id, local_id FROM sis_student_mapping ORDER BY sis_id") == [
        ("s1", "user-s1"),
        ("s2", "user-s2"),
    ]
    assert (await desk.sync(full=True)).changes["students"] == {"unchanged": 2}  # its capitals are no edit of anybody's
    assert accounts.made == len(accounts.rows)


async def test_a_change_reaches_an_account_elsewhere(desk: Desk) -> None:
    accounts = desk.target = Accounts()
    desk.sis.put("students", student("s1"))
    await desk.sync()
    desk.sis.put("students", student("s1", grade="06"))
    assert (await desk.sync()).changes["students"] == {"update": 1, "unchanged": 0}
    assert accounts.rows["students", "s1"]["grade"] == "06"


async def test_an_account_that_is_there_by_the_time_of_writing_is_left_as_it_is(desk: Desk) -> None:
    accounts = desk.target = Accounts()
    desk.sis.put("students", student("s1"), student("s2"))
    planned = await desk.plan()
    accounts.rows["students", "s1"] = {"given_name": "SOMEBODY"}
    report = await desk.apply(planned)
    assert (report.changes["students"], report.skipped["students"]) == ({"create": 1}, {"create": 1})
    assert accounts.rows["students", "s1"] == {"given_name": "SOMEBODY"}


class Renamed(Accounts):
    """Accounts that can go by other ids. What it has done stays done, whatever becomes of our transaction."""

    async def rename(self, connection: AsyncConnection, kind: Kind, names: Mapping[str, str]) -> Collection[str]:
        for former, new in names.items():
            if (kind, former) in self.rows:
                self.rows[kind, new] = self.rows.pop((kind, former))
        for (other, _), row in self.rows.items():
            if other == "enrollments" and kind == "students":
                row["user"] = names.get(row["user"], row["user"])
        return ()


@pytest.mark.parametrize("killed", [False, True])
async def test_accounts_elsewhere_go_by_other_ids_where_they_can(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    accounts = desk.target = Renamed()
    desk.sis.offer(students=KindCapabilities(offered=True, leaving="absence", former_ids=("legacy",)))
    desk.sis.put("students", student("s1"))
    desk.sis.put("sections", section("x"))
    desk.sis.put("enrollments", enrollment("e1"))
    await desk.sync()
    desk.sis.put("students", student("n1", ids={"legacy": "s1"}))
    desk.sis.put("enrollments", enrollment("e1", user="n1"))
    if killed:
        with monkeypatch.context() as patched:
            patched.setattr("sis_connect.roster.succession.renaming", dying)
            with pytest.raises(Killed):
                await desk.sync()
        assert await desk.ask("SELECT sis_id FROM sis_student_mapping") == [("s1",)]
    report = await desk.sync()
    assert (report.status, report.changes["students"]) == ("succeeded", {"update": 1, "unchanged": 0})
    assert report.changes["enrollments"] == {"unchanged": 1}
    assert accounts.made == len(accounts.rows) == 4
    assert accounts.rows["enrollments", "e1"]["user"] == "n1"
    assert await desk.ask("SELECT sis_id FROM sis_student_mapping") == [("n1",)]


def dying(*_: object) -> None:
    raise Killed
