"""The right to renew while clocks jump, holders die and the database is away; and the patience that a server asks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from manual_clock import ManualClock
from renewals import Renewals, renewals
from rotating_grant import RotatingGrant
from sis_connect.errors import ConflictError, RateLimited, StorageError
from sis_connect.store.lease import BEAT, TERM, _this_host
from sis_connect.store.sql import Store, open_engine
from sis_connect.tokens.token_manager import TokenManager


class EventfulClock(ManualClock):
    """Something happens whenever somebody has slept."""

    happens: Callable[[], Awaitable[None]] | None = None

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self.happens is not None:
            await self.happens()


class Scene:
    """An integration whose access token has ended, in a database that two processes use."""

    def __init__(self, desk: Renewals, other: Renewals, clock: EventfulClock) -> None:
        self.desk, self.other, self.clock, self.grant = desk, other, clock, RotatingGrant(clock)
        self.manager, self.sibling = desk.manager(grant=self.grant), other.manager(grant=self.grant)

    async def held_by(self, *, host: str, pid: int = 2**22 + 1, ended: float = 1) -> None:
        """Somebody else has the right, whose term is over since so many seconds."""
        async with self.desk.store.write() as connection:
            await connection.exec_driver_sql(
                "UPDATE sis_lease SET holder = 'other', host = ?, pid = ?, expires_at = ?",
                (host, pid, self.clock.now().timestamp() - ended),
            )

    async def beat(self) -> None:
        async with self.desk.store.write() as connection:
            term = self.clock.now().timestamp() + TERM
            await connection.exec_driver_sql("UPDATE sis_lease SET expires_at = ? WHERE expires_at > 0", (term,))


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    clock = EventfulClock()
    async with renewals(tmp_path / "tokens.db", clock=clock) as desk:
        engine = open_engine(f"sqlite:///{tmp_path / 'tokens.db'}")
        scene = Scene(desk, Renewals(Store(engine), desk.vault, clock=clock, events=desk.events), clock)
        await scene.manager.adopt(scene.grant.token())
        clock.advance(3600)
        yield scene
        await engine.dispose()


async def text(manager: TokenManager) -> str:
    return (await manager.token()).get_secret_value()


# -- who may renew -----------------------------------------------------------------------------------------------------


async def test_p10_a_wall_clock_that_jumps_ahead_takes_the_right_from_nobody_who_lives(scene: Scene) -> None:
    scene.grant.gate.clear()
    first = asyncio.create_task(text(scene.manager))
    await scene.grant.rotated.wait()
    begun = scene.clock.monotonic()

    async def live_on() -> None:
        passed = scene.clock.monotonic() - begun
        if passed >= BEAT - 1:
            await scene.beat()
        if passed >= 4 * BEAT:
            scene.grant.gate.set()

    scene.clock.set_back(-60)
    scene.clock.happens = live_on
    assert await text(scene.sibling) == await first == "access-2"
    assert (scene.grant.asked, scene.grant.reuses) == (1, 0)


async def test_p10_a_holder_elsewhere_that_died_is_succeeded_when_it_has_been_silent_for_a_beat(scene: Scene) -> None:
    await scene.held_by(host="another machine")
    begun = scene.clock.monotonic()
    assert await text(scene.manager) == "access-2"
    assert BEAT + 1 <= scene.clock.monotonic() - begun <= BEAT + 2


async def test_p10_a_holder_on_this_machine_that_was_killed_is_succeeded_at_once(scene: Scene) -> None:
    for ended in (1, -TERM):
        await scene.held_by(host=_this_host(), ended=ended)
        begun = scene.clock.monotonic()
        await scene.manager.renew()
        assert scene.clock.monotonic() == begun


async def test_who_does_not_wait_still_sees_that_a_holder_has_been_silent(scene: Scene) -> None:
    await scene.held_by(host="another machine")
    tokens = scene.desk.tokens()
    for _ in range(2):
        with pytest.raises(ConflictError, match="renewing the token"):
            async with tokens.claim(wait=False):
                pass
    scene.clock.advance(BEAT + 1)
    async with tokens.claim(wait=False):
        pass


async def test_p10_a_rotated_token_is_written_before_anybody_asks_though_the_database_was_away_for_longer_than_a_term(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = False
    write = Store.write

    @asynccontextmanager
    async def sometimes(self: Store, *, durable: bool = False) -> AsyncIterator[AsyncConnection]:
        if away:
            raise StorageError("The disk that holds the database is full.")
        async with write(self, durable=durable) as connection:
            yield connection

    monkeypatch.setattr(Store, "write", sometimes)
    scene.grant.gate.clear()
    first = asyncio.create_task(text(scene.manager))
    await scene.grant.rotated.wait()
    begun, away = scene.clock.monotonic(), True

    async def come_back() -> None:
        nonlocal away
        away = scene.clock.monotonic() - begun < 66

    scene.clock.happens = come_back
    scene.grant.gate.set()
    assert await first == "access-2"
    served = None
    while served is None:
        with suppress(StorageError):
            served = await text(scene.sibling)
        await asyncio.sleep(0)
    assert served == "access-2"
    assert (scene.grant.asked, scene.grant.reuses) == (1, 0)
    assert max(scene.clock.slept) < BEAT  # so that it is written before anybody takes us for dead
    await scene.manager.aclose()


# -- a server that asks for patience -----------------------------------------------------------------------------------


async def test_a_server_that_asks_to_be_left_alone_is_left_alone_by_all_processes_and_no_longer(scene: Scene) -> None:
    scene.grant.trouble = RateLimited("Too many requests.", retry_after=600)
    for _ in range(10):
        for desk in (scene.desk, scene.other):
            with pytest.raises(RateLimited) as refused:
                await text(desk.manager(grant=scene.grant))
            assert refused.value.retry_after is not None
            assert refused.value.retry_after <= 600
        scene.clock.advance(59)
    assert scene.grant.asked == 1
    ((failures, words),) = await scene.desk.ask("SELECT failures, last_error FROM sis_oauth_token")
    assert failures == 1
    assert words.startswith("Too many requests. Asked at 2026-11-22T09:00:00+00:00 to wait 600 seconds.")
    with pytest.raises(RateLimited):
        await scene.other.manager(grant=scene.grant).renew()
    assert scene.grant.asked == 1
    scene.grant.trouble = None
    scene.clock.advance(10)
    assert await text(scene.other.manager(grant=scene.grant)) == "access-2"
