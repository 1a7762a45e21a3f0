"""What ends with its carrier: a section ends with its school, an enrolment with its section, and each comes back with it.

A school year is a carrier, too. What it brought ends with it: what the SIS tells of no longer, although nobody has ended it, such
as the teacher of a class of last year. That is an end reached by date and removes nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import replace
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.roster.belonging import CARRIERS, dependents, is_history
from sis_connect.roster.cases import Case, encode
from sis_connect.roster.guard import YEARLY, Counts
from sis_connect.roster.merge import Source
from sis_connect.roster.school_years import terms_over
from sis_connect.roster.years import OVER
from sis_connect.store.tables import mappings

#: Some records by the term that they belong to, by kind; `m` are the records.
_OF_TERMS: Mapping[Kind, str] = {
    "terms": "m.sis_id IN (SELECT value FROM json_each(:terms))",
    "sections": "json_extract(m.base_sis, '$.term') IN (SELECT value FROM json_each(:terms))",
    "enrollments": "EXISTS (SELECT 1 FROM sis_section_mapping s WHERE s.integration_id = m.integration_id "
    "AND s.sis_id = json_extract(m.base_sis, '$.section') "
    "AND json_extract(s.base_sis, '$.term') IN (SELECT value FROM json_each(:terms)))",
}


async def ended_carriers(connection: AsyncConnection, integration_id: int, plan: int) -> frozenset[Kind]:
    """The kinds of carriers of which some have ended, or do so by this plan; among them `terms` where there are any at all."""
    found = [carrier for carrier in CARRIERS if await _any_ended(connection, integration_id, plan, carrier)]
    terms = text("SELECT EXISTS (SELECT 1 FROM sis_term_mapping WHERE integration_id = :i)")
    if (await connection.execute(terms, {"i": integration_id})).scalar():
        found.append("terms")
    return frozenset(found)


async def _any_ended(connection: AsyncConnection, integration_id: int, plan: int, carrier: Kind) -> bool:
    query = text(
        f"SELECT EXISTS (SELECT 1 FROM {mappings[carrier].name} WHERE integration_id = :i AND status = 'inactive') "
        "OR EXISTS (SELECT 1 FROM sis_plan_row WHERE plan = :p AND kind = :k AND action = 'withdraw')"
    )
    return bool((await connection.execute(query, {"i": integration_id, "p": plan, "k": carrier})).scalar())


async def ends_carriers(connection: AsyncConnection, plan: int) -> bool:
    """Whether this plan ends a carrier. That may be held, so what hangs from it is not settled yet."""
    kinds = ", ".join(f"'{carrier}'" for carrier in CARRIERS)
    query = f"SELECT EXISTS (SELECT 1 FROM sis_plan_row WHERE plan = ? AND kind IN ({kinds}) AND action = 'withdraw')"
    return bool((await connection.exec_driver_sql(query, (plan,))).scalar())


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
    connection: AsyncConnection,
    integration_id: int,
    plan: int,
    kind: Kind,
    cases: Sequence[Case],
    carriers: Set[Kind],
    emptied: Collection[int] = (),
) -> dict[str, str]:
    """Which of these hang from something that has ended, or that this plan withdraws, with the reason.

    What came from `emptied` streams is proposed to be over at once: a guard holds it, and a person has to say whether it is.
    """
    ended: dict[str, str] = {}
    if emptied:
        lists = frozenset(emptied)
        ended = {
            case.sis_id: "absence"
            for case in cases
            if case.mapping and case.streams and _is_missing(case) and lists.issuperset(case.streams)
        }
    if kind in YEARLY and "terms" in carriers:
        ended |= await _over_with_term(connection, integration_id, plan, kind, cases)
    for carrier in (carrier for carrier in CARRIERS if carrier in carriers):
        for name in [name for owner, name in dependents(carrier) if owner == kind]:
            hanging = {
                case.sis_id: case.source.document.get(name)
                for case in cases
                if case.source is not None and not (is_history(case) or _says_it_is_over(case.source))
            }
            names = {it for it in hanging.values() if isinstance(it, str)}
            gone = await _gone(connection, integration_id, plan, carrier, names)
            withdrawn = f"{carrier.removesuffix('s')}_withdrawn"
            ended |= {
                sis_id: OVER if gone[it] == OVER else withdrawn
                for sis_id, it in hanging.items()
                if isinstance(it, str) and it in gone
            }
    return ended


def _says_it_is_over(source: Source) -> bool:
    """Whether the SIS itself says so now: then it also says why and when, which is better than what follows from a carrier."""
    return not source.absent and source.document.get("status") == "inactive"


def _is_missing(case: Case) -> bool:
    return case.source is not None and case.source.missing_pulls > 0


async def _over_with_term(
    connection: AsyncConnection, integration_id: int, plan: int, kind: Kind, cases: Sequence[Case]
) -> dict[str, str]:
    """Those that the SIS tells of no longer, and whose term, or whole school year, is over by its dates."""
    absent = [case for case in cases if case.mapping is not None and case.source is not None and case.source.absent]
    if not absent:
        return {}
    told = {case.sis_id: OVER for case in absent if case.why == OVER and not _is_missing(case)}
    query = "SELECT o.school_date FROM sis_plan p JOIN sis_sync_operation o ON o.id = p.operation_id WHERE p.number = ?"
    today = date.fromisoformat((await connection.exec_driver_sql(query, (plan,))).scalar_one())
    terms = await terms_over(connection, integration_id, today) if kind in _OF_TERMS else []
    if not terms:
        return told
    over = (
        f"SELECT m.sis_id FROM json_each(:ids) j CROSS JOIN {mappings[kind].name} m ON m.integration_id = :i "
        f"AND m.sis_id = j.value WHERE {_OF_TERMS[kind]}"
    )
    values = {"i": integration_id, "ids": _listed([case.sis_id for case in absent]), "terms": _listed(terms)}
    return told | dict.fromkeys((await connection.execute(text(over), values)).scalars(), OVER)


async def take_for_ended(connection: AsyncConnection, integration_id: int, plan: int, counts: Counts, today: date) -> None:
    """What the SIS itself ends in a plan after its school year is over: that is an end reached by date, and no removal."""
    kinds = [kind for kind in _OF_TERMS if any(removed == kind for removed, _ in counts.removals)]
    terms = await terms_over(connection, integration_id, today) if kinds else []
    for kind in kinds if terms else ():
        ended = (
            f"UPDATE sis_plan_row SET reason = '{OVER}', flags = replace(flags, ' removal ', ' ') WHERE plan = :p "
            "AND kind = :k AND action = 'withdraw' AND flags LIKE '% removal %' AND sis_id IN "
            f"(SELECT m.sis_id FROM {mappings[kind].name} m WHERE m.integration_id = :i AND {_OF_TERMS[kind]}) "
            "RETURNING COALESCE(school, '')"
        )
        values = {"i": integration_id, "p": plan, "k": kind, "terms": _listed(terms)}
        for school, number in Counter((await connection.execute(text(ended), values)).scalars()).items():
            counts.removals[kind, school] -= number


def _listed(sis_ids: Sequence[str]) -> str:
    return encode(list(sis_ids)).decode()


async def _gone(connection: AsyncConnection, integration_id: int, plan: int, kind: Kind, sis_ids: Set[str]) -> dict[str, str]:
    """Those that have ended, or do so by this plan, with the reason."""
    query = (
        "SELECT m.sis_id, COALESCE(CASE p.action WHEN 'withdraw' THEN p.reason END, json_extract(m.base_sis, "
        f"'$.status_reason'), '') AS why FROM json_each(?) j CROSS JOIN {mappings[kind].name} m ON m.integration_id = ? "
        "AND m.sis_id = j.value LEFT JOIN sis_plan_row p ON p.plan = ? AND p.kind = ? AND p.sis_id = m.sis_id "
        "WHERE COALESCE(p.action, '') <> 'reenroll' AND (m.status = 'inactive' OR p.action = 'withdraw')"
    )
    values = (encode(sorted(sis_ids)).decode(), integration_id, plan, kind)
    return {row.sis_id: row.why for row in await connection.exec_driver_sql(query, values)}


async def lost_their_ground(
    connection: AsyncConnection, integration_id: int, plan: int, kind: Kind, sis_ids: Sequence[str]
) -> set[str]:
    """Held changes that a later run has settled otherwise, and ends that went with a carrier which goes on after all."""
    lost = ["r.state = 'skipped'"]
    for carrier in CARRIERS:
        for name in [name for owner, name in dependents(carrier) if owner == kind]:
            theirs = f"json_extract(r.document, '$.{name}')"
            lost.append(
                f"r.action = 'withdraw' AND r.reason = '{carrier.removesuffix('s')}_withdrawn' AND NOT EXISTS (SELECT 1 FROM "
                f"{mappings[carrier].name} m WHERE m.integration_id = :i AND m.sis_id = {theirs} AND m.status = 'inactive') "
                f"AND NOT EXISTS (SELECT 1 FROM sis_plan_row o WHERE o.plan = :p AND o.kind = '{carrier}' AND o.state = 'held' "
                f"AND o.action = 'withdraw' AND o.sis_id = {theirs})"
            )
    query = (
        "SELECT r.sis_id FROM json_each(:ids) j CROSS JOIN sis_plan_row r ON r.plan = :p AND r.kind = :k AND r.sis_id = j.value "
        f"WHERE ({') OR ('.join(lost)})"
    )
    values = {"i": integration_id, "p": plan, "k": kind, "ids": _listed(sis_ids)}
    return set((await connection.execute(text(query), values)).scalars())


def with_carrier_ended(case: Case, why: str) -> Case:
    """The same record, over for this reason."""
    return replace(case, source=replace(case.source, ended=why)) if case.source is not None else case
