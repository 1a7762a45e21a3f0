"""What waits in quarantine: the records that could not be read, and those that refer to what is not there."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from sis_connect.capabilities import Kind
from sis_connect.store.sql import Store

_WAITING = text(
    "SELECT q.kind, q.key, q.fields, q.reason, q.since, s.endpoint FROM sis_quarantine q "
    "LEFT JOIN sis_stream s ON s.id = q.stream_id WHERE q.integration_id = :i ORDER BY q.kind, q.key, q.id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One record that waits: its kind, the vendor's key (or its `sis_id`, where it is what it refers to that is missing), the
    fields at fault, why, and since when (UTC). `endpoint` is where the SIS delivers it. Of its values, nothing is kept here.
    """

    kind: Kind
    key: str = field(repr=False)
    fields: tuple[str, ...]
    reason: str
    since: str
    endpoint: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "kind": self.kind,
            "key": self.key,
            "fields": list(self.fields),
            "reason": self.reason,
            "since": self.since,
            "endpoint": self.endpoint,
        }


async def list_quarantined(store: Store, integration_id: int) -> AsyncGenerator[Quarantined, None]:
    """All that waits, by kind and key."""
    async with store.read() as connection:
        async for row in await connection.stream(_WAITING, {"i": integration_id}):
            yield Quarantined(
                kind=row.kind,
                key=row.key,
                fields=tuple(json.loads(row.fields)),
                reason=row.reason,
                since=row.since,
                endpoint=row.endpoint,
            )
