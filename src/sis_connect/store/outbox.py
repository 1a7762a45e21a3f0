"""The outbox: what was changed in the roster, written down in the transaction that changes it, and kept for a while.

An event costs a few bytes: what changed stands in the plan's row, and is joined when somebody asks. Both are dropped together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.store.creations import Creations
from sis_connect.store.sql import Store, write_many

#: How many rows are dropped in one transaction, and in how many at the end of one operation: the next one goes on.
PORTION, PORTIONS = 20_000, 10
_COLUMNS = ("integration_id", "operation_id", "plan", "kind", "sis_id", "action", "at", "school_date")
#: The row of `sis_listener` that says up to where events have expired; those of each integration say it of its own events.
_EXPIRED = ""
_EXPIRED_OF = (
    "INSERT INTO sis_listener (name, cursor, updated_at) SELECT ' ' || integration_id, MAX(id), MAX(at) FROM sis_event "
    "WHERE id <= :last GROUP BY integration_id ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor, "
    "updated_at = excluded.updated_at"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """By which operation and plan something is changed, and when: `at` is UTC, `school_date` the day of the district."""

    integration_id: int
    operation_id: str
    plan: int
    at: str
    school_date: str


# -- writing -----------------------------------------------------------------------------------------------------------


async def note_changes(connection: AsyncConnection, entry: Entry, kind: Kind, changes: Iterable[tuple[str, str]]) -> None:
    """Note changes that were just written: `sis_id` and action."""
    rows = [
        (entry.integration_id, entry.operation_id, entry.plan, kind, sis_id, action, entry.at, entry.school_date)
        for sis_id, action in changes
    ]
    await write_many(connection, "sis_event", _COLUMNS, rows)


async def note_creations(connection: AsyncConnection, entry: Entry, creations: Creations) -> None:
    """Note what was just created of a batch."""
    note = (
        f"INSERT INTO sis_event ({', '.join(_COLUMNS)}) SELECT :integration, :operation, p.plan, p.kind, p.sis_id, 'create', "
        f":at, :day FROM sis_plan_row p WHERE {creations.planned} ORDER BY p.sis_id"
    )
    values = {**creations.values, "operation": entry.operation_id, "at": entry.at, "day": entry.school_date}
    await connection.execute(text(note), values)


# -- what is kept ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """The events that are kept: those after `expired`, up to `latest`. `expired_at`: when the last that is gone was written."""

    expired: int
    latest: int
    expired_at: str = ""


async def kept(connection: AsyncConnection, integration_id: int | None = None) -> Kept:
    """Which events there are. With an integration, what has expired is of its own events only."""
    newest = text(
        "SELECT MAX(id) FROM (SELECT MAX(id) AS id FROM sis_event UNION SELECT cursor FROM sis_listener WHERE name = '')"
    )
    latest = int((await connection.execute(newest)).scalar() or 0)
    query = text("SELECT cursor, updated_at FROM sis_listener WHERE name = :name")
    name = _EXPIRED if integration_id is None else f" {integration_id}"
    gone = (await connection.execute(query, {"name": name})).one_or_none()
    return Kept(gone.cursor, latest, gone.updated_at) if gone is not None else Kept(0, latest)


# -- listeners ---------------------------------------------------------------------------------------------------------


async def cursor_of(connection: AsyncConnection, listener: str) -> int:
    """How far a listener has been told; 0 for one that never was."""
    query = text("SELECT cursor FROM sis_listener WHERE name = :name")
    return int((await connection.execute(query, {"name": listener})).scalar() or 0)


async def move_cursor(connection: AsyncConnection, listener: str, cursor: int, at: datetime) -> None:
    """Note how far a listener has been told."""
    note = (
        "INSERT INTO sis_listener (name, cursor, updated_at) VALUES (:name, :cursor, :at) "
        "ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor, updated_at = excluded.updated_at"
    )
    await connection.execute(text(note), {"name": listener, "cursor": cursor, "at": at.isoformat()})


# -- expiry ------------------------------------------------------------------------------------------------------------


async def expire(store: Store, before: datetime) -> int:
    """Drop the events from before a time, and the old plans of which nobody needs anything. Returns how many rows went.

    It costs next to nothing where there is nothing to drop. Of much, some is left for the next time.
    """
    dropped = 0
    for _ in range(PORTIONS):
        # An operation writes its events within a day after its plan: they never outlive what they changed.
        plans = before - timedelta(days=1)
        number = await _expire_events(store, before.isoformat()) or await _drop_plans(store, plans.isoformat())
        if not number:
            break
        dropped += number
    return dropped


async def _expire_events(store: Store, before: str) -> int:
    oldest = text("SELECT at FROM sis_event ORDER BY id LIMIT 1")
    async with store.read() as connection:
        at = (await connection.execute(oldest)).scalar()
    if at is None or at >= before:
        return 0
    portion = "SELECT id, at FROM sis_event ORDER BY id LIMIT :portion"
    # Up to the first one that is kept: whatever a clock may have done, what is left has no gaps.
    last = text(
        f"WITH some AS ({portion}) SELECT id, at FROM some WHERE id < COALESCE((SELECT MIN(id) FROM some WHERE at >= :before), "
        "(SELECT MAX(id) + 1 FROM some)) ORDER BY id DESC LIMIT 1"
    )
    async with store.write() as connection:
        found = (await connection.execute(last, {"portion": PORTION, "before": before})).one_or_none()
        if found is None:
            return 0
        await connection.execute(text(_EXPIRED_OF), {"last": found.id})
        await move_cursor(connection, _EXPIRED, found.id, datetime.fromisoformat(found.at))
        gone = await connection.execute(text("DELETE FROM sis_event WHERE id <= :last"), {"last": found.id})
        return gone.rowcount


#: Plans from before a time. Not those that an open hold stands on, nor those that somebody has applied since then; and of each
#: sort that was applied one stays without its rows: it says what is not read for the first time any more.
_OLD_PLANS = (
    "SELECT p.number FROM sis_plan p WHERE p.created_at < :before "
    "AND NOT EXISTS (SELECT 1 FROM sis_hold h WHERE h.plan = p.number AND h.state = 'open') "
    "AND NOT EXISTS (SELECT 1 FROM sis_sync_operation o WHERE o.type IN ('apply', 'approve') AND o.started_at >= :before "
    "AND (SELECT e.plan FROM sis_event e WHERE e.operation_id = o.id LIMIT 1) = p.number)"
)
_TELLING = "SELECT MAX(number) FROM sis_plan WHERE state = 'applied' GROUP BY integration_id, scope"


async def _drop_plans(store: Store, before: str) -> int:
    rows_left = "EXISTS (SELECT 1 FROM sis_plan_row r WHERE r.plan = p.number)"
    waiting = text(f"{_OLD_PLANS} AND (p.number NOT IN ({_TELLING}) OR {rows_left}) LIMIT 1")
    async with store.read() as connection:
        number = (await connection.execute(waiting, {"before": before})).scalar()
    if number is None:
        return 0
    rows = text(
        "DELETE FROM sis_plan_row WHERE plan = :plan AND (kind, sis_id) IN "
        "(SELECT kind, sis_id FROM sis_plan_row WHERE plan = :plan LIMIT :portion)"
    )
    async with store.write() as connection:
        values = {"plan": number, "portion": PORTION}
        gone = (await connection.execute(rows, values)).rowcount
        if gone < PORTION:
            plan = text(f"DELETE FROM sis_plan WHERE number = :plan AND number NOT IN ({_TELLING})")
            await connection.execute(plan, {"plan": number})
        return max(gone, 1)
