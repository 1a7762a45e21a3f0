"""How tokens are renewed where it matters: the gap in which a crash loses a grant, processes that are killed, a crowd.

    python tests/benchmarks/tokens.py [--renewals 300] [--kills 200] [--crowd 10000] [--rate 25]

A server that rotates refresh tokens has used up the former one when it answers. Until we have written the new one, nobody but
our memory knows it: that is the gap. It begins with the last byte of the answer and ends with our commit.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from crowd import keep_a_crowd
from oauth_server import oauth_server
from raw_server import Answer, Heard, json_answer, serving
from renewals import Renewals, nursery, renewals, told
from sis_connect.clock import SystemClock
from sis_connect.events import EventName
from sis_connect.store.token_store import SQLTokenStore
from sis_connect.store.window_log import SQLWindowLog
from sis_connect.tokens.token import StoredToken
from sis_connect.tokens.token_manager import TokenManager
from sis_connect.tokens.token_state import Claim
from sis_connect.transport.rate_limit import Limiter
from token_kills import kill_while_renewing


class TimedStore(SQLTokenStore):
    """Knows when it had committed."""

    committed_at = 0.0

    async def save(
        self, token: StoredToken, claim: Claim, *, due_at: datetime | None, usable: bool = True
    ) -> Sequence[EventName]:
        names = await super().save(token, claim, due_at=due_at, usable=usable)
        self.committed_at = time.perf_counter()
        return names


async def gaps(folder: Path, count: int, *, limited: bool, busy: bool) -> list[float]:
    """The gap of as many renewals, in milliseconds."""
    answered_at, numbers = 0.0, itertools.count(1)

    async def answer(heard: Heard) -> Answer:
        nonlocal answered_at
        number = next(numbers)
        body = json_answer(
            {"access_token": f"a{number}", "refresh_token": f"r{number}", "token_type": "Bearer", "expires_in": 3600}
        )
        answered_at = time.perf_counter()  # it is sent at once
        return body

    async with serving(answer) as server, renewals(folder / f"gap-{limited}-{busy}.db", f"{server.url}/token") as desk:
        await desk.consent({"access_token": "a0", "refresh_token": "r0"})
        clock = SystemClock()
        limiter = Limiter(10 * count, log=SQLWindowLog(desk.store, clock), key="district", clock=clock) if limited else None
        store = TimedStore(desk.store, desk.vault, clock, integration_id=1, integration="district-1")
        manager = TokenManager(desk.grant(limiter), clock=clock, store=store)
        found = []
        async with writing(desk, busy=busy):
            for _ in range(count):
                await manager.renew()
                found.append(1000 * (store.committed_at - answered_at))
        return found


@asynccontextmanager
async def writing(desk: Renewals, *, busy: bool) -> AsyncIterator[None]:
    """Meanwhile a sync writes: one transaction of a few hundred rows after the other."""
    rows = [(f"record-{number}", "x" * 200) for number in range(500)]

    async def write() -> None:
        while True:
            async with desk.store.write() as connection:
                await connection.exec_driver_sql("INSERT OR REPLACE INTO busy (name, document) VALUES (?, ?)", rows)
            await asyncio.sleep(0)

    async with desk.store.write() as connection:
        await connection.exec_driver_sql("CREATE TABLE busy (name TEXT PRIMARY KEY, document TEXT)")
    task = asyncio.create_task(write()) if busy else None
    yield
    if task is not None:
        task.cancel()
        await asyncio.wait({task})


async def measure_gaps(folder: Path, count: int) -> None:
    for label, limited, busy in (
        ("alone", False, False),
        ("with a limit in the database", True, False),
        ("beside a sync that writes", True, True),
    ):
        found = sorted(await gaps(folder, count, limited=limited, busy=busy))
        middle, most = statistics.median(found), found[int(0.95 * len(found))]
        print(f"gap {label:<30} median {middle:6.2f} ms, 95 % below {most:6.2f} ms, longest {found[-1]:6.2f} ms (aim 5 ms)")


async def measure_processes(folder: Path) -> None:
    database = folder / "processes.db"
    with oauth_server() as server:
        async with renewals(database, server.token_url) as desk, nursery(database, server.token_url) as mother:
            for number in range(1, 11):
                await desk.consent(server.consented(), number)
                await told(mother, f"flock {number} 4 25")
        print(f"4 processes x 25 callers, 10 times: {server.count('refresh_token')} renewals (10), {server.reuses} reuses (0)")


async def measure_kills(folder: Path, count: int) -> None:
    with oauth_server() as server:
        kills = await kill_while_renewing(server, folder / "kills.db", count)
    print(
        f"{kills.trials} killed at random instants: {kills.before_the_server_rotated} before the server rotated "
        f"({kills.lost_before_the_server_rotated} lost), {kills.rotated_and_not_committed} between that and our commit "
        f"({kills.lost_in_between} lost), {kills.committed} after our commit ({kills.lost_after_commit} lost, limit 0)"
    )


async def measure_crowd(folder: Path, count: int, rate: float) -> None:
    begun = time.perf_counter()
    kept = await keep_a_crowd(folder / "crowd.db", count, rate=rate)
    took = time.perf_counter() - begun
    print(
        f"{count} due at once at {rate:g} a second: at most {kept.most_in_a_second} in any second, {kept.late} late (limit 0), "
        f"done after {max(kept.at):.0f} s of 600; {1000 * took / count:.1f} ms of work each"
    )


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--renewals", type=int, default=300)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--crowd", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=25)
    options = parser.parse_args()
    logging.getLogger("sis_connect").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await measure_gaps(folder, options.renewals)
        await measure_processes(folder)
        await measure_kills(folder, options.kills)
        await measure_crowd(folder, options.crowd, options.rate)


if __name__ == "__main__":
    asyncio.run(main())
