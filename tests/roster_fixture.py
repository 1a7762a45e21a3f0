"""A district in memory whose source rows a test sets as JSON, and the desk from which its roster is synchronised."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import text

from manual_clock import ManualClock
from sis_connect.capabilities import KINDS, Capabilities, Kind, KindCapabilities
from sis_connect.errors import NetworkError
from sis_connect.guards import Guard
from sis_connect.hosting import faults
from sis_connect.provider import CONTRACT, DONE, Finding, InvalidRow, Page, ProviderInfo, Reading, Scope, Since, Stream
from sis_connect.records import RECORDS, Record, Ref, part
from sis_connect.roster.conflict import STRATEGIES, Decider
from sis_connect.roster.holds import Hold, find_hold
from sis_connect.roster.plan_rows import PlanRow, plan_rows
from sis_connect.roster.report import SyncReport
from sis_connect.roster.sync import Request, Synchroniser
from sis_connect.settings import SISProviderConfig
from sis_connect.store.lease import BEAT
from sis_connect.store.sql import Store, open_store
from sis_connect.store.tables import rosters
from sis_connect.store.target import BuiltInTarget, RosterTarget, from_column
from sis_connect.traffic import Traffic

Row = dict[str, Any]
TODAY = date(2026, 11, 23)
HOUR = 3600.0
CAPABILITIES: Mapping[Kind, KindCapabilities] = {
    "schools": KindCapabilities(offered=True, leaving="absence"),
    "courses": KindCapabilities(offered=True, leaving="absence"),
    "staff": KindCapabilities(offered=True, leaving="absence", reference_ids=("badge",)),
    "students": KindCapabilities(offered=True, leaving="absence", strong_ids=("state_id", "student_number")),
    "school_enrollments": KindCapabilities(offered=True, leaving="absence"),
    "sections": KindCapabilities(offered=True, leaving="absence"),
    "enrollments": KindCapabilities(offered=True, leaving="absence"),
}


class Killed(BaseException):
    """The process dies: like Ctrl-C nobody's fault, so it is not taken for one of the provider that it happens in."""


faults.ENDINGS = (*faults.ENDINGS, Killed)


class DeskClock(ManualClock):
    """Stands still while a lease is kept: its beat never comes. Any other pause moves it."""

    async def sleep(self, seconds: float) -> None:
        if seconds == BEAT:
            await asyncio.Event().wait()
        await super().sleep(seconds)


# -- rows --------------------------------------------------------------------------------------------------------------


def row(key: str, **records: Any) -> Row:
    """A source row: its key, and the records that it feeds, by kind. Whatever else is in it makes its bytes other ones."""
    return {"key": key, **records}


def school(sis_id: str, **fields: Any) -> Row:
    return row(sis_id, schools={"sis_id": sis_id, "name": f"School {sis_id}", **fields})


def student(sis_id: str, **fields: Any) -> Row:
    names = {"given_name": f"Given{sis_id}", "family_name": "Vale", "school": "A", "grade": "05", "status": "active"}
    return row(sis_id, students={"sis_id": sis_id, **names, **fields})


def students(number: int, **fields: Any) -> list[Row]:
    return [student(f"s{n:04d}", **fields) for n in range(number)]


def part_of(kind: Kind, sis_id: str, **fields: Any) -> Row:
    """A row that only completes a record."""
    return row(sis_id, parts={kind: {"sis_id": sis_id, **fields}})


def staff(key: str, sis_id: str, *, badge: str, **fields: Any) -> Row:
    names = {"given_name": "Ida", "family_name": "Roe", "schools": ["A"], "ids": {"badge": badge}}
    return row(key, staff={"sis_id": sis_id, **names, **fields})


def section(sis_id: str, **fields: Any) -> Row:
    return row(sis_id, sections={"sis_id": sis_id, "title": f"Section {sis_id}", "school": "A", **fields})


def enrollment(sis_id: str, **fields: Any) -> Row:
    return row(sis_id, enrollments={"sis_id": sis_id, "section": "x", "user": "s1", "role": "student", "school": "A", **fields})


def stay(sis_id: str, **fields: Any) -> Row:
    dates = {"entry_date": "2026-08-12", "exit_date": None}
    return row(sis_id, school_enrollments={"sis_id": sis_id, "student": "s1", "school": "A", **dates, **fields})


def bad(key: str | None, reason: str = "grade is not a grade") -> Row:
    """A row that cannot be read."""
    return {"key": key, "bad": reason}


# -- the SIS -----------------------------------------------------------------------------------------------------------


@dataclass
class Feed:
    """One stream. `total` is told unless it is None; `ends` is false where the end never comes; `breaks` after so many pages."""

    kinds: tuple[Kind, ...]
    rows: list[Row] = field(default_factory=list)
    school: str | None = None
    size: int = 1000
    total: int | str | None = "rows"
    ends: bool = True
    breaks: int | None = None

    def __getitem__(self, key: str) -> Row:
        return next(known for known in self.rows if known["key"] == key)

    def __setitem__(self, key: str, value: Row) -> None:
        self.rows = [value if known["key"] == key else known for known in self.rows]

    def drop(self, *keys: str) -> None:
        self.rows = [known for known in self.rows if known["key"] not in keys]


@dataclass(repr=False)
class FakeSIS:
    """Delivers its feeds. `version` is the mapping's; `reading` are fields that it reads in all students, `mends` students that
    it reads from bad rows. `killed_after` so many pages the process dies.
    """

    feeds: dict[Stream, Feed] = field(default_factory=dict)
    version: str = "1"
    reading: Mapping[str, Any] = field(default_factory=dict)
    mends: Mapping[str, Row] = field(default_factory=dict)
    clock: ManualClock | None = None
    seconds_per_page: float = 0.0
    killed_after: int | None = None
    asked: list[tuple[Stream, int]] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)
    info: ProviderInfo = field(
        default=ProviderInfo(
            name="fake",
            label="Fake",
            provider="roster_fixture:FakeSIS",
            contract=CONTRACT,
            capabilities=Capabilities(CAPABILITIES),
        )
    )

    def offer(self, **changes: KindCapabilities) -> None:
        """Declare other capabilities for some kinds."""
        self.info = replace(self.info, capabilities=Capabilities({**CAPABILITIES, **changes}))  # type: ignore[dict-item]

    def put(
        self, kind: Kind, *rows: Row, context: str = "", school: str | None = None, also: Iterable[Kind] = (), **told: Any
    ) -> Feed:
        """Set what a stream delivers."""
        feed = Feed((kind, *also), list(rows), school, **told)
        self.feeds[kind, context] = feed
        return feed

    async def check(self) -> Sequence[Finding]:
        return []

    async def pages(
        self,
        kinds: Collection[Kind],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        self.scopes.append(scope)
        for stream, feed in self.feeds.items():
            outside = scope.schools is not None and feed.school is not None and feed.school not in scope.schools
            at = (cursor or {}).get(stream, "1")
            if set(kinds) & set(feed.kinds) and not outside and at != DONE:
                async for page in self._pages_of(stream, feed, int(at)):
                    yield page

    async def _pages_of(self, stream: Stream, feed: Feed, number: int) -> AsyncIterator[Page]:
        told = len(feed.rows) if feed.total == "rows" else feed.total
        known = Page(
            endpoint=stream[0], context=stream[1], kinds=feed.kinds, school=feed.school, read=self._read,
            mapping_version=self.version, total=told if isinstance(told, int) else None,
        )  # fmt: skip
        while True:
            if feed.breaks is not None and number > feed.breaks:
                yield replace(known, more=True, error=NetworkError("The SIS did not answer."))
                return
            rows = feed.rows[(number - 1) * feed.size : number * feed.size]
            more = number * feed.size < len(feed.rows)
            self._live(stream, number)
            raw = [json.dumps(one, sort_keys=True).encode() for one in rows]
            yield replace(known, rows=raw, more=more or not feed.ends, cursor=str(number))
            number += 1
            if not more:
                return

    def _live(self, stream: Stream, number: int) -> None:
        self.asked.append((stream, number))
        if self.clock is not None:
            self.clock.advance(self.seconds_per_page)
        if self.killed_after is not None:
            self.killed_after -= 1
            if self.killed_after < 0:
                raise Killed

    def _read(self, raw: bytes) -> Reading:
        source = json.loads(raw)
        if source["key"] in self.mends:
            return Reading(source["key"], (self._record("students", self.mends[source["key"]]),))
        if "bad" in source:
            raise InvalidRow(source["bad"], key=source["key"], fields=("grade",))
        parts = source.get("parts", {})
        records = [self._record(kind, source[kind]) for kind in KINDS if kind in source]
        records += [part(RECORDS[kind], **parts[kind]) for kind in KINDS if kind in parts]
        return Reading(source["key"], tuple(records))

    def _record(self, kind: Kind, fields: Row) -> Record:
        def resolve(value: Any) -> Any:
            if isinstance(value, list):
                return [resolve(item) for item in value]
            return (
                Ref(value["ref"][0], **{value["ref"][1]: value["ref"][2]})
                if isinstance(value, dict) and "ref" in value
                else value
            )

        differently = self.reading if kind == "students" else {}
        return RECORDS[kind].model_validate({**{name: resolve(value) for name, value in fields.items()}, **differently})


# -- the desk ----------------------------------------------------------------------------------------------------------


@dataclass(repr=False)
class Desk:
    """Where one district's roster is kept and synchronised. `today` and `settings` may be changed between runs."""

    store: Store
    sis: FakeSIS
    clock: DeskClock
    today: date = TODAY
    settings: Row = field(default_factory=dict)
    target: RosterTarget = field(default_factory=lambda: BuiltInTarget(1))
    strategies: Mapping[str, Decider] = field(default_factory=lambda: STRATEGIES)
    guards: Mapping[str, Guard] = field(default_factory=dict)

    def synchroniser(self) -> Synchroniser:
        return Synchroniser(
            store=self.store,
            target=self.target,
            integration_id=1,
            integration="lincoln",
            info=self.sis.info,
            config=SISProviderConfig(provider="fake", base_url="http://127.0.0.1", **self.settings),
            clock=self.clock,
            today=self.today,
            traffic=Traffic(),
            provider=self.sis,
            strategies=self.strategies,
            guards=self.guards,
        )

    async def sync(self, **request: Any) -> SyncReport:
        return await self.synchroniser().sync(Request(**request))

    async def plan(self, **request: Any) -> SyncReport:
        return await self.synchroniser().plan(Request(**request))

    async def apply(self, planned: SyncReport) -> SyncReport:
        ((number,),) = await self.ask("SELECT number FROM sis_plan WHERE id = :id", id=planned.plan)
        return await self.synchroniser().apply(str(planned.plan), number, "ada")

    async def approve(self, hold: Hold) -> SyncReport:
        return await self.synchroniser().approve(await find_hold(self.store, hold.id), "ada")

    async def reject(self, hold: Hold) -> Hold:
        return await self.synchroniser().reject(hold, "ada")

    async def rows(self, report: SyncReport) -> dict[str, PlanRow]:
        """What a plan says about each record, by kind and id."""
        return {f"{row.kind} {row.sis_id}": row async for row in plan_rows(self.store, str(report.plan))}

    # -- the roster ----------------------------------------------------------------------------------------------------

    async def ask(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        async with self.store.read() as connection:
            return [tuple(row) for row in await connection.execute(text(query), values)]

    async def run(self, statement: str, **values: Any) -> None:
        """What the app itself does with its database."""
        async with self.store.write() as connection:
            await connection.execute(text(statement), values)

    async def roster(self, kind: Kind) -> dict[str, Row]:
        """The roster of a kind by `sis_id`, without what is blank."""
        async with self.store.read() as connection:
            found = (await connection.execute(text(f"SELECT * FROM roster_{kind}"))).mappings().all()
        rows = [{name: from_column(name, value) for name, value in row.items() if value is not None} for row in found]
        return {row["sis_id"]: row for row in rows}

    async def student(self, sis_id: str) -> Row:
        return (await self.roster("students"))[sis_id]

    async def statuses(self, kind: Kind) -> dict[str, str]:
        return {sis_id: found["status"] for sis_id, found in (await self.roster(kind)).items()}

    async def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of all rosters as they stand, revisions included."""
        return {kind: await self.ask(f"SELECT * FROM {table.name} ORDER BY id") for kind, table in rosters.items()}

    async def edit(self, sis_id: str, kind: Kind = "students", **fields: Any) -> None:
        """Somebody changes the app's row."""
        assigned = ", ".join(f'"{name}" = :{name}' for name in fields)
        await self.run(f"UPDATE roster_{kind} SET {assigned} WHERE sis_id = :sis_id", sis_id=sis_id, **fields)

    async def delete(self, sis_id: str, kind: Kind = "students") -> None:
        """Somebody deletes the app's row."""
        await self.run(f"DELETE FROM roster_{kind} WHERE sis_id = :sis_id", sis_id=sis_id)

    async def waiting(self) -> list[tuple[str, str]]:
        """What waits in quarantine: kind and key."""
        return [(row[0], row[1]) for row in await self.ask("SELECT kind, key FROM sis_quarantine ORDER BY kind, key")]

    async def holds(self) -> list[tuple[str, str, str, int]]:
        return [
            (row[0], row[1], row[2], row[3])
            for row in await self.ask("SELECT guard, kind, scope, count FROM sis_hold WHERE state = 'open' ORDER BY guard, kind")
        ]


_made: list[bytes] = []


async def fresh_database(path: Path) -> str:
    """A database without a record, by its URL. To make its tables takes longer than most tests: that is done once."""
    url = f"sqlite:///{path}"
    if _made:
        path.write_bytes(_made[0])  # noqa: ASYNC240 - small, and nobody waits
    else:
        async with open_store(url):
            pass
        _made.append(path.read_bytes())  # noqa: ASYNC240 - the same
    return url


@asynccontextmanager
async def open_desk(folder: Path) -> AsyncIterator[Desk]:
    """A desk on a new SQLite file, for a district with school A and no students yet."""
    clock = DeskClock()
    sis = FakeSIS(clock=clock)
    for kind in CAPABILITIES:
        sis.put(kind)
    sis.put("schools", school("A"))
    async with open_store(await fresh_database(folder / "roster.db")) as store:
        desk = Desk(store, sis, clock)
        await desk.run(
            "INSERT INTO sis_integration (id, name, provider, settings, status, created_at) "
            "VALUES (1, 'lincoln', 'fake', '{}', 'active', '2026-08-01T00:00:00+00:00')"
        )
        yield desk
