"""Follows hints in the background: one task for each district that has some, so that one of them never waits for another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from sis_connect.hosting.faults import passes
from sis_connect.roster.report import SyncReport
from sis_connect.service import SISService

_log = logging.getLogger("sis_connect.web")
#: By whom a sync was made that somebody's word set off.
ACTOR = "webhook"
#: How long a run that is under way may take to its end when we stop, in seconds.
_PATIENCE = 3.0


class Follower:
    """`nudge` says that hints have come; they are followed until none is left."""

    def __init__(self, service: SISService, on_report: Callable[[SyncReport], None] | None = None) -> None:
        self._service, self._on_report = service, on_report or _logged
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()

    async def follow_all(self) -> None:
        """Follow what was left from before."""
        for name in await self._service.hinted():
            self.nudge(name)

    def nudge(self, name: str) -> None:
        """There is something to follow. Call it once it is stored."""
        if name in self._tasks:
            self._again.add(name)  # it may have looked for the last time already
        else:
            self._tasks[name] = asyncio.create_task(self._follow(name))

    async def aclose(self) -> None:
        """Stop, after what is under way where that is soon over. What was not followed yet is kept."""
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=_PATIENCE)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def _follow(self, name: str) -> None:
        try:
            while True:
                self._again.discard(name)
                await self._service.follow_hints(name, on_report=self._on_report, actor=ACTOR)
                if name not in self._again:
                    return
        except BaseException as error:  # the next word begins anew; an error's own words may hold data
            if passes(error) or isinstance(error, GeneratorExit):
                raise
            _log.error("Hints of %s were not followed (%s).", name, type(error).__name__)
        finally:
            del self._tasks[name]


def _logged(report: SyncReport) -> None:
    level = logging.WARNING if report.status == "failed" else logging.INFO
    why = f": {report.error.message}" if report.error is not None else ""
    _log.log(level, "%s: %s, %d requests, %.1f s%s", report.integration, report.status, report.requests, report.seconds, why)
