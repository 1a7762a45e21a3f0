"""A stranger's coroutine, or async generator, in a task of its own: what it does to its task, it does to nobody else.

A limit of time or a group of tasks around a `yield` cancels the task that it was entered in, whoever that is at work for by then;
and a task that takes no notice of being cancelled is waited for by whoever runs it. Neither must be ours.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf
from typing import Any, Generic, TypeVar, cast

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

#: How many seconds code of a stranger's may take to end when it is not wanted any more.
CLOSING_SECONDS = 10.0
#: Those that took longer. Somebody has to hold them, or they would be collected while they run.
_left: set[asyncio.Task[None]] = set()
#: Where it is noted for the report of this run who was left behind.
left_behind: ContextVar[list[str] | None] = ContextVar("left_behind", default=None)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[_T]):
    """What came of it: a value, or what was raised. `over` says that there is nothing more."""

    value: _T | None = None
    error: BaseException | None = None
    over: bool = False

    def get(self) -> Any:
        """The value; raises what was raised."""
        if self.error is not None:
            raise self.error
        return self.value


class Overdue(Exception):  # noqa: N818 - reads as what is the case
    """Nothing has come in time, while nothing was under way."""


class Apart(Generic[_T]):
    """Takes what an async iterator of a stranger's brings, one by one, each when it is wanted.

    `begin` makes the iterator, in the task that it runs in. `who` names it, as the beginning of a sentence.
    """

    def __init__(self, who: str, begin: Callable[[], AsyncIterator[_T]]) -> None:
        self._who, self._begin = who, begin
        self._wanted, self._came = asyncio.Event(), asyncio.Queue[Outcome[_T]]()
        self._task: asyncio.Task[None] | None = None
        self._waits = self._over = False

    async def next(self, patience: float = inf, under_way: Callable[[], bool] = lambda: False) -> Outcome[_T]:
        """What comes next. It is an `Overdue` once nothing has been under way for `patience` seconds."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        self._wanted.set()
        looking = _Looking(self._give_up, patience, under_way)
        try:
            return await self._came.get()
        finally:
            looking.stop()

    async def aclose(self) -> BaseException | None:
        """Have it stop. Returns what it raised over that; what does not end in time is left behind, and named."""
        self._over = True
        task = self._task
        if task is None or task.done():
            return None
        if self._waits:
            self._wanted.set()  # it stands at a `yield`, and is closed there
        else:
            task.cancel()
        try:
            await asyncio.wait({task}, timeout=CLOSING_SECONDS)
        finally:
            if not task.done():
                self._leave(task)
        error: BaseException | None = None
        while not self._came.empty():
            error = self._came.get_nowait().error or error
        return error

    def _give_up(self) -> None:
        if self._came.empty():  # else it has come at the last moment
            self._came.put_nowait(Outcome(error=Overdue()))

    def _leave(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        _left.add(task)
        task.add_done_callback(_left.discard)
        asyncio._unregister_task(task)  # whoever ends the loop would wait for it as well
        message = f"{self._who} did not stop when it was told to, and was left behind."
        _log.warning("%s", message)
        noted = left_behind.get()
        if noted is not None:
            noted.append(message)

    # -- in the stranger's task ----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            things = self._begin()
            step: Awaitable[_T] = things.__anext__()
            while True:
                self._came.put_nowait(Outcome(await step))
                if self._over:
                    break  # it went on although it was cancelled
                try:
                    await self._asked()
                except asyncio.CancelledError as error:
                    # A limit of time, or a group of tasks, that it stands in the middle of: there it is understood.
                    step = _told(things, error)
                    continue
                if self._over:
                    break
                step = things.__anext__()
            close = getattr(things, "aclose", None)
            if close is not None:
                await close()
        except StopAsyncIteration:
            self._came.put_nowait(Outcome(over=True))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it ends nothing but this task
            self._came.put_nowait(Outcome(error=error))

    async def _asked(self) -> None:
        self._wanted.clear()
        self._waits = True
        try:
            await self._wanted.wait()
        finally:
            self._waits = False


def _told(things: AsyncIterator[_T], error: BaseException) -> Awaitable[_T]:
    if isinstance(things, AsyncGenerator):
        return cast("Awaitable[_T]", things.athrow(error))
    raise error


class _Looking:
    """Calls `give_up` once nothing has been under way for so long. Looks ten times meanwhile."""

    def __init__(self, give_up: Callable[[], object], patience: float, under_way: Callable[[], bool]) -> None:
        self._give_up, self._patience, self._under_way = give_up, patience, under_way
        self._loop = asyncio.get_running_loop()
        self._active = self._loop.time()
        self._later = self._loop.call_later(patience / 10, self._look) if patience < inf else None

    def _look(self) -> None:
        now = self._loop.time()
        self._active = now if self._under_way() else self._active
        if now - self._active >= self._patience:
            self._give_up()
        else:
            self._later = self._loop.call_later(self._patience / 10, self._look)

    def stop(self) -> None:
        """It has come."""
        if self._later is not None:
            self._later.cancel()


async def alone(
    who: str, coming: Awaitable[_T], patience: float = inf, under_way: Callable[[], bool] = lambda: False
) -> Outcome[_T]:
    """What comes of a single call. It is a `TimeoutError` once nothing has been under way for `patience` seconds."""
    call = Apart(who, lambda: _once(coming))
    ended: BaseException | None = None
    try:
        outcome = await call.next(patience, under_way)
    finally:
        ended = await call.aclose()
    if not isinstance(outcome.error, Overdue):
        return outcome
    late = TimeoutError()
    late.__cause__ = ended  # says where it was waited
    return Outcome(error=late)


async def _once(coming: Awaitable[_T]) -> AsyncIterator[_T]:
    yield await coming
