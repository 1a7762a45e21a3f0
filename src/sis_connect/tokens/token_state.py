"""What is remembered of an integration's token, and where: the contract of a token store, and one of this process only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Protocol

from sis_connect.errors import ConflictError, SISError
from sis_connect.events import EventName
from sis_connect.tokens.token import StoredToken

State = Literal["active", "failing", "broken", "revoked"]


@dataclass(frozen=True, slots=True)
class TokenState:
    """A token and how it is doing.

    `failing`: a renewal failed, the next one is tried at `next_try_at`. `broken`: the SIS does not accept the grant any more.
    `revoked`: we gave the token back ourselves. `due_at` is when to renew it, `last_error` what went wrong, in safe words.
    """

    token: StoredToken | None = None
    state: State = "active"
    failures: int = 0
    due_at: datetime | None = None
    next_try_at: datetime | None = None
    last_error: str | None = None


class Claim(Protocol):
    """The right to renew a token, and what was known when it was given: read after everybody before us had finished."""

    @property
    def state(self) -> TokenState:
        """The token as it was when the right was given."""
        ...


class TokenStore(Protocol):
    """Where a token outlives the process."""

    async def load(self) -> TokenState:
        """What is known now, by whatever process it was written."""
        ...

    def claim(self, *, wait: bool = True) -> AbstractAsyncContextManager[Claim]:
        """The right to renew, which one caller has at a time. `ConflictError` where another one has it and we do not wait."""
        ...

    async def save(
        self, token: StoredToken, claim: Claim, *, due_at: datetime | None, usable: bool = True
    ) -> Sequence[EventName]:
        """Keep a new token and say what that means. `ConflictError` where somebody else has written a newer one.

        One that is not `usable` is the former one with another refresh token: it ends no failure.
        """
        ...

    async def failed(self, error: SISError, claim: Claim, *, next_try_at: datetime) -> Sequence[EventName]:
        """Take note that no token could be had."""
        ...

    async def broken(self, error: SISError, claim: Claim) -> Sequence[EventName]:
        """Take note that the grant is not accepted any more: without a person there is no use in asking again."""
        ...

    async def forget(self, claim: Claim) -> Sequence[EventName]:
        """Drop the token: it was revoked."""
        ...


def brought(state: State | None, *, first: bool) -> tuple[EventName, ...]:
    """What a new token means, given the state that it ends."""
    name: EventName = "token.obtained" if first else "token.renewed"
    return (name, "token.recovered") if state in ("failing", "broken") else (name,)


def noted(before: State | None, state: Literal["failing", "broken"]) -> tuple[EventName, ...]:
    """What a failure means, given the state before it: the first one counts."""
    if before == state:
        return ()
    return ("token.failing",) if state == "failing" else ("token.broken",)


@dataclass(frozen=True, slots=True)
class _MemoryClaim:
    state: TokenState


class MemoryTokenStore:
    """A token of this process only."""

    def __init__(self, token: StoredToken | None = None) -> None:
        self.state = TokenState(token)
        self._turn = asyncio.Lock()

    async def load(self) -> TokenState:
        return self.state

    @asynccontextmanager
    async def claim(self, *, wait: bool = True) -> AsyncIterator[Claim]:
        if self._turn.locked() and not wait:
            raise at_work()
        async with self._turn:
            yield _MemoryClaim(self.state)

    async def save(
        self, token: StoredToken, claim: Claim, *, due_at: datetime | None, usable: bool = True
    ) -> Sequence[EventName]:
        before = self.state
        self.state = TokenState(token, due_at=due_at) if usable else replace(before, token=token)
        return brought(before.state, first=before.token is None) if usable else ()

    async def failed(self, error: SISError, claim: Claim, *, next_try_at: datetime) -> Sequence[EventName]:
        return self._note("failing", error, next_try_at)

    async def broken(self, error: SISError, claim: Claim) -> Sequence[EventName]:
        return self._note("broken", error, None)

    def _note(self, state: Literal["failing", "broken"], error: SISError, next_try_at: datetime | None) -> Sequence[EventName]:
        before = self.state
        if before.state == "broken":
            return ()  # only a new token ends it
        failures = before.failures + 1
        self.state = replace(before, state=state, failures=failures, next_try_at=next_try_at, last_error=error.message)
        return noted(before.state, state)

    async def forget(self, claim: Claim) -> Sequence[EventName]:
        self.state = TokenState(state="revoked")
        return ("token.revoked",)


def at_work() -> ConflictError:
    """Somebody else is renewing the token just now."""
    return ConflictError("Another process is renewing the token of this integration.", remedy="Try again in a moment.")
