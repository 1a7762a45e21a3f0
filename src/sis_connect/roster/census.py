"""How many there are: what the guards compare a plan with."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.roster.guard import Counts, Population
from sis_connect.roster.snapshot import StreamResult
from sis_connect.store.tables import mappings


async def count_emptied(
    connection: AsyncConnection, integration_id: int, results: Sequence[StreamResult]
) -> dict[int, dict[Kind, int]]:
    """Streams that proved complete and empty, where active records came from them and from nowhere else: how many, by kind."""
    emptied: dict[int, dict[Kind, int]] = {}
    for result in results:
        if not result.verdict.complete or result.distinct:
            continue
        for kind in result.kinds:
            query = text(
                f"SELECT COUNT(DISTINCT s.sis_id) FROM sis_staged s JOIN {mappings[kind].name} m ON m.integration_id = :i "
                "AND m.sis_id = s.sis_id WHERE s.stream_id = :s AND s.kind = :k AND s.whole = 1 "
                "AND m.status NOT IN ('inactive', 'deleted') AND NOT EXISTS (SELECT 1 FROM sis_staged o "
                "WHERE o.integration_id = :i AND o.kind = :k AND o.sis_id = s.sis_id AND o.whole = 1 AND o.missing_pulls = 0)"
            )
            number = (await connection.execute(query, {"i": integration_id, "s": result.stream_id, "k": kind})).scalar_one()
            if number:
                emptied.setdefault(result.stream_id, {})[kind] = int(number)
    return emptied


async def census(
    connection: AsyncConnection, integration_id: int, counts: Counts, schools: Collection[str] | None = None
) -> Population:
    """Count the active local records that the guards compare with: of the kinds that change, in the schools that were read."""
    kinds = {*(kind for kind, _ in counts.removals), *counts.absences, *counts.creates, *counts.identity}
    totals: dict[tuple[Kind, str], int] = {}
    for kind in kinds:
        query = text(
            f"SELECT COALESCE(school, '') AS school, COUNT(*) AS number FROM {mappings[kind].name} "
            "WHERE integration_id = :i AND status NOT IN ('inactive', 'deleted') GROUP BY 1"
        )
        for row in await connection.execute(query, {"i": integration_id}):
            if schools is None or not row.school or row.school in schools:
                totals[kind, row.school] = row.number
    having: dict[tuple[Kind, str], int] = {}
    for kind, name in counts.blanks:
        query = text(
            f"SELECT COUNT(*) FROM {mappings[kind].name} WHERE integration_id = :i AND status NOT IN ('inactive', 'deleted') "
            "AND json_extract(base_sis, :path) IS NOT NULL "
            "AND (:schools IS NULL OR school IS NULL OR school IN (SELECT value FROM json_each(:schools)))"
        )
        values = {"i": integration_id, "path": f"$.{name}", "schools": json.dumps(sorted(schools)) if schools else None}
        having[kind, name] = int((await connection.execute(query, values)).scalar_one())
    return Population(
        total=lambda kind: sum(number for (owner, _), number in totals.items() if owner == kind),
        of_school=lambda kind, school: totals.get((kind, school), 0),
        having=lambda kind, name: having.get((kind, name), 0),
    )
