"""What somebody outside says has changed, kept until it was read again; and which deliveries have been here before.

Hints are folded: what is said twice is one hint, and where they become too many, one says that anything may have changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.store.sql import run_many

#: So many hints of one integration are kept apart.
MOST = 1000
#: How long a delivery is remembered; one that is signed may not be repeated after minutes as it is.
REMEMBERED = timedelta(days=3)


@dataclass(frozen=True, slots=True, repr=False)
class KeptHint:
    """A hint as it is kept: what it is about, and how often it came."""

    kind: str
    name: str
    value: str
    times: int


async def note_delivery(connection: AsyncConnection, integration_id: int, delivery_id: str, at: datetime) -> bool:
    """Remember a delivery; false where it has been here before."""
    query = text(
        "INSERT INTO sis_delivery (integration_id, delivery_id, received_at) VALUES (:i, :d, :at) "
        "ON CONFLICT (integration_id, delivery_id) DO NOTHING"
    )
    noted = await connection.execute(query, {"i": integration_id, "d": delivery_id, "at": at.isoformat()})
    return bool(noted.rowcount)


async def forget_deliveries(connection: AsyncConnection, integration_id: int, now: datetime) -> None:
    """Drop what is too old to be repeated."""
    query = text("DELETE FROM sis_delivery WHERE integration_id = :i AND received_at < :before")
    await connection.execute(query, {"i": integration_id, "before": (now - REMEMBERED).isoformat()})


async def keep_hints(
    connection: AsyncConnection, integration_id: int, hints: Sequence[tuple[str, str, str]], at: datetime
) -> None:
    """Keep hints, each as (kind, name, value)."""
    fresh = list(dict.fromkeys(hints))
    if len(fresh) + await number_of(connection, integration_id) > MOST:
        fresh = [ANYTHING]
        query = text("DELETE FROM sis_hint WHERE integration_id = :i AND kind <> ''")
        await connection.execute(query, {"i": integration_id})
    await run_many(
        connection,
        "INSERT INTO sis_hint (integration_id, kind, name, value, received_at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (integration_id, kind, name, value) DO UPDATE SET times = times + 1, received_at = excluded.received_at",
        [(integration_id, *hint, at.isoformat()) for hint in fresh],
    )


#: The hint that any record may have changed.
ANYTHING = ("", "sis_id", "")


async def number_of(connection: AsyncConnection, integration_id: int) -> int:
    """How many hints wait."""
    query = text("SELECT COUNT(*) FROM sis_hint WHERE integration_id = :i")
    return int((await connection.execute(query, {"i": integration_id})).scalar_one())


async def kept_hints(connection: AsyncConnection, integration_id: int) -> list[KeptHint]:
    """The hints that wait, in the order in which they came first."""
    query = text("SELECT kind, name, value, times FROM sis_hint WHERE integration_id = :i ORDER BY id")
    return [KeptHint(*row) for row in await connection.execute(query, {"i": integration_id})]


async def drop_hints(connection: AsyncConnection, integration_id: int, followed: Sequence[KeptHint]) -> None:
    """Drop hints that were followed, but for those that came again since they were looked at."""
    await run_many(
        connection,
        "DELETE FROM sis_hint WHERE integration_id = ? AND kind = ? AND name = ? AND value = ? AND times = ?",
        [(integration_id, hint.kind, hint.name, hint.value, hint.times) for hint in followed],
    )


async def hinted_integrations(connection: AsyncConnection) -> list[str]:
    """The names of the integrations of which hints wait."""
    query = text(
        "SELECT name FROM sis_integration WHERE removed_at IS NULL AND EXISTS "
        "(SELECT 1 FROM sis_hint WHERE integration_id = sis_integration.id) ORDER BY name"
    )
    return list((await connection.execute(query)).scalars())


async def students_known_by(connection: AsyncConnection, integration_id: int, name: str, value: str) -> list[str]:
    """The ids of the students whose identifier of that name this is."""
    query = text(
        "SELECT sis_id FROM sis_student_mapping WHERE integration_id = :i AND json_extract(base_sis, '$.ids.' || :name) = :value"
    )
    found = await connection.execute(query, {"i": integration_id, "name": name, "value": value})
    return list(found.scalars())


async def known_students(connection: AsyncConnection, integration_id: int, sis_ids: Sequence[str]) -> set[str]:
    """Which of these students have been here."""
    marks = ", ".join(f":s{number}" for number in range(len(sis_ids)))
    query = text(f"SELECT sis_id FROM sis_student_mapping WHERE integration_id = :i AND sis_id IN ({marks})")
    values = {"i": integration_id, **{f"s{number}": sis_id for number, sis_id in enumerate(sis_ids)}}
    return set((await connection.execute(query, values)).scalars()) if sis_ids else set()
