"""One renewal: the server is asked by whoever holds the right to, what it answers is written before anybody uses it."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import SecretStr

from sis_connect.clock import Clock
from sis_connect.errors import ConflictError, RateLimited, SISError
from sis_connect.events import Event, EventName, Listener, tell
from sis_connect.tokens import schedule
from sis_connect.tokens.in_use import TokenInUse
from sis_connect.tokens.token import GrantBroken, StoredToken, UnusableToken
from sis_connect.tokens.token_state import Claim, TokenState, TokenStore
from sis_connect.tokens.unwritten import Unwritten

_log = logging.getLogger(__name__)

#: Gets a new token from the token URL. It is handed the former one, whose refresh token it may need.
Grant = Callable[[StoredToken | None], Awaitable[StoredToken]]
#: How long to leave a broken grant alone before looking whether somebody has mended it, while its access token still serves.
_LOOK_AGAIN = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a renewal is for: `rejected` was refused by the server; a token from before `newer_than` will not do.

    A plain one is for whoever needs a token; it may be ahead of time. `turn` is awaited right before the server is asked.
    """

    rejected: SecretStr | None = None
    newer_than: datetime | None = None
    turn: Callable[[], Awaitable[None]] | None = None

    @property
    def plain(self) -> bool:
        """Whether any token that has not ended will do."""
        return self.rejected is None and self.newer_than is None

    def granted_by(self, other: Wish) -> bool:
        """Whether the renewal for another wish brings what is wished for."""
        if self.newer_than is not None:
            return other.newer_than is not None and other.newer_than >= self.newer_than
        return self.rejected is None or self.rejected == other.rejected


@dataclass(frozen=True, slots=True)
class Policy:
    """When to renew; see `TokenManager`."""

    renews_early: bool
    renew_before: timedelta
    jitter: float

    def due_at(self, token: StoredToken, former: StoredToken | None) -> datetime | None:
        return schedule.due_at(token, former, renews_early=self.renews_early, renew_before=self.renew_before, jitter=self.jitter)


class Renewal:
    """Renews the token of one integration, one renewal after the other."""

    def __init__(
        self,
        grant: Grant,
        store: TokenStore,
        in_use: TokenInUse,
        policy: Policy,
        clock: Clock,
        *,
        integration: str,
        on_event: Listener | None,
    ) -> None:
        self._grant, self._store, self._in_use, self._policy, self._clock = grant, store, in_use, policy, clock
        self._integration, self._on_event = integration, on_event
        self._unwritten: Unwritten | None = None
        self._failures = 0
        #: Until when, by the monotonic clock, a failure answers for the server.
        self._held: tuple[float, SISError] | None = None

    async def run(self, wish: Wish) -> StoredToken:
        """A token that fulfils the wish: out of the store if it is there, else from the server."""
        if self._unwritten is not None:
            await self._unwritten.write()
            self._unwritten = None
        token = self._at_hand(await self._store.load(), wish)
        if token is not None:
            return token
        async with AsyncExitStack() as stack:
            # Ahead of time nobody waits for somebody else who is at it: what we have still serves.
            ahead = wish.plain and self._in_use.alive is not None
            claim = await stack.enter_async_context(self._store.claim(wait=not ahead))
            return self._at_hand(claim.state, wish) or await self._ask(claim, wish, stack)

    async def adopt(self, token: StoredToken) -> None:
        """Keep a token that came another way."""
        due_at = self._policy.due_at(token, None)
        async with self._store.claim() as claim:
            names = await self._store.save(token, claim, due_at=due_at)
        self._take(token, due_at)
        self._tell(names)

    async def aclose(self) -> None:
        """Write what could not be written, if that is possible by now."""
        if self._unwritten is not None:
            await self._unwritten.aclose()

    # -- what is there already -----------------------------------------------------------------------------------------

    def _at_hand(self, state: TokenState, wish: Wish) -> StoredToken | None:
        """What is there already, if it will do. Raises where there is no use in asking the server now."""
        token = self._suitable(state, wish)
        if token is None:
            self._hold_back(state, wish)
        return token

    def _hold_back(self, state: TokenState, wish: Wish) -> None:
        """Raise while the server wants to be left alone by all processes, or has failed in this one just now."""
        if self._held is not None and (left := self._held[0] - self._clock.monotonic()) > 0:
            error = self._held[1]
            if isinstance(error, RateLimited):
                raise RateLimited(error.message, retry_after=left, remedy=error.remedy)
            if wish.newer_than is None:
                raise error.with_traceback(None)  # else each caller would leave a trace in it
        left = schedule.still_to_wait(state.last_error, self._clock.now()) if state.state == "failing" else 0.0
        if left > 0:
            raise RateLimited(state.last_error or "", retry_after=left)

    def _suitable(self, state: TokenState, wish: Wish) -> StoredToken | None:
        """What the store knows, if it will do: written by a former run, or by a sibling process that was faster."""
        self._learn(state)
        if wish.newer_than is not None:
            token = self._in_use.token
            return token if token is not None and token.obtained_at > wish.newer_than else None
        serving = self._in_use.serving(wish.rejected)
        if serving is not None:
            return serving
        now, alive = self._clock.now(), self._in_use.alive
        if state.state == "broken":
            self._in_use.rest(now + _LOOK_AGAIN)
            raise GrantBroken(state.last_error or "The SIS does not accept the grant any more.")
        if wish.plain and alive is not None and state.next_try_at is not None and now < state.next_try_at:
            self._in_use.rest(state.next_try_at)
            return alive
        return None

    def _learn(self, state: TokenState) -> None:
        if state.token is not None:
            self._in_use.learn(state.token, state.due_at or self._policy.due_at(state.token, None))

    # -- asking the server ---------------------------------------------------------------------------------------------

    async def _ask(self, claim: Claim, wish: Wish, stack: AsyncExitStack) -> StoredToken:
        former = claim.state.token
        while True:
            try:
                if wish.turn is not None:
                    await wish.turn()
                fetched = await self._grant(former)
            except GrantBroken as error:
                newer = await self._newer_in_store(former)
                if newer is None:
                    await self._note_broken(error, claim)
                    raise
                serving, former = self._in_use.serving(wish.rejected), newer
                if serving is not None:
                    return serving
            except SISError as error:
                if isinstance(error, UnusableToken) and error.salvaged is not None:
                    await self._keep(error.salvaged, None, claim, stack, usable=False)
                await self._note_failure(error, claim, wish)
                raise
            else:
                return await self._keep(fetched, former, claim, stack)

    async def _newer_in_store(self, former: StoredToken | None) -> StoredToken | None:
        """Another token than the one that was refused: a sibling won, and ours was used up."""
        try:
            state = await self._store.load()
        except SISError:
            return None
        if state.token is None or state.token == former or state.state == "broken":
            return None
        self._learn(state)
        return state.token

    async def _keep(
        self, fetched: StoredToken, former: StoredToken | None, claim: Claim, stack: AsyncExitStack, *, usable: bool = True
    ) -> StoredToken:
        due_at = self._policy.due_at(fetched, former)

        async def write() -> None:
            self._tell(await self._store.save(fetched, claim, due_at=due_at, usable=usable))

        try:
            await write()
        except ConflictError as error:
            _log.warning("%s: %s", self._integration, error.message)
        except SISError as error:
            _log.error(
                "%s: a new token could not be stored (%s). It is kept in memory and written as soon as that is possible; if this "
                "process ends before, the grant may be lost.",
                self._integration, error.message,
            )  # fmt: skip
            # The right to renew goes along: nobody may use the former refresh token meanwhile.
            self._unwritten = Unwritten(write, stack.pop_all(), self._clock)
        finally:
            self._take(fetched, due_at)
        return fetched

    def _take(self, token: StoredToken, due_at: datetime | None) -> None:
        self._in_use.take(token, due_at)
        self._failures, self._held = 0, None

    # -- when that fails -----------------------------------------------------------------------------------------------

    async def _note_failure(self, error: SISError, claim: Claim, wish: Wish) -> None:
        now, failures, asked = self._clock.now(), claim.state.failures + 1, error.retry_after or 0.0
        pause = max(schedule.pause_after(failures, random.random()), timedelta(seconds=asked))  # noqa: S311 - no secret
        noted = error
        if isinstance(error, RateLimited) and asked:
            self._hold(asked, error)
            noted = RateLimited(schedule.asking_to_wait(error.message, now, asked), retry_after=asked, remedy=error.remedy)
        elif not wish.plain or self._in_use.alive is None:
            self._failures += 1
            self._hold(schedule.hold_for(self._failures, retryable=error.retryable, asked=asked), error)
        self._in_use.rest(now + pause)
        with suppress(SISError):  # the database is away too: what is remembered here has to do
            names = await self._store.failed(noted, claim, next_try_at=now + pause)
            if names:
                _log.warning("%s: the access token could not be renewed: %s", self._integration, error.message)
            self._tell(names, error=error.message)

    def _hold(self, seconds: float, error: SISError) -> None:
        self._held = (self._clock.monotonic() + seconds, error)

    async def _note_broken(self, error: GrantBroken, claim: Claim) -> None:
        self._in_use.rest(self._clock.now() + _LOOK_AGAIN)
        with suppress(SISError):
            names = await self._store.broken(error, claim)
            if names:
                _log.error("%s: the grant is broken: %s", self._integration, error)
            self._tell(names, error=error.message)

    def _tell(self, names: Sequence[EventName], **detail: str) -> None:
        for name in names:
            tell(self._on_event, Event(name, self._integration, self._clock.now(), detail))
