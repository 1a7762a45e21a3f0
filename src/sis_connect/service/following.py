"""Following changes: what was hinted at is read again, and districts are looked at again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, NoReturn

from sqlalchemy import Row

from sis_connect.errors import ConflictError, NotOffered, SISError
from sis_connect.hosting.faults import described, passes
from sis_connect.provider import Scope
from sis_connect.roster.hints import Work, at_most, pause, rest, sort_out
from sis_connect.roster.report import SyncReport
from sis_connect.roster.sync import Request
from sis_connect.service.real_time import RealTime
from sis_connect.service.syncs import Syncs
from sis_connect.store.hints import (
    ANYTHING,
    KeptHint,
    drop_hints,
    forget_deliveries,
    keep_hints,
    kept_hints,
    known_students,
    students_known_by,
)
from sis_connect.store.lease import hold_lease

#: How often to look whether hints have come, in seconds.
LOOK = 1.0
#: How long to let somebody else finish who is at work on the same district, in seconds.
BUSY = 3.0

OnReport = Callable[[SyncReport], None] | None


class Following(RealTime, Syncs):
    """Reading again what has changed."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        #: Until when the whole of a district is left alone, by the clock's own seconds.
        self._rests: dict[str, float] = {}

    async def drain_hints(self, name: str, *, district: bool = True, actor: str = "") -> list[SyncReport]:
        """Read again what was hinted at, and report each run: one for single students, one for the changes of the district.

        A student costs one request where the SIS has single reads. What is about more of them than are worth that, about other
        kinds, or about a student who cannot be read any more, is one read of changes; without `district` it waits. What fails
        is kept for the next time. Where somebody else is draining, nothing is done.
        """
        row = await self._integrations.row(name)
        reports: list[SyncReport] = []
        with suppress(_SomebodyElse):
            async with self._draining(row.id):
                work, hints = await self._work(row)
                if work.students:
                    reports.append(await self._students(row, work, actor))
                    work, hints = await self._work(row)
                if district and work.district and all(_readable(report) for report in reports):
                    reports.append(await self._district(row, hints, actor))
        return reports

    async def follow_hints(self, name: str, *, on_report: OnReport = None, actor: str = "") -> None:
        """Drain the hints of a district until none is left, as its limit allows. Failures are reported and tried again later."""
        failures = 0
        while name in await self.hinted():
            reports = await self._carefully(name, self._step(name, look=False, actor=actor), on_report)
            failed = next((report for report in reports if _failed(report)), None)
            failures = failures + 1 if failed else 0
            if failed or not reports:
                await self._clock.sleep(_until_next(failed, LOOK, failures))

    async def watch(self, name: str, *, every: float = 60.0, on_report: OnReport = None, actor: str = "") -> NoReturn:
        """Bring a district up to date again and again, until cancelled: `every` so many seconds, or as often as its limit allows.

        Only changes are read where the SIS can list them. Runs never overlap, not even with those of other processes; after
        failures the pauses grow. What is hinted at meanwhile is read again at once. Each run is told to `on_report`.
        """
        await self._integrations.row(name)
        due, failures = self._clock.monotonic(), 0
        while True:
            look = self._clock.monotonic() >= max(due, self._rests.get(name, 0.0))
            reports = await self._carefully(name, self._step(name, look=look, actor=actor), on_report)
            failed = next((report for report in reports if _failed(report)), None)
            failures = failures + 1 if failed else 0
            now = self._clock.monotonic()
            if look or failed:
                due = now + _until_next(failed, every, failures)
            left = max(due, self._rests.get(name, 0.0)) - now
            await self._clock.sleep(left if failed else max(min(LOOK, left), 0.0))

    # -- how -----------------------------------------------------------------------------------------------------------

    async def _step(self, name: str, *, look: bool, actor: str) -> list[SyncReport]:
        """Look at the whole district, or only at what was hinted at."""
        if not look:
            return await self.drain_hints(name, district=self._rests.get(name, 0.0) <= self._clock.monotonic(), actor=actor)
        row = await self._integrations.row(name)
        async with self._store.read() as connection:
            hints = await kept_hints(connection, row.id)
        return [await self._district(row, hints, actor)]

    async def _carefully(self, name: str, step: Coroutine[Any, Any, list[SyncReport]], on_report: OnReport) -> list[SyncReport]:
        """What came of it, whatever happens: a district that is down, or a plugin that stumbles, ends no loop (promise P12)."""
        try:
            reports = await step
        except SISError as error:
            reports = [_failure(name, error)]
        except BaseException as error:
            if passes(error) or isinstance(error, GeneratorExit):
                raise  # somebody stops us, or lets go of us
            message = f"A run has stumbled {described(error)}."  # a stranger's mistake; its own words may hold data
            reports = [_failure(name, SISError(message, remedy="Report this to the author of the plugin, or of sis-connect."))]
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError  # a run that failed to note its end must not be taken for a failure, and go on
        if on_report is not None:
            for report in reports:
                on_report(report)
        return reports

    @asynccontextmanager
    async def _draining(self, integration_id: int) -> AsyncIterator[None]:
        """Only one drains an integration's hints at a time: two would read the same students."""
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(hold_lease(self._store, f"hints:{integration_id}", self._clock, wait=False))
            except ConflictError:
                raise _SomebodyElse from None
            yield

    async def _work(self, row: Row[Any]) -> tuple[Work[KeptHint], list[KeptHint]]:
        info, _ = await self._integrations.opened(row)
        async with self._store.read() as connection:
            hints = await kept_hints(connection, row.id)
            named = {(hint.name, hint.value) for hint in hints if hint.kind == "students" and hint.name != "sis_id"}
            known = {pair: await students_known_by(connection, row.id, *pair) for pair in sorted(named)}
        return sort_out(hints, known, at_most(info.capabilities)), hints

    async def _students(self, row: Row[Any], work: Work[KeptHint], actor: str) -> SyncReport:
        """Read some students alone. One that we know and that could not be read is a matter for the district's changes."""
        async with self._synchroniser(row.name, None) as run:
            schools = frozenset(run.config.schools) or None
            scope = Scope(schools=schools, students=work.students, school_year=run.config.school_year)
            report = await run.sync(Request(scope=scope, actor=actor), type_="hint")
        if report.error is not None and report.error.category == "authentication":
            await self._integrations.note_status(row.name, report)
        if not _readable(report):
            return report
        async with self._store.write() as connection:
            if report.status in ("incomplete", "failed") and await known_students(connection, row.id, sorted(work.students)):
                await keep_hints(connection, row.id, [ANYTHING], self._clock.now())
            await drop_hints(connection, row.id, work.answered)
            await forget_deliveries(connection, row.id, self._clock.now())
        return report

    async def _district(self, row: Row[Any], hints: Sequence[KeptHint], actor: str) -> SyncReport:
        """Read what has changed in a whole district, which answers all hints that were there before.

        They are kept where a list broke off: what they name may be in what was not read.
        """
        began = self._clock.monotonic()
        report = await self.sync(row.name, actor=actor)
        ended = self._clock.monotonic()
        info, config = await self._integrations.opened(row)
        limit = config.rate_limit or info.default_rate_limit
        self._rests[row.name] = ended + rest(report.requests, ended - began, None if limit == "off" else limit)
        if report.status != "failed" and not report.broken:
            async with self._store.write() as connection:
                await drop_hints(connection, row.id, hints)
                await forget_deliveries(connection, row.id, self._clock.now())
        return report


class _SomebodyElse(Exception):  # noqa: N818 - reads as what is the case
    """Somebody else is draining these hints."""


def _failure(name: str, error: SISError) -> SyncReport:
    return SyncReport(operation="", integration=name, status="failed", error=error.within(integration=name))


def _readable(report: SyncReport) -> bool:
    """Whether the SIS answered, be it that it has nothing there."""
    return report.status != "failed" or isinstance(report.error, NotOffered)


def _failed(report: SyncReport) -> bool:
    """Whether nothing, or not everything, could be read."""
    return report.status == "incomplete" or not _readable(report)


def _until_next(failed: SyncReport | None, every: float, failures: int) -> float:
    """The seconds until the next look."""
    error = failed.error if failed is not None else None
    if isinstance(error, ConflictError):
        return min(BUSY, every)
    return pause(every, failures, error.retry_after if error is not None else None)
