"""Keeping idle grants alive: a background service that renews tokens nobody asks for, evenly, before they end.

It plans from the database each time anew, so that a machine that slept, a clock that jumped or a database that was away leave
nothing behind: what is due then is renewed, most urgent first, and never faster than the rate.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn, Protocol

from sis_connect.clock import Clock
from sis_connect.errors import SISError
from sis_connect.hosting.faults import passes

_log = logging.getLogger(__name__)

#: A grant is used at least so often, however long its access token lives: idle ones are ended by some servers.
IDLE = timedelta(hours=24)
#: How far ahead to look for a crowd that takes longer than the time between due and too late, and the time to spare for it.
LOOK_AHEAD = timedelta(minutes=30)
TO_SPARE = timedelta(minutes=1)
#: How often to look, in seconds.
INTERVAL = 15.0
#: The longest that somebody is left alone whose failure nobody could note, in seconds.
LONGEST_REST = 240.0

Turn = Callable[[], Awaitable[None]]
Check = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class DueToken:
    """A token that is due, or will be soon."""

    integration_id: int
    integration: str
    due_at: datetime | None
    expires_at: datetime | None
    renewed_at: datetime | None
    idle: bool = False


@dataclass(frozen=True, slots=True)
class _Rest:
    """How long a token is left alone that could not be renewed, unless somebody else renews it."""

    renewed_at: datetime | None
    pause: float
    until: float


class Register(Protocol):
    """Where the tokens of all integrations are known."""

    def on_duty(self) -> AbstractAsyncContextManager[Check]:
        """The right to keep tokens, which one keeper has at a time; `ConflictError` where another one has it.

        The check raises it too: after the machine slept, another one may have taken over.
        """
        ...

    async def waiting(self, now: datetime) -> Sequence[DueToken]:
        """Grants that are not broken and not resting after a failure, and are due within `LOOK_AHEAD`, or idle."""
        ...


def to_renew(waiting: Sequence[DueToken], now: datetime, rate: float, *, ahead: int = 0) -> list[DueToken]:
    """Whom to renew now, most urgent first: who is due, and so many of the others that nobody behind them will be late.

    `ahead` is how many have begun and may still wait for their turn.
    """

    def urgency(token: DueToken) -> tuple[bool, datetime]:
        ends = token.expires_at or now + LOOK_AHEAD
        return ends <= now, ends  # who is late already must not make others late

    queue = sorted(waiting, key=urgency)
    crowd = 0
    for place, token in enumerate(queue, 1):
        their_turn = now + timedelta(seconds=(ahead + place) / rate)
        if token.expires_at is not None and now < token.expires_at <= their_turn + TO_SPARE:
            crowd = place
    return [token for place, token in enumerate(queue) if place < crowd or token.idle or (token.due_at or now) <= now]


class Pacer:
    """Turns, evenly spread: at most `rate` a second, and none is made up for."""

    def __init__(self, rate: float, clock: Clock) -> None:
        self._gap, self._clock = 1 / rate, clock
        self._next = clock.monotonic()
        self._line = asyncio.Lock()

    async def turn(self) -> None:
        """Wait for one's turn."""
        async with self._line:
            wait = self._next - self._clock.monotonic()
            if wait > 0:
                await self._clock.sleep(wait)
            self._next = max(self._next, self._clock.monotonic()) + self._gap


class TokenKeeper:
    """Renews what is due: at most `rate` renewals a second, at most `parallel` at once.

    `renew` renews one token; it awaits the turn that it is handed right before it asks the server. What it raises stays with it:
    the state of that token is noted by whoever renews it.
    """

    def __init__(
        self,
        register: Register,
        renew: Callable[[DueToken, Turn], Awaitable[object]],
        *,
        clock: Clock,
        rate: float = 10.0,
        parallel: int = 32,
    ) -> None:
        self._register, self._renew, self._clock, self._rate = register, renew, clock, rate
        self._places = asyncio.Semaphore(parallel)
        self._pacer = Pacer(rate, clock)
        self._at_most = max(1, int(rate * INTERVAL))
        self._at_work: dict[int, asyncio.Task[None]] = {}
        self._resting: dict[int, _Rest] = {}
        self._away = False
        self.renewed = 0
        self.failed = 0

    async def run(self) -> NoReturn:
        """Keep tokens until cancelled. What is under way then is waited for, so that no rotated token is lost."""
        try:
            while True:
                try:
                    async with self._register.on_duty() as check:
                        while True:
                            await check()
                            begun = await self.round()
                            self._here()
                            if begun < self._at_most:  # else there may be more that wait
                                await self._clock.sleep(INTERVAL)
                except SISError as error:
                    self._not_here(error)
                    await self._clock.sleep(INTERVAL)
        finally:
            await self.settle()

    async def round(self) -> int:
        """Look once and begin to renew what is due, but no more than fit into one interval; how many have begun."""
        # Who is at work before we look may have ended by the time we see: what we see of them may be from before.
        now, busy = self._clock.now(), set(self._at_work)
        found = await self._register.waiting(now)
        self._resting = {token.integration_id: rest for token in found if (rest := self._resting.get(token.integration_id))}
        waiting = [token for token in found if token.integration_id not in busy and not self._rests(token)]
        chosen = to_renew(waiting, now, self._rate, ahead=len(self._at_work))[: self._at_most]
        for token in chosen:
            await self._places.acquire()
            task = asyncio.create_task(self._keep(token))
            self._at_work[token.integration_id] = task
        return len(chosen)

    async def settle(self) -> None:
        """Wait for what is under way."""
        while self._at_work:
            await asyncio.wait(set(self._at_work.values()))

    async def _keep(self, token: DueToken) -> None:
        try:
            await self._renew(token, self._pacer.turn)
            self.renewed += 1
        except SISError as error:
            self._failed(token)
            _log.debug("%s: not renewed: %s", token.integration, error.message)
        except BaseException as error:  # one bad plugin disturbs nobody else
            if passes(error):
                raise
            self._failed(token)
            _log.error("%s: not renewed (%s).", token.integration, type(error).__name__)
        finally:
            self._places.release()
            del self._at_work[token.integration_id]

    def _rests(self, token: DueToken) -> bool:
        rest = self._resting.get(token.integration_id)
        return rest is not None and rest.renewed_at == token.renewed_at and self._clock.monotonic() < rest.until

    def _failed(self, token: DueToken) -> None:
        # The register notes what a server said. What nobody could note, such as a plugin that is not there, would come again with
        # each look, and take the place of others.
        self.failed += 1
        before = self._resting.get(token.integration_id)
        pause = min(2 * before.pause, LONGEST_REST) if before is not None else INTERVAL
        self._resting[token.integration_id] = _Rest(token.renewed_at, pause, self._clock.monotonic() + pause)

    def _not_here(self, error: SISError) -> None:
        # Once, not every few seconds: a database that is away, or another keeper on duty, may stay so for days.
        if not self._away:
            _log.warning("Tokens are not kept alive for now: %s", error.message)
        self._away = True

    def _here(self) -> None:
        if self._away:
            _log.warning("Tokens are kept alive again.")
        self._away = False
