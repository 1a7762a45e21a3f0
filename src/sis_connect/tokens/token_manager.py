"""One access token for one integration, however many callers ask: fetched once, renewed in time, replaced when refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import SecretStr

from sis_connect.clock import Clock
from sis_connect.errors import AuthenticationError, SISError
from sis_connect.tokens.token import StoredToken

_log = logging.getLogger(__name__)

#: After a renewal in advance has failed, and after the server insisted on a refused token: do not ask again for so long.
COOL_DOWN = timedelta(seconds=60)


class TokenSource(Protocol):
    """Where the transport gets its token."""

    async def token(self, rejected: SecretStr | None = None) -> SecretStr:
        """A token to send. `rejected` is the one that the server has just refused: another one is fetched, once."""
        ...


class TokenStore(Protocol):
    """Where a token outlives the process."""

    async def load(self) -> StoredToken | None:
        """The token that was saved last, by whatever process."""
        ...

    async def save(self, token: StoredToken) -> None:
        """Keep a token."""
        ...

    async def failed(self) -> None:
        """Take note that no token could be had."""
        ...


class MemoryTokenStore:
    """A token of this process only."""

    def __init__(self) -> None:
        self._token: StoredToken | None = None
        self.failures = 0

    async def load(self) -> StoredToken | None:
        return self._token

    async def save(self, token: StoredToken) -> None:
        self._token, self.failures = token, 0

    async def failed(self) -> None:
        self.failures += 1


class TokenManager:
    """The token source of one integration.

    `fetch` asks the server for a token. It runs at most once at a time: callers share one flight, and one who is cancelled
    neither takes it along nor loses what it brings.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[StoredToken]],
        *,
        clock: Clock,
        store: TokenStore | None = None,
        renews_early: bool = True,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._store = store or MemoryTokenStore()
        self._renews_early = renews_early
        self._current: StoredToken | None = None
        self._flight: asyncio.Task[StoredToken] | None = None
        self._resting_until: datetime | None = None
        self._insisted: tuple[SecretStr, datetime] | None = None

    async def token(self, rejected: SecretStr | None = None) -> SecretStr:
        """A token to send. `rejected` is the one that the server has just refused: another one is fetched, once."""
        if self._current is not None and self._serves(self._current, rejected):
            return self._current.access_token
        if rejected is not None and self._insists_on(rejected):
            raise _same_again()
        renewed = await self._join_flight(rejected)
        if rejected is not None and _same(renewed.access_token, rejected):
            self._insisted = (rejected, self._clock.now() + COOL_DOWN)
            raise _same_again()
        return renewed.access_token

    async def _join_flight(self, rejected: SecretStr | None) -> StoredToken:
        if self._flight is None:
            self._flight = asyncio.create_task(self._renew(rejected))
            self._flight.add_done_callback(self._landed)
        try:
            return await asyncio.shield(self._flight)
        except SISError as error:
            current = self._current
            if rejected is not None or current is None or current.expired(self._clock.now()):
                raise
            # It was renewed ahead of time, and what we have still serves.
            _log.warning("The access token could not be renewed in advance: %s", error.message)
            self._resting_until = self._clock.now() + COOL_DOWN
            return current

    def _landed(self, flight: asyncio.Task[StoredToken]) -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()  # looked at here, in case every caller was cancelled

    async def _renew(self, rejected: SecretStr | None) -> StoredToken:
        stored = await self._store.load()
        if stored is not None and self._serves(stored, rejected) and stored != self._current:
            self._current = stored  # saved by a former run, or by a sibling process that was faster
            return stored
        try:
            fetched = await self._fetch()
        except SISError:
            await self._store.failed()
            raise
        self._current, self._resting_until = fetched, None
        await self._store.save(fetched)
        return fetched

    def _serves(self, token: StoredToken, rejected: SecretStr | None) -> bool:
        now = self._clock.now()
        if rejected is not None:
            return not _same(token.access_token, rejected) and not token.expired(now)
        if self._resting_until is not None and now < self._resting_until:
            return not token.expired(now)
        return not token.due(now, renews_early=self._renews_early)

    def _insists_on(self, rejected: SecretStr) -> bool:
        return self._insisted is not None and _same(self._insisted[0], rejected) and self._clock.now() < self._insisted[1]


def _same(one: SecretStr, other: SecretStr) -> bool:
    return one.get_secret_value() == other.get_secret_value()


def _same_again() -> AuthenticationError:
    return AuthenticationError(
        "The SIS refuses an access token and hands out the same one again.",
        remedy="Check with the district's administrator that the connection is still enabled and has access to this interface.",
    )
