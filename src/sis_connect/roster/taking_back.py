"""An undo on its way from its plan to the roster: what it takes back is kept with the plan until that is applied."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect import audit
from sis_connect.roster.answers import Answered
from sis_connect.roster.belonging import CARRIERS
from sis_connect.roster.carriers import cascade
from sis_connect.store.tables import plan as table

_KEEP = text("UPDATE sis_plan SET scope = json_set(scope, '$.undone', json(:undone)) WHERE number = :p")


async def plan_undo(connection: AsyncConnection, plan: int, undone: Mapping[str, Any]) -> None:
    """Keep with a plan which operation it takes back, and what of it."""
    await connection.execute(_KEEP, {"p": plan, "undone": json.dumps(undone)})


async def begin_undo(connection: AsyncConnection, plan: int, by: Answered) -> None:
    """If a plan that is not applied yet takes something back: say so in the audit, and have the next sync see what goes along."""
    row = (await connection.execute(select(table).where(table.c.number == plan))).one()
    undone = json.loads(row.scope).get("undone")
    if undone is None or row.state == "applied":
        return
    for carrier in CARRIERS:
        await cascade(connection, row.integration_id, plan, carrier)
    await audit.record(connection, at=by.at, actor=by.actor, action="undo.begun", integration=by.integration, detail=undone)
