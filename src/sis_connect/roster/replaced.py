"""When a provider reads a list in another way: what an endpoint brought that is used no more, others bring now, or nobody does.

Its rows would stand for ever, since nobody looks where they came from. So where all that a pull read of a kind proved complete,
what it brought counts instead; and what it did not bring is missing from it, as if it had been there before (promise P1). That an
endpoint was replaced, and is not just silent today, shows in what it brought: most of it has come in the new way. While a row of
the new way cannot be read, it may be any of those that did not come: they stay until it can.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Kind
from sis_connect.roster.snapshot import StreamResult

_UNREADABLE = (
    "SELECT EXISTS (SELECT 1 FROM json_each(:used) u JOIN sis_quarantine q ON q.integration_id = :i AND q.stream_id = u.value "
    "WHERE NOT EXISTS (SELECT 1 FROM sis_staged s WHERE s.stream_id = q.stream_id AND s.key = q.key))"
)
#: Rows of the former streams that bring a record of a kind, each with the stream that covers its own.
_FORMER = (
    "FROM json_each(:pairs) p JOIN sis_staged o ON o.stream_id = json_extract(p.value, '$[0]') AND o.kind = :k AND o.whole = 1"
)
_HELD = (
    "EXISTS (SELECT 1 FROM sis_staged h WHERE h.integration_id = :i AND h.kind = o.kind AND h.sis_id = o.sis_id AND h.whole = 1 "
    "AND h.missing_pulls = 0 AND h.stream_id IN (SELECT value FROM json_each(:used)))"
)
_STREAMS = "(SELECT json_extract(value, '$[0]') FROM json_each(:pairs))"
_NOMINATE = (
    "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) "
    f"SELECT DISTINCT o.integration_id, o.kind, o.sis_id, 'changed' {_FORMER} WHERE {{which}} "
    "ON CONFLICT (integration_id, kind, sis_id) DO NOTHING"
)
_EMPTY = (
    "UPDATE sis_staged SET kind = '', sis_id = '', document = '', fingerprint = 0, raw_hash = 0 "
    f"WHERE id IN (SELECT o.id {_FORMER} WHERE {{which}})"
)
_CLEAR = (
    f"DELETE FROM sis_staged WHERE stream_id IN {_STREAMS} AND kind = '' AND NOT EXISTS (SELECT 1 FROM sis_staged part "
    "WHERE part.stream_id = sis_staged.stream_id AND part.key = sis_staged.key AND part.kind <> '')",
    f"DELETE FROM sis_fingerprint WHERE stream_id IN {_STREAMS} "
    "OR stream_id IN (SELECT json_extract(value, '$[1]') FROM json_each(:pairs))",
    # What a stream has lost, its changes would not bring: it is to be read whole, and one that has nothing left is new again.
    f"UPDATE sis_stream SET mark = NULL WHERE id IN {_STREAMS}",
    f"DELETE FROM sis_stream WHERE id IN {_STREAMS} "
    "AND NOT EXISTS (SELECT 1 FROM sis_staged s WHERE s.stream_id = sis_stream.id) "
    "AND NOT EXISTS (SELECT 1 FROM sis_quarantine q WHERE q.stream_id = sis_stream.id)",
)
#: What came in the new way counts from now on.
_DROP_THOSE_HELD = (
    _NOMINATE.format(which=_HELD),
    _EMPTY.format(which=_HELD),
    f"UPDATE sis_stream SET state = 'replaced: ' || :k WHERE id IN {_STREAMS}",
    *_CLEAR,
)
#: And what did not come is missing from it.
_REPLACE = (
    _NOMINATE.format(which="true"),
    "INSERT INTO sis_staged (integration_id, stream_id, key, part, kind, sis_id, fingerprint, raw_hash, document, updated_at, "
    "whole, missing_pulls, missing_since) SELECT o.integration_id, json_extract(p.value, '$[1]'), "
    "'formerly ' || o.stream_id || ' ' || o.part || ' ' || o.key, 0, o.kind, o.sis_id, 0, 0, o.document, o.updated_at, 1, "
    f"o.missing_pulls + 1, COALESCE(o.missing_since, :now) {_FORMER} WHERE NOT {_HELD} "
    # A row that comes with its key, and speaks of another one beside the first, says by itself that this one is over.
    "AND NOT (o.part > 0 AND EXISTS (SELECT 1 FROM sis_staged c WHERE c.stream_id = json_extract(p.value, '$[1]') "
    "AND c.key = o.key AND c.part > 0 AND c.kind = o.kind AND c.missing_pulls = 0)) "
    "ON CONFLICT (stream_id, key, part) DO NOTHING",
    _EMPTY.format(which="true"),
    *_CLEAR,
)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to rows: a stream of an endpoint, the parts of its context, and the kinds that it feeds."""

    stream_id: int
    endpoint: str
    parts: frozenset[str]
    kinds: frozenset[Kind]


async def replace_former(
    connection: AsyncConnection, integration_id: int, results: Sequence[StreamResult], former: Collection[Way], now: datetime
) -> None:
    """After a pull, let what it read count for streams of endpoints that it did not use, kind by kind."""
    for kind in KINDS:
        used = [result for result in results if kind in result.kinds]
        if not all(result.proves_absence for result in used):
            continue
        by_parts = {parts_of(one.context): one.stream_id for one in reversed(used)}
        covered: dict[str, list[tuple[int, int]]] = {}
        for way in [way for way in former if kind in way.kinds]:
            cover = next((by_parts[parts] for parts in within(way.parts) if parts in by_parts), None)
            if cover is not None:
                covered.setdefault(way.endpoint, []).append((way.stream_id, cover))
        if not covered:
            continue
        values = {
            "i": integration_id,
            "k": kind,
            "used": json.dumps([result.stream_id for result in used]),
            "now": now.isoformat(),
        }
        unreadable = (await connection.execute(text(_UNREADABLE), values)).scalar()
        for pairs in covered.values():
            statements = _DROP_THOSE_HELD if unreadable else _REPLACE
            await _replace(connection, statements, {**values, "pairs": json.dumps(pairs)})


async def _replace(connection: AsyncConnection, statements: Sequence[str], values: dict[str, str | int]) -> None:
    count = (
        f"SELECT COUNT(*) AS rows, COALESCE(SUM({_HELD}), 0) AS held, EXISTS (SELECT 1 FROM sis_stream "
        f"WHERE id IN {_STREAMS} AND state = 'replaced: ' || :k) AS begun {_FORMER} WHERE o.missing_pulls = 0"
    )
    found = (await connection.execute(text(count), values)).one()
    if found.rows and (found.begun or 2 * found.held >= found.rows):
        for statement in statements:
            await connection.execute(text(statement), values)


def parts_of(context: str) -> frozenset[str]:
    """What a context is made of: a school, a section, a year."""
    return frozenset(context.split(";")) - {""}


def within(parts: frozenset[str]) -> Iterator[frozenset[str]]:
    """All contexts that cover one of these parts, the widest first. They are few, as the parts are; the streams are many."""
    return (frozenset(some) for number in range(len(parts) + 1) for some in combinations(sorted(parts), number))
