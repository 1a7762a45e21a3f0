"""The ledger of stays, over what is staged: closes former stays where the SIS tells only the current one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Capabilities, Kind
from sis_connect.roster.cases import Case, decode
from sis_connect.roster.merge import Decision
from sis_connect.roster.stints import Stint, close
from sis_connect.store.sql import chunks


async def close_former(
    connection: AsyncConnection, integration_id: int, kind: Kind, cases: Sequence[Case], capabilities: Capabilities, today: date
) -> Mapping[str, Callable[[Decision], Decision]]:
    """For each stay that is no longer told of: how its withdrawal is dated and called, from the stay that took its place."""
    if kind != "school_enrollments" or capabilities.of(kind).stint_history:
        return {}
    former = {
        case.sis_id: case.mapped.base_sis
        for case in cases
        if case.mapped is not None and case.source is not None and not case.source.stated and case.mapped.status != "inactive"
    }
    current = await _current(connection, integration_id, sorted({str(document["student"]) for document in former.values()}))
    return {
        sis_id: _closing(document, current.get(str(document["student"])), today)
        for sis_id, document in former.items()
    }  # fmt: skip


async def _current(connection: AsyncConnection, integration_id: int, students: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for some in chunks(students):
        rows = await connection.exec_driver_sql(
            "SELECT document FROM sis_staged WHERE integration_id = ? AND kind = 'school_enrollments' AND missing_pulls = 0 "
            f"AND json_extract(document, '$.student') IN ({', '.join('?' * len(some))}) ORDER BY sis_id",
            (integration_id, *some),
        )
        for row in rows:
            document = decode(row.document)
            found[document["student"]] = document
    return found


def _closing(document: Mapping[str, Any], successor: Mapping[str, Any] | None, today: date) -> Callable[[Decision], Decision]:
    closing = close(_stint(document), _stint(successor) if successor else None, today)

    def dated(decision: Decision) -> Decision:
        writes = {**decision.writes, "status_reason": closing.reason, "exit_date": closing.exit_date.isoformat()}
        if closing.inferred:
            writes["exit_inferred"] = True
        flags = decision.flags - {"removal"} if closing.ended else decision.flags
        rule = "closed by the stay that follows it" if successor else "closed, since the SIS tells of it no longer"
        return replace(decision, writes=writes, reason=closing.reason, rule=rule, flags=flags)

    return dated


def _stint(document: Mapping[str, Any]) -> Stint:
    exit_date = document.get("exit_date")
    return Stint(
        school=str(document["school"]),
        entry_date=date.fromisoformat(document["entry_date"]),
        exit_date=date.fromisoformat(exit_date) if exit_date else None,
        grade=document.get("grade"),
    )
