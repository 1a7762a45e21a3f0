"""New records that are perhaps known already, under another id."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from types import MappingProxyType

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Capabilities, Kind
from sis_connect.roster.guard import Counts
from sis_connect.store.sql import run_many
from sis_connect.store.tables import mappings

#: Those of some records that a plan changes.
_PLANNED = (
    "SELECT sis_id, action FROM sis_plan_row WHERE plan = ? AND kind = ? AND action <> 'unchanged' "
    "AND sis_id IN (SELECT value FROM json_each(?))"
)


async def mark_changes_of_id(
    connection: AsyncConnection,
    integration_id: int,
    plan: int,
    capabilities: Capabilities,
    counts: Counts,
    contested: Mapping[Kind, Collection[str]] = MappingProxyType({}),
) -> None:
    """Find new records that are perhaps known already, under another id.

    They share a strong identifier with one that is missing, or are `contested`: the SIS names one that they may have been.
    """
    mark = (
        "UPDATE sis_plan_row SET flags = CASE flags WHEN '' THEN ' ' ELSE flags END || 'change_of_id ' "
        "WHERE plan = ? AND kind = ? AND sis_id = ?"
    )
    for kind in KINDS:
        shared: dict[str, bool] = {}
        for name in capabilities.of(kind).strong_ids:
            path = f"'$.ids.{name}'"
            # `IN` looks up in an index made for it: where all ids changed, there are as many missing as new. The plus sign makes
            # the database take the index of what is missing.
            query = text(
                f"WITH missing AS (SELECT m.sis_id, json_extract(m.base_sis, {path}) AS value FROM sis_staged s "
                f"JOIN {mappings[kind].name} m ON m.integration_id = s.integration_id AND m.sis_id = s.sis_id WHERE "
                "s.integration_id = :i AND +s.kind = :k AND s.whole = 1 AND s.missing_pulls > 0 "
                "AND m.status NOT IN ('inactive', 'deleted') AND NOT EXISTS (SELECT 1 FROM sis_staged o "
                "WHERE o.integration_id = s.integration_id AND +o.kind = s.kind AND o.sis_id = s.sis_id AND o.whole = 1 "
                "AND o.missing_pulls = 0)), "
                f"new AS (SELECT sis_id, json_extract(document, {path}) AS value FROM sis_plan_row "
                "WHERE plan = :p AND kind = :k AND action = 'create') "
                "SELECT sis_id, 1 AS is_new FROM new WHERE value IN (SELECT value FROM missing) UNION ALL "
                "SELECT sis_id, 0 FROM missing WHERE value IN (SELECT value FROM new)"
            )
            rows = await connection.execute(query, {"i": integration_id, "p": plan, "k": kind})
            shared.update((row.sis_id, bool(row.is_new)) for row in rows)
        if kind in contested:
            rows = await connection.exec_driver_sql(_PLANNED, (plan, kind, json.dumps(sorted(contested[kind]))))
            shared.update((row.sis_id, row.action != "withdraw") for row in rows)
        if any(shared.values()):
            counts.changes_of_id[kind] = sum(shared.values())
            await run_many(connection, mark, [(plan, kind, sis_id) for sis_id in sorted(shared)])
