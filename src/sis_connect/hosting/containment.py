"""A plugin's provider at work: whatever it raises or returns, the engine meets errors of ours and sound pages only (promise P12).

An error of ours passes, without what it was raised from; any other becomes a `ProviderError` that names the plugin and never
repeats its words, which may be about pupils (promise P7). A row that is not understood is an `InvalidRow`: it waits in
quarantine, and the rest goes on. What is waited for runs in a task of its own: see `apart`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from operator import methodcaller
from typing import Any, cast
from zoneinfo import ZoneInfo

from sis_connect.capabilities import Kind
from sis_connect.custom_fields import CustomField
from sis_connect.errors import ProviderError, SISError
from sis_connect.hosting.apart import Apart, Overdue, alone
from sis_connect.hosting.faults import contained, described, is_text, leaves, ours_in, passes, raise_alone
from sis_connect.hosting.pages import PageWatch, objection_to_reading, own_invalid, own_page, own_reading
from sis_connect.provider import BaseSISProvider, Finding, InvalidRow, Page, ProviderInfo, Reading, Scope, Since, Stream
from sis_connect.readings import held

_log = logging.getLogger(__name__)

#: A provider may take at least so many seconds for a page without asking the SIS for anything, whatever the settings say.
LEAST_PATIENCE = 60.0
REPORT = "Report this to the plugin's author; other integrations are not affected."


def blamed(info: ProviderInfo, doing: str) -> AbstractContextManager[None]:
    """Around code of a plugin: what it raises is an error of ours, or becomes one that says whose fault it is."""
    return contained(lambda error: fault(info, doing, error))


def fault(info: ProviderInfo, doing: str, error: BaseException) -> SISError:
    """The error of ours in what a plugin raised, or one that says that it is its fault."""
    words = f"{_named(info)} failed {doing} {_told(info, error)}."
    return ours_in(error) or ProviderError(words, remedy=REPORT)


def _named(info: ProviderInfo) -> str:
    return f"The plugin of {info.label}"


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
    watch = PageWatch(frozenset(info.capabilities.offered()))

    def begin() -> AsyncIterator[Page]:
        with blamed(info, "while it began to read"):
            pages: Any = provider.pages(kinds, scope=scope, since=since, cursor=cursor)
            if hasattr(pages, "__anext__"):
                return cast("AsyncIterator[Page]", pages)
            if inspect.iscoroutine(pages):
                pages.close()
        raise _wrong(info, "its pages do not come one by one, from an async generator")

    reading = Apart(_named(info), begin)
    try:
        while True:
            outcome = await reading.next(max(patience, LEAST_PATIENCE), under_way)
            if outcome.over:
                return
            if isinstance(outcome.error, Overdue):
                raise _overdue(info, max(patience, LEAST_PATIENCE))
            with blamed(info, "while it read"):
                page = own_page(outcome.get())
                objection = watch.objection(page)
            if objection is not None:
                raise _wrong(info, objection)
            yield cast(Page, page)
    finally:
        await _close(reading, info)


def _overdue(info: ProviderInfo, patience: float) -> ProviderError:
    return ProviderError(f"{_named(info)} has brought nothing and asked for nothing in {patience:g} seconds.", remedy=REPORT)


async def _close(reading: Apart[Page], info: ProviderInfo) -> None:
    """Have a provider stop. How it does that is no error of the read's, but it is named in the log."""
    error = await reading.aclose()
    if error is not None and passes(error):
        raise_alone(error)
    if error is not None and not all(isinstance(it, asyncio.CancelledError | GeneratorExit) for it in leaves(error)):
        _log.warning("%s did not stop reading as it should %s.", _named(info), _told(info, error))


def understood(page: Page, row: bytes, offered: Collection[Kind], custom: Collection[CustomField]) -> Reading:
    """One row, understood by its plugin and held to what is offered and declared. Raises `InvalidRow`, and nothing else."""
    key: str | None = None
    try:
        reading = own_reading(page.read(row))
        wrong = objection_to_reading(reading, offered)
        if wrong is None:
            return held(cast(Reading, reading), custom)
        key = reading.key if isinstance(reading, Reading) and is_text(reading.key) else None
    except InvalidRow as error:
        raise_alone(own_invalid(error))
    except BaseException as error:
        if passes(error):
            raise
        wrong = f"the plugin stumbles over it ({type(error).__name__})"  # its words may be about pupils
    raise InvalidRow(wrong, key=key)


# -- what else a provider is asked -------------------------------------------------------------------------------------


async def findings_of(
    provider: BaseSISProvider, info: ProviderInfo, *, patience: float = 300.0, under_way: Callable[[], bool] = lambda: False
) -> list[Finding]:
    """What a provider finds right and wrong with its connection."""
    doing = "while it checked the connection"
    found: Any = await answer_of(info, doing, partial(methodcaller("check"), provider), patience, under_way)
    with blamed(info, doing):
        findings: list[Any] = list(found) if isinstance(found, Sequence) else [found]
        sound = all(
            isinstance(each, Finding) and each.level in ("ok", "warning", "error") and isinstance(each.message, str)
            for each in findings
        )
    if not sound:
        raise _wrong(info, "what it finds is no list of findings")
    return findings


async def time_zone_of(
    provider: BaseSISProvider, info: ProviderInfo, *, patience: float = 300.0, under_way: Callable[[], bool] = lambda: False
) -> str | None:
    """The district's time zone, where the provider can tell it."""
    doing = "while it asked for the time zone"
    with blamed(info, doing):
        if not hasattr(provider, "time_zone"):
            return None
    zone: Any = await answer_of(info, doing, partial(methodcaller("time_zone"), provider), patience, under_way)
    with blamed(info, doing):
        return None if zone is None else ZoneInfo(zone).key


async def answer_of(
    info: ProviderInfo, doing: str, ask: Callable[[], Awaitable[Any]], patience: float, under_way: Callable[[], bool]
) -> Any:
    """What a provider answers, asked in a task of its own. It may take as long as over a page."""

    async def answer() -> Any:
        return await ask()

    outcome = await alone(_named(info), answer(), max(patience, LEAST_PATIENCE), under_way)
    with blamed(info, doing):
        return outcome.get()


def in_parts_of(provider: BaseSISProvider, info: ProviderInfo, kinds: Collection[Kind], scope: Scope) -> frozenset[Kind] | None:
    """The kinds whose records come in parts, where the provider can tell."""
    with blamed(info, "while it was asked what comes in parts"):
        ask = getattr(provider, "in_parts", None)
        return None if ask is None else frozenset(ask(kinds, scope=scope))
