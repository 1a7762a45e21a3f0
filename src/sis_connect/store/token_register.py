"""The tokens of all integrations as their keeper sees them: what is due, without opening what is sealed."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import func, or_, select

from sis_connect.clock import Clock
from sis_connect.errors import ConflictError, SISError
from sis_connect.store import lease as leasing
from sis_connect.store.moments import to_moment, to_text
from sis_connect.store.sql import Store
from sis_connect.store.tables import integration, oauth_token
from sis_connect.tokens.keeper import IDLE, LOOK_AHEAD, Check, DueToken

#: Grants that a person gave: they end when nobody uses them. Others are asked for anew whenever a token is needed.
KEPT = ("authorization_code", "refresh_token")
#: What comes from the future was written by a clock that has been set back since: the times that it names are wrong.
_FUTURE = timedelta(minutes=5)


class SQLTokenRegister:
    """The tokens in one database."""

    def __init__(self, store: Store, clock: Clock, *, idle: timedelta = IDLE) -> None:
        self._store, self._clock, self._idle = store, clock, idle

    @asynccontextmanager
    async def on_duty(self) -> AsyncIterator[Check]:
        async with self._store.write() as connection:
            lease = await leasing.take(connection, "token-keeper", uuid.uuid4().hex, self._clock.now().timestamp())
        if not isinstance(lease, leasing.Lease):
            raise ConflictError(f"Another process ({lease.pid}) keeps the tokens alive.", remedy="One is enough: stop this one.")
        try:
            async with leasing.kept(self._store, lease, self._clock):
                yield partial(self._check, lease)
        finally:
            with suppress(SISError):  # else it ends by itself
                async with self._store.write() as connection:
                    await leasing.give_back(connection, lease)

    async def _check(self, lease: leasing.Lease) -> None:
        async with self._store.read() as connection:
            await leasing.check_fence(connection, lease)

    async def waiting(self, now: datetime) -> Sequence[DueToken]:
        table, idle_since = oauth_token.c, to_text(now - self._idle)
        from_the_future = func.coalesce(table.updated_at, "") > to_text(now + _FUTURE)
        query = (
            select(table.integration_id, integration.c.name, table.due_at, table.expires_at, table.renewed_at, table.obtained_at)
            .join(integration, integration.c.id == table.integration_id)
            .where(
                integration.c.removed_at.is_(None),
                table.sealed.is_not(None),
                table.state.in_(("active", "failing")),
                table.grant_type.in_(KEPT),
                or_(table.next_try_at.is_(None), table.next_try_at <= to_text(now), from_the_future),
                or_(
                    table.due_at <= to_text(now + LOOK_AHEAD),
                    table.renewed_at <= idle_since,
                    table.obtained_at > to_text(now + _FUTURE),
                ),
            )
        )
        async with self._store.read() as connection:
            rows = (await connection.execute(query)).all()
        return [
            DueToken(
                integration_id=row.integration_id,
                integration=row.name,
                due_at=to_moment(row.due_at),
                expires_at=to_moment(row.expires_at),
                renewed_at=to_moment(row.renewed_at),
                idle=row.renewed_at <= idle_since or row.obtained_at > to_text(now + _FUTURE),
            )
            for row in rows
        ]
