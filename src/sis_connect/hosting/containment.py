"""A plugin's provider at work: whatever it raises or returns, the engine meets errors of ours and sound pages only (promise P12).

An error of ours passes as it is; any other becomes a `ProviderError` that names the plugin and never repeats its words, which may
be about pupils (promise P7). A row that is not understood is an `InvalidRow`: it waits in quarantine, and the rest goes on.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from sis_connect.capabilities import Kind
from sis_connect.custom_fields import CustomField
from sis_connect.errors import ProviderError, SISError
from sis_connect.hosting.faults import described, leaves, passes, raise_alone
from sis_connect.hosting.pages import PageWatch, objection_to_reading
from sis_connect.provider import BaseSISProvider, Finding, InvalidRow, Page, ProviderInfo, Reading, Scope, Since, Stream
from sis_connect.readings import held

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

#: How many seconds a provider may take to stop when its pages are not wanted any more.
CLOSING_SECONDS = 10.0
#: A provider may take at least so many seconds for a page without asking the SIS for anything, whatever the settings say.
LEAST_PATIENCE = 60.0
#: What comes after the last page.
_END = object()
REPORT = "Report this to the plugin's author; other integrations are not affected."


@contextmanager
def blamed(info: ProviderInfo, doing: str) -> Iterator[None]:
    """Around code of a plugin: what it raises is an error of ours, or becomes one that says whose fault it is."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, SISError) or passes(error):
            raise
        raise_alone(fault(info, doing, error))


def fault(info: ProviderInfo, doing: str, error: BaseException) -> SISError:
    """The error of ours in what a plugin raised, or one that says that it is its fault."""
    for leaf in leaves(error):
        if isinstance(leaf, SISError):
            return leaf
    return ProviderError(f"The plugin of {info.label} failed {doing} {_told(info, error)}.", remedy=REPORT)


def _told(info: ProviderInfo, error: BaseException) -> str:
    return described(error, info.provider.partition(":")[0].partition(".")[0])


def _wrong(info: ProviderInfo, what: str) -> ProviderError:
    return ProviderError(f"The plugin of {info.label} breaks its contract: {what}.", remedy=REPORT)


# -- pages -------------------------------------------------------------------------------------------------------------


async def sound_pages(
    provider: BaseSISProvider,
    info: ProviderInfo,
    kinds: Collection[Kind],
    *,
    scope: Scope,
    since: Since | None = None,
    cursor: Mapping[Stream, str] | None = None,
    patience: float = 300.0,
    under_way: Callable[[], bool] = lambda: False,
) -> AsyncGenerator[Page, None]:
    """What a provider observes, each page looked at before it counts.

    A provider that brings no page for `patience` seconds while no request of it is `under_way` is given up, and so is one that
    has no end. Raises errors of ours only.
    """
    with blamed(info, "while it began to read"):
        pages: Any = provider.pages(kinds, scope=scope, since=since, cursor=cursor)
        one_by_one = hasattr(pages, "__anext__")
    if not one_by_one:
        if inspect.iscoroutine(pages):
            pages.close()
        raise _wrong(info, "its pages do not come one by one, from an async generator")
    watch = PageWatch(frozenset(info.capabilities.offered()))
    try:
        while True:
            page = await _next(pages, info, max(patience, LEAST_PATIENCE), under_way)
            if page is _END:
                return
            objection = watch.objection(page)
            if objection is not None:
                raise _wrong(info, objection)
            yield page
    finally:
        await _close(pages, info)


async def _next(pages: Any, info: ProviderInfo, patience: float, under_way: Callable[[], bool]) -> Any:
    task = asyncio.current_task()
    cancelled = task.cancelling() if task is not None else 0
    with blamed(info, "while it read"):
        page = await _patiently(_step(pages), info, patience, under_way)
    if task is not None and task.cancelling() > cancelled:
        raise asyncio.CancelledError  # whoever stopped the run has stopped it, also where the plugin would go on
    return page


async def _step(pages: Any) -> Any:
    try:
        return await pages.__anext__()
    except StopAsyncIteration:
        return _END


async def _patiently(step: Awaitable[_T], info: ProviderInfo, patience: float, under_way: Callable[[], bool]) -> _T:
    try:
        async with asyncio.timeout(None) as limit:
            looking = _Looking(limit, patience, under_way)
            try:
                return await step
            finally:
                looking.stop()
    except TimeoutError:
        if not limit.expired():
            raise
        raise ProviderError(
            f"The plugin of {info.label} has brought nothing and asked for nothing in {patience:g} seconds.", remedy=REPORT
        ) from None


class _Looking:
    """Lets a limit of time expire once nothing has been under way for so long. Looks ten times meanwhile."""

    def __init__(self, limit: asyncio.Timeout, patience: float, under_way: Callable[[], bool]) -> None:
        self._limit, self._patience, self._under_way = limit, patience, under_way
        self._loop = asyncio.get_running_loop()
        self._active = self._loop.time()
        self._later = self._loop.call_later(patience / 10, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        self._active = now if self._under_way() else self._active
        if now - self._active >= self._patience:
            self._limit.reschedule(now)
        else:
            self._later = self._loop.call_later(self._patience / 10, self._look)

    def stop(self) -> None:
        """It has come."""
        self._later.cancel()


async def _close(pages: Any, info: ProviderInfo) -> None:
    """Have a provider stop. One that cannot is left behind, and named in the log."""
    try:
        close = getattr(pages, "aclose", None)
        if close is not None:
            async with asyncio.timeout(CLOSING_SECONDS):
                await close()
    except BaseException as error:
        if passes(error):
            raise
        _log.warning("The plugin of %s did not stop reading as it should %s.", info.label, _told(info, error))


def understood(page: Page, row: bytes, offered: Collection[Kind], custom: Collection[CustomField]) -> Reading:
    """One row, understood by its plugin and held to what is offered and declared. Raises `InvalidRow`, and nothing else."""
    key: str | None = None
    try:
        reading = page.read(row)
        wrong = objection_to_reading(reading, offered)
        if wrong is None:
            return held(reading, custom)
        key = reading.key if isinstance(reading, Reading) and isinstance(reading.key, str) else None
    except InvalidRow as error:
        if error.key is None or isinstance(error.key, str):
            raise
        wrong = "its key is no text"
    except BaseException as error:
        if passes(error):
            raise
        wrong = f"the plugin stumbles over it ({type(error).__name__})"  # its words may be about pupils
    raise InvalidRow(wrong, key=key)


# -- what else a provider is asked -------------------------------------------------------------------------------------


async def findings_of(provider: BaseSISProvider, info: ProviderInfo) -> list[Finding]:
    """What a provider finds right and wrong with its connection."""
    with blamed(info, "while it checked the connection"):
        found: Any = await provider.check()
        findings: list[Any] = list(found) if isinstance(found, Sequence) else [found]
        sound = all(
            isinstance(each, Finding) and each.level in ("ok", "warning", "error") and isinstance(each.message, str)
            for each in findings
        )
    if not sound:
        raise _wrong(info, "what it finds is no list of findings")
    return findings


async def time_zone_of(provider: BaseSISProvider, info: ProviderInfo) -> str | None:
    """The district's time zone, where the provider can tell it."""
    with blamed(info, "while it asked for the time zone"):
        ask = getattr(provider, "time_zone", None)
        zone: Any = None if ask is None else await ask()
        if zone is not None:
            ZoneInfo(zone)
    return None if zone is None else str(zone)


def in_parts_of(provider: BaseSISProvider, info: ProviderInfo, kinds: Collection[Kind], scope: Scope) -> frozenset[Kind] | None:
    """The kinds whose records come in parts, where the provider can tell."""
    with blamed(info, "while it was asked what comes in parts"):
        ask = getattr(provider, "in_parts", None)
        return None if ask is None else frozenset(ask(kinds, scope=scope))
