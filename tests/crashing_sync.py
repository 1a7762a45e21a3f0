"""A sync in a process of its own, that is killed at a chosen instant. Run in a forked process, so that it starts at once."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from multiprocessing.context import ForkServerProcess

from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.service import SISService
from sis_connect.store.sql import Store

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["sis_connect.service", "sis_connect.transport.http", "sis_connect_powerschool.provider", "aiosqlite", "uvicorn"]
)


def syncing(
    url: str, today: date, *, kill_at: float | None = None, kinds: Sequence[Kind] | None = None, times: int = 1
) -> ForkServerProcess:
    """Start a sync of `lincoln`. `kill_at`: its so-manieth writing transaction, killed just before its commit where there is a
    half, else just after. The process ends with the run's exit code."""
    process = _context.Process(target=_sync, args=(url, today, kill_at, kinds, times))
    process.start()
    return process


def _sync(url: str, today: date, kill_at: float | None, kinds: Sequence[Kind] | None, times: int) -> None:
    if kill_at is not None:
        _kill_at(kill_at)
    raise SystemExit(asyncio.run(_run(url, today, kinds, times)))


async def _run(url: str, today: date, kinds: Sequence[Kind] | None, times: int) -> int:
    worst = 0
    async with SISService.open(url, today=today) as service:
        for _ in range(times):
            worst = max(worst, (await service.sync("lincoln", kinds=kinds)).exit_code)
    return worst


def _kill_at(instant: float) -> None:
    write = Store.write
    count = 0

    @asynccontextmanager
    async def counted(store: Store) -> AsyncIterator[AsyncConnection]:
        nonlocal count
        async with write(store) as connection:
            yield connection
            count += 1
            if instant == count - 0.5:
                os.kill(os.getpid(), signal.SIGKILL)
        if instant == count:
            os.kill(os.getpid(), signal.SIGKILL)

    Store.write = counted  # type: ignore[method-assign]
