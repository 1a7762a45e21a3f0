"""The changes of a plan, as data that a person or a program reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import text

from sis_connect.capabilities import KINDS, Kind
from sis_connect.roster.cases import decode
from sis_connect.roster.documents import Values
from sis_connect.store.sql import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """One change. `before` and `after` hold the fields that change, or the whole record where it is new.

    The values are pupils' data: they are not in its repr.
    """

    kind: Kind
    sis_id: str
    action: str
    reason: str
    rule: str
    before: Values
    after: Values
    evidence: Values
    state: str
    hold: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        return f"<PlanRow: {self.action} one of {self.kind}>"


async def plan_rows(store: Store, plan_id: str) -> AsyncIterator[PlanRow]:
    """The changes of a plan, in the order of their kinds."""
    query = text(
        "SELECT r.*, p.state AS plan_state FROM sis_plan p JOIN sis_plan_row r ON r.plan = p.number "
        "WHERE p.id = :p AND r.kind = :k AND r.sis_id > :a AND (r.action <> 'unchanged' OR r.state = 'renamed') "
        "ORDER BY r.sis_id LIMIT 1000"
    )
    for kind in KINDS:
        after = ""
        while True:
            async with store.read() as connection:
                rows = (await connection.execute(query, {"p": plan_id, "k": kind, "a": after})).all()
            for row in rows:
                yield PlanRow(
                    kind=kind,
                    sis_id=row.sis_id,
                    action=row.action,
                    reason=row.reason,
                    rule=row.rule,
                    before=decode(row.before) if row.before else {},
                    after=decode(row.after or row.document or "{}"),
                    evidence=decode(row.evidence),
                    state="applied" if (row.state, row.plan_state) == ("planned", "applied") else row.state,
                    hold=row.hold_id,
                )
            if not rows:
                break
            after = cast(str, rows[-1].sis_id)


async def planned_actions(store: Store, plan: int) -> frozenset[tuple[str, str]]:
    """The kinds and actions that a plan has rows of, so that nobody opens a transaction for nothing."""
    query = text("SELECT DISTINCT kind, action FROM sis_plan_row WHERE plan = :p")
    async with store.read() as connection:
        return frozenset((row.kind, row.action) for row in await connection.execute(query, {"p": plan}))
