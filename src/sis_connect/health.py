"""How integrations are doing: what ran, and what it left to look at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS
from sis_connect.store.sql import Store
from sis_connect.store.tables import integration, mappings, operation

_LAST_GOOD = text(
    "SELECT MAX(finished_at) FROM sis_sync_operation WHERE integration_id = :i "
    "AND type IN ('sync', 'apply', 'rollover') AND status <> 'failed' AND finished_at IS NOT NULL"
)
#: By what was decided, wherever the rows are kept: in the built-in tables or in an app's own.
_ACTIVE = text(
    " UNION ALL ".join(
        f"SELECT '{kind}', COUNT(*) FROM {mappings[kind].name} WHERE integration_id = :i AND status = 'active'" for kind in KINDS
    )
)
_QUARANTINED = text("SELECT COUNT(*) FROM sis_quarantine WHERE integration_id = :i")
_HELD = text("SELECT COUNT(*) FROM sis_hold WHERE integration_id = :i AND state = 'open'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One run. `report` is what it reported; times are UTC, ISO 8601."""

    id: str
    integration: str
    type: str
    actor: str
    status: str
    school_date: str
    started_at: str
    finished_at: str | None
    report: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How an integration is doing. `age_seconds` is the time since the last sync that was not a failure.

    `active` counts, by kind, who is here as of the last run, wherever the rows are kept.
    """

    integration: str
    provider: str
    status: str
    last_sync_at: str | None
    last_status: str | None
    age_seconds: float | None
    active: dict[str, int]
    holds: int
    quarantined: int

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


async def latest_operations(store: Store, integration_id: int | None, limit: int) -> list[Operation]:
    """The latest runs of one integration, or of all, newest first."""
    query = select(operation, integration.c.name).join(integration, integration.c.id == operation.c.integration_id)
    if integration_id is not None:
        query = query.where(operation.c.integration_id == integration_id)
    async with store.read() as connection:
        rows = (await connection.execute(query.order_by(operation.c.started_at.desc()).limit(limit))).all()
    return [_operation(row) for row in rows]


def _operation(row: Row[Any]) -> Operation:
    return Operation(
        id=row.id,
        integration=row.name,
        type=row.type,
        actor=row.actor,
        status=row.status,
        school_date=row.school_date,
        started_at=row.started_at,
        finished_at=row.finished_at,
        report=json.loads(row.report) if row.report else None,
    )


async def health_of(store: Store, integrations: Sequence[Row[Any]], now: datetime) -> list[Health]:
    """How each of the integrations is doing, all counted in one view of the database. Takes the rows of `Integrations`."""
    async with store.read() as connection:
        return [await _health(connection, row, now) for row in integrations]


async def _health(connection: AsyncConnection, row: Row[Any], now: datetime) -> Health:
    values = {"i": row.id}
    last = (await connection.execute(_LAST_GOOD, values)).scalar()
    active = {kind: int(number) for kind, number in await connection.execute(_ACTIVE, values)}
    return Health(
        integration=row.name,
        provider=row.provider,
        status=row.status,
        last_sync_at=row.last_sync_at,
        last_status=row.last_status,
        age_seconds=(now - datetime.fromisoformat(last)).total_seconds() if last else None,
        active=active,
        holds=int((await connection.execute(_HELD, values)).scalar_one()),
        quarantined=int((await connection.execute(_QUARANTINED, values)).scalar_one()),
    )
