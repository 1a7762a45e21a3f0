"""What the rows of other school years, and those that nobody asks for any more, have still to say.

An endpoint that is read for a school year has a stream of its own for each year. Once it proved complete for the year that is
read now, what that year brings counts, and what other years' streams say of the same records counts no longer. Of records that
only another year has, nothing is known anew: they stay. But terms, sections and enrolments are of one year only. Once that is
over by its dates, those that only it has end with it, see `carriers`. Rows that only complete records go with the stream that
nobody reads any more: what was taken from them stays in the roster, and what nobody asks for is not kept (promise P7).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.calendar import SchoolCalendar
from sis_connect.capabilities import KINDS
from sis_connect.roster.guard import YEARLY
from sis_connect.roster.school_years import load_calendar
from sis_connect.roster.snapshot import StreamResult
from sis_connect.store.lease import check_fence

if TYPE_CHECKING:
    from sis_connect.roster.plan import Planner

#: The state of a stream of another year that was gone through.
SUPERSEDED = "superseded"
#: Why a record is looked at that only a year had which is over, and the reason why it ends.
OVER = "rollover"
_YEAR = re.compile(r"(?:^|;)school_year=(\d+)(?:;|$)")
_OTHERS = "(SELECT value FROM json_each(:others))"
#: Rows of other years' streams whose records the streams that were read bring, too.
_BROUGHT = (
    "EXISTS (SELECT 1 FROM sis_staged n WHERE n.integration_id = o.integration_id AND n.kind = o.kind AND n.sis_id = o.sis_id "
    "AND n.missing_pulls = 0 AND n.whole >= o.whole AND n.stream_id IN (SELECT value FROM json_each(:read)))"
)
_ANY_OF_THEM = f"sis_staged o WHERE o.stream_id IN {_OTHERS} AND {_BROUGHT}"
#: After a stream was gone through once, only what is new can speak of its records.
_NEWLY = (
    "sis_candidate c CROSS JOIN sis_staged o ON o.integration_id = c.integration_id AND o.kind = c.kind AND o.sis_id = c.sis_id "
    f"WHERE c.integration_id = :i AND o.stream_id IN {_OTHERS} AND {_BROUGHT}"
)
#: What is of another year and of no other one.
_OF_ONE_YEAR = f"sis_staged o WHERE o.stream_id IN {_OTHERS} AND o.kind IN ({', '.join(repr(kind) for kind in sorted(YEARLY))})"
_PARTS = f"sis_staged o WHERE o.integration_id = :i AND o.kind = '{{kind}}' AND o.whole = 0 AND +o.stream_id IN {_OTHERS}"
#: A source row keeps its place as long as any of its records does.
_DROP = (
    "CREATE TEMP TABLE sis_superseded AS SELECT o.id, o.stream_id, o.key, o.kind, o.sis_id FROM {rows} AND o.kind <> ''",
    "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) SELECT DISTINCT :i, kind, sis_id, '{why}' "
    "FROM sis_superseded WHERE true ON CONFLICT (integration_id, kind, sis_id) DO {known}",
    "UPDATE sis_staged SET kind = '', sis_id = '', document = '', fingerprint = 0, raw_hash = 0 "
    "WHERE id IN (SELECT id FROM sis_superseded)",
    "DELETE FROM sis_staged WHERE (stream_id, key) IN (SELECT stream_id, key FROM sis_superseded) AND NOT EXISTS (SELECT 1 "
    "FROM sis_staged part WHERE part.stream_id = sis_staged.stream_id AND part.key = sis_staged.key AND part.kind <> '')",
    # What a stream has lost, its changes would not bring: should it be read again, it is read whole.
    "DELETE FROM sis_fingerprint WHERE stream_id IN (SELECT stream_id FROM sis_superseded)",
    "UPDATE sis_stream SET mark = NULL WHERE id IN (SELECT stream_id FROM sis_superseded)",
    "DROP TABLE sis_superseded",
)
_CLOSE = (
    f"DELETE FROM sis_stream WHERE id IN {_OTHERS} "
    "AND NOT EXISTS (SELECT 1 FROM sis_staged s WHERE s.stream_id = sis_stream.id) "
    "AND NOT EXISTS (SELECT 1 FROM sis_quarantine q WHERE q.stream_id = sis_stream.id)",
    f"UPDATE sis_stream SET state = '{SUPERSEDED}' WHERE id IN {_OTHERS} AND state <> '{SUPERSEDED}'",
)


def year_of(context: str) -> int | None:
    """The school year that a stream is read for."""
    found = _YEAR.search(context)
    return int(found[1]) if found else None


async def supersede(planner: Planner, results: Sequence[StreamResult]) -> None:
    """After a pull, take out what its rows have made obsolete: one of some schools, of what was read of those."""
    schools = planner.scope.schools
    if planner.scope.students is not None or not results:
        return
    async with planner.store.write() as connection:
        await check_fence(connection, planner.lease)
        query = text("SELECT id, endpoint, context, state, school FROM sis_stream WHERE integration_id = :i")
        streams = (await connection.execute(query, {"i": planner.integration_id})).all()
        read = {result.stream_id for result in results}
        unread = [one for one in streams if one.id not in read and (schools is None or one.school in schools)]
        for endpoint in sorted({stream.endpoint for stream in unread if year_of(stream.context)}):
            now = [result for result in results if result.endpoint == endpoint]
            years = {year_of(result.context) for result in now}
            if not now or None in years or not all(result.proves_absence for result in now):
                continue
            others = [one for one in unread if one.endpoint == endpoint and year_of(one.context) not in (None, *years)]
            for rows, known in ((_ANY_OF_THEM, False), (_NEWLY, True)):
                these = [one.id for one in others if (one.state == SUPERSEDED) is known]
                await _drop(connection, planner.integration_id, these, rows, [one.stream_id for one in now])
            if others and any(not YEARLY.isdisjoint(result.kinds) for result in now):
                over = await _over(connection, planner, others, now, results)
                await _drop(connection, planner.integration_id, over, _OF_ONE_YEAR, why=OVER)
            for statement in _CLOSE:
                await connection.execute(text(statement), {"others": json.dumps([one.id for one in others])})
        for kind in KINDS if schools is None else ():
            feeding = [result for result in results if kind in result.kinds]
            if feeding and all(result.proves_absence for result in feeding):
                await _drop(connection, planner.integration_id, [one.id for one in unread], _PARTS.format(kind=kind))


async def _drop(
    connection: AsyncConnection, integration_id: int, others: Sequence[int], rows: str, read: Sequence[int] = (), *, why: str = ""
) -> None:
    """Drop rows of other streams, and look at their records anew: since they changed, or for a reason that tells more."""
    values = {"i": integration_id, "others": json.dumps(others), "read": json.dumps(read)}
    known = "UPDATE SET why = excluded.why" if why else "NOTHING"
    for statement in _DROP if others else ():
        filled = statement.replace("{rows}", rows).replace("{why}", why or "changed").replace("{known}", known)
        await connection.execute(text(filled), values)


async def _over(
    connection: AsyncConnection,
    planner: Planner,
    others: Sequence[Row[Any]],
    now: Sequence[StreamResult],
    results: Sequence[StreamResult],
) -> list[int]:
    """The streams of years that are over, in whose place the new year's were read to their end, and not in vain (promise P1)."""
    if not any(result.distinct for result in now):
        return []
    calendar = await load_calendar(connection, planner.integration_id)
    everything = all(result.proves_absence for result in results)
    read = {_YEAR.sub("", result.context) for result in now}
    latest = max(year_of(result.context) or 0 for result in now)
    return [
        one.id
        for one in others
        if (year := year_of(one.context) or latest) < latest
        and (everything or _YEAR.sub("", one.context) in read)
        and _end(calendar, year) <= planner.today
    ]


def _end(calendar: SchoolCalendar, year: int) -> date:
    """The first day after a school year; where nobody knows it, the year has ended with the calendar year it is named by."""
    known = calendar.named(year)
    return known.end if known is not None else date(year + 1, 1, 1)
