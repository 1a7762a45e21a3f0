"""Holds: what a guard stopped, until a person approves or rejects it."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Row, exists, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect import audit
from sis_connect.capabilities import KINDS, Kind
from sis_connect.errors import ConfigurationError, ConflictError
from sis_connect.records import RECORDS
from sis_connect.roster.answers import reopen
from sis_connect.roster.guard import Trip, condition
from sis_connect.store.sql import Store
from sis_connect.store.tables import hold as table
from sis_connect.store.tables import plan as plan_table
from sis_connect.store.tables import plan_row

#: Plans for which nothing was read: what is in them, a person has decided.
_READ_NOTHING = func.json_array_length(plan_table.c.scope, "$.kinds") == 0
#: Holds of a person's plans all of whose changes are held again, because the person has decided the same once more.
_REPEATED = (
    "UPDATE sis_hold SET state = 'lapsed', decided_at = :at WHERE integration_id = :i AND state = 'open' AND plan <> :p "
    "AND EXISTS (SELECT 1 FROM sis_plan b WHERE b.number = sis_hold.plan AND json_array_length(b.scope, '$.kinds') = 0) "
    "AND NOT EXISTS (SELECT 1 FROM sis_plan_row o WHERE o.plan = sis_hold.plan AND o.hold_id = sis_hold.id AND o.state = 'held' "
    "AND NOT EXISTS (SELECT 1 FROM sis_plan_row n WHERE n.plan = :p AND n.kind = o.kind AND n.sis_id = o.sis_id "
    "AND n.state = 'held' AND n.action = o.action AND n.after IS o.after))"
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
    by_person: bool = False,
) -> list[Hold]:
    """Write down what the guards hold, renew what was held before, and mark the plan's rows. Returns the holds of `holds_about`.

    A hold on one of the kinds `judged`, those that the run saw whole, lapses where its guard is content by now. One on another
    kind keeps what still waits of what it held. A narrow run judges nothing. With `strict`, all that no guard holds is held,
    too, where one holds something. What a guard holds of a plan made `by_person`, such as an undo, stays apart: no sync renews it
    or waits for it. It lapses when it expires, or when the same is decided once more.
    """
    narrow, judged = judged is None, judged or ()
    found, at = await _open(connection, integration_id), now.isoformat()
    over = [row.id for row in found if row.by_person and row.expires_at <= at]
    renewable = [] if by_person else [row for row in found if not row.by_person]
    open_before = {(row.guard, row.kind, row.action, row.scope): row for row in reversed(renewable)}
    over += [row.id for row in renewable if row not in open_before.values()]  # twins: only the eldest holds anything
    stricter = open_before.pop(("strict", EVERYTHING, "change", "district"), None)

    async def write_down(before: Row[Any] | None, **values: Any) -> str:
        hold_id = before.id if before is not None else uuid.uuid4().hex[:12]
        values |= {"plan": plan, "expires_at": (now + EXPIRES_AFTER).isoformat()}
        if before is not None:
            await connection.execute(update(table).where(table.c.id == hold_id).values(**values))
        else:
            values |= {"id": hold_id, "integration_id": integration_id, "state": "open", "owner": owner}
            await connection.execute(insert(table).values(**values, created_at=now.isoformat()))
        return hold_id

    renewed = [(trip, open_before.pop((trip.guard, trip.kind, trip.action, trip.scope), None)) for trip in trips]
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
    await _let_go(connection, [row for row in open_before.values() if row.id not in lapsed], plan)
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
    await connection.execute(update(table).where(table.c.id.in_([*lapsed, *over])).values(state="lapsed", decided_at=at))
    if by_person and trips:
        await connection.execute(text(_REPEATED), {"i": integration_id, "p": plan, "at": at})
    return await holds_about(connection, integration_id, plan)


async def holds_about(connection: AsyncConnection, integration_id: int, plan: int, integration: str = "") -> list[Hold]:
    """The open holds that a run of this plan reports: its own where a person made it, else all but those of persons' plans."""
    alone = await _is_by_person(connection, plan)
    found = await _open(connection, integration_id)
    return [from_row(row, integration) for row in found if (row.plan == plan if alone else not row.by_person)]


async def demand_standing(connection: AsyncConnection, plan: int) -> None:
    """Raise `ConflictError` where what a guard held of a person's plan has lapsed: that would be left out without a word."""
    lapsed = select(table.c.id).where(table.c.plan == plan, table.c.state == "lapsed")
    if await _is_by_person(connection, plan) and (await connection.execute(lapsed)).first() is not None:
        raise ConflictError("What a guard held of this plan has lapsed.", remedy="Preview it again.", retryable=False)


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


async def _let_go(connection: AsyncConnection, kept: Sequence[Row[Any]], plan: int) -> None:
    """Note what no longer waits of what was held of earlier plans, since this plan or its run has decided about it anew."""
    decided = text(
        "UPDATE sis_plan_row SET state = 'skipped' WHERE plan = :before AND hold_id = :hold AND state = 'held' AND (EXISTS "
        "(SELECT 1 FROM sis_plan_row n WHERE n.plan = :p AND n.kind = sis_plan_row.kind AND n.sis_id = sis_plan_row.sis_id) "
        "OR NOT EXISTS (SELECT 1 FROM sis_candidate c WHERE c.integration_id = :i AND c.kind = sis_plan_row.kind "
        "AND c.sis_id = sis_plan_row.sis_id))"
    )
    for row in kept:
        await connection.execute(decided, {"p": plan, "before": row.plan, "hold": row.id, "i": row.integration_id})


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
        raise await _not_open(connection, hold.id)
    if hold.guard == "quarantine":
        known = text("UPDATE sis_quarantine SET acknowledged = 1 WHERE integration_id = :i AND kind = :k")
        await connection.execute(known, {"i": hold.integration_id, "k": hold.kind})
    if state == "rejected" and await _is_by_person(connection, hold.plan):
        await reopen(connection, hold.plan, hold.id)
    elif state == "rejected" and hold.guard != "strict":
        await _refuse(connection, hold, actor, now)
    detail = {"hold": hold.id, "guard": hold.guard, "kind": hold.kind, "count": hold.count}
    await audit.record(connection, at=now, actor=actor, action=f"hold.{state}", integration=integration, detail=detail)


async def _not_open(connection: AsyncConnection, hold_id: str) -> ConflictError:
    """Why nobody can decide about a hold any more."""
    found = (await connection.execute(select(table).where(table.c.id == hold_id))).one()
    day = str(found.decided_at or found.expires_at)[:10]
    why = f"it expired on {day}" if found.state == "open" else f"it lapsed on {day}, when what it held was no longer too much"
    if found.state in ("approved", "rejected"):
        why = f"{found.decided_by or 'somebody'} {found.state} it on {day}"
    remedy = "See `sis-connect holds`; a sync renews what is still too much."
    if await _is_by_person(connection, found.plan):
        remedy = "Nothing of it was written. Ask for it again where it is still wanted."
        if found.state == "lapsed":
            expired = found.expires_at <= found.decided_at
            why = f"it expired on {found.expires_at[:10]}" if expired else f"the same was decided once more on {day}"
    return ConflictError(f"The hold {hold_id} is not open any more: {why}.", remedy=remedy, retryable=False)


async def _is_by_person(connection: AsyncConnection, plan: int) -> bool:
    """Whether a plan was a person's: to refuse what is held of it refuses nothing that the SIS says."""
    query = select(plan_table.c.number).where(plan_table.c.number == plan, _READ_NOTHING)
    return (await connection.execute(query)).first() is not None


async def _refuse(connection: AsyncConnection, hold: Hold, actor: str, now: datetime) -> None:
    """Remember what a guard held as refused. What depends on something refused is refused for as long as that is.

    Where the end of a record was refused for its own sake, that stands by itself.
    """
    values = {"i": hold.integration_id, "p": hold.plan, "h": hold.id, "actor": actor, "at": now.isoformat()}
    refuse = (
        "INSERT INTO sis_rejection (integration_id, kind, sis_id, source, actor, at) SELECT :i, kind, sis_id, source, :actor, "
        ":at FROM sis_plan_row WHERE plan = :p AND hold_id = :h AND state = 'held' ON CONFLICT (integration_id, kind, sis_id) "
        "DO UPDATE SET source = excluded.source, owner_kind = NULL, owner_id = NULL"
    )
    await connection.execute(text(refuse), values)
    for kind, name, owner, action, theirs in _dependences():
        only_with_it = "AND d.hold_id = :h AND d.kind <> :own " if action == "withdraw" else ""
        owners = (
            "SELECT o.sis_id FROM sis_plan_row d JOIN sis_plan_row o ON o.plan = d.plan AND o.kind = :owner "
            f"AND o.sis_id = json_extract(d.document, '$.{name}') AND o.action = '{action}' JOIN sis_rejection r "
            "ON r.integration_id = :i AND r.kind = o.kind AND r.sis_id = o.sis_id WHERE d.plan = :p AND d.kind = :kind "
            f"{only_with_it}AND d.sis_id = sis_rejection.sis_id AND d.action IN ('{theirs}')"
        )
        link = (
            f"UPDATE sis_rejection SET owner_kind = :owner, owner_id = ({owners}) WHERE integration_id = :i AND kind = :kind "
            f"AND owner_id IS NULL AND EXISTS ({owners})"
        )
        named = {"i": hold.integration_id, "p": hold.plan, "h": hold.id, "own": hold.kind, "kind": kind, "owner": owner}
        await connection.execute(text(link), named)


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
    made = select(plan_table.c.number).where(plan_table.c.number == table.c.plan, _READ_NOTHING)
    query = select(table, exists(made).label("by_person")).where(table.c.integration_id == integration_id)
    query = query.where(table.c.state == "open").order_by(table.c.created_at)
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
                # Where the app has deleted such a row, to end it writes nothing, and would still be remembered.
                yield kind, name, owner, "withdraw", "withdraw', 'unchanged"
