"""The limiter's slots in the database: shared by all processes, and still known after a restart (promise P11).

Times are seconds since 1970 by the machine's clock, since that is what processes share.
"""

from __future__ import annotations

import logging

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.clock import Clock
from sis_connect.errors import StorageError
from sis_connect.store.sql import Store
from sis_connect.store.tables import rate_slot
from sis_connect.transport.rate_limit import Full, Taken, decide, heal

_log = logging.getLogger(__name__)
#: How long to stand back while another process holds the database, in seconds.
_BUSY = 0.05


class SQLWindowLog:
    """Slots in the table `sis_rate_slot`, one short transaction per change."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def take(self, key: str, limit: int, hold: float) -> Taken | Full:
        try:
            async with self._store.write() as connection:
                return await self._take(connection, key, limit, hold)
        except StorageError as error:
            if error.retryable:  # locked: as good as full, the limiter comes again
                return Full(_BUSY)
            raise

    async def give_back(self, key: str, taken: Taken, rest: float) -> None:
        free_at = self.now() + rest  # counted from the answer, not from our turn at the database
        try:
            async with self._store.write() as connection:
                await self._give_back(connection, key, taken, free_at)
        except StorageError as error:
            if not error.retryable:
                raise
            # The answer is here and must not be lost over this: the slot comes back by itself, only later.
            _log.warning("The database is busy; a request slot rests longer than it needs to.")

    async def _take(self, connection: AsyncConnection, key: str, limit: int, hold: float) -> Taken | Full:
        await _serialise(connection, key)
        rows = await connection.execute(select(rate_slot.c.slot, rate_slot.c.free_at).where(rate_slot.c.limit_key == key))
        slots: dict[int, float] = {row.slot: row.free_at for row in rows}
        now = self.now()
        for slot, free_at in heal(slots, now, hold).items():
            slots[slot] = free_at
            await _set(connection, key, slot, free_at, known=True)
        taken = decide(slots, limit, now, hold)
        if isinstance(taken, Taken):
            await _set(connection, key, taken.slot, taken.until, known=taken.slot in slots)
        return taken

    async def _give_back(self, connection: AsyncConnection, key: str, taken: Taken, free_at: float) -> None:
        await _serialise(connection, key)
        mine = (rate_slot.c.limit_key == key, rate_slot.c.slot == taken.slot, rate_slot.c.free_at == taken.until)
        if (await connection.execute(update(rate_slot).where(*mine).values(free_at=free_at))).rowcount:
            return
        # A request that outlived its hold lost its slot to another one: its end counts in a slot of its own.
        last = await connection.scalar(select(func.max(rate_slot.c.slot)).where(rate_slot.c.limit_key == key))
        await _set(connection, key, 0 if last is None else last + 1, free_at, known=False)

    def now(self) -> float:
        return self._clock.now().timestamp()


async def _serialise(connection: AsyncConnection, key: str) -> None:
    """One process at a time. SQLite's transactions are that already; PostgreSQL needs a word."""
    if connection.dialect.name == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(key))))


async def _set(connection: AsyncConnection, key: str, slot: int, free_at: float, *, known: bool) -> None:
    if known:
        mine = (rate_slot.c.limit_key == key, rate_slot.c.slot == slot)
        await connection.execute(update(rate_slot).where(*mine).values(free_at=free_at))
    else:
        await connection.execute(insert(rate_slot).values(limit_key=key, slot=slot, free_at=free_at))
