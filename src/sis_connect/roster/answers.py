"""What people answer to open questions: remembered before anything is written, or with a plan for when that is applied."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect import audit
from sis_connect.capabilities import KINDS, Kind
from sis_connect.roster.cases import encode
from sis_connect.store.decision_tables import conflict as table
from sis_connect.store.lease import Lease, check_fence
from sis_connect.store.sql import Store
from sis_connect.store.tables import plan as plan_table

_PLAN = (
    "UPDATE sis_plan SET scope = json_set(scope, '$.answer', json(:answer), '$.answered', (SELECT json_group_array(value) FROM "
    "(SELECT value FROM json_each(scope, '$.answered') UNION ALL SELECT value FROM json_each(:ids)))) WHERE number = :p"
)
_NOMINATE = (
    "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) SELECT DISTINCT integration_id, kind, sis_id, 'decided' "
    "FROM sis_conflict WHERE id IN (SELECT value FROM json_each(:ids)) ON CONFLICT (integration_id, kind, sis_id) DO NOTHING"
)
#: What has been asked anew since is not asked twice.
_REOPEN = (
    "UPDATE sis_conflict SET state = 'open', decision = NULL, value = NULL, decided_by = NULL, decided_at = NULL "
    "WHERE state = 'decided' AND id IN (SELECT j.value FROM sis_plan p, json_each(p.scope, '$.answered') j WHERE p.number = :p) "
    "AND EXISTS (SELECT 1 FROM sis_plan_row r WHERE r.plan = :p AND r.hold_id = :hold AND r.kind = sis_conflict.kind "
    "AND r.sis_id = sis_conflict.sis_id) AND NOT EXISTS (SELECT 1 FROM sis_conflict o WHERE o.state = 'open' "
    "AND o.integration_id = sis_conflict.integration_id AND o.kind = sis_conflict.kind AND o.sis_id = sis_conflict.sis_id "
    "AND o.field = sis_conflict.field) RETURNING id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a person decides: that the SIS is right, that the app is, or another value."""

    take: Literal["sis", "local", "value"]
    value: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Who gives an answer, where and when."""

    integration: str
    actor: str
    at: datetime


async def remember(connection: AsyncConnection, kind: Kind, ids: Sequence[str], answer: Answer, by: Answered) -> None:
    """Remember an answer to questions about one kind. Should the run be killed, the next sync looks at their records."""
    value = encode(answer.value).decode() if answer.take == "value" else None
    values = {"state": "decided", "decision": answer.take, "value": value, "decided_by": by.actor}
    named = table.c.id.in_(select(func.json_each(json.dumps(ids)).table_valued("value").c.value))
    await connection.execute(update(table).where(named).values(**values, decided_at=by.at.isoformat()))
    await connection.execute(text(_NOMINATE), {"ids": json.dumps(ids)})
    detail = {"kind": kind, "decision": answer.take, "conflicts": sorted(ids)[:20], "number": len(ids)}
    await audit.record(connection, at=by.at, actor=by.actor, action="conflict.decided", integration=by.integration, detail=detail)


async def plan_answer(connection: AsyncConnection, plan: int, ids: Sequence[str], answer: Answer) -> None:
    """Keep an answer with the plan that carries it out."""
    told = json.dumps({"take": answer.take, "value": answer.value})
    await connection.execute(text(_PLAN), {"p": plan, "answer": told, "ids": json.dumps(ids)})


async def answer_as_planned(store: Store, lease: Lease, plan: int, by: Answered) -> None:
    """Remember the answer that a plan not applied yet carries out, if it does, where the questions still wait."""
    async with store.write() as connection:
        await check_fence(connection, lease)
        row = (await connection.execute(select(plan_table).where(plan_table.c.number == plan))).one()
        scope = json.loads(row.scope)
        if "answer" not in scope or row.state == "applied":
            return
        waiting = text("SELECT kind, id FROM sis_conflict WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 'open'")
        rows = (await connection.execute(waiting, {"ids": json.dumps(scope["answered"])})).all()
        for kind in KINDS:
            if ids := [cast(str, row.id) for row in rows if row.kind == kind]:
                await remember(connection, kind, ids, Answer(**scope["answer"]), by)


async def reopen(connection: AsyncConnection, plan: int, hold: str) -> None:
    """Ask again what an answer has settled that was held and then refused. The next sync looks whether it still stands."""
    ids = list((await connection.execute(text(_REOPEN), {"p": plan, "hold": hold})).scalars())
    await connection.execute(text(_NOMINATE), {"ids": json.dumps(ids)})
