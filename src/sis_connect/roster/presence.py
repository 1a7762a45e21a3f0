"""When a record was active here, by our own account: for what the SIS does not date.

`spans` of a mapping are the school dates between which it was: `[[first, first not any more], …]`. A first day is left out where
the record says itself when it begins, and the last span stays open as long as the record is active, or the SIS dates its end.
Nothing is kept of a record that says itself when it begins and that has never ended here otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.store.creations import Creations
from sis_connect.store.outbox import Entry
from sis_connect.store.tables import mappings

#: The kinds that say who was where.
KEPT: tuple[Kind, ...] = ("school_enrollments", "enrollments")
Span = tuple[str | None, str | None]

_IS_OPEN = "json_extract(spans, '$[#-1][1]') IS NULL"
_ENDED = (
    "CASE WHEN spans IS NULL THEN json_array(json_array(NULL, :day)) "
    f"WHEN {_IS_OPEN} THEN json_set(spans, '$[#-1][1]', :day) ELSE spans END"
)
_BEGUN = f"CASE WHEN spans IS NULL OR {_IS_OPEN} THEN spans ELSE json_insert(spans, '$[#]', json_array(:day, NULL)) END"


#: The days on which a record says itself that it begins and ends.
_DATES: Mapping[str, tuple[str, str]] = {
    "school_enrollments": ("entry_date", "exit_date"),
    "enrollments": ("begin_date", "end_date"),
}


async def note_changes(connection: AsyncConnection, entry: Entry, kind: Kind, changes: Sequence[tuple[str, str]]) -> None:
    """Note changes that were just written: `sis_id` and action."""
    if kind not in KEPT:
        return
    inferred = "COALESCE(json_extract(base_sis, '$.exit_inferred'), 0)"
    dated = f"json_extract(base_sis, '$.{_DATES[kind][1]}') <= :day AND NOT {inferred}"
    for action, spans in (("withdraw", f"CASE WHEN {dated} THEN spans ELSE {_ENDED} END"), ("reenroll", _BEGUN)):
        ids = [sis_id for sis_id, done in changes if done == action]
        if ids:
            await _write(connection, entry, kind, spans, ids)


async def _write(connection: AsyncConnection, entry: Entry, kind: Kind, spans: str, ids: Sequence[str]) -> None:
    statement = text(
        f"UPDATE {mappings[kind].name} SET spans = {spans} WHERE integration_id = :i "
        "AND sis_id IN (SELECT value FROM json_each(:ids))"
    )
    values = {"i": entry.integration_id, "day": entry.school_date, "ids": msgspec.json.encode(ids).decode()}
    await connection.execute(statement, values)


async def note_creations(connection: AsyncConnection, entry: Entry, creations: Creations) -> None:
    """Note what was just created of a batch: records that do not say when they began, and those that come back so."""
    if creations.kind not in KEPT:
        return
    dateless = f"json_extract({{}}, '$.{_DATES[creations.kind][0]}') IS NULL"
    again = "p.base <> ''" if creations.kind == "school_enrollments" else f"(p.base <> '' OR {dateless.format('p.document')})"
    begun = text(
        f"UPDATE {mappings[creations.kind].name} SET spans = CASE WHEN spans IS NULL AND {dateless.format('base_sis')} "
        f"THEN json_array(json_array(:day, NULL)) ELSE {_BEGUN} END WHERE integration_id = :integration AND status = 'active' "
        f"AND sis_id IN (SELECT p.sis_id FROM sis_plan_row p WHERE {creations.planned} AND {again})"
    )
    await connection.execute(begun, {**creations.values, "day": entry.school_date})


def was_active(day: date, begins: str | None, ends: str | None, spans: Sequence[Span]) -> bool:
    """Whether a record was active on a day: by its own dates, and by our account, where we keep one. Pure.

    So what ended here before its own end, since the SIS no longer told of it, has ended, and was not there until it came back.
    """
    on = day.isoformat()
    if (begins is not None and on < begins) or (ends is not None and on >= ends):
        return False
    return not spans or any((first is None or first <= on) and (last is None or on < last) for first, last in spans)
