"""One sync per integration at a time (promise P10): a lease with a fencing token.

The holder renews its lease every few seconds. Each transaction that it writes checks the fencing token, so that a holder that
slept through its term cannot write after somebody else took over.
"""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.clock import Clock
from sis_connect.errors import ConflictError, SISError
from sis_connect.store.sql import Store
from sis_connect.store.tables import lease as table

TERM = 30.0
BEAT = 5.0
#: The end of a term that was given back.
_GIVEN_BACK = 0.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A right to write. `fence` grows with each holder."""

    name: str
    holder: str
    fence: int


@dataclass(frozen=True, slots=True)
class Holding:
    """Who has a lease, as the store knows it."""

    host: str
    pid: int
    expires_at: float


class Watch:
    """Tells a holder that lives from one that died, where its term seems to be over.

    A wall clock that jumps ends all terms at once. A holder that lives begins another one at its next beat all the same.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: tuple[str, int, float] | None = None
        self._since = 0.0

    def silent(self, holder: str, fence: int, expires_at: float) -> bool:
        """Whether a lease has stayed as it is for longer than a holder that lives would leave it."""
        now, seen = self._clock.monotonic(), (holder, fence, expires_at)
        if seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since >= BEAT + 1

    def forget(self) -> None:
        """Begin anew: where we cannot write, a holder that lives cannot either."""
        self._seen = None


def process_is_gone(host: str, pid: int) -> bool:
    """Whether a holder on this machine has ended. Of another machine's processes nothing can be said."""
    if host != _this_host():
        return False
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        # After the command's name, which is in parentheses and may hold anything, comes the state.
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


def _this_host() -> str:
    # A container may share its host name with others and have process numbers of its own: the kernel tells them apart.
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()}/{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


async def check_fence(connection: AsyncConnection, lease: Lease) -> None:
    """Refuse to go on where somebody else holds the lease by now. Call it first in every transaction that writes."""
    query = select(table.c.fence).where(table.c.name == lease.name, table.c.holder == lease.holder)
    if (await connection.execute(query)).scalar() != lease.fence:
        raise ConflictError(
            "Another process has taken over this integration, because this one did not answer for too long.",
            remedy="Nothing was lost: let the other process finish, then run the command again.",
        )


async def take(connection: AsyncConnection, name: str, holder: str, now: float, watch: Watch | None = None) -> Lease | Holding:
    """Take a lease that nobody holds, in the caller's transaction; else say who does.

    With a `watch`, a holder whose term is over is only succeeded when it has been seen to be silent.
    """
    row = (await connection.execute(select(table).where(table.c.name == name))).one_or_none()
    if row is not None and not _is_free(row, now, watch):
        return Holding(row.host, row.pid, row.expires_at)
    fence = 1 if row is None else int(row.fence) + 1
    values = {"holder": holder, "fence": fence, "host": _this_host(), "pid": os.getpid(), "expires_at": now + TERM}
    if row is None:
        await connection.execute(insert(table).values(name=name, **values))
    else:
        await connection.execute(update(table).where(table.c.name == name).values(**values))
    return Lease(name, holder, fence)


def _is_free(row: Row[Any], now: float, watch: Watch | None) -> bool:
    if row.expires_at == _GIVEN_BACK or process_is_gone(row.host, row.pid):
        return True
    return row.expires_at <= now and (watch is None or watch.silent(row.holder, row.fence, row.expires_at))


async def give_back(connection: AsyncConnection, lease: Lease) -> None:
    """End a lease, in the caller's transaction. One that somebody else has taken over is left to them."""
    await _set_term(connection, lease, _GIVEN_BACK)


async def renew(store: Store, lease: Lease, clock: Clock) -> bool:
    """Begin another term; false where somebody else has taken over."""
    async with store.write() as connection:
        return await _set_term(connection, lease, clock.now().timestamp() + TERM)


async def _set_term(connection: AsyncConnection, lease: Lease, expires_at: float) -> bool:
    result = await connection.execute(
        update(table)
        .where(table.c.name == lease.name, table.c.holder == lease.holder, table.c.fence == lease.fence)
        .values(expires_at=expires_at)
    )
    return bool(result.rowcount)


@asynccontextmanager
async def kept(store: Store, lease: Lease, clock: Clock) -> AsyncIterator[None]:
    """Keep a lease, by the event loop's own time: it tells that this process lives, whatever the wall clock does."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(BEAT)
            with suppress(SISError):  # the database is away for a moment; the term is six beats long
                if not await renew(store, lease, clock):
                    return

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating


async def _try_acquire(store: Store, name: str, holder: str, now: float) -> Lease | Holding:
    async with store.write() as connection:
        return await take(connection, name, holder, now)


async def _release(store: Store, lease: Lease) -> None:
    async with store.write() as connection:
        await give_back(connection, lease)


@asynccontextmanager
async def hold_lease(
    store: Store, name: str, clock: Clock, *, wait: bool = True, waiting: Callable[[float], None] | None = None
) -> AsyncIterator[Lease]:
    """Hold the lease called `name`, renewing it until the end.

    A holder whose process is gone is succeeded at once. One that stopped answering is waited for until its term is over
    (`waiting` is told the seconds); one that keeps renewing makes this a `ConflictError`.
    """
    holder = uuid.uuid4().hex
    outcome = await _try_acquire(store, name, holder, clock.now().timestamp())
    if isinstance(outcome, Holding) and wait:
        if waiting:
            waiting(outcome.expires_at - clock.now().timestamp())
        expires_at = outcome.expires_at
        # A term that is renewed while we wait shows that the holder is alive: no use in waiting on.
        while isinstance(outcome, Holding) and outcome.expires_at <= expires_at:
            await clock.sleep(0.5)
            outcome = await _try_acquire(store, name, holder, clock.now().timestamp())
    if isinstance(outcome, Holding):
        raise ConflictError(
            f"Another process ({outcome.pid}) is at work on this integration.",
            remedy="Wait until it has finished, then try again.",
        )
    beat = asyncio.create_task(_keep(store, outcome, clock))
    try:
        yield outcome
    finally:
        beat.cancel()
        with suppress(asyncio.CancelledError):
            await beat
        await _release(store, outcome)


async def _keep(store: Store, lease: Lease, clock: Clock) -> None:
    while True:
        await clock.sleep(BEAT)
        try:
            if not await renew(store, lease, clock):
                return  # somebody else holds it: the fence stops our next transaction
        except SISError:
            # The database is busy or away for a moment; the term is six beats long, and the fence guards the rest.
            continue
