"""How much of a rate limit is used while there is work, against a strict server that counts every window.

    python tests/benchmarks/limit.py [--limit 60] [--seconds 2]

Prints the share of the quota used and the requests rejected: with the limiter in memory, and through a database.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from sis_connect.clock import SystemClock
from sis_connect.store.sql import open_store
from sis_connect.store.window_log import SQLWindowLog
from sis_connect.transport.http import Transport
from sis_connect.transport.rate_limit import Limiter, WindowLog
from strict_server import strict_server


async def measure(name: str, limit: int, seconds: float, log: WindowLog | None) -> None:
    async with strict_server(limit, seconds) as server:
        limiter = Limiter(limit, seconds, log=log, key=name)
        async with Transport(
            base_url=server.url, tokens=None, limiter=limiter, clock=SystemClock(), max_attempts=1, pool=4
        ) as transport:
            await asyncio.gather(*(transport.get_json("/x") for _ in range(4 * limit)))
        share = server.share_of_quota_used()
        print(f"{name:<22} {share:6.1%} of the quota used (limit 95 %), {server.rejected} rejected (limit 0)")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    await measure("in memory", options.limit, options.seconds, None)
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(f"sqlite:///{Path(folder) / 'limit.db'}") as store:
            log = SQLWindowLog(store, SystemClock())
            await measure("through the database", options.limit, options.seconds, log)


if __name__ == "__main__":
    asyncio.run(main())
