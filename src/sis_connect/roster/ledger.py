"""The ledger of stays, over what is staged: closes former stays where the SIS tells only the current one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from types import MappingProxyType
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.calendar import SchoolCalendar
from sis_connect.capabilities import Capabilities, Kind
from sis_connect.roster.cases import Case, decode, encode
from sis_connect.roster.documents import Values
from sis_connect.roster.merge import UNSTATED, Decision
from sis_connect.roster.reasons import stint_of
from sis_connect.roster.school_years import load_calendar
from sis_connect.roster.stints import Closing, close, is_likely
from sis_connect.store.sql import fetch

_FORMERLY = (
    "SELECT value, sis_id FROM sis_identifier WHERE integration_id = ? AND kind = 'students' AND name = 'sis_id' "
    "AND sis_id IN (SELECT value FROM json_each(?))"
)
Dating = Callable[[Case, Decision], Decision]


async def close_former(
    connection: AsyncConnection,
    integration_id: int,
    kind: Kind,
    cases: Sequence[Case],
    capabilities: Capabilities,
    today: date,
    known_as: Mapping[str, str] = MappingProxyType({}),
) -> Mapping[str, Dating]:
    """For each stay that is no longer told of: how its withdrawal is dated and called, from the stay that took its place.

    Some students are `known_as` what they were called before, and the SIS may go on calling others so.
    """
    if kind != "school_enrollments" or capabilities.of(kind).stint_history:
        return {}
    former = {
        case.sis_id: case.mapped.base_sis
        for case in cases
        if case.mapped is not None
        and case.mapped.status != "inactive"
        and case.source is not None
        and case.source.ended == UNSTATED
    }
    if not former:
        return {}
    students = {str(document["student"]) for document in former.values()}
    names = {new: former_id for new, former_id in known_as.items() if former_id in students}
    names |= dict(await fetch(connection, _FORMERLY, (integration_id, encode(sorted(students)).decode())))
    current = await _current(connection, integration_id, sorted(students), names)
    years = await load_calendar(connection, integration_id)
    return {sis_id: _dating(document, current[str(document["student"])], today, years) for sis_id, document in former.items()}


async def _current(
    connection: AsyncConnection, integration_id: int, students: Sequence[str], names: Mapping[str, str]
) -> dict[str, list[Values]]:
    """The stays that the SIS tells of now, by student. `names` are other ids of theirs."""
    rows = await connection.exec_driver_sql(
        "SELECT s.document FROM json_each(?) j CROSS JOIN sis_staged s ON s.integration_id = ? AND s.student = j.value "
        "WHERE s.kind = 'school_enrollments' AND s.missing_pulls = 0 AND s.whole = 1 ORDER BY s.sis_id, s.document",
        (encode(sorted({*students, *names})).decode(), integration_id),
    )
    found: dict[str, list[Values]] = defaultdict(list)
    for row in rows:
        document = decode(row.document)
        found[names.get(document["student"], document["student"])].append(document)
    return found


def _dating(former: Values, current: Sequence[Values], today: date, years: SchoolCalendar) -> Dating:
    # A student may be at two schools: the stay at the same school took the former's place, else the one that began last. One
    # that begins in no school year that we know or might come to know tells nothing of when the former one ended.
    stints = [stint for stint in map(stint_of, current) if is_likely(stint.entry_date, years)]
    successor = max(stints, key=lambda stint: (stint.school == former["school"], stint.order), default=None)
    closing = close(stint_of(former), successor, today, years)
    ends: dict[str, Any] = {"exit_date": closing.exit_date.isoformat()}
    if closing.inferred:
        ends["exit_inferred"] = True

    def dated(case: Case, decision: Decision) -> Decision:
        if closing.exit_date > max(today, date.fromisoformat(former["entry_date"])):
            case.due = closing.exit_date.isoformat()
            return _still_to_come(former, ends, closing)
        ended = {**ends, "status_reason": closing.reason}
        flags = decision.flags - {"removal"} if closing.ended else decision.flags
        rule = "closed by the stay that follows it" if successor else "closed, since the SIS tells of it no longer"
        base = {**(decision.base or former), **ended}
        return replace(decision, writes={**decision.writes, **ended}, reason=closing.reason, rule=rule, flags=flags, base=base)

    return dated


def _still_to_come(former: Values, ends: Values, closing: Closing) -> Decision:
    """The next stay has not begun: the former one goes on until then."""
    base = {**former, **ends}
    return Decision(
        action="unchanged" if base == former else "update",
        reason=closing.reason,
        rule="ends when the stay that follows it begins",
        writes={} if base == former else ends,
        base=base,
    )
