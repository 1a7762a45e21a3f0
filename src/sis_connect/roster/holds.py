"""Holds: what a guard stopped, until a person approves or rejects it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal

from sqlalchemy import Row, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect import audit
from sis_connect.capabilities import KINDS, Capabilities, Kind
from sis_connect.errors import ConfigurationError, ConflictError
from sis_connect.records import RECORDS
from sis_connect.roster.guard import Counts, Population, Trip, condition
from sis_connect.roster.snapshot import StreamResult
from sis_connect.store.sql import Store, run_many
from sis_connect.store.tables import hold as table
from sis_connect.store.tables import mappings, plan_row

#: Those of some records that a plan changes.
_PLANNED = (
    "SELECT sis_id, action FROM sis_plan_row WHERE plan = ? AND kind = ? AND action <> 'unchanged' "
    "AND sis_id IN (SELECT value FROM json_each(?))"
)
#: What a strict run holds beside what a guard does.
EVERYTHING = "everything"
#: A hold that nobody decides about is renewed by each sync; without one it expires.
EXPIRES_AFTER = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Changes that wait for a person. `count` of `of` records in `scope` reached `limit`. Times are UTC."""

    id: str
    plan: int
    integration_id: int
    guard: str
    kind: str
    action: str
    scope: str
    count: int
    of: int
    limit: str
    state: str
    owner: str
    created_at: str
    expires_at: str
    integration: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, as `holds --json` and the reports show it."""
        return {
            "id": self.id,
            "integration": self.integration,
            "guard": self.guard,
            "kind": self.kind,
            "action": self.action,
            "scope": self.scope,
            "count": self.count,
            "of": self.of,
            "limit": self.limit,
            "state": self.state,
            "owner": self.owner,
            "created": self.created_at,
            "expires": self.expires_at,
        }


def from_row(row: Row[Any], integration: str = "") -> Hold:
    """A hold as the store has it."""
    known = {item.name: getattr(row, item.name) for item in fields(Hold) if item.name != "integration"}
    return Hold(**known, integration=integration)


async def find_hold(store: Store, hold_id: str) -> Hold:
    """One hold by its id, or by a beginning of it that fits only one."""
    query = select(table).where(table.c.id.startswith(hold_id, autoescape=True)).limit(2)
    async with store.read() as connection:
        rows = (await connection.execute(query)).all()
    if len(rows) != 1 or not hold_id:
        found = "more than one hold begins" if rows else "there is no hold that begins"
        raise ConfigurationError(f"{found.capitalize()} with {hold_id!r}.", remedy="See `sis-connect holds` for the ids.")
    return from_row(rows[0])


async def raise_holds(
    connection: AsyncConnection,
    integration_id: int,
    plan: int,
    trips: Sequence[Trip],
    *,
    now: datetime,
    owner: str,
    judged: Collection[str] | None,
    strict: bool = False,
) -> list[Hold]:
    """Write down what the guards hold, renew what was held before, and mark the plan's rows. Returns all open holds.

    A hold on one of the kinds `judged`, those that the run saw whole, lapses where its guard is content by now. One on another
    kind keeps what still waits of what it held. A narrow run judges nothing. With `strict`, all that no guard holds is held,
    too, where one holds something.
    """
    narrow, judged = judged is None, judged or ()
    open_before = {(row.guard, row.kind, row.scope): row for row in await _open(connection, integration_id)}
    stricter = open_before.pop(("strict", EVERYTHING, "district"), None)

    async def write_down(before: Row[Any] | None, **values: Any) -> str:
        hold_id = before.id if before is not None else uuid.uuid4().hex[:12]
        values |= {"plan": plan, "expires_at": (now + EXPIRES_AFTER).isoformat()}
        if before is not None:
            await connection.execute(update(table).where(table.c.id == hold_id).values(**values))
        else:
            values |= {"id": hold_id, "integration_id": integration_id, "state": "open", "owner": owner}
            await connection.execute(insert(table).values(**values, created_at=now.isoformat()))
        return hold_id

    renewed = [(trip, open_before.pop((trip.guard, trip.kind, trip.scope), None)) for trip in trips]
    unseen = [before for trip, before in renewed if before is not None and trip.kind not in judged]
    carried = await _carry_over(connection, unseen, plan, trips)
    for trip, before in renewed:
        values = {name: getattr(trip, name) for name in ("guard", "kind", "action", "scope", "count", "of", "limit")}
        if before in unseen:
            values |= {"count": trip.count + carried[trip], "of": max(trip.of, before.of)}
        hold_id = await write_down(before, **values)
        where, bound = condition(trip)
        mark = f"UPDATE sis_plan_row SET hold_id = :hold, state = 'held' WHERE plan = :plan AND hold_id IS NULL AND {where}"
        await connection.execute(text(mark), {"hold": hold_id, "plan": plan, **bound})
    lapsed = [row.id for row in open_before.values() if row.kind in judged]  # no longer proposed, or no longer too much
    if trips:
        await _hold_dependents(connection, plan)
    if strict and (trips or len(open_before) > len(lapsed)):
        changes = "FROM sis_plan_row WHERE plan = :plan AND action <> 'unchanged'"
        number = text(f"SELECT COUNT(*) AS of, COALESCE(SUM(hold_id IS NULL), 0) AS rest {changes}")
        found = (await connection.execute(number, {"plan": plan})).one()
        if found.rest:
            shown = {"guard": "strict", "kind": EVERYTHING, "action": "change", "scope": "district", "limit": "1"}
            hold_id = await write_down(stricter, **shown, count=found.rest, of=found.of)
            rest = "UPDATE sis_plan_row SET state = 'held', hold_id = :hold WHERE plan = :plan AND state = 'planned'"
            await connection.execute(text(rest), {"hold": hold_id, "plan": plan})
            stricter = None
    if stricter is not None and not narrow:
        lapsed.append(stricter.id)
    await connection.execute(update(table).where(table.c.id.in_(lapsed)).values(state="lapsed", decided_at=now.isoformat()))
    return [from_row(row) for row in await _open(connection, integration_id)]


async def _carry_over(
    connection: AsyncConnection, unseen: Sequence[Row[Any]], plan: int, trips: Sequence[Trip]
) -> Mapping[Trip, int]:
    """Hold on to what was held of earlier plans, as far as it still waits and this plan does not speak of it.

    Returns how many of them each guard counts.
    """
    names = ", ".join(column.name for column in plan_row.columns if column.name != "plan")
    copy = text(
        f"INSERT INTO sis_plan_row (plan, {names}) SELECT :plan, {names} FROM sis_plan_row r WHERE r.plan = :before "
        "AND r.hold_id = :hold AND r.state = 'held' AND EXISTS (SELECT 1 FROM sis_candidate c WHERE "
        "c.integration_id = :i AND c.kind = r.kind AND c.sis_id = r.sis_id) ON CONFLICT (plan, kind, sis_id) DO NOTHING"
    )
    for row in unseen:
        await connection.execute(copy, {"plan": plan, "before": row.plan, "hold": row.id, "i": row.integration_id})
    counts = {}
    for trip in trips if unseen else ():
        where, bound = condition(trip)
        count = f"SELECT COUNT(*) FROM sis_plan_row WHERE plan = :plan AND hold_id IS NOT NULL AND action = :does AND {where}"
        counts[trip] = int((await connection.execute(text(count), {"plan": plan, "does": trip.action, **bound})).scalar_one())
    return counts


async def decide_hold(
    connection: AsyncConnection,
    hold: Hold,
    state: Literal["approved", "rejected"],
    actor: str,
    *,
    now: datetime,
    integration: str,
) -> None:
    """Write down what a person decided. Raises `ConflictError` for a hold that is not open any more."""
    decide = text(
        "UPDATE sis_hold SET state = :s, decided_by = :a, decided_at = :t WHERE id = :h AND state = 'open' AND expires_at > :t"
    )
    result = await connection.execute(decide, {"s": state, "a": actor, "t": now.isoformat(), "h": hold.id})
    if not result.rowcount:
        raise ConflictError(
            f"The hold {hold.id} is not open any more: it was decided, has lapsed or has expired.",
            remedy="See `sis-connect holds`; a sync renews what is still too much.",
            retryable=False,
        )
    if hold.guard == "quarantine":
        known = text("UPDATE sis_quarantine SET acknowledged = 1 WHERE integration_id = :i AND kind = :k")
        await connection.execute(known, {"i": hold.integration_id, "k": hold.kind})
    if state == "rejected" and hold.guard != "strict":
        await _refuse(connection, hold, actor, now)
    detail = {"hold": hold.id, "guard": hold.guard, "kind": hold.kind, "count": hold.count}
    await audit.record(connection, at=now, actor=actor, action=f"hold.{state}", integration=integration, detail=detail)


async def _refuse(connection: AsyncConnection, hold: Hold, actor: str, now: datetime) -> None:
    """Remember what a guard held as refused. What depends on something refused is refused for as long as that is."""
    values = {"i": hold.integration_id, "p": hold.plan, "h": hold.id, "actor": actor, "at": now.isoformat()}
    refuse = (
        "INSERT INTO sis_rejection (integration_id, kind, sis_id, source, actor, at) SELECT :i, kind, sis_id, source, :actor, "
        ":at FROM sis_plan_row WHERE plan = :p AND hold_id = :h ON CONFLICT (integration_id, kind, sis_id) DO UPDATE SET "
        "source = excluded.source, owner_kind = NULL, owner_id = NULL"
    )
    await connection.execute(text(refuse), values)
    for kind, name, owner, action, theirs in _dependences():
        owners = (
            "SELECT o.sis_id FROM sis_plan_row d JOIN sis_plan_row o ON o.plan = d.plan AND o.kind = :owner "
            f"AND o.sis_id = json_extract(d.document, '$.{name}') AND o.action = '{action}' JOIN sis_rejection r "
            "ON r.integration_id = :i AND r.kind = o.kind AND r.sis_id = o.sis_id WHERE d.plan = :p AND d.kind = :kind "
            f"AND d.sis_id = sis_rejection.sis_id AND d.action IN ('{theirs}')"
        )
        link = (
            f"UPDATE sis_rejection SET owner_kind = :owner, owner_id = ({owners}) WHERE integration_id = :i AND kind = :kind "
            f"AND owner_id IS NULL AND EXISTS ({owners})"
        )
        await connection.execute(text(link), {"i": hold.integration_id, "p": hold.plan, "kind": kind, "owner": owner})


async def release_dependents(connection: AsyncConnection, integration_id: int) -> None:
    """Look again at what was refused with an owner that is not refused any more."""
    alone = (
        "FROM sis_rejection WHERE integration_id = :i AND owner_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM sis_rejection o "
        "WHERE o.integration_id = :i AND o.kind = sis_rejection.owner_kind AND o.sis_id = sis_rejection.owner_id)"
    )
    look = (
        f"INSERT INTO sis_candidate (integration_id, kind, sis_id, why) SELECT integration_id, kind, sis_id, 'refused' {alone} "
        "ON CONFLICT (integration_id, kind, sis_id) DO NOTHING"
    )
    for statement in (look, f"DELETE {alone}"):
        await connection.execute(text(statement), {"i": integration_id})


async def _open(connection: AsyncConnection, integration_id: int) -> Sequence[Row[Any]]:
    query = select(table).where(table.c.integration_id == integration_id, table.c.state == "open").order_by(table.c.created_at)
    return (await connection.execute(query)).all()


async def _hold_dependents(connection: AsyncConnection, plan: int) -> None:
    """Hold with a change what depends on it: a new record that needs a held one, an end that goes with a held end."""
    for kind, name, owner, action, theirs in _dependences():
        held = (
            "SELECT o.hold_id FROM sis_plan_row o WHERE o.plan = sis_plan_row.plan AND o.kind = :owner "
            f"AND o.action = '{action}' AND o.hold_id IS NOT NULL AND o.sis_id = json_extract(sis_plan_row.document, '$.{name}')"
        )
        mark = (
            f"UPDATE sis_plan_row SET state = 'held', hold_id = ({held}) WHERE plan = :plan AND kind = :kind "
            f"AND hold_id IS NULL AND action IN ('{theirs}') AND EXISTS ({held})"
        )
        await connection.execute(text(mark), {"plan": plan, "kind": kind, "owner": owner})


def _dependences() -> Iterator[tuple[Kind, str, Kind, str, str]]:
    """What depends on what, in order: a kind, its field, the owner's kind, the owner's action, and those that depend on that."""
    for kind in KINDS:
        model = RECORDS[kind]
        for name in model.required_references:
            owners: tuple[Kind, ...] = ("students", "staff") if name == "user" else (model.references[name],)
            for owner in owners:
                yield kind, name, owner, "create", "create', 'update', 'reenroll"
                yield kind, name, owner, "withdraw", "withdraw"


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
                "AND m.status NOT IN ('inactive', 'deleted')), "
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
            f"SELECT COUNT(*) FROM {mappings[kind].name} WHERE integration_id = :i AND json_extract(base_sis, :path) IS NOT NULL"
        )
        having[kind, name] = int((await connection.execute(query, {"i": integration_id, "path": f"$.{name}"})).scalar_one())
    return Population(
        total=lambda kind: sum(number for (owner, _), number in totals.items() if owner == kind),
        of_school=lambda kind, school: totals.get((kind, school), 0),
        having=lambda kind, name: having.get((kind, name), 0),
    )
