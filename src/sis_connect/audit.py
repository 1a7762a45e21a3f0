"""The audit: who did what and when, append-only, each entry sealed with the digest of the one before. No pupil's data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.store.tables import audit as table


async def record(
    connection: AsyncConnection,
    *,
    at: datetime,
    actor: str,
    action: str,
    integration: str | None = None,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Append one entry, in the caller's transaction. `detail` holds identifiers and counts only."""
    last = select(table.c.digest).order_by(table.c.id.desc()).limit(1)
    before = (await connection.execute(last)).scalar() or ""
    values = {
        "at": at.isoformat(),
        "actor": actor,
        "integration": integration,
        "action": action,
        "detail": json.dumps(dict(detail or {}), sort_keys=True),
    }
    await connection.execute(insert(table).values(**values, digest=digest(before, values)))


def digest(before: str, values: Mapping[str, object]) -> str:
    """What seals an entry: itself and the digest before it."""
    return hashlib.sha256(json.dumps([before, dict(values)], sort_keys=True).encode()).hexdigest()
