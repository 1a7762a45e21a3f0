"""What was being written into a target with transactions of its own when a run died, and what became of it.

Its commit and ours are two. Between them we may die, and the next run finds the change done, with nothing left to write. So a
batch is noted before it is handed over, with its plan and operation; whoever comes next writes down what those have done.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.roster import presence
from sis_connect.roster.cases import Case, decode, encode
from sis_connect.roster.documents import Values, flatten
from sis_connect.store import outbox
from sis_connect.store.creations import Write
from sis_connect.store.elsewhere import Elsewhere, Moment, Written
from sis_connect.store.lease import Lease, check_fence
from sis_connect.store.outbox import Entry
from sis_connect.store.sql import Store

#: What a candidate's `why` begins with while its change is under way; plan and operation follow.
UNDER_WAY = "writing "
_OF = "integration_id = :i AND kind = :k AND sis_id IN (SELECT value FROM json_each(:ids))"
_LEFT = text(
    'SELECT r.sis_id, r.action, r."after", r.plan, o.id AS operation, o.school_date FROM sis_candidate c '
    "JOIN sis_plan_row r ON r.plan = CAST(substr(c.why, 9) AS INTEGER) AND r.kind = c.kind AND r.sis_id = c.sis_id "
    "JOIN sis_sync_operation o ON c.why = 'writing ' || r.plan || ' ' || o.id "
    "WHERE c.integration_id = :i AND c.kind = :k AND c.why LIKE 'writing %' AND c.sis_id IN (SELECT value FROM json_each(:ids)) "
    "AND r.action IN ('update', 'withdraw', 'reenroll') ORDER BY r.sis_id"
)
_NOTE = text(
    "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) SELECT :i, :k, value, :why FROM json_each(:ids) WHERE true "
    "ON CONFLICT (integration_id, kind, sis_id) DO UPDATE SET why = excluded.why"
)
_FORGET = text(f"UPDATE sis_candidate SET why = 'changed' WHERE {_OF} AND why LIKE 'writing %'")


async def hand_over(
    store: Store, lease: Lease, entry: Entry, target: Elsewhere, kind: Kind, cases: Mapping[str, Case], writes: Sequence[Write]
) -> Written:
    """Write changes to records elsewhere: before that, write down what a former run has done to them, and note what is begun."""
    async with store.write() as connection:
        await check_fence(connection, lease)
        await _catch_up(connection, entry, kind, cases, target.fields(kind))
        values = {"i": entry.integration_id, "k": kind, "ids": encode([write.sis_id for write in writes]).decode()}
        await connection.execute(_NOTE, {**values, "why": f"{UNDER_WAY}{entry.plan} {entry.operation_id}"})
    return await target.write(kind, writes, Moment(datetime.fromisoformat(entry.at), date.fromisoformat(entry.school_date)))


async def forget_under_way(connection: AsyncConnection, integration_id: int, kind: Kind, sis_ids: Sequence[str]) -> None:
    """It is known what became of these. Whoever stays a candidate is an ordinary one."""
    await connection.execute(_FORGET, {"i": integration_id, "k": kind, "ids": encode(sis_ids).decode()})


async def _catch_up(
    connection: AsyncConnection, entry: Entry, kind: Kind, cases: Mapping[str, Case], kept: Collection[str]
) -> None:
    """Write down what a run that died has done to these records: as its own doing, and of its own day.

    `kept` are the fields that the target has a place for. What it does not hold as it was planned was not written.
    """
    left = await connection.execute(_LEFT, {"i": entry.integration_id, "k": kind, "ids": encode(sorted(cases)).decode()})
    done: dict[Entry, list[tuple[str, str]]] = defaultdict(list)
    for row in left.all():
        if _holds(cases[row.sis_id], decode(row.after or "{}"), kept):
            former = replace(entry, operation_id=row.operation, plan=row.plan, school_date=row.school_date)
            done[former].append((row.sis_id, row.action))
    for former, changes in done.items():
        await outbox.note_changes(connection, former, kind, changes)
        await presence.note_changes(connection, former, kind, changes)
    await forget_under_way(connection, entry.integration_id, kind, sorted(cases))


def _holds(case: Case, written: Values, kept: Collection[str]) -> bool:
    if case.row is None:
        return False
    mine = flatten(case.row.document)
    return all(mine.get(name) == value for name, value in written.items() if name in kept or name.partition(".")[0] in kept)
