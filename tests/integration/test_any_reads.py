"""Whatever reads went before, of everything, of changes or of one school, killed or not, the roster is that of a new database
which is fed the last state once.

The sizes from which on fingerprints are kept and rows are written are made tiny, so that a handful of rows passes through all of
it. Each seed is one story of reads.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from changing_sis import STUDENTS, ChangingSIS, changing
from roster_fixture import HOUR, Desk, Killed, Row, bad, open_desk, school, student
from sis_connect.provider import Scope
from sis_connect.roster import fingerprints, stage, staged_rows
from sis_connect.roster.staged_rows import count_rows, remembered
from sis_connect.store.sql import Store

STORIES = [*map(Random, range(5))]
MIXED_STORIES = [*map(Random, range(1000, 1003))]
_write = Store.write


class Kills:
    """Kills the process that writes: at the so-many-eth transaction of a read, just before its commit or just after it."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._left: int | None = None
        self._before = self._dead = False

    def draw(self) -> None:
        self._left = self._chance.randrange(1, 16) if self._chance.random() < 0.5 else None
        self._before, self._dead = self._chance.random() < 0.4, False

    def stop(self) -> None:
        self._left, self._dead = None, False

    def stand_in(self) -> Any:
        @asynccontextmanager
        async def write(store: Store, *, durable: bool = False) -> AsyncIterator[AsyncConnection]:
            if self._dead:
                raise Killed
            async with _write(store, durable=durable) as connection:
                yield connection
                if self._left is not None:
                    self._left -= 1
                    self._dead = self._left <= 0
                if self._dead and self._before:
                    raise Killed
            if self._dead:
                raise Killed

        return write


class Source:
    """What the SIS holds: some rows in some order, of which a few cannot be read."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.rows: dict[str, str] = {}
        for number in range(chance.randrange(9)):
            self.rows[f"k{number}"] = self._saying()

    def _saying(self) -> str:
        return self._chance.choice(["Ash", "Birch", "Cedar", "Ash", "Birch", "Cedar", "unreadable"])

    def move_on(self) -> None:
        for _ in range(self._chance.randrange(5)):
            key = f"k{self._chance.randrange(9)}"
            match self._chance.choice(["come", "say", "go", "move"]):
                case "come" | "say":
                    self.rows[key] = self._saying()
                case "go":
                    self.rows.pop(key, None)
                case "move" if key in self.rows:
                    self.rows[key] = self.rows.pop(key)

    def mend(self) -> None:
        self.rows = {key: "Ash" if saying == "unreadable" else saying for key, saying in self.rows.items()}

    def delivered(self) -> list[Row]:
        rows = [bad(key) if saying == "unreadable" else student(key, family_name=saying) for key, saying in self.rows.items()]
        return [*rows, student("anchor")]


async def believed_is_staged(desk: Desk) -> None:
    """What the next read would recognise is what is staged."""
    portions = "EXISTS (SELECT 1 FROM sis_fingerprint f WHERE f.stream_id = s.id) AS has_portions"
    staged = text("SELECT id, fingerprint FROM sis_staged WHERE stream_id = :s AND part = 0")
    async with desk.store.read() as connection:
        for stream in (await connection.execute(text(f"SELECT s.*, {portions} FROM sis_stream s"))).all():
            known, _ = await remembered(connection, stream)
            theirs = {(row.id, row.fingerprint) for row in await connection.execute(staged, {"s": stream.id})}
            assert sorted(known.rows()) == sorted(theirs)
            if stream.state == "complete" and stream.mark is not None:
                assert stream.rows == await count_rows(connection, 1, stream.id)


async def active(desk: Desk) -> dict[str, str]:
    return {sis_id: row["family_name"] for sis_id, row in (await desk.roster("students")).items() if row["status"] == "active"}


@pytest.fixture
def kills(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kills:
    """What kills the reads of a story; and the sizes that make a handful of rows a long stream, drawn anew for each."""
    chance: Random = request.getfixturevalue("chance")
    kills = Kills(chance)
    monkeypatch.setattr(Store, "write", kills.stand_in())
    monkeypatch.setattr(staged_rows, "_WORTH_KEEPING", chance.choice([0, 1, 2, 3, 4, 6]))
    monkeypatch.setattr(staged_rows, "_LARGE", chance.choice([1, 3, 1000]))
    monkeypatch.setattr(fingerprints, "_PORTION", chance.choice([1, 2, 3]))
    monkeypatch.setattr(stage, "BATCH", chance.choice([1, 1, 2, 4, 1000]))
    return kills


@pytest.mark.parametrize("chance", STORIES, ids=[f"story {number}" for number in range(len(STORIES))])
async def test_p4_after_any_reads_the_roster_is_that_of_the_last_state(tmp_path: Path, chance: Random, kills: Kills) -> None:
    source = Source(chance)
    size = chance.choice([1, 2, 3, 5])
    async with open_desk(tmp_path) as desk:
        desk.settings = {"absence_grace": 0}
        for _ in range(chance.randrange(2, 8)):
            feed = desk.sis.put("students", *source.delivered(), size=size)
            feed.breaks = chance.randrange(4) if chance.random() < 0.15 else None
            desk.sis.seconds_per_page = chance.choice([0, 3, 3])  # 3: each page is written at once
            kills.draw()
            try:
                await desk.sync(full=chance.random() < 0.1)
            except Killed:
                pass
            finally:
                kills.stop()
            await believed_is_staged(desk)
            desk.clock.advance(chance.choice([10, 10, 3600]))  # some go on where they were, some begin anew
            source.move_on()
        source.mend()
        desk.sis.put("students", *source.delivered(), size=size)
        desk.clock.advance(3600)
        for hold in (await desk.sync()).holds:
            await desk.approve(hold)
        assert await active(desk) == {**source.rows, "anchor": "Vale"}
        report = await desk.sync()
        assert report.changes["students"] == {"unchanged": len(source.rows) + 1}


NARROW = ("students_of_school", "school=A")
ALL: dict[str, Any] = {"kinds": ("schools", "students")}
ONE_SCHOOL: dict[str, Any] = {"kinds": ("students",), "scope": Scope(schools=frozenset("A"))}


def deliver(sis: ChangingSIS, rows: list[Row], size: int, *, narrow: bool) -> None:
    """Let the students be listed: those of one school through an endpoint of its own."""
    sis.feeds.clear()
    sis.put("students", *rows, size=size, school="A" if narrow else None)
    if narrow:
        sis.feeds[NARROW] = sis.feeds.pop(STUDENTS)
    sis.put("schools", school("A"))


@pytest.mark.parametrize("chance", MIXED_STORIES, ids=[f"story {number}" for number in range(len(MIXED_STORIES))])
async def test_p4_after_reads_of_all_changes_and_one_school_the_roster_is_that_of_the_last_state(
    tmp_path: Path, chance: Random, kills: Kills
) -> None:
    source, size = Source(chance), chance.choice([1, 1, 2, 3])
    async with open_desk(tmp_path) as desk:
        desk.settings = {"absence_grace": 0}
        sis = changing(desk)
        sis.overlap = chance.choice([0, 1, 3, 100])
        for _ in range(chance.randrange(4, 12)):
            narrow = chance.random() < 0.2
            deliver(sis, source.delivered(), size, narrow=narrow)
            for feed in sis.feeds.values():
                feed.breaks = chance.randrange(4) if chance.random() < 0.05 else None
            sis.seconds_per_page = chance.choice([0, 3, 3])
            kills.draw()
            try:
                await desk.sync(**ONE_SCHOOL if narrow else ALL, full=chance.random() < 0.15)
            except Killed:
                pass
            finally:
                kills.stop()
            await believed_is_staged(desk)
            desk.clock.advance(chance.choice([10, HOUR, HOUR, HOUR, 24 * HOUR]))
            source.move_on()
        source.mend()
        for narrow in (True, False):  # who was seen in one school's list only is looked for there
            deliver(sis, source.delivered(), size, narrow=narrow)
            for feed in sis.feeds.values():
                feed.breaks = None
            desk.clock.advance(24 * HOUR)
            for hold in (await desk.sync(**ONE_SCHOOL if narrow else ALL)).holds:
                await desk.approve(hold)
        assert await active(desk) == {**source.rows, "anchor": "Vale"}
        for _ in range(2):
            report = await desk.sync(**ALL)
            assert report.read["changes"] == 1
            assert report.changes["students"] == {"unchanged": len(source.rows) + 1}
