"""One access token for one integration, however many callers, processes and machines ask: fetched once, renewed in time.

A server that rotates refresh tokens takes the former one for stolen when it comes again, and may end the grant for good. So a
token is asked for by one caller at a time, who holds the right to it in the store, has read what the store knows after getting
that right, and writes what comes before anybody uses it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import SecretStr

from sis_connect.clock import Clock
from sis_connect.errors import AuthenticationError, SISError
from sis_connect.events import Listener
from sis_connect.tokens.in_use import TokenInUse
from sis_connect.tokens.renewal import Grant, Policy, Renewal, Wish
from sis_connect.tokens.token import StoredToken
from sis_connect.tokens.token_state import MemoryTokenStore, TokenStore

__all__ = ["Grant", "TokenManager", "TokenSource"]

#: How long to leave alone a server that insists on a refused token, and a store that is away or busy.
COOL_DOWN = timedelta(seconds=60)
_LOOK_AGAIN = timedelta(seconds=2)


class TokenSource(Protocol):
    """Where the transport gets its token."""

    async def token(self, rejected: SecretStr | None = None) -> SecretStr:
        """A token to send. `rejected` is the one that the server has just refused: another one is fetched, once."""
        ...


class TokenManager:
    """The token source of one integration. `aclose` it in the end, so that nothing that is under way is lost.

    `grant` asks the server. It runs at most once at a time: callers share one flight, and one who is cancelled neither takes it
    along nor loses what it brings. A token is renewed when `renew_before` seconds or a quarter of its life are left, whichever is
    less, and by `jitter` (0 to 1) up to as much earlier; where `renews_early` is false, only when it has ended.
    """

    def __init__(
        self,
        grant: Grant,
        *,
        clock: Clock,
        store: TokenStore | None = None,
        renews_early: bool = True,
        renew_before: float = 600.0,
        jitter: float = 0.0,
        integration: str = "",
        on_event: Listener | None = None,
    ) -> None:
        self._clock = clock
        self._in_use = TokenInUse(clock)
        self._renewal = Renewal(
            grant,
            store if store is not None else MemoryTokenStore(),
            self._in_use,
            Policy(renews_early, timedelta(seconds=renew_before), jitter),
            clock,
            integration=integration,
            on_event=on_event,
        )
        self._flight: tuple[Wish, asyncio.Task[StoredToken]] | None = None
        self._insisted: tuple[SecretStr, datetime] | None = None

    async def token(self, rejected: SecretStr | None = None) -> SecretStr:
        """A token to send. `rejected` is the one that the server has just refused: another one is fetched, once."""
        serving = self._in_use.serving(rejected)
        if serving is not None:
            return serving.access_token
        if rejected is not None and self._insists_on(rejected):
            raise _same_again()
        renewed = await self._fly(Wish(rejected))
        if rejected is not None and _same(renewed.access_token, rejected):
            self._insisted = (rejected, self._clock.now() + COOL_DOWN)
            raise _same_again()
        return renewed.access_token

    async def renew(self, *, since: datetime | None = None, turn: Callable[[], Awaitable[None]] | None = None) -> StoredToken:
        """A new token now, whatever is left of the old one. One that was obtained after `since`, by whomever, will do.

        `turn` is awaited right before the server is asked, so that renewals of many integrations can be spread over time.
        """
        return await self._fly(Wish(newer_than=since or self._clock.now(), turn=turn))

    async def adopt(self, token: StoredToken) -> None:
        """Take a token that came another way, such as a person's consent. It ends a broken state."""
        await self._renewal.adopt(token)

    async def aclose(self) -> None:
        """Wait for what is under way, so that what it brings is kept."""
        while self._flight is not None:
            await asyncio.wait({self._flight[1]})
        await self._renewal.aclose()

    async def _fly(self, wish: Wish) -> StoredToken:
        while self._flight is not None and not wish.granted_by(self._flight[0]):
            await asyncio.wait({self._flight[1]})  # it was begun for something else, and may bring what we do not want
            serving = self._in_use.serving(wish.rejected)
            if wish.newer_than is None and serving is not None:
                return serving
        if self._flight is None:
            task = asyncio.create_task(self._renew(wish))
            self._flight = (wish, task)
            task.add_done_callback(self._landed)
        try:
            return await asyncio.shield(self._flight[1])
        except SISError:
            alive = self._in_use.alive
            if not wish.plain or alive is None:
                raise
            return alive  # it was to be renewed ahead of time, and what we have still serves

    async def _renew(self, wish: Wish) -> StoredToken:
        try:
            return await self._renewal.run(wish)
        except SISError as error:
            if error.category in ("storage", "conflict"):
                self._in_use.rest(self._clock.now() + _LOOK_AGAIN)
            raise

    def _landed(self, flight: asyncio.Task[StoredToken]) -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()  # looked at here, in case every caller was cancelled

    def _insists_on(self, rejected: SecretStr) -> bool:
        return self._insisted is not None and _same(self._insisted[0], rejected) and self._clock.now() < self._insisted[1]


def _same(one: SecretStr, other: SecretStr) -> bool:
    return one.get_secret_value() == other.get_secret_value()


def _same_again() -> AuthenticationError:
    return AuthenticationError(
        "The SIS refuses an access token and hands out the same one again.",
        remedy="Check with the district's administrator that the connection is still enabled and has access to this interface.",
    )
