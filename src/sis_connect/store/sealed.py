"""Which columns are sealed, and what as; and sealing all of them anew under the key that seals now.

A column that holds sealed values has its line in `COLUMNS`: what is not listed here would be lost with the former key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Row, Table, exists, or_, select, update

from sis_connect.errors import SISError
from sis_connect.store.sql import Store
from sis_connect.store.tables import integration, oauth_token, pending_authorization
from sis_connect.tokens.vault import Vault

#: The field for which a token is sealed.
SEALED_AS = "access token"
#: So many values are sealed anew in one transaction: a few milliseconds, in which other writers wait.
BATCH = 100


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of sealed values. `field` and the integration's id are what the vault binds them to."""

    column: Column[Any]
    key: Column[Any]
    integration_id: Column[Any]
    field: str

    @property
    def table(self) -> Table:
        return self.column.table

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"{self.table.name}.{self.column.name}"


CLIENT_SECRET = SealedColumn(integration.c.secret, integration.c.id, integration.c.id, "client secret")
FORMER_SECRET = SealedColumn(integration.c.former_secret, integration.c.id, integration.c.id, "former client secret")
PASSWORD = SealedColumn(integration.c.password, integration.c.id, integration.c.id, "password")
WEBHOOK_SECRET = SealedColumn(integration.c.webhook_secret, integration.c.id, integration.c.id, "webhook secret")
TOKEN = SealedColumn(oauth_token.c.sealed, oauth_token.c.integration_id, oauth_token.c.integration_id, SEALED_AS)
PENDING = SealedColumn(
    pending_authorization.c.sealed,
    pending_authorization.c.state_digest,
    pending_authorization.c.integration_id,
    "pending authorization",
)
COLUMNS = (CLIENT_SECRET, FORMER_SECRET, PASSWORD, WEBHOOK_SECRET, TOKEN, PENDING)


@dataclass(frozen=True, slots=True)
class Resealed:
    """What became of one batch of a column. `unreadable` values open with none of the keys: they stay as they are."""

    column: str
    current: int = 0
    resealed: int = 0
    unreadable: int = 0

    def __add__(self, other: Resealed) -> Resealed:
        return Resealed(
            self.column, self.current + other.current, self.resealed + other.resealed, self.unreadable + other.unreadable
        )


async def anything_sealed(store: Store) -> bool:
    """Whether there is a value that only its key opens."""
    query = select(or_(*(exists().where(sealed.column.is_not(None)) for sealed in COLUMNS)))
    async with store.read() as connection:
        return bool((await connection.execute(query)).scalar())


async def reseal(store: Store, vault: Vault, *, batch: int = BATCH) -> AsyncIterator[Resealed]:
    """Seal everything anew that another key than the first one sealed, batch by batch, and tell of each batch.

    Each batch is a transaction of its own, so that killed at any instant nothing is lost and the next run goes on. Readers see
    either the former or the new value, and have both keys for them. A value that was written anew meanwhile is left alone.
    """
    for sealed in COLUMNS:
        after: object = None
        while rows := await _page(store, sealed, after, batch):
            yield await _reseal(store, vault, sealed, rows)
            after = rows[-1].key


async def _page(store: Store, sealed: SealedColumn, after: object, batch: int) -> Sequence[Row[Any]]:
    columns: list[Any] = [sealed.key.label("key"), sealed.integration_id.label("integration_id"), sealed.column.label("sealed")]
    query = select(*columns).where(sealed.column.is_not(None)).order_by(sealed.key).limit(batch)
    if after is not None:
        query = query.where(sealed.key > after)
    async with store.read() as connection:
        return (await connection.execute(query)).all()


async def _reseal(store: Store, vault: Vault, sealed: SealedColumn, rows: Sequence[Row[Any]]) -> Resealed:
    found = Resealed(sealed.name)
    changes = []
    for row in rows:
        if vault.sealed_by_first(row.sealed):
            found += Resealed(sealed.name, current=1)
            continue
        place = {"integration": str(row.integration_id), "field": sealed.field}
        try:
            changes.append((row, vault.seal_anew(row.sealed, **place)))
        except SISError:
            found += Resealed(sealed.name, unreadable=1)
    if changes:
        async with store.write() as connection:
            for row, anew in changes:
                mine = (sealed.key == row.key) & (sealed.column == row.sealed)
                written = await connection.execute(update(sealed.table).where(mine).values({sealed.column: anew}))
                found += Resealed(sealed.name, resealed=written.rowcount)
    return found
