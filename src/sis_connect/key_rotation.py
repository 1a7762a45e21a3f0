"""Changing the key that seals: everything is sealed anew under the newest one while the work goes on, then the former may go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from sis_connect import audit
from sis_connect.clock import Clock
from sis_connect.integrations import Integrations
from sis_connect.store.lease import hold_lease
from sis_connect.store.sealed import COLUMNS, Resealed, reseal
from sis_connect.store.sql import Store
from sis_connect.tokens.vault import Vault

#: Other processes may still seal with the former key until they meet the newest: so often everything is looked at again.
_PASSES = 5

OnBatch = Callable[[Resealed], None] | None


@dataclass(frozen=True, slots=True)
class KeyRotation:
    """What a change of key has done: the id of the key that seals now, and the counts of each sealed column."""

    key_id: str
    columns: tuple[Resealed, ...]

    @property
    def complete(self) -> bool:
        """Whether everything is sealed with the newest key, so that the former ones may be removed."""
        return not any(column.unreadable for column in self.columns)

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
        rotation = KeyRotation(vault.key_id, await _all_columns(store, vault, on_batch))
        counts = {column.column: column.resealed for column in rotation.columns}
        await _note(store, clock, actor, "key.rotated", {"key": vault.key_id, "resealed": counts, "complete": rotation.complete})
    return rotation


async def _all_columns(store: Store, vault: Vault, on_batch: OnBatch) -> tuple[Resealed, ...]:
    resealed = dict.fromkeys((sealed.name for sealed in COLUMNS), 0)
    for _ in range(_PASSES):
        found = {name: Resealed(name) for name in resealed}
        async for batch in reseal(store, vault):
            found[batch.column] += batch
            if on_batch is not None:
                on_batch(batch)
        for name, counts in found.items():
            resealed[name] += counts.resealed
        if not any(counts.resealed for counts in found.values()):
            break
    return tuple(Resealed(name, found[name].current, resealed[name], found[name].unreadable) for name in resealed)


async def _note(store: Store, clock: Clock, actor: str, action: str, detail: dict[str, object]) -> None:
    # Durable, and what was written before it with it: the former key must not go before what it sealed is gone from the disk.
    async with store.write(durable=True) as connection:
        await audit.record(connection, at=clock.now(), actor=actor, action=action, detail=detail)
