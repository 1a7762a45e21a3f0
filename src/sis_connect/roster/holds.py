"""Holds: what a guard stopped, until a person approves or rejects it."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Capabilities, Kind
from sis_connect.errors import ConfigurationError
from sis_connect.records import RECORDS
from sis_connect.roster.guard import Counts, Population, Trip, condition
from sis_connect.roster.snapshot import StreamResult
from sis_connect.store.sql import Store, run_many
from sis_connect.store.tables import hold as table
from sis_connect.store.tables import mappings

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
    judged: Collection[str],
) -> list[Hold]:
    """Write down what the guards hold, renew what was held before, and mark the plan's rows. Returns all open holds.

    A hold on one of the kinds `judged`, those that the run saw whole, lapses where its guard is content by now.
    """
    open_before = {(row.guard, row.kind, row.scope): row for row in await _open(connection, integration_id)}
    holds = []
    for trip in trips:
        before = open_before.pop((trip.guard, trip.kind, trip.scope), None)
        hold_id = before.id if before is not None else uuid.uuid4().hex[:12]
        values = {
            "plan": plan,
            "count": trip.count,
            "of": trip.of,
            "limit": trip.limit,
            "expires_at": (now + EXPIRES_AFTER).isoformat(),
        }
        if before is not None:
            await connection.execute(update(table).where(table.c.id == hold_id).values(**values))
        else:
            values |= {"id": hold_id, "integration_id": integration_id, "guard": trip.guard, "kind": trip.kind}
            values |= {"action": trip.action, "scope": trip.scope, "state": "open", "owner": owner, "created_at": now.isoformat()}
            await connection.execute(insert(table).values(**values))
        where, bound = condition(trip)
        mark = f"UPDATE sis_plan_row SET hold_id = :hold, state = 'held' WHERE plan = :plan AND hold_id IS NULL AND {where}"
        await connection.execute(text(mark), {"hold": hold_id, "plan": plan, **bound})
        holds.append(hold_id)
    for row in [row for row in open_before.values() if row.kind in judged]:
        # What it held is no longer proposed, or no longer too much.
        await connection.execute(update(table).where(table.c.id == row.id).values(state="lapsed", decided_at=now.isoformat()))
    if holds:
        await _hold_dependents(connection, plan)
    return [from_row(row) for row in await _open(connection, integration_id)]


async def _open(connection: AsyncConnection, integration_id: int) -> Sequence[Row[Any]]:
    query = select(table).where(table.c.integration_id == integration_id, table.c.state == "open").order_by(table.c.created_at)
    return (await connection.execute(query)).all()


async def _hold_dependents(connection: AsyncConnection, plan: int) -> None:
    """Hold with a change what depends on it: a new record that needs a held one, an end that goes with a held end."""
    for kind in KINDS:
        model = RECORDS[kind]
        for name in model.required_references:
            owners: tuple[Kind, ...] = ("students", "staff") if name == "user" else (model.references[name],)
            for owner in owners:
                for action, theirs in (("create", "create', 'update', 'reenroll"), ("withdraw", "withdraw")):
                    held = (
                        "SELECT o.hold_id FROM sis_plan_row o WHERE o.plan = sis_plan_row.plan AND o.kind = :owner "
                        f"AND o.action = '{action}' AND o.hold_id IS NOT NULL "
                        f"AND o.sis_id = json_extract(sis_plan_row.document, '$.{name}')"
                    )
                    await connection.execute(
                        text(
                            f"UPDATE sis_plan_row SET state = 'held', hold_id = ({held}) WHERE plan = :plan AND kind = :kind "
                            f"AND hold_id IS NULL AND action IN ('{theirs}') AND EXISTS ({held})"
                        ),
                        {"plan": plan, "kind": kind, "owner": owner},
                    )


async def mark_changes_of_id(
    connection: AsyncConnection, integration_id: int, plan: int, capabilities: Capabilities, counts: Counts
) -> None:
    """Find new records that share a strong identifier with one that is missing: perhaps the same, under a new id."""
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
                "s.integration_id = :i AND +s.kind = :k AND s.missing_pulls > 0 AND m.status NOT IN ('inactive', 'deleted')), "
                f"new AS (SELECT sis_id, json_extract(document, {path}) AS value FROM sis_plan_row "
                "WHERE plan = :p AND kind = :k AND action = 'create') "
                "SELECT sis_id, 1 AS is_new FROM new WHERE value IN (SELECT value FROM missing) UNION ALL "
                "SELECT sis_id, 0 FROM missing WHERE value IN (SELECT value FROM new)"
            )
            rows = await connection.execute(query, {"i": integration_id, "p": plan, "k": kind})
            shared.update((row.sis_id, bool(row.is_new)) for row in rows)
        if shared:
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
                "AND m.sis_id = s.sis_id WHERE s.stream_id = :s AND s.kind = :k "
                "AND m.status NOT IN ('inactive', 'deleted') AND NOT EXISTS (SELECT 1 FROM sis_staged o "
                "WHERE o.integration_id = :i AND o.kind = :k AND o.sis_id = s.sis_id AND o.missing_pulls = 0)"
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
