"""The roll-over: what has to be there before a roster turns to a new school year, and turning to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.errors import ConflictError, ProviderError
from sis_connect.roster.stage import Staging
from sis_connect.roster.years import year_of
from sis_connect.store.lease import Lease, check_fence
from sis_connect.store.sql import Store

#: What is said of a roll-over that wrote nothing.
NOT_WHOLE: Mapping[str, Any] = {
    "warning": "rollover",
    "message": "The new school year could not be read to its end, so nothing was written: the roll-over is still to be done.",
}
_TERMS = text(
    "SELECT COALESCE(SUM(json_extract(document, '$.school_year') = :to), 0) AS new, COUNT(*) AS known FROM sis_staged "
    "WHERE integration_id = :i AND kind = 'terms' AND missing_pulls = 0 AND json_extract(document, '$.school_year') IS NOT NULL "
    "AND stream_id IN (SELECT value FROM json_each(:read))"
)
_TURN = text(
    "UPDATE sis_integration SET school_year = json_extract(p.scope, '$.to') FROM sis_plan p WHERE p.number = :p "
    "AND sis_integration.id = p.integration_id AND json_extract(p.scope, '$.to') IS NOT NULL"
)
_FORMER = text(
    "SELECT i.school_year FROM sis_plan p JOIN sis_integration i ON i.id = p.integration_id WHERE p.number = :p "
    "AND i.school_year > json_extract(p.scope, '$.to')"
)


async def demand_new_year(store: Store, integration_id: int, staging: Staging, to: int) -> None:
    """Raise where the SIS brought nothing of the year that the roster is to turn to: it is too early, or not the year meant."""
    values = {"i": integration_id, "to": to, "read": json.dumps([result.stream_id for result in staging.results])}
    async with store.read() as connection:
        terms = (await connection.execute(_TERMS, values)).one()
    of_year = [result for result in staging.results if year_of(result.context) == to]
    there = terms.new if terms.known else any(result.distinct for result in of_year) or not of_year
    if not there:
        raise ProviderError(
            f"The SIS has nothing yet of the school year {to - 1}-{to % 100:02d}.",
            remedy="Roll over once the district has set that year up in its SIS, or name another year with --to.",
        )


async def school_year_of(connection: AsyncConnection, integration_id: int) -> int | None:
    """The school year that the last roll-over turned to; None where there has been none."""
    query = text("SELECT school_year FROM sis_integration WHERE id = :i")
    year = (await connection.execute(query, {"i": integration_id})).scalar()
    return int(year) if year is not None else None


async def turn_as_planned(store: Store, lease: Lease, plan: int) -> None:
    """From now on the school year is read that a plan turns to, if it does. Raises `ConflictError` where that is a former one."""
    async with store.write() as connection:
        await check_fence(connection, lease)
        year = (await connection.execute(_FORMER, {"p": plan})).scalar()
        if year is not None:
            raise ConflictError(
                f"This plan turns to a former school year: the roster is in {year - 1}-{year % 100:02d} by now.",
                remedy="There is no way back to a former school year. Make a new plan.",
                retryable=False,
            )
        await connection.execute(_TURN, {"p": plan})
