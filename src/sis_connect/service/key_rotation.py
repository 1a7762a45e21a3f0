"""Changing the key that seals: everything is sealed anew under the newest one while the work goes on, then the former may go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select

from sis_connect import audit
from sis_connect.clock import Clock
from sis_connect.service.integrations import Integrations
from sis_connect.store.lease import hold_lease, process_is_gone
from sis_connect.store.sealed import COLUMNS, Resealed, reseal
from sis_connect.store.sql import Store
from sis_connect.store.tables import lease as lease_table
from sis_connect.tokens.vault import Vault

#: Whoever was at work when the new key came may still write what the former one sealed: so often everything is looked at again.
_PASSES = 5
#: How often to look whether a renewal that was under way has ended, in seconds.
_LOOK = 0.2

OnBatch = Callable[[Resealed], None] | None


@dataclass(frozen=True, slots=True)
class KeyRotation:
    """What a change of key has done: the id of the key that seals now, and the counts of each sealed column."""

    key_id: str
    columns: tuple[Resealed, ...]
    settled: bool

    @property
    def complete(self) -> bool:
        """Whether everything is sealed with the newest key, so that the former ones may be removed.

        It is `settled` once a last look at everything has found nothing to seal anew.
        """
        return self.settled and not any(column.unreadable for column in self.columns)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"items": [asdict(column) for column in self.columns], "key_id": self.key_id, "complete": self.complete}


async def rotate_key(
    store: Store, integrations: Integrations, clock: Clock, *, new: bool, actor: str, on_batch: OnBatch = None
) -> KeyRotation:
    """Seal everything anew that the first key has not sealed. With `new`, a new key is put in front before."""
    async with hold_lease(store, "key rotation", clock):
        vault = await integrations.change_key(new=new)
        await _note(store, clock, actor, "key.rotation_begun", {"key": vault.key_id})
        await _renewals_ended(store, clock)
        rotation = await _all_columns(store, vault, on_batch)
        counts = {column.column: column.resealed for column in rotation.columns}
        await _note(store, clock, actor, "key.rotated", {"key": vault.key_id, "resealed": counts, "complete": rotation.complete})
    return rotation


async def _renewals_ended(store: Store, clock: Clock) -> None:
    """Wait for the renewals that are under way, which may have sealed with the former key and not written yet.

    Whatever else is sealed, is sealed in the transaction that writes it: the note before this one has waited for those.
    """
    begun = await _renewals(store, clock)
    while begun & await _renewals(store, clock):
        await clock.sleep(_LOOK)


async def _renewals(store: Store, clock: Clock) -> set[tuple[str, int]]:
    """The rights to renew that living processes have."""
    lease = lease_table.c
    live = lease.name.startswith("token:", autoescape=True) & (lease.expires_at > clock.now().timestamp())
    async with store.read() as connection:
        rows = (await connection.execute(select(lease.name, lease.fence, lease.host, lease.pid).where(live))).all()
    return {(row.name, row.fence) for row in rows if not process_is_gone(row.host, row.pid)}


async def _all_columns(store: Store, vault: Vault, on_batch: OnBatch) -> KeyRotation:
    settled = False
    resealed = dict.fromkeys((sealed.name for sealed in COLUMNS), 0)
    for _ in range(_PASSES):
        found = {name: Resealed(name) for name in resealed}
        async for batch in reseal(store, vault):
            found[batch.column] += batch
            if on_batch is not None:
                on_batch(batch)
        for name, counts in found.items():
            resealed[name] += counts.resealed
        settled = not any(counts.resealed for counts in found.values())
        if settled:
            break
    columns = tuple(Resealed(name, found[name].current, resealed[name], found[name].unreadable) for name in resealed)
    return KeyRotation(vault.key_id, columns, settled)


async def _note(store: Store, clock: Clock, actor: str, action: str, detail: dict[str, object]) -> None:
    # Durable, and what was written before it with it: the former key must not go before what it sealed is gone from the disk.
    async with store.write(durable=True) as connection:
        await audit.record(connection, at=clock.now(), actor=actor, action=action, detail=detail)
