"""A sync in a process of its own, that is killed at a chosen instant. Run in a forked process, so that it starts at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from multiprocessing.context import ForkServerProcess

from sqlalchemy.ext.asyncio import AsyncConnection

from quick_start import processes
from sis_connect.capabilities import Kind
from sis_connect.service import SISService
from sis_connect.store.sql import Store


def syncing(
    url: str, today: date, name: str = "lincoln", *, kill_at: float | None = None, kinds: Sequence[Kind] | None = None,
    approve: bool = False,
) -> ForkServerProcess:  # fmt: skip
    """Start a sync, or the approval of all that is held. The process ends with the run's exit code.

    `kill_at` 3 kills it when its third writing transaction has been committed, 2.5 just before that.
    """
    process = processes.Process(target=_work, args=(url, today, name, kill_at, kinds, approve))
    process.start()
    return process


def _work(url: str, today: date, name: str, kill_at: float | None, kinds: Sequence[Kind] | None, approve: bool) -> None:
    if kill_at is not None:
        _kill_at(kill_at)
    raise SystemExit(asyncio.run(_approve(url, today, name) if approve else _sync(url, today, name, kinds)))


async def _sync(url: str, today: date, name: str, kinds: Sequence[Kind] | None) -> int:
    async with SISService.open(url, today=today) as service:
        return (await service.sync(name, kinds=kinds)).exit_code


async def _approve(url: str, today: date, name: str) -> int:
    async with SISService.open(url, today=today) as service:
        return max([(await service.approve(hold.id)).exit_code for hold in await service.holds(name)])


def _kill_at(instant: float) -> None:
    write = Store.write
    count = 0

    @asynccontextmanager
    async def counted(store: Store, *, durable: bool = False) -> AsyncIterator[AsyncConnection]:
        nonlocal count
        async with write(store, durable=durable) as connection:
            yield connection
            count += 1
            if instant == count - 0.5:
                os.kill(os.getpid(), signal.SIGKILL)
        if instant == count:
            os.kill(os.getpid(), signal.SIGKILL)

    Store.write = counted  # type: ignore[method-assign, assignment]
