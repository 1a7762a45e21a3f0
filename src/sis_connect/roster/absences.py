"""Who was not delivered and is not withdrawn yet: waiting for the second proof, or for the time of grace to pass."""

from __future__ import annotations

from typing import cast

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.store.tables import mappings

_KINDS = text("SELECT DISTINCT kind FROM sis_staged WHERE integration_id = :i AND missing_pulls > 0 AND whole = 1 AND kind <> ''")
#: Missing everywhere, still active here, and nothing is proposed about it.
_MISSING = (
    "SELECT COUNT(DISTINCT s.sis_id) FROM sis_staged s CROSS JOIN {mapping} m ON m.integration_id = s.integration_id "
    "AND m.sis_id = s.sis_id AND m.status NOT IN ('inactive', 'deleted') "
    "WHERE s.integration_id = :i AND s.missing_pulls > 0 AND s.kind = '{kind}' AND s.whole = 1 "
    "AND NOT EXISTS (SELECT 1 FROM sis_staged o WHERE o.integration_id = s.integration_id AND o.kind = s.kind "
    "AND o.sis_id = s.sis_id AND o.whole = 1 AND o.missing_pulls = 0) "
    "AND NOT EXISTS (SELECT 1 FROM sis_plan_row p WHERE p.plan = :p AND p.kind = s.kind AND p.sis_id = s.sis_id "
    "AND p.action <> 'unchanged')"
)


async def count_missing(connection: AsyncConnection, integration_id: int, plan: int) -> dict[str, int]:
    """How many active records of each kind no read brings any more, and a plan leaves as they are. Reads missing rows only."""
    counts: dict[str, int] = {}
    for kind in (await connection.execute(_KINDS, {"i": integration_id})).scalars().all():
        query = text(_MISSING.format(kind=kind, mapping=mappings[cast(Kind, kind)].name))
        number = int((await connection.execute(query, {"i": integration_id, "p": plan})).scalar_one())
        if number:
            counts[kind] = number
    return counts
