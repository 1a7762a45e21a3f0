"""A grant that breaks, a server that is down, a store that is away, a clock that jumps: what a token manager makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from manual_clock import ManualClock
from rotating_grant import RotatingGrant
from sis_connect.errors import NetworkError, RateLimited, SISError, StorageError
from sis_connect.events import Event, EventName
from sis_connect.tokens.token import AccessToken, GrantBroken, StoredToken, UnusableToken
from sis_connect.tokens.token_manager import TokenManager
from sis_connect.tokens.token_state import Claim, MemoryTokenStore, TokenState

DOWN = NetworkError("The token URL is down.")


class Storage(MemoryTokenStore):
    """A store that can be away, or full."""

    away = full = False

    def _here(self) -> None:
        if self.away:
            raise StorageError("The database is locked by another process.", retryable=True)

    async def load(self) -> TokenState:
        self._here()
        return await super().load()

    async def save(
        self, token: StoredToken, claim: Claim, *, due_at: datetime | None, usable: bool = True
    ) -> Sequence[EventName]:
        self._here()
        if self.full:
            raise StorageError("The disk that holds the database is full.")
        return await super().save(token, claim, due_at=due_at, usable=usable)

    async def failed(self, error: SISError, claim: Claim, *, next_try_at: datetime) -> Sequence[EventName]:
        self._here()
        return await super().failed(error, claim, next_try_at=next_try_at)


class Scene:
    """An integration with a consent, and two processes that use it."""

    def __init__(self, *, seconds: float = 3600, grace: float = 0) -> None:
        self.clock = ManualClock()
        self.grant = RotatingGrant(self.clock, seconds=seconds, grace=grace)
        self.store = Storage(self.grant.token())
        self.events: list[Event] = []
        self.manager, self.sibling = self.process(), self.process()

    def process(self) -> TokenManager:
        return TokenManager(self.grant, clock=self.clock, store=self.store, integration="lincoln", on_event=self.events.append)

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]


async def text(manager: TokenManager, rejected: str | None = None) -> str:
    return (await manager.token(None if rejected is None else AccessToken(rejected))).get_secret_value()


# -- a broken grant ----------------------------------------------------------------------------------------------------


async def test_a_broken_grant_is_said_once_and_never_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.grant.dead = True
    scene.clock.advance(3600)
    for _ in range(3):
        outcomes = await asyncio.gather(
            *(text(manager) for manager in (scene.manager, scene.sibling) for _ in range(50)), return_exceptions=True
        )
        assert all(isinstance(outcome, GrantBroken) for outcome in outcomes)
    assert "authorize" in str(outcomes[0])
    assert scene.grant.asked == 1
    assert scene.names == ["token.broken"]
    assert caplog.text.count("grant is broken") == 1
    assert len(caplog.records) == 1


async def test_a_broken_grant_serves_until_its_last_access_token_ends() -> None:
    scene = Scene()
    scene.grant.dead = True
    scene.clock.advance(3100)
    assert [await text(scene.manager) for _ in range(20)] == ["access-1"] * 20
    assert [await text(scene.process()) for _ in range(5)] == ["access-1"] * 5
    assert scene.grant.asked == 1
    with pytest.raises(GrantBroken):
        await text(scene.manager, "access-1")
    scene.clock.advance(500)
    with pytest.raises(GrantBroken):
        await text(scene.manager)
    assert (scene.grant.asked, scene.names) == (1, ["token.broken"])


async def test_a_consent_ends_a_broken_state_in_all_processes() -> None:
    scene = Scene()
    scene.grant.dead = True
    scene.clock.advance(3600)
    for manager in (scene.manager, scene.sibling):
        with pytest.raises(GrantBroken):
            await text(manager)
    scene.grant.dead = False
    await scene.sibling.adopt(scene.grant.token())
    assert scene.names == ["token.broken", "token.renewed", "token.recovered"]
    assert await text(scene.manager) == await text(scene.sibling) == "access-1"
    assert scene.grant.asked == 1


async def test_a_person_may_try_a_broken_grant_again() -> None:
    scene = Scene()
    scene.grant.dead = True
    for asked in (1, 2):
        with pytest.raises(GrantBroken):
            await scene.manager.renew()
        assert scene.grant.asked == asked
    scene.grant.dead = False
    assert (await scene.manager.renew()).access_token.get_secret_value() == "access-2"
    assert scene.names == ["token.broken", "token.renewed", "token.recovered"]


async def test_a_refused_grant_makes_way_for_the_newer_token_of_a_sibling() -> None:
    """Somebody renewed without our right to it: an older version, or a copy of the database."""
    scene = Scene()
    used_up = scene.store.state.token
    scene.clock.advance(3600)
    newer = await scene.grant(used_up)
    reading = scene.store.load

    async def written_meanwhile() -> TokenState:
        scene.store.state = TokenState(newer)
        return await reading()

    async def refused(former: StoredToken | None) -> StoredToken:
        scene.store.load = written_meanwhile  # type: ignore[method-assign]
        raise GrantBroken("The SIS does not accept the grant any more.")

    manager = TokenManager(refused, clock=scene.clock, store=scene.store, on_event=scene.events.append)
    assert await text(manager) == "access-2"
    assert (scene.names, scene.store.state.state) == ([], "active")


# -- a server that is down ---------------------------------------------------------------------------------------------


async def test_renewals_in_advance_back_off_together(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.grant.trouble = DOWN
    scene.clock.advance(3001)
    asked_at = []
    for second in range(590):
        before = scene.grant.asked
        assert await text(scene.manager) == await text(scene.sibling) == "access-1"
        asked_at += [second] * (scene.grant.asked - before)
        scene.clock.advance(1)
    pauses = [later - earlier for earlier, later in pairwise(asked_at)]
    assert 4 <= len(asked_at) <= 8
    assert all(7 <= pause <= 15 * 2**number + 1 for number, pause in enumerate(pauses))
    assert scene.names == ["token.failing"]
    assert len(caplog.records) == 1
    scene.grant.trouble = None
    scene.clock.advance(15)
    assert await text(scene.manager) == await text(scene.sibling) == "access-2"
    assert scene.names == ["token.failing", "token.renewed", "token.recovered"]
    assert scene.store.state.failures == 0


async def test_a_token_url_that_asks_for_patience_gets_it() -> None:
    scene = Scene()
    scene.clock.advance(3600)
    scene.grant.trouble = RateLimited("Too many requests.", retry_after=30)
    for _ in range(10):
        with pytest.raises(RateLimited):
            await text(scene.manager)
        scene.clock.advance(2.9)
    assert scene.grant.asked == 1
    scene.grant.trouble = None
    scene.clock.advance(2)
    assert await text(scene.manager) == "access-2"


async def test_the_former_refresh_token_is_shown_again_where_the_answer_was_lost() -> None:
    """Nobody can tell an answer that was lost from a request that was: within a server's grace period it is made good."""
    scene = Scene(grace=60)
    scene.clock.advance(3600)
    await scene.grant(scene.store.state.token)  # rotated, and the answer got lost on its way
    assert await text(scene.manager) == "access-2"
    assert (scene.grant.reuses, scene.names) == (0, ["token.renewed"])


async def test_a_refresh_token_out_of_an_unusable_answer_is_kept() -> None:
    scene = Scene()
    token = scene.store.state.token
    assert token is not None
    spoilt = UnusableToken("The SIS handed out a token of another type.")
    spoilt.salvaged = StoredToken(
        access_token=token.access_token,
        refresh_token=(await scene.grant(token)).refresh_token,
        obtained_at=token.obtained_at,
        expires_at=token.expires_at,
    )
    scene.grant.trouble = spoilt
    scene.clock.advance(3600)
    with pytest.raises(UnusableToken):
        await text(scene.manager)
    scene.grant.trouble = None
    scene.clock.advance(60)
    assert await text(scene.sibling) == "access-3"
    assert scene.grant.reuses == 0
    assert scene.names == ["token.failing", "token.renewed", "token.recovered"]


# -- a store that is away ----------------------------------------------------------------------------------------------


async def test_what_is_in_memory_serves_while_the_store_is_away() -> None:
    scene = Scene()
    assert await text(scene.manager) == "access-1"
    scene.clock.advance(3100)
    scene.store.away = True
    assert [await text(scene.manager) for _ in range(20)] == ["access-1"] * 20
    assert scene.grant.asked == 0
    scene.clock.advance(500)
    with pytest.raises(StorageError):
        await text(scene.manager)
    scene.store.away = False
    assert await text(scene.manager) == "access-2"


async def test_a_rotated_token_that_cannot_be_written_serves_and_is_written_later(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.clock.advance(3600)
    scene.grant.gate.clear()
    caller = asyncio.create_task(text(scene.manager))
    await scene.grant.rotated.wait()
    scene.store.full = True
    scene.grant.gate.set()
    assert await caller == "access-2"
    assert "could not be stored" in caplog.text
    assert "access-2" not in caplog.text
    assert scene.store.state.token is not None
    assert scene.store.state.token.access_token.get_secret_value() == "access-1"
    # Nobody gets the right to show the former refresh token meanwhile.
    waiting = asyncio.create_task(text(scene.sibling))
    for _ in range(50):
        await asyncio.sleep(0)
    scene.store.full = False
    assert await waiting == "access-2"
    assert await text(scene.manager) == "access-2"
    assert (scene.grant.reuses, scene.grant.asked) == (0, 1)
    await scene.manager.aclose()


async def test_the_last_moment_to_write_is_when_the_process_ends(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.clock.advance(3600)

    scene.store.full = True
    scene.clock.sleep = asyncio.Event().wait  # type: ignore[assignment, method-assign]
    assert await text(scene.manager) == "access-2"
    scene.store.full = False
    await scene.manager.aclose()
    assert await text(scene.process()) == "access-2"
    assert scene.grant.asked == 1


# -- a clock that jumps ------------------------------------------------------------------------------------------------


async def test_a_clock_that_is_set_back_does_not_prolong_a_life() -> None:
    scene = Scene()
    assert await text(scene.manager) == "access-1"
    scene.clock.set_back(86400)
    scene.clock.advance(3600)
    assert await text(scene.manager) == "access-2"


async def test_a_token_that_has_ended_serves_nobody_whatever_the_wall_clock_says() -> None:
    scene = Scene()
    assert await text(scene.manager) == "access-1"
    scene.clock.set_back(86400)
    scene.grant.trouble = DOWN
    scene.clock.advance(3600)
    with pytest.raises(NetworkError):
        await text(scene.manager)


async def test_a_token_of_a_clock_that_ran_ahead_lives_no_longer_than_it_may() -> None:
    scene = Scene()
    scene.clock.set_back(86400)  # before this process ever read it
    assert await text(scene.manager) == "access-1"
    scene.clock.advance(3600)
    assert await text(scene.manager) == "access-2"


@pytest.mark.parametrize("hours", [1, 24, 24 * 365])
async def test_a_clock_that_jumps_ahead_and_back_costs_renewals_and_nothing_else(hours: int) -> None:
    scene = Scene()
    assert await text(scene.manager) == "access-1"
    scene.clock.set_back(-3600 * hours)
    assert await text(scene.manager) == "access-2"
    scene.clock.set_back(3600 * hours)
    assert await text(scene.manager) == "access-2"
    scene.clock.advance(3600)
    assert await text(scene.manager) == await text(scene.sibling) == "access-3"
    assert scene.grant.reuses == 0


# -- whoever leaves ----------------------------------------------------------------------------------------------------


async def test_callers_who_leave_at_any_step_lose_no_rotated_token() -> None:
    scene = Scene(seconds=10)
    for steps in range(40):
        scene.clock.advance(10)
        caller = asyncio.create_task(text(scene.manager))
        for _ in range(steps % 20):
            await asyncio.sleep(0)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
    await scene.manager.aclose()
    assert scene.grant.reuses == 0
    assert scene.store.state.token is not None
    assert scene.store.state.token.refresh_token == scene.grant.token().refresh_token


async def test_closing_waits_for_what_is_under_way() -> None:
    scene = Scene()
    scene.clock.advance(3600)
    scene.grant.gate.clear()
    caller = asyncio.create_task(text(scene.manager))
    await scene.grant.rotated.wait()
    caller.cancel()
    closing = asyncio.create_task(scene.manager.aclose())
    await asyncio.sleep(0)
    assert not closing.done()
    scene.grant.gate.set()
    await closing
    assert scene.store.state.token is not None
    assert scene.store.state.token.access_token.get_secret_value() == "access-2"


async def test_a_renewal_on_request_is_shared_by_those_who_ask_together() -> None:
    scene = Scene()
    since = scene.clock.now() + timedelta(seconds=1)
    scene.clock.advance(2)
    renewed = await asyncio.gather(*(scene.manager.renew(since=since) for _ in range(20)), scene.sibling.renew(since=since))
    assert {token.access_token.get_secret_value() for token in renewed} == {"access-2"}
    assert (await scene.manager.renew()).access_token.get_secret_value() == "access-3"
    assert scene.grant.asked == 2
