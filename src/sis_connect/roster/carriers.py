"""What ends with its carrier: a section ends with its school, an enrolment with its section, and each comes back with it."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.roster.belonging import CARRIERS, dependents, is_history
from sis_connect.roster.cases import Case, encode
from sis_connect.store.tables import mappings


async def ended_carriers(connection: AsyncConnection, integration_id: int, plan: int) -> frozenset[Kind]:
    """The kinds of carriers of which some have ended, or do so by this plan."""
    return frozenset([carrier for carrier in CARRIERS if await _any_ended(connection, integration_id, plan, carrier)])


async def _any_ended(connection: AsyncConnection, integration_id: int, plan: int, carrier: Kind) -> bool:
    query = text(
        f"SELECT EXISTS (SELECT 1 FROM {mappings[carrier].name} WHERE integration_id = :i AND status = 'inactive') "
        "OR EXISTS (SELECT 1 FROM sis_plan_row WHERE plan = :p AND kind = :k AND action = 'withdraw')"
    )
    return bool((await connection.execute(query, {"i": integration_id, "p": plan, "k": carrier})).scalar())


async def cascade(connection: AsyncConnection, integration_id: int, plan: int, carrier: Kind) -> None:
    """Make candidates of what hangs from a school or section that this plan withdraws, or brings back."""
    for action, status in (("withdraw", "<> 'inactive'"), ("reenroll", "= 'inactive'")):
        carriers = "SELECT sis_id FROM sis_plan_row WHERE plan = :p AND kind = :k AND action = :a"
        values = {"p": plan, "k": carrier, "a": action}
        if (await connection.execute(text(f"{carriers} LIMIT 1"), values)).scalar() is None:
            continue
        for kind, name in dependents(carrier):
            await connection.execute(
                text(
                    "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) "
                    f"SELECT m.integration_id, '{kind}', m.sis_id, 'carrier' FROM {mappings[kind].name} m WHERE "
                    f"m.integration_id = :i AND m.status {status} AND json_extract(m.base_sis, '$.{name}') "
                    f"IN ({carriers}) "
                    "ON CONFLICT (integration_id, kind, sis_id) DO NOTHING"
                ),
                {"i": integration_id, **values},
            )


async def hanging_from_ended(
    connection: AsyncConnection, integration_id: int, plan: int, kind: Kind, cases: Sequence[Case], carriers: Set[Kind]
) -> dict[str, str]:
    """Which of these hang from something that has ended, or that this plan withdraws, with the reason."""
    ended: dict[str, str] = {}
    for carrier in (carrier for carrier in CARRIERS if carrier in carriers):
        for name in [name for owner, name in dependents(carrier) if owner == kind]:
            alive = [case for case in cases if case.source is not None and not is_history(case)]
            hanging = {case.sis_id: case.source.document.get(name) for case in alive if case.source is not None}
            names = {it for it in hanging.values() if isinstance(it, str)}
            gone = await _gone(connection, integration_id, plan, carrier, names)
            ended |= {sis_id: f"{carrier.removesuffix('s')}_withdrawn" for sis_id, it in hanging.items() if it in gone}
    return ended


async def _gone(connection: AsyncConnection, integration_id: int, plan: int, kind: Kind, sis_ids: Set[str]) -> frozenset[str]:
    query = (
        f"SELECT m.sis_id FROM json_each(?) j CROSS JOIN {mappings[kind].name} m ON m.integration_id = ? "
        "AND m.sis_id = j.value LEFT JOIN sis_plan_row p ON p.plan = ? AND p.kind = ? AND p.sis_id = m.sis_id "
        "WHERE COALESCE(p.action, '') <> 'reenroll' AND (m.status = 'inactive' OR p.action = 'withdraw')"
    )
    values = (encode(sorted(sis_ids)).decode(), integration_id, plan, kind)
    return frozenset((await connection.exec_driver_sql(query, values)).scalars())


def with_carrier_ended(case: Case, why: str) -> Case:
    """The same record, over for this reason."""
    return replace(case, source=replace(case.source, ended=why)) if case.source is not None else case
