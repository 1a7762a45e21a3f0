"""Where two ways of asking bring the same source row: the latest word counts.

A read of one school or one student goes through endpoints of its own. What they bring is written into the wider list's rows,
which the next reading of that list then looks at anew; and a wider list that brings a row takes its place from then on.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.roster.replaced import Way, parts_of, replace_former, within
from sis_connect.roster.snapshot import StreamResult

#: Keys of a narrow stream that the wide one has too, for the same record.
_BOTH = (
    "SELECT n.key FROM sis_staged n JOIN sis_staged w ON w.stream_id = :wide AND w.key = n.key AND w.part = 0 "
    "AND w.kind = n.kind AND w.sis_id = n.sis_id AND w.whole = n.whole WHERE n.stream_id = :narrow AND n.part = 0 "
    "AND n.kind <> ''"
)
_READ = _BOTH + " AND n.missing_pulls = 0"
#: The same rows in whatever stream.
_ELSEWHERE = (
    "SELECT s.stream_id, s.key FROM sis_staged n JOIN sis_staged s ON s.integration_id = n.integration_id AND s.kind = n.kind "
    "AND s.sis_id = n.sis_id AND s.key = n.key AND s.part = 0 AND s.whole = n.whole "
    f"WHERE n.stream_id = :narrow AND n.part = 0 AND n.key IN ({_READ})"
)
_INTO_THE_WIDE = (
    # Rows that were missing from the wide one are back.
    "UPDATE sis_stream SET rows = rows + (SELECT COUNT(*) FROM sis_staged w WHERE w.stream_id = :wide AND w.part = 0 "
    f"AND w.missing_pulls > 0 AND w.key IN ({_READ})) WHERE id = :wide",
    "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) SELECT w.integration_id, w.kind, w.sis_id, 'changed' "
    f"FROM sis_staged w WHERE w.stream_id = :wide AND w.key IN ({_READ}) AND w.kind <> '' AND NOT EXISTS (SELECT 1 FROM "
    "sis_staged n WHERE n.stream_id = :narrow AND n.key = w.key AND n.kind = w.kind AND n.sis_id = w.sis_id) "
    "ON CONFLICT (integration_id, kind, sis_id) DO NOTHING",
    # What a stream has lost, its changes would not bring: it is to be read whole.
    f"UPDATE sis_stream SET mark = NULL WHERE id NOT IN (:wide, :narrow) AND id IN (SELECT stream_id FROM ({_ELSEWHERE}))",
    "DELETE FROM sis_fingerprint WHERE stream_id NOT IN (:wide, :narrow) "
    f"AND stream_id IN (SELECT stream_id FROM ({_ELSEWHERE}))",
    "DELETE FROM sis_staged WHERE integration_id = :integration AND stream_id NOT IN (:wide, :narrow) "
    f"AND (stream_id, key) IN ({_ELSEWHERE})",
    "UPDATE sis_staged SET kind = '', sis_id = '', document = '', fingerprint = 0, raw_hash = 0 WHERE stream_id = :wide "
    f"AND part > 0 AND key IN ({_READ})",
    "INSERT INTO sis_staged (integration_id, stream_id, key, part, kind, sis_id, fingerprint, raw_hash, document, updated_at, "
    "whole) SELECT integration_id, :wide, key, part, kind, sis_id, 0, 0, document, updated_at, whole FROM sis_staged "
    f"WHERE stream_id = :narrow AND key IN ({_READ}) ON CONFLICT (stream_id, key, part) DO UPDATE SET kind = excluded.kind, "
    "sis_id = excluded.sis_id, fingerprint = 0, raw_hash = 0, document = excluded.document, updated_at = excluded.updated_at, "
    "whole = excluded.whole, missing_pulls = 0, missing_since = NULL",
    "DELETE FROM sis_fingerprint WHERE stream_id = :wide",
)
#: The same for many pairs of a narrow stream and a wide one that was read.
_PAIRS = (
    "FROM json_each(:pairs) p JOIN sis_staged n ON n.stream_id = json_extract(p.value, '$[0]') AND n.part = 0 AND n.kind <> '' "
    "JOIN sis_staged w ON w.stream_id = json_extract(p.value, '$[1]') AND w.key = n.key AND w.part = 0 AND w.kind = n.kind "
    "AND w.sis_id = n.sis_id AND w.whole = n.whole"
)
_NARROW = "(SELECT json_extract(value, '$[0]') FROM json_each(:pairs))"
_OUT_OF_THE_NARROW = (
    f"DELETE FROM sis_staged WHERE (stream_id, key) IN (SELECT n.stream_id, n.key {_PAIRS})",
    f"UPDATE sis_stream SET mark = NULL WHERE id IN {_NARROW}",
    f"DELETE FROM sis_fingerprint WHERE stream_id IN {_NARROW}",
)
#: Those of which the wide stream says something else by now.
_CHANGED = f"{_PAIRS} AND w.missing_pulls = 0 AND w.document <> n.document"
_LIKE_THE_WIDE = (
    f"DELETE FROM sis_fingerprint WHERE stream_id IN (SELECT n.stream_id {_CHANGED})",
    "UPDATE sis_staged SET kind = '', sis_id = '', document = '', fingerprint = 0, raw_hash = 0 "
    f"WHERE part > 0 AND (stream_id, key) IN (SELECT n.stream_id, n.key {_CHANGED})",
    "UPDATE sis_staged SET document = said.document, updated_at = said.updated_at, fingerprint = 0, raw_hash = 0 "
    f"FROM (SELECT n.id, w.document, w.updated_at {_CHANGED}) AS said WHERE sis_staged.id = said.id",
)


async def latest_word(connection: AsyncConnection, integration_id: int, results: Sequence[StreamResult], now: datetime) -> None:
    """After a pull, let what it brought count for streams of other endpoints that hold the same rows."""
    others = await _others(connection, integration_id, {one.endpoint for one in results})
    if not others:
        return  # as a rule
    await replace_former(connection, integration_id, results, others, now)
    ways = [Way(one.stream_id, one.endpoint, parts_of(one.context), frozenset(one.kinds)) for one in results]
    for way, other in _narrow_and_wide(ways, others):
        values = {"integration": integration_id, "wide": other.stream_id, "narrow": way.stream_id}
        for statement in _INTO_THE_WIDE:
            await connection.execute(text(statement), values)
    proved = {one.stream_id for one in results if one.proves_absence}
    pairs = [(other.stream_id, way.stream_id) for other, way in _narrow_and_wide(others, ways)]
    # Until the wide list proves complete, what is left in the narrow one tells who is missing from it (see `replaced`).
    for statements, wanted in ((_OUT_OF_THE_NARROW, True), (_LIKE_THE_WIDE, False)):
        some = json.dumps([pair for pair in pairs if (pair[1] in proved) is wanted])
        for statement in statements if some != "[]" else ():
            await connection.execute(text(statement), {"pairs": some})


def _narrow_and_wide(narrow: Iterable[Way], wide: Iterable[Way]) -> Iterator[tuple[Way, Way]]:
    """Each with those that cover it and are wider, where both feed the same kind."""
    by_parts: dict[frozenset[str], list[Way]] = defaultdict(list)
    for way in wide:
        by_parts[way.parts].append(way)
    for way in narrow:
        for parts in within(way.parts):
            if parts != way.parts:
                yield from ((way, other) for other in by_parts.get(parts, ()) if way.kinds & other.kinds)


async def _others(connection: AsyncConnection, integration_id: int, read: set[str]) -> list[Way]:
    """The streams of endpoints that this pull did not use."""
    query = text("SELECT DISTINCT endpoint FROM sis_stream WHERE integration_id = :i")
    found = set((await connection.execute(query, {"i": integration_id})).scalars())
    ways = []
    for endpoint in sorted(found - read):
        streams = text("SELECT id, context, progress FROM sis_stream WHERE integration_id = :i AND endpoint = :e")
        for row in await connection.execute(streams, {"i": integration_id, "e": endpoint}):
            kinds = json.loads(row.progress or "{}").get("kinds", ())
            ways.append(Way(row.id, endpoint, parts_of(row.context), frozenset(kinds)))
    return ways
