"""An integration's access token in the database, sealed: a restart, or a sibling process, need not fetch another one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from sqlalchemy import insert, select, update

from sis_connect.clock import Clock
from sis_connect.store.sql import Store
from sis_connect.store.tables import oauth_token
from sis_connect.tokens.token import AccessToken, StoredToken
from sis_connect.tokens.vault import Vault

_FIELD = "access token"


class _Content(msgspec.Struct):
    """What is sealed."""

    access_token: str
    token_type: str
    obtained_at: datetime
    expires_at: datetime | None

    def __repr__(self) -> str:
        return "_Content()"


class SQLTokenStore:
    """The row of one integration in `sis_oauth_token`."""

    def __init__(self, store: Store, vault: Vault, clock: Clock, *, integration_id: int) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._id = integration_id

    async def load(self) -> StoredToken | None:
        async with self._store.read() as connection:
            sealed = await connection.scalar(select(oauth_token.c.sealed).where(oauth_token.c.integration_id == self._id))
        if sealed is None:
            return None
        content = msgspec.json.decode(self._vault.open(sealed, integration=str(self._id), field=_FIELD), type=_Content)
        return StoredToken(
            access_token=AccessToken(content.access_token),
            token_type=content.token_type,
            obtained_at=content.obtained_at,
            expires_at=content.expires_at,
        )

    async def save(self, token: StoredToken) -> None:
        content = _Content(token.access_token.get_secret_value(), token.token_type, token.obtained_at, token.expires_at)
        await self._write(
            {
                "sealed": self._vault.seal(msgspec.json.encode(content), integration=str(self._id), field=_FIELD),
                "obtained_at": _text(token.obtained_at),
                "expires_at": _text(token.expires_at) if token.expires_at else None,
                "failures": 0,
                "state": "active",
            }
        )

    async def failed(self) -> None:
        await self._write({"failures": oauth_token.c.failures + 1, "state": "failing"})

    async def _write(self, values: Mapping[str, object]) -> None:
        changes = {**values, "updated_at": _text(self._clock.now())}
        mine = oauth_token.c.integration_id == self._id
        async with self._store.write() as connection:
            if await connection.scalar(select(oauth_token.c.integration_id).where(mine)) is None:
                await connection.execute(insert(oauth_token).values(integration_id=self._id))
            await connection.execute(update(oauth_token).where(mine).values(changes))


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
