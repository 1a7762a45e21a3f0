"""An integration's token in the database, sealed: renewed by one process at a time, and known to all the others at once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal
from weakref import WeakKeyDictionary, WeakValueDictionary

import msgspec
from sqlalchemy import Row, Update, bindparam, exists, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect import audit
from sis_connect.clock import Clock
from sis_connect.errors import ConflictError, SISError
from sis_connect.events import EventName
from sis_connect.store import lease as leasing
from sis_connect.store.moments import to_moment, to_text
from sis_connect.store.sealed import SEALED_AS
from sis_connect.store.sql import Store
from sis_connect.store.tables import integration as integration_table
from sis_connect.store.tables import lease as lease_table
from sis_connect.store.tables import oauth_token as table
from sis_connect.token_client import Client
from sis_connect.tokens.token import AccessToken, RefreshToken, StoredToken
from sis_connect.tokens.token_state import Claim, TokenState, at_work, brought, noted
from sis_connect.tokens.vault import Vault

#: The longest that a living holder is waited for, in seconds: the token URL has had its time, and a queue before it too.
PATIENCE = 180.0
_BY_A_PERSON = "authorization_code"
_FIRST_LOOK, _LAST_LOOK = 0.02, 0.5
#: In one process callers queue here, and only one of them looks into the database.
_queues: WeakKeyDictionary[Store, WeakValueDictionary[int, asyncio.Lock]] = WeakKeyDictionary()


class _Content(msgspec.Struct):
    """What is sealed. `client` is the digest of whom it was given to; a token from before that was kept has none."""

    access_token: str
    token_type: str
    obtained_at: datetime
    expires_at: datetime | None
    refresh_token: str | None = None
    scope: tuple[str, ...] = ()
    client: str | None = None

    def __repr__(self) -> str:
        return "_Content()"


@dataclass(slots=True)
class _Held:
    """A claim: the lease, and the row as it was when the lease was taken."""

    lease: leasing.Lease
    state: TokenState
    obtained_at: str | None
    known: bool


class SQLTokenStore:
    """The row of one integration in `sis_oauth_token`. `integration` is its name and `actor` who is at work, for the audit.

    A token of another client than `client`, or of another address, is none here, and is left as it is (promise P8).
    """

    def __init__(
        self,
        store: Store,
        vault: Vault,
        clock: Clock,
        *,
        integration_id: int,
        integration: str | None = None,
        client: Client | None = None,
        grant_type: str | None = None,
        actor: str = "",
    ) -> None:
        self._store, self._vault, self._clock = store, vault, clock
        self._id, self._name, self._client = integration_id, integration, client
        self._grant_type, self._actor = grant_type, actor
        queues = _queues.setdefault(store, WeakValueDictionary())
        self._queue = queues.get(integration_id) or asyncio.Lock()
        queues[integration_id] = self._queue
        self._watch = leasing.Watch(clock)

    async def load(self) -> TokenState:
        async with self._store.read() as connection:
            row = await self._row(connection)
        return self._state(row)

    # -- the right to renew --------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def claim(self, *, wait: bool = True) -> AsyncIterator[Claim]:
        if self._queue.locked() and not wait:
            raise at_work()
        async with self._queue:
            held = await self._take(wait=wait)
            try:
                async with leasing.kept(self._store, held.lease, self._clock):
                    yield held
            finally:
                await self._give_back(held)

    async def _take(self, *, wait: bool) -> _Held:
        holder, begun, pause = uuid.uuid4().hex, self._clock.monotonic(), _FIRST_LOOK
        while True:
            try:
                async with self._store.write() as connection:
                    now = self._clock.now().timestamp()
                    taken = await leasing.take(connection, f"token:{self._id}", holder, now, self._watch)
                    if isinstance(taken, leasing.Lease):
                        row = await self._row(connection)
                        return _Held(taken, self._state(row), row.obtained_at if row else None, row is not None)
            except SISError:
                self._watch.forget()
                raise
            if not wait or self._clock.monotonic() - begun > PATIENCE:
                raise at_work()
            await self._clock.sleep(pause)
            pause = min(2 * pause, _LAST_LOOK)

    async def _give_back(self, held: _Held) -> None:
        with suppress(SISError):  # else it ends by itself
            async with self._store.write() as connection:
                await leasing.give_back(connection, held.lease)

    # -- what came of it -----------------------------------------------------------------------------------------------

    async def save(
        self, token: StoredToken, claim: Claim, *, due_at: datetime | None, usable: bool = True
    ) -> Sequence[EventName]:
        held = _ours(claim)
        content = _Content(
            token.access_token.get_secret_value(),
            token.token_type,
            token.obtained_at,
            token.expires_at,
            token.refresh_token.get_secret_value() if token.refresh_token else None,
            token.scope,
            self._client.digest if self._client else None,
        )
        values: dict[str, object] = {
            "sealed": self._vault.seal(msgspec.json.encode(content), integration=str(self._id), field=SEALED_AS),
            "obtained_at": to_text(token.obtained_at),
            "expires_at": to_text(token.expires_at),
            "due_at": to_text(due_at),
            "grant_type": self._grant_type or ("refresh_token" if token.refresh_token else None),
            "scope": " ".join(token.scope) or None,
        }
        if usable:
            values |= {"renewed_at": to_text(self._clock.now()), "failures": 0, "state": "active"}
            values |= {"next_try_at": None, "last_error": None}
        names = brought(held.state.state, first=held.state.token is None) if usable else ()
        detail = {"grant": values["grant_type"], "expires_at": values["expires_at"]}
        # Until this is committed, a crash loses a rotated token: as few statements as possible.
        async with self._store.write(durable=token.refresh_token is not None) as connection:
            if not await self._is_wanted(connection) or not await self._replace(connection, held, values):
                raise ConflictError(
                    "The token of this integration was replaced or removed by somebody else while a new one was fetched, or its "
                    "settings were changed.",
                    remedy="Nothing is to be done: what was written last counts.",
                )
            await self._audit(connection, names, detail)
        return names

    async def failed(self, error: SISError, claim: Claim, *, next_try_at: datetime) -> Sequence[EventName]:
        return await self._note(claim, "failing", error, next_try_at)

    async def broken(self, error: SISError, claim: Claim) -> Sequence[EventName]:
        return await self._note(claim, "broken", error, None)

    async def forget(self, claim: Claim) -> Sequence[EventName]:
        held = _ours(claim)
        names: tuple[EventName, ...] = ("token.revoked",)
        emptied = dict.fromkeys(("sealed", "obtained_at", "expires_at", "due_at", "scope", "next_try_at", "last_error"))
        async with self._store.write() as connection:
            row = await self._row(connection)
            if row is None or self._is_foreign(row):
                return ()
            if _moved(held, row) and not await _holds(connection, held.lease):
                raise ConflictError(
                    "A newer token was stored by somebody else while this one was revoked.", remedy="Revoke that one too."
                )
            await self._write(connection, row, {**emptied, "failures": 0, "state": "revoked"}, names, {})
        return names

    async def _note(
        self, claim: Claim, state: Literal["failing", "broken"], error: SISError, next_try_at: datetime | None
    ) -> Sequence[EventName]:
        held = _ours(claim)
        async with self._store.write() as connection:
            row = await self._row(connection)
            if not await _holds(connection, held.lease) or _moved(held, row) or not await self._is_wanted(connection):
                return ()  # somebody else knows better by now
            if row is not None and (row.state == "broken" or self._is_foreign(row)):
                return ()  # only a new token ends it; and what is not ours did not fail
            if row is not None and row.state == "revoked" and self._grant_type == _BY_A_PERSON:
                return ()  # nothing broke: it was given back, and only a person brings another
            names = noted(row.state if row else None, state)
            values = {
                "failures": (row.failures if row else 0) + 1,
                "state": state,
                "next_try_at": to_text(next_try_at),
                "last_error": error.message,
            }
            await self._write(connection, row, values, names, {"error": error.message})
        return names

    async def _replace(self, connection: AsyncConnection, held: _Held, values: Mapping[str, object]) -> bool:
        """Overwrite what was known when the right was given, but nothing that somebody has written or removed since."""
        changes = {**values, "updated_at": to_text(self._clock.now())}
        if not held.known and await self._row(connection) is None:
            if not await _holds(connection, held.lease):
                return False
            await connection.execute(insert(table).values(integration_id=self._id, **changes))
            return True
        places = {"the_id": self._id, "the_name": held.lease.name, "the_holder": held.lease.holder, "the_fence": held.lease.fence}
        changed = await connection.execute(_replacing(tuple(changes)), {**changes, **places, "the_time": held.obtained_at})
        return bool(changed.rowcount)

    async def _is_wanted(self, connection: AsyncConnection) -> bool:
        """Whether the integration is there still, and still of the client that we ask as: what we bring is of no other."""
        if self._client is None:
            return True
        columns = select(integration_table.c.settings, integration_table.c.removed_at)
        row = (await connection.execute(columns.where(integration_table.c.id == self._id))).one_or_none()
        return row is not None and row.removed_at is None and self._client.still_in(row.settings)

    async def _write(
        self,
        connection: AsyncConnection,
        row: Row[Any] | None,
        values: Mapping[str, object],
        names: Sequence[EventName],
        detail: Mapping[str, object],
    ) -> None:
        changes = {**values, "updated_at": to_text(self._clock.now())}
        if row is None:
            await connection.execute(insert(table).values(integration_id=self._id, **changes))
        else:
            await connection.execute(update(table).where(table.c.integration_id == self._id).values(changes))
        await self._audit(connection, names, detail)

    async def _audit(self, connection: AsyncConnection, names: Sequence[EventName], detail: Mapping[str, object]) -> None:
        for name in names:
            await audit.record(
                connection, at=self._clock.now(), actor=self._actor, action=name, integration=self._name, detail=detail
            )

    async def _row(self, connection: AsyncConnection) -> Row[Any] | None:
        return (await connection.execute(select(table).where(table.c.integration_id == self._id))).one_or_none()

    def _state(self, row: Row[Any] | None) -> TokenState:
        if row is None or self._is_foreign(row):
            return TokenState()
        return TokenState(
            token=_token(self._content(row.sealed)) if row.sealed is not None else None,
            state=row.state,
            failures=row.failures,
            due_at=to_moment(row.due_at),
            next_try_at=to_moment(row.next_try_at),
            last_error=row.last_error,
        )

    def _is_foreign(self, row: Row[Any]) -> bool:
        """Whether a token is of another client. One that does not say so is from before, and of the one there is."""
        if self._client is None or row.sealed is None:
            return False
        return self._content(row.sealed).client not in (None, self._client.digest)

    def _content(self, sealed: bytes) -> _Content:
        return msgspec.json.decode(self._vault.open(sealed, integration=str(self._id), field=SEALED_AS), type=_Content)


def _token(content: _Content) -> StoredToken:
    return StoredToken(
        access_token=AccessToken(content.access_token),
        token_type=content.token_type,
        obtained_at=content.obtained_at,
        expires_at=content.expires_at,
        refresh_token=RefreshToken(content.refresh_token) if content.refresh_token else None,
        scope=content.scope,
    )


@cache
def _replacing(columns: tuple[str, ...]) -> Update:
    """Overwrite a row that is as it was, or that we hold the lease for."""
    lease = lease_table.c
    ours = exists().where(
        lease.name == bindparam("the_name"), lease.holder == bindparam("the_holder"), lease.fence == bindparam("the_fence")
    )
    unmoved = table.c.obtained_at.is_not_distinct_from(bindparam("the_time"))
    return (
        update(table)
        .where(table.c.integration_id == bindparam("the_id"), or_(unmoved, ours))
        .values({name: bindparam(name) for name in columns})
    )


async def _holds(connection: AsyncConnection, lease: leasing.Lease) -> bool:
    try:
        await leasing.check_fence(connection, lease)
    except ConflictError:
        return False
    return True


def _moved(held: _Held, row: Row[Any] | None) -> bool:
    return (row.obtained_at if row else None) != held.obtained_at


def _ours(claim: Claim) -> _Held:
    if not isinstance(claim, _Held):
        raise TypeError("a claim is used with the store that gave it")
    return claim
