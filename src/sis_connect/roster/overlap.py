"""Where two ways of asking bring the same source row: the latest word counts.

A read of one school or one student goes through endpoints of its own. What they bring is written into the wider list's rows,
which the next reading of that list then looks at anew; and a wider list that brings a row takes its place from then on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.roster.snapshot import StreamResult

#: Keys of a narrow stream that the wide one has too, for the same record.
_BOTH = (
    "SELECT n.key FROM sis_staged n JOIN sis_staged w ON w.stream_id = :wide AND w.key = n.key AND w.part = 0 "
    "AND w.kind = n.kind AND w.sis_id = n.sis_id WHERE n.stream_id = :narrow AND n.part = 0 AND n.kind <> ''"
)
_READ = _BOTH + " AND n.missing_pulls = 0"
#: The same rows in whatever stream.
_ELSEWHERE = (
    "SELECT s.stream_id, s.key FROM sis_staged n JOIN sis_staged s ON s.integration_id = n.integration_id AND s.kind = n.kind "
    f"AND s.sis_id = n.sis_id AND s.key = n.key AND s.part = 0 WHERE n.stream_id = :narrow AND n.part = 0 AND n.key IN ({_READ})"
)
_INTO_THE_WIDE = (
    "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) SELECT w.integration_id, w.kind, w.sis_id, 'changed' "
    f"FROM sis_staged w WHERE w.stream_id = :wide AND w.key IN ({_READ}) AND w.kind <> '' AND NOT EXISTS (SELECT 1 FROM "
    "sis_staged n WHERE n.stream_id = :narrow AND n.key = w.key AND n.kind = w.kind AND n.sis_id = w.sis_id) "
    "ON CONFLICT (integration_id, kind, sis_id) DO NOTHING",
    "DELETE FROM sis_fingerprint WHERE stream_id NOT IN (:wide, :narrow) "
    f"AND stream_id IN (SELECT stream_id FROM ({_ELSEWHERE}))",
    "DELETE FROM sis_staged WHERE integration_id = :integration AND stream_id NOT IN (:wide, :narrow) "
    f"AND (stream_id, key) IN ({_ELSEWHERE})",
    "UPDATE sis_staged SET kind = '', sis_id = '', document = '', fingerprint = 0, raw_hash = 0 WHERE stream_id = :wide "
    f"AND part > 0 AND key IN ({_READ})",
    "INSERT INTO sis_staged (integration_id, stream_id, key, part, kind, sis_id, fingerprint, raw_hash, document, updated_at) "
    "SELECT integration_id, :wide, key, part, kind, sis_id, 0, 0, document, updated_at FROM sis_staged "
    f"WHERE stream_id = :narrow AND key IN ({_READ}) ON CONFLICT (stream_id, key, part) DO UPDATE SET kind = excluded.kind, "
    "sis_id = excluded.sis_id, fingerprint = 0, raw_hash = 0, document = excluded.document, updated_at = excluded.updated_at, "
    "missing_pulls = 0, missing_since = NULL",
    "DELETE FROM sis_fingerprint WHERE stream_id = :wide",
)
_OUT_OF_THE_NARROW = (
    f"DELETE FROM sis_staged WHERE stream_id = :narrow AND key IN ({_BOTH})",
    "DELETE FROM sis_fingerprint WHERE stream_id = :narrow",
)


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to rows: a stream, the parts of its context, and the kinds that it feeds."""

    stream_id: int
    parts: frozenset[str]
    kinds: frozenset[Kind]


async def latest_word(connection: AsyncConnection, integration_id: int, results: Sequence[StreamResult]) -> None:
    """After a pull, let what it brought count for streams of other endpoints that hold the same rows."""
    ways = [_Way(one.stream_id, _parts(one.context), frozenset(one.kinds)) for one in results]
    others = await _others(connection, integration_id, {one.endpoint for one in results})
    for way, other in ((way, other) for other in others for way in ways if way.kinds & other.kinds):
        if other.parts < way.parts:
            await _run(connection, _INTO_THE_WIDE, integration_id, wide=other, narrow=way)
        elif way.parts < other.parts:
            await _run(connection, _OUT_OF_THE_NARROW, integration_id, wide=way, narrow=other)


async def _others(connection: AsyncConnection, integration_id: int, read: set[str]) -> list[_Way]:
    """The streams of endpoints that this pull did not use. As a rule there are none."""
    query = text("SELECT DISTINCT endpoint FROM sis_stream WHERE integration_id = :i")
    found = set((await connection.execute(query, {"i": integration_id})).scalars())
    ways = []
    for endpoint in sorted(found - read):
        streams = text("SELECT id, context, progress FROM sis_stream WHERE integration_id = :i AND endpoint = :e")
        for row in await connection.execute(streams, {"i": integration_id, "e": endpoint}):
            kinds = json.loads(row.progress or "{}").get("kinds", ())
            ways.append(_Way(row.id, _parts(row.context), frozenset(kinds)))
    return ways


def _parts(context: str) -> frozenset[str]:
    return frozenset(context.split(";")) - {""}


async def _run(connection: AsyncConnection, statements: Iterable[str], integration_id: int, *, wide: _Way, narrow: _Way) -> None:
    values = {"integration": integration_id, "wide": wide.stream_id, "narrow": narrow.stream_id}
    for statement in statements:
        await connection.execute(text(statement), values)
