"""One process that sends requests within a limit shared through a database: DATABASE BASE_URL REQUESTS LIMIT WINDOW.

It says when it is ready, and begins when it is told to.
"""

from __future__ import annotations

import asyncio
import sys

from sis_connect.clock import SystemClock
from sis_connect.store.sql import Store, open_engine
from sis_connect.store.window_log import SQLWindowLog
from sis_connect.transport.http import Transport
from sis_connect.transport.rate_limit import Limiter


async def work(database: str, base_url: str, requests: int, limit: int, window: float) -> None:
    clock, engine = SystemClock(), open_engine(database)
    limiter = Limiter(limit, window, log=SQLWindowLog(Store(engine), clock), key="district", clock=clock, timeout=1.0)
    async with Transport(base_url=base_url, tokens=None, limiter=limiter, clock=clock, timeout=1.0, max_attempts=1) as transport:
        await asyncio.gather(*(transport.get_json("/x") for _ in range(requests)))
    await engine.dispose()


if __name__ == "__main__":
    _, database, base_url, requests, limit, window = sys.argv
    print("ready", flush=True)
    sys.stdin.readline()
    asyncio.run(work(database, base_url, int(requests), int(limit), float(window)))
