"""Promise P11 against a strict server on a real socket: by all processes together, restarts included.

How much of the quota is used is measured in `tests/benchmarks/limit.py`.

Windows are scaled down; everything else is as in life.
"""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from manual_clock import ManualClock
from raw_server import Answer, Heard, RawServer, json_answer, serving
from sis_connect.clock import SystemClock
from sis_connect.errors import StorageError
from sis_connect.oauth.client import OAuthClient
from sis_connect.oauth.endpoint import TokenEndpoint
from sis_connect.oauth.grants import client_credentials_grant
from sis_connect.store.sql import Store, open_engine
from sis_connect.store.tables import metadata, rate_slot
from sis_connect.store.window_log import SQLWindowLog
from sis_connect.tokens.token_manager import TokenManager
from sis_connect.transport.http import Transport
from sis_connect.transport.rate_limit import MARGIN, Full, Limiter, Taken
from strict_server import StrictServer, strict_server

LIMIT = 60
WINDOW = 0.6
WORKER = Path(__file__).with_name("rate_limit_worker.py")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    engine = open_engine(f"sqlite:///{tmp_path / 'limits.db'}")
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield Store(engine)
    await engine.dispose()


async def send(server: StrictServer, limiter: Limiter, requests: int) -> None:
    async with Transport(
        base_url=server.url, tokens=None, limiter=limiter, clock=SystemClock(), max_attempts=1, pool=4
    ) as transport:
        await asyncio.gather(*(transport.get_json("/x") for _ in range(requests)))


async def test_p11_a_strict_server_rejects_nothing() -> None:
    async with strict_server(LIMIT, WINDOW) as server:
        await send(server, Limiter(LIMIT, WINDOW), 4 * LIMIT)
        assert (server.rejected, len(server.arrivals)) == (0, 4 * LIMIT)


async def test_p11_the_same_through_the_database(store: Store) -> None:
    async with strict_server(LIMIT, 1.0) as server:
        await send(server, Limiter(LIMIT, 1.0, log=SQLWindowLog(store, SystemClock()), key="district"), 3 * LIMIT)
        assert (server.rejected, len(server.arrivals)) == (0, 3 * LIMIT)


async def test_p11_a_handful_of_requests_leaves_at_once() -> None:
    async with strict_server(LIMIT, 10) as server:
        begun = time.monotonic()
        await send(server, Limiter(LIMIT, 10), LIMIT)
        assert time.monotonic() - begun < 2


class Worker:
    """A process of its own that sends requests."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, store: Store, server: StrictServer, requests: int) -> Worker:
        database = str(store.engine.url.set(drivername="sqlite"))
        arguments = (database, server.url, str(requests), str(server.limit), str(server.window))
        process = await asyncio.create_subprocess_exec(sys.executable, str(WORKER), *arguments, stdin=PIPE, stdout=PIPE)
        worker = cls(process)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        return worker

    async def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        await self.process.stdin.drain()

    async def ended(self) -> int:
        await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode


async def test_p11_two_processes_share_one_limit(store: Store) -> None:
    async with strict_server(20, WINDOW) as server:
        workers = await asyncio.gather(*(Worker.start(store, server, 40) for _ in range(2)))
        await asyncio.gather(*(worker.go() for worker in workers))
        assert [await worker.ended() for worker in workers] == [0, 0]
        assert server.rejected == 0
        assert len(server.arrivals) == 80


async def test_p11_a_process_that_is_killed_and_started_again_keeps_to_the_limit(store: Store) -> None:
    async with strict_server(20, 1.0) as server:
        first, second = await asyncio.gather(*(Worker.start(store, server, requests) for requests in (1000, 30)))
        await first.go()
        await server.heard(30)
        first.process.kill()
        await first.ended()
        before = len(server.arrivals)
        await second.go()
        assert await second.ended() == 0
        assert server.rejected == 0
        assert len(server.arrivals) == before + 30


async def test_p11_token_requests_and_attempts_that_fail_take_slots_too() -> None:
    asked = 0

    async def flaky(heard: Heard) -> Answer:
        nonlocal asked
        if heard.path == "/token":
            return json_answer({"access_token": "t", "expires_in": 3600})
        asked += 1
        return json_answer({}, status=503 if asked < 3 else 200)

    async with serving(flaky) as server:
        limiter, clock = Limiter(10, 60), ManualClock()
        async with Transport(base_url=server.url, tokens=_tokens(server, limiter), limiter=limiter, clock=clock) as transport:
            await transport.get_json("/x")
            assert transport.window_left == 10 - 4
        assert len(server.heard) == 4


def _tokens(server: RawServer, limiter: Limiter) -> TokenManager:
    client = OAuthClient(token_url=f"{server.url}/token", client_id="x", secrets=(SecretStr("y"),))
    endpoint = TokenEndpoint(client, limiter=limiter, clock=SystemClock())
    return TokenManager(client_credentials_grant(endpoint), clock=SystemClock())


async def test_a_slot_in_the_database_comes_back_by_itself_when_its_holder_was_killed(store: Store) -> None:
    clock = ManualClock()
    log = SQLWindowLog(store, clock)
    hold = 30 + 60 * MARGIN
    assert isinstance(await log.take("x", 1, hold), Taken)
    full = await log.take("x", 1, hold)
    assert isinstance(full, Full)
    assert full.seconds == pytest.approx(hold)
    clock.advance(hold)
    taken = await log.take("x", 1, hold)
    assert isinstance(taken, Taken)
    await log.give_back("x", taken, 60 * MARGIN)
    assert isinstance(await log.take("x", 1, hold), Full)
    clock.advance(60 * MARGIN)
    assert isinstance(await log.take("x", 1, hold), Taken)


async def test_p11_another_limit_in_the_database_holds_at_once(store: Store) -> None:
    clock = ManualClock()
    log = SQLWindowLog(store, clock)
    for _ in range(5):
        taken = await log.take("x", 5, 90)
        assert isinstance(taken, Taken)
        await log.give_back("x", taken, 60)
        clock.advance(1)
    full = await log.take("x", 3, 90)
    assert isinstance(full, Full)
    assert full.seconds == pytest.approx(57)
    assert isinstance(await log.take("x", 6, 90), Taken)
    assert isinstance(await log.take("y", 1, 90), Taken)


async def test_a_request_that_outlived_its_hold_counts_in_a_slot_of_its_own(store: Store) -> None:
    clock = ManualClock()
    log = SQLWindowLog(store, clock)
    late = await log.take("x", 1, 90)
    clock.advance(91)
    other = await log.take("x", 1, 90)
    assert isinstance(late, Taken)
    assert isinstance(other, Taken)
    await log.give_back("x", late, 60)
    await log.give_back("x", other, 60)
    assert isinstance(await log.take("x", 2, 90), Full)


async def test_a_machine_whose_clock_was_set_back_is_not_blocked_for_hours(store: Store) -> None:
    clock = ManualClock()
    log = SQLWindowLog(store, clock)
    await log.take("x", 1, 90)
    clock.set_back(3600)
    full = await log.take("x", 1, 90)
    assert isinstance(full, Full)
    assert full.seconds <= 90
    clock.advance(91)
    assert isinstance(await log.take("x", 1, 90), Taken)


async def test_two_limiters_in_one_process_never_hand_out_one_slot_twice(store: Store) -> None:
    log = SQLWindowLog(store, SystemClock())
    outcomes = await asyncio.gather(*(log.take("x", 5, 90) for _ in range(20)))
    assert sorted(outcome.slot for outcome in outcomes if isinstance(outcome, Taken)) == list(range(5))
    async with store.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(rate_slot)) == 5


async def test_callers_that_are_cancelled_at_any_moment_leave_the_log_in_order(store: Store) -> None:
    limiter = Limiter(1000, 60, log=SQLWindowLog(store, SystemClock()), key="x", smooth=False)

    async def call() -> None:
        async with limiter.slot():
            await asyncio.sleep(0.002)

    callers = [asyncio.create_task(call()) for _ in range(60)]
    for caller in callers[::2]:
        await asyncio.sleep(0.001)
        caller.cancel()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert outcomes[1::2] == [None] * 30
    await call()


async def test_a_database_that_is_busy_delays_a_request_and_does_not_fail_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    monkeypatch.setattr("sis_connect.store.sql.BUSY_SECONDS", 0.02)
    impatient = open_engine(f"sqlite:///{tmp_path / 'limits.db'}")
    limiter = Limiter(1, 60, log=SQLWindowLog(Store(impatient), SystemClock()), key="x")

    async def call() -> None:
        async with limiter.slot():
            pass

    async with store.write():
        task = asyncio.create_task(call())
        await asyncio.sleep(0.15)
        assert not task.done()
    await task
    assert limiter.window_left == 0
    await impatient.dispose()


async def test_a_database_that_is_gone_is_an_error(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'nothing-in-it.db'}")
    with pytest.raises(StorageError):
        await SQLWindowLog(Store(engine), SystemClock()).take("x", 1, 90)
    await engine.dispose()
