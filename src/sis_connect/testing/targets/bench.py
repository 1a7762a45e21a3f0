"""The bench of the target suite: a district's SIS in memory, our own store in a file, and the app whose target is tried."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Kind
from sis_connect.records import RECORDS, on_request, required
from sis_connect.roster.plan_rows import plan_rows
from sis_connect.roster.report import SyncReport
from sis_connect.roster.sync import Request, Synchroniser
from sis_connect.settings import SISProviderConfig
from sis_connect.store.elsewhere import kept_elsewhere
from sis_connect.store.lease import BEAT, TERM
from sis_connect.store.sql import Store, open_store
from sis_connect.store.target import RosterTarget
from sis_connect.targets.choice import TargetChoice
from sis_connect.targets.host import SQLAlchemyTarget
from sis_connect.testing.suite.check import Failed, NotApplicable
from sis_connect.testing.targets.declaring import Declared
from sis_connect.testing.targets.district import INFO, Fields, MemorySIS
from sis_connect.testing.targets.looking import AppRow, AppRows, BuiltInRows, ModelRows
from sis_connect.traffic import Traffic

TODAY = date(2026, 11, 23)
#: Everything that is read by request only: the district delivers it all.
ASKED = ("guardians", *sorted({name for kind in KINDS for name in on_request(kind) - {"custom"}}))
#: Fields of one text each, which a check may change, and which an app most likely shows.
TEXTS = (
    "given_name", "family_name", "middle_name", "preferred_given_name", "preferred_family_name", "username", "name", "title",
    "identifier", "section_number", "location", "period", "course_code", "department", "relationship", "entry_code",
)  # fmt: skip
#: Whom an enrolment is of depends on its role.
_USERS: Mapping[Kind, tuple[Kind, ...]] = {"enrollments": ("students", "staff")}


class Killed(BaseException):
    """The process dies."""


class MortalStore(Store):
    """Our store, in a process that may die just where it hurts: the app has a batch, and we are about to remember that.

    `left` is how many batches are remembered before; None where it lives for ever.
    """

    left: int | None = None
    dead: bool = False

    @asynccontextmanager
    async def write(self, *, durable: bool = False) -> AsyncIterator[AsyncConnection]:
        if self.dead:
            raise Killed
        async with super().write(durable=durable) as connection:
            before = await self._remembered(connection)
            yield connection
            if self.left is not None and before != await self._remembered(connection):
                self.left -= 1
                self.dead = self.left < 0
                if self.dead:
                    raise Killed

    async def _remembered(self, connection: AsyncConnection) -> object:
        """How far plans have been applied."""
        if self.left is None:
            return None
        return (await connection.execute(text("SELECT number, position FROM sis_plan ORDER BY number"))).all()


class BenchClock:
    """Stands still, but where somebody waits for it. A lease is kept without a beat."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 23, 8, 0, tzinfo=UTC) + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        """So much later."""
        self._seconds += seconds

    async def sleep(self, seconds: float) -> None:
        if seconds == BEAT:
            await asyncio.Event().wait()
        self._seconds += max(seconds, 0.0)
        await asyncio.sleep(0)


@dataclass(repr=False)
class TargetBench:
    """One integration, on its way into the app. `settings` are the integration's, and a check may change them between runs.

    `kind` and `text_field` are what a check changes where one record will do.
    """

    declared: Declared
    store: MortalStore
    clock: BenchClock
    app: AppRows
    choice: TargetChoice
    integration: str = "lincoln"
    number: int = 1
    sis: MemorySIS = field(default_factory=MemorySIS)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """The kind that most checks are about."""
        return self.declared.kind

    @property
    def needed(self) -> tuple[Kind, ...]:
        """The main kind, and all that it refers to."""
        needed, found = set[Kind](), {self.kind}
        while found:
            needed |= found
            found = {owner for kind in found for owner in (*RECORDS[kind].references.values(), *_USERS.get(kind, ()))} - needed
        return tuple(kind for kind in KINDS if kind in needed)

    # -- running -------------------------------------------------------------------------------------------------------

    @property
    def config(self) -> SISProviderConfig:
        told = {"fields": ASKED, "absence_grace": 0, **self.settings}
        return SISProviderConfig(provider=INFO.name, base_url="http://127.0.0.1", **told)

    async def target(self) -> RosterTarget:
        """The target, bound to this integration."""
        return await self.choice.target_of(self.store, self.number, self.integration, self.config)

    async def _synchroniser(self) -> Synchroniser:
        return Synchroniser(
            store=self.store,
            target=await self.target(),
            integration_id=self.number,
            integration=self.integration,
            info=INFO,
            config=self.config,
            clock=self.clock,
            today=TODAY,
            traffic=Traffic(),
            provider=self.sis,
        )

    async def sync(self, *, everything: bool = False, failing: bool = False, full: bool = False) -> SyncReport:
        """One run, of the main kind and what it needs, or of `everything`.

        One that the target makes fail fails the check, unless it is `failing` on purpose.
        """
        report = await (await self._synchroniser()).sync(self._request(everything=everything, full=full))
        return report if failing else _sound(report)

    async def plan(self, *, everything: bool = False) -> SyncReport:
        """Decide, and write nothing."""
        return _sound(await (await self._synchroniser()).plan(self._request(everything=everything)))

    def _request(self, *, everything: bool, full: bool = False) -> Request:
        return Request(kinds=() if everything else self.needed, full=full)

    async def apply(self, planned: SyncReport) -> SyncReport:
        """Apply what was decided before."""
        ((number,),) = await self.ask("SELECT number FROM sis_plan WHERE id = :id", id=planned.plan)
        return _sound(await (await self._synchroniser()).apply(str(planned.plan), number, "suite"))

    async def planned_again(self, *, everything: bool = False) -> list[str]:
        """What a run would change now, as `kind sis_id action field …`: nothing, where the target says what is so."""
        report = await self.plan(everything=everything)
        rows = [row async for row in plan_rows(self.store, str(report.plan)) if row.action != "unchanged"]
        return [" ".join((row.kind, row.sis_id, row.action, *sorted(row.after or ()))) for row in rows]

    async def killed(self, batches: int) -> bool:
        """Run until the process dies, with so many batches remembered. False where the run ended before."""
        self.store.left = batches
        try:
            await self.sync(failing=True)
        except Killed:
            return True
        finally:
            self.store.left, self.store.dead = None, False
            self.clock.advance(TERM + 1)  # the lease of the dead is over
        return False

    async def ask(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        """Look into our own tables."""
        async with self.store.read() as connection:
            return [tuple(row) for row in await connection.execute(text(query), values)]

    @asynccontextmanager
    async def neighbour(self) -> AsyncIterator[TargetBench]:
        """A second integration beside this one, whose SIS uses the same ids."""
        await _integrate(self.store, 2, "jefferson")
        yield TargetBench(self.declared, self.store, self.clock, self.app, self.choice, "jefferson", 2, settings=self.settings)

    # -- looking -------------------------------------------------------------------------------------------------------

    async def kept(self) -> tuple[Kind, ...]:
        """The kinds that the app keeps: all, where the target does not say that others lie in the built-in tables."""
        if self.choice.target is None:
            return KINDS
        elsewhere = kept_elsewhere(await self.target())
        return tuple(kind for kind in KINDS if kind in elsewhere) if elsewhere else KINDS

    async def rows(self, kind: Kind | None = None) -> dict[str, AppRow]:
        """What the app shows of a kind, by `sis_id`. Two rows with one id fail the check."""
        kind = kind or self.kind
        found = await self.app.rows(kind, self.integration)
        rows = {row.sis_id: row for row in found}
        if len(rows) < len(found):
            raise Failed(
                f"Some rows of {kind} carry the same sis_id ({len(found)} rows, {len(rows)} ids): "
                "look for the id before you create a row, and make its column unique."
            )
        return rows

    async def row(self, sis_id: str) -> AppRow:
        """What the app shows of one record of the main kind."""
        rows = await self.rows()
        if sis_id not in rows:
            raise Failed(f"A row of {self.kind} is not there any more: nobody is deleted, and nothing that was created is lost.")
        return rows[sis_id]

    async def everything(self) -> dict[Kind, dict[str, AppRow]]:
        """What the app shows of all kinds that it keeps."""
        return {kind: await self.rows(kind) for kind in await self.kept()}

    async def texts(self, sis_id: str) -> list[str]:
        """The fields of a record that hold one text each and that the app shows."""
        shown = (await self.row(sis_id)).fields
        return [name for name in TEXTS if name in shown and name in RECORDS[self.kind].model_fields]

    async def text_fields(self, number: int) -> list[str]:
        """So many of them."""
        texts = await self.texts(self.some(1)[0])
        if len(texts) < number:
            raise NotApplicable(f"The app shows fewer than {number} texts of {self.kind}; name another `kind`.")
        return texts[:number]

    def some(self, number: int) -> list[str]:
        """The ids of some records of the main kind."""
        return [record["sis_id"] for record in self.sis.records[self.kind]][:number]

    def optional(self, sis_id: str) -> list[str]:
        """The fields of a record that may be blank, as the SIS delivers them; references and lists aside."""
        record = RECORDS[self.kind]
        told: Fields = self.sis.of(self.kind, sis_id)
        demanded = {"sis_id", *required(self.kind), *record.references}
        return [name for name, value in told.items() if isinstance(value, str) and name not in demanded]


def _sound(report: SyncReport) -> SyncReport:
    if report.error is not None:
        raise Failed(f"The run failed: {report.error.message} {report.error.remedy}".strip())
    if report.failed:
        said = "; ".join(str(warning["message"]) for warning in report.warnings if warning["warning"] == "refused")
        raise Failed(f"The target refused records that are in order: {said or dict(report.failed)}")
    return report


_MADE: list[bytes] = []


async def _fresh_database(path: Path) -> str:
    """A database without a record, by its URL. Its tables are made once; every other one is a copy."""
    url = f"sqlite:///{path}"
    if _MADE:
        path.write_bytes(_MADE[0])  # noqa: ASYNC240 - small, and nobody waits
    else:
        async with open_store(url):
            pass
        _MADE.append(path.read_bytes())  # noqa: ASYNC240 - the same
    return url


async def _integrate(store: Store, number: int, name: str) -> None:
    statement = (
        "INSERT INTO sis_integration (id, name, provider, settings, status, created_at) "
        "VALUES (:id, :name, :provider, '{}', 'active', '2026-08-01T00:00:00+00:00')"
    )
    async with store.write() as connection:
        await connection.execute(text(statement), {"id": number, "name": name, "provider": INFO.name})


def _looker(declared: Declared, target: object, store: Store) -> AppRows:
    own = declared.look(target)
    if own is not None:
        return own
    if target is None:
        return BuiltInRows(store)
    if isinstance(target, SQLAlchemyTarget):
        return ModelRows(target)
    raise Failed("There is no way to look into this target: let `look` of the suite return one.")


@asynccontextmanager
async def open_bench(declared: Declared) -> AsyncIterator[TargetBench]:
    """A new and empty app, and a store that knows nothing yet."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "app").mkdir()
        opened = await stack.enter_async_context(open_store(await _fresh_database(folder / "store.db")))
        store = MortalStore(opened.engine)
        target = declared.target(folder / "app")
        stack.push_async_callback(declared.close)
        await _integrate(store, 1, "lincoln")
        yield TargetBench(declared, store, BenchClock(), _looker(declared, target, store), TargetChoice(target))
