"""Many integrations whose tokens are due at once, in a real database, kept alive on a manual clock."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from sqlalchemy import insert, select, update

from manual_clock import ManualClock
from renewals import Renewals, renewals
from sis_connect.store.moments import to_text
from sis_connect.store.sealed import SEALED_AS
from sis_connect.store.tables import oauth_token
from sis_connect.store.token_register import SQLTokenRegister
from sis_connect.tokens.keeper import INTERVAL, DueToken, TokenKeeper, Turn
from sis_connect.tokens.token import AccessToken, RefreshToken, StoredToken

#: How long a token lives after it has become due, in seconds.
MARGIN = 600


class PatientClock(ManualClock):
    """Real work takes no time on it: it only goes on to the next look when what was begun has ended."""

    keeper: TokenKeeper | None = None

    async def sleep(self, seconds: float) -> None:
        if seconds >= INTERVAL and self.keeper is not None:
            await self.keeper.settle()
        await super().sleep(seconds)


@dataclass
class Kept:
    """When each token was renewed, in seconds, and how many were too late."""

    at: list[float] = field(default_factory=list)
    late: int = 0

    @property
    def most_in_a_second(self) -> int:
        """In any second, wherever it begins."""
        times = sorted(self.at)
        return max(bisect_left(times, begin + 1 - 1e-9) - index for index, begin in enumerate(times))


async def keep_a_crowd(database: Path, count: int, *, rate: float, due_in: float = 0, jump: timedelta = timedelta()) -> Kept:
    """So many tokens, all due in `due_in` seconds and ended ten minutes later; what a keeper makes of that.

    `jump` is how far the wall clock moves before the keeper looks.
    """
    clock, kept = PatientClock(), Kept()
    done = asyncio.Event()

    async def grant(former: StoredToken | None) -> StoredToken:
        assert former is not None
        kept.at.append(clock.monotonic())
        kept.late += former.expired(clock.now())
        if len(kept.at) == count:
            done.set()
        now = clock.now()
        return StoredToken(
            access_token=AccessToken("next"),
            refresh_token=RefreshToken("next"),
            obtained_at=now,
            expires_at=now + timedelta(days=1),
        )

    async with renewals(database, clock=clock) as desk:
        await _plant(desk, count, due_in)
        clock.set_back(-jump.total_seconds())

        async def renew(due: DueToken, turn: Turn) -> None:
            await desk.manager(due.integration_id, grant=grant).renew(since=due.renewed_at, turn=turn)

        keeper = TokenKeeper(SQLTokenRegister(desk.store, clock), renew, clock=clock, rate=rate)
        clock.keeper = keeper
        running = asyncio.create_task(keeper.run())
        await done.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert [keeper.renewed, keeper.failed] == [count, 0]
    return kept


async def _plant(desk: Renewals, count: int, due_in: float) -> None:
    """One consent, sealed anew for each integration."""
    await desk.enlist(range(1, count + 1))
    await desk.consent({"access_token": "access", "refresh_token": "refresh"})
    now = desk.clock.now()
    due, ends = now + timedelta(seconds=due_in), now + timedelta(seconds=due_in + MARGIN)
    then = now - timedelta(hours=1)
    store = desk.tokens()
    async with store.claim() as claim:
        token = claim.state.token
        assert token is not None
        await store.save(replace(token, obtained_at=then, expires_at=ends), claim, due_at=due)
    async with desk.store.write() as connection:
        await connection.execute(update(oauth_token).values(renewed_at=to_text(then)))
        row = dict((await connection.execute(select(oauth_token))).one()._mapping)
        content = desk.vault.open(row["sealed"], integration="1", field=SEALED_AS)
        rows = [
            {**row, "integration_id": n, "sealed": desk.vault.seal(content, integration=str(n), field=SEALED_AS)}
            for n in range(2, count + 1)
        ]
        if rows:
            await connection.execute(insert(oauth_token), rows)
