"""The chronicle: what was changed in the roster, read from the outbox with the values that the plans have."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.errors import EventsExpired
from sis_connect.events import RosterEvent, event_name
from sis_connect.roster.documents import flatten
from sis_connect.store.outbox import kept
from sis_connect.store.sql import fetch
from sis_connect.store.tables import mappings

#: How many events are read at a time: what is in memory at once.
BATCH = 500
#: What an event and its plan's row have to tell.
TOLD = (
    'e.id, e.kind, e.sis_id, e.action, e.at, e.school_date, e.operation_id, p.reason, p.rule, p."before", p."after", p.document '
    "FROM sis_event e LEFT JOIN sis_plan_row p ON p.plan = e.plan AND p.kind = e.kind AND p.sis_id = e.sis_id"
)


async def read_events(
    connection: AsyncConnection, after: int, *, integration_id: int | None = None, limit: int = BATCH
) -> list[RosterEvent]:
    """The next events after a cursor, of one integration or of all. Raises `EventsExpired` where some of them are gone."""
    known = await kept(connection, integration_id)
    if after < known.expired:
        raise EventsExpired(
            f"What happened after the cursor {after} is not kept any more: events up to {known.expired} have expired.",
            cursor=known.latest,
            remedy=f"Read the whole roster with `export`, then go on with the events after {known.latest}.",
        )
    if after > known.latest:
        raise EventsExpired(
            f"The cursor {after} is later than any event, so it belongs to another database, or to a later state of this one.",
            cursor=known.latest,
            remedy=f"Read the whole roster with `export`, then go on with the events after {known.latest}.",
        )
    mine = "" if integration_id is None else "AND e.integration_id = :i "
    query = text(
        f"SELECT e.integration_id, i.name, {TOLD} JOIN sis_integration i ON i.id = e.integration_id "
        f"WHERE e.id > :after {mine}ORDER BY e.id LIMIT :limit"
    )
    values = {"after": after, "limit": limit} | ({} if integration_id is None else {"i": integration_id})
    rows = (await connection.execute(query, values)).all()
    local_ids = await _local_ids(connection, rows)
    return [_event(row, local_ids.get((row.integration_id, row.kind, row.sis_id))) for row in rows]


async def _local_ids(connection: AsyncConnection, rows: Iterable[Row[Any]]) -> dict[tuple[int, str, str], str]:
    """The app's own ids of these records, also of those that go by another id of the SIS by now."""
    wanted: dict[tuple[int, Kind], list[str]] = {}
    for row in rows:
        wanted.setdefault((row.integration_id, row.kind), []).append(row.sis_id)
    found: dict[tuple[int, str, str], str] = {}
    for (integration_id, kind), sis_ids in wanted.items():
        mapping = mappings[kind].name
        query = (
            "SELECT j.value, COALESCE(m.local_id, n.local_id) FROM json_each(?) j "
            f"LEFT JOIN {mapping} m ON m.integration_id = ? AND m.sis_id = j.value LEFT JOIN sis_identifier f "
            "ON m.sis_id IS NULL AND f.integration_id = ? AND f.kind = ? AND f.name = 'sis_id' AND f.value = j.value "
            f"LEFT JOIN {mapping} n ON n.integration_id = ? AND n.sis_id = f.sis_id"
        )
        values = (msgspec.json.encode(sis_ids).decode(), integration_id, integration_id, kind, integration_id)
        found |= {(integration_id, kind, sis_id): local_id for sis_id, local_id in await fetch(connection, query, values)}
    return found


def _event(row: Row[Any], local_id: str | None) -> RosterEvent:
    return RosterEvent(
        id=row.id,
        name=event_name(row.kind, row.action),
        integration=row.name,
        kind=row.kind,
        sis_id=row.sis_id,
        local_id=local_id,
        reason=row.reason or "",
        at=datetime.fromisoformat(row.at),
        school_date=date.fromisoformat(row.school_date),
        operation=row.operation_id,
        changes=changes_of(row.action, row.before, row.after, row.document),
    )


def changes_of(action: str, before: str | None, after: str | None, document: str | None) -> dict[str, tuple[Any, Any]]:
    """What a plan's row changed: field to the value before and after. Of what is new, all that it has."""
    if action == "create":
        created = flatten(msgspec.json.decode(document or "{}"))
        return {name: (None, value) for name, value in created.items() if value is not None}
    was, now = (msgspec.json.decode(values or "{}") for values in (before, after))
    return {name: (was.get(name), value) for name, value in now.items()}
