"""One token for all callers: one flight, one replacement, nothing lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from manual_clock import ManualClock
from sis_connect.errors import AuthenticationError, ConfigurationError, NetworkError
from sis_connect.store.sql import Store, open_engine
from sis_connect.store.tables import metadata, oauth_token
from sis_connect.store.token_store import SQLTokenStore
from sis_connect.tokens.token import AccessToken, StoredToken
from sis_connect.tokens.token_manager import MemoryTokenStore, TokenManager
from sis_connect.tokens.vault import Vault, new_key


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

    async def __call__(self) -> StoredToken:
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


@pytest.mark.parametrize("seconds", [3600, 60, 30, 1])
async def test_fifty_callers_fetch_one_token(clock: ManualClock, seconds: float) -> None:
    server = TokenServer(clock, seconds=seconds)
    manager = TokenManager(server, clock=clock)
    assert set(await asyncio.gather(*(text(manager) for _ in range(50)))) == {"token-1"}
    clock.advance(seconds)
    assert set(await asyncio.gather(*(text(manager) for _ in range(50)))) == {"token-2"}
    assert server.asked == 2


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
    store = MemoryTokenStore()
    await store.save(StoredToken(access_token=AccessToken("old"), obtained_at=clock.now(), expires_at=None))
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
    assert await store.load() is not None
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


class Database:
    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store, self.clock, self.key = store, clock, new_key()

    def tokens(self, integration_id: int = 1, *, key: str | None = None) -> SQLTokenStore:
        return SQLTokenStore(self.store, Vault.from_text(key or self.key), self.clock, integration_id=integration_id)

    async def row(self) -> dict[str, object]:
        async with self.store.read() as connection:
            return dict((await connection.execute(select(oauth_token))).one()._mapping)


@pytest.fixture
async def database(tmp_path: Path, clock: ManualClock):  # type: ignore[no-untyped-def]
    engine = open_engine(f"sqlite:///{tmp_path / 'tokens.db'}")
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield Database(Store(engine), clock)
    await engine.dispose()


async def test_a_token_outlives_the_process_sealed(database: Database, clock: ManualClock) -> None:
    server = TokenServer(clock)
    assert await text(TokenManager(server, clock=clock, store=database.tokens())) == "token-1"
    assert await text(TokenManager(server, clock=clock, store=database.tokens())) == "token-1"
    assert server.asked == 1
    row = await database.row()
    assert b"token-1" not in bytes(row["sealed"])  # type: ignore[call-overload]
    assert (row["state"], row["failures"]) == ("active", 0)
    saved = await database.tokens().load()
    assert saved is not None
    assert saved.lifetime == timedelta(hours=1)


async def test_p7_a_token_moved_to_another_integration_does_not_open(database: Database, clock: ManualClock) -> None:
    await text(TokenManager(TokenServer(clock), clock=clock, store=database.tokens()))
    async with database.store.write() as connection:
        await connection.execute(oauth_token.update().values(integration_id=2))
    with pytest.raises(Exception, match="another place"):
        await database.tokens(2).load()


async def test_the_wrong_key_is_named(database: Database, clock: ManualClock) -> None:
    await text(TokenManager(TokenServer(clock), clock=clock, store=database.tokens()))
    with pytest.raises(ConfigurationError, match="another key"):
        await database.tokens(key=new_key()).load()


async def test_failures_are_counted_until_a_token_comes(database: Database, clock: ManualClock) -> None:
    server = TokenServer(clock)
    manager = TokenManager(server, clock=clock, store=database.tokens())
    server.down = True
    for _ in range(2):
        with pytest.raises(NetworkError):
            await text(manager)
    row = await database.row()
    assert (row["state"], row["failures"], row["sealed"]) == ("failing", 2, None)
    server.down = False
    await text(manager)
    assert (await database.row())["failures"] == 0
