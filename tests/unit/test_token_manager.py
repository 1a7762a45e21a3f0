"""One token for all callers: one flight, one replacement, nothing lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from manual_clock import ManualClock
from sis_connect.errors import AuthenticationError, NetworkError
from sis_connect.tokens.token import AccessToken, StoredToken
from sis_connect.tokens.token_manager import TokenManager
from sis_connect.tokens.token_state import MemoryTokenStore

DAY = 86400


class TokenServer:
    """Hands out numbered tokens and counts how often it was asked."""

    def __init__(self, clock: ManualClock, *, seconds: float = 3600, same: bool = False) -> None:
        self.clock = clock
        self.seconds = seconds
        self.same = same
        self.asked = 0
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, _former: StoredToken | None) -> StoredToken:
        self.asked += 1
        number = 1 if self.same else self.asked
        await self.gate.wait()
        await asyncio.sleep(0.001)
        if self.down:
            raise NetworkError("The token URL is down.")
        now = self.clock.now()
        return StoredToken(
            access_token=AccessToken(f"token-{number}"), obtained_at=now, expires_at=now + timedelta(seconds=self.seconds)
        )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def text(manager: TokenManager, rejected: str | None = None) -> str:
    return (await manager.token(None if rejected is None else AccessToken(rejected))).get_secret_value()


@settings(deadline=None)
@given(seconds=st.integers(1, 30 * DAY), jitter=st.floats(0, 1))
@example(seconds=1, jitter=0)
@example(seconds=30 * DAY, jitter=1)
async def test_fifty_callers_on_an_expired_token_renew_it_once_at_every_lifetime(seconds: int, jitter: float) -> None:
    clock = ManualClock()
    server = TokenServer(clock, seconds=seconds)
    manager = TokenManager(server, clock=clock, jitter=jitter)
    assert set(await asyncio.gather(*(text(manager) for _ in range(50)))) == {"token-1"}
    clock.advance(seconds)
    assert set(await asyncio.gather(*(text(manager) for _ in range(50)))) == {"token-2"}
    assert server.asked == 2


async def test_a_server_that_hands_out_the_same_token_is_asked_again_when_it_has_ended(clock: ManualClock) -> None:
    server = TokenServer(clock, seconds=3600, same=True)
    manager = TokenManager(server, clock=clock)
    await text(manager)
    clock.advance(3001)
    server.seconds = 599  # what is left of it
    assert await text(manager) == "token-1"
    for _ in range(59):
        clock.advance(10)
        assert await text(manager) == "token-1"
    assert server.asked == 2
    clock.advance(10)
    assert await text(manager) == "token-1"
    assert server.asked == 3


async def test_a_refusal_during_a_renewal_ahead_of_time_brings_another_token(clock: ManualClock) -> None:
    server = TokenServer(clock)
    manager = TokenManager(server, clock=clock)
    await text(manager)
    clock.advance(3100)
    server.down = True
    ahead, refused = asyncio.create_task(text(manager)), asyncio.create_task(text(manager, "token-1"))
    await asyncio.wait({ahead})
    server.down = False
    assert (await ahead, await refused) == ("token-1", "token-3")


async def test_twenty_refusals_at_once_bring_one_replacement(clock: ManualClock) -> None:
    server = TokenServer(clock)
    manager = TokenManager(server, clock=clock)
    await text(manager)
    assert set(await asyncio.gather(*(text(manager, "token-1") for _ in range(20)))) == {"token-2"}
    assert await text(manager, "token-1") == "token-2"
    assert server.asked == 2


async def test_the_same_token_again_after_a_refusal_is_an_error_and_no_loop(clock: ManualClock) -> None:
    server = TokenServer(clock, same=True)
    manager = TokenManager(server, clock=clock)
    await text(manager)
    for _ in range(10):
        with pytest.raises(AuthenticationError, match="same one again"):
            await text(manager, "token-1")
    assert server.asked == 2
    clock.advance(61)
    server.same = False
    assert await text(manager, "token-1") == "token-3"


@pytest.mark.parametrize(("seconds", "ahead"), [(3600, 600), (1000, 250), (2_592_000, 600)])
async def test_a_token_is_renewed_before_it_ends(clock: ManualClock, seconds: float, ahead: float) -> None:
    server = TokenServer(clock, seconds=seconds)
    manager = TokenManager(server, clock=clock)
    await text(manager)
    clock.advance(seconds - ahead - 1)
    assert await text(manager) == "token-1"
    clock.advance(2)
    assert await text(manager) == "token-2"


async def test_where_the_same_token_comes_until_its_end_it_is_used_until_its_end(clock: ManualClock) -> None:
    server = TokenServer(clock, seconds=1000)
    manager = TokenManager(server, clock=clock, renews_early=False)
    await text(manager)
    clock.advance(999)
    assert await text(manager) == "token-1"
    clock.advance(1)
    assert await text(manager) == "token-2"


async def test_a_token_that_never_ends_is_used_until_it_is_refused(clock: ManualClock) -> None:
    store = MemoryTokenStore(StoredToken(access_token=AccessToken("old"), obtained_at=clock.now(), expires_at=None))
    server = TokenServer(clock)
    manager = TokenManager(server, clock=clock, store=store)
    clock.advance(10**8)
    assert await text(manager) == "old"
    assert await text(manager, "old") == "token-1"


async def test_a_renewal_ahead_of_time_that_fails_harms_nobody(clock: ManualClock) -> None:
    server = TokenServer(clock)
    manager = TokenManager(server, clock=clock)
    await text(manager)
    clock.advance(3100)
    server.down = True
    assert [await text(manager) for _ in range(5)] == ["token-1"] * 5
    assert server.asked == 2
    clock.advance(61)
    server.down = False
    assert await text(manager) == "token-3"


async def test_a_failed_flight_is_cleared(clock: ManualClock) -> None:
    server = TokenServer(clock)
    manager = TokenManager(server, clock=clock)
    server.down = True
    outcomes = await asyncio.gather(*(text(manager) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(outcome, NetworkError) for outcome in outcomes)
    assert server.asked == 1
    server.down = False
    assert await text(manager) == "token-2"


async def test_a_cancelled_caller_loses_nothing(clock: ManualClock) -> None:
    server = TokenServer(clock)
    server.gate.clear()
    manager = TokenManager(server, clock=clock)
    first, second = asyncio.create_task(text(manager)), asyncio.create_task(text(manager))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    server.gate.set()
    assert await second == "token-1"
    assert server.asked == 1


async def test_what_a_flight_brings_is_kept_though_every_caller_left(clock: ManualClock) -> None:
    server = TokenServer(clock)
    server.gate.clear()
    store = MemoryTokenStore()
    manager = TokenManager(server, clock=clock, store=store)
    caller = asyncio.create_task(text(manager))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    server.gate.set()
    await asyncio.sleep(0.01)
    assert (await store.load()).token is not None
    assert await text(manager) == "token-1"
    assert server.asked == 1


async def test_the_store_is_read_before_the_server_is_asked(clock: ManualClock) -> None:
    server, store = TokenServer(clock), MemoryTokenStore()
    one, sibling = (TokenManager(server, clock=clock, store=store) for _ in range(2))
    assert await text(one) == "token-1"
    assert await text(sibling) == "token-1"
    assert await text(one, "token-1") == "token-2"
    assert await text(sibling, "token-1") == "token-2"
    assert server.asked == 2
