"""Questions that only a person can answer, as the store keeps them: fields that changed on both sides, and the like.

They are filed when they are planned, as holds are: a question that is asked again unchanged is the one that waits already.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.roster.cases import decode, encode
from sis_connect.roster.conflict import Filed
from sis_connect.roster.documents import Unasked
from sis_connect.roster.field_merge import FieldConflict
from sis_connect.store.decision_tables import conflict as table
from sis_connect.store.decision_tables import local_edit
from sis_connect.store.sql import run_many, write_many
from sis_connect.store.tables import integration

__all__ = [
    "IDENTITY",
    "Conflict",
    "Filed",
    "Question",
    "count_open",
    "file_questions",
    "find_conflicts",
    "forget_unasked",
    "load_questions",
    "question_of",
]

#: The field of a question about who somebody is: whether the app knows them already.
IDENTITY = "local_id"
_COLUMNS = (
    "id", "integration_id", "kind", "sis_id", "field", "rule", "state", "base", "sis", "local", "sis_at", "local_at",
    "operation_id", "filed_at",
)  # fmt: skip
_END = (
    "UPDATE sis_conflict SET state = ?, decided_at = ? WHERE integration_id = ? AND kind = ? AND sis_id = ? AND field = ? "
    "AND state = 'open'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question about a record. Its id and its values are pupils' data: they are not in its repr."""

    sis_id: str = attribute(repr=False)
    field: str
    rule: str
    base: Any = attribute(default=None, repr=False)
    sis: Any = attribute(default=None, repr=False)
    local: Any = attribute(default=None, repr=False)
    sis_at: str | None = None
    local_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A question as the queue shows it. Times are UTC, ISO 8601; id and values are pupils' data, not in its repr.

    `field` is flat (`ids.student_number`), `*` for a row that the app deleted, or `local_id` for a person whom the app may know.
    `state` is `open`, `decided`, `superseded` (there is a newer one) or `closed` (nobody has to decide any more); `decision` is
    `sis`, `local` or `value`. `local_by` is who edited the app's value last, where the app has told.
    """

    id: str
    integration: str
    kind: Kind
    sis_id: str = attribute(repr=False)
    field: str
    rule: str
    state: str
    base: Any = attribute(repr=False)
    sis: Any = attribute(repr=False)
    local: Any = attribute(repr=False)
    sis_at: str | None
    local_at: str | None
    local_by: str | None
    operation: str
    filed_at: str
    decision: str | None
    value: Any = attribute(repr=False)
    decided_by: str | None
    decided_at: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


async def find_conflicts(connection: AsyncConnection, *conditions: ColumnElement[bool]) -> list[Conflict]:
    """The questions that meet these conditions on `sis_conflict`, in the order in which they were filed."""
    edited = and_(
        local_edit.c.integration_id == table.c.integration_id,
        local_edit.c.kind == table.c.kind,
        local_edit.c.sis_id == table.c.sis_id,
        local_edit.c.field == func.substr(table.c.field, 1, func.instr(table.c.field + ".", ".") - 1),
    )
    query = (
        select(table, integration.c.name.label("integration"), local_edit.c.author)
        .join(integration, integration.c.id == table.c.integration_id)
        .outerjoin(local_edit, edited)
        .where(*conditions)
        .order_by(table.c.filed_at, table.c.kind, table.c.sis_id, table.c.field)
    )
    return [_conflict(row) for row in await connection.execute(query)]


def _conflict(row: Row[Any]) -> Conflict:
    values = {name: getattr(row, name) for name in Conflict.__slots__ if name not in ("local_by", "operation")}
    values |= {name: value_of(values[name]) for name in ("base", "sis", "local", "value")}
    return Conflict(**values, operation=row.operation_id, local_by=row.author if row.state == "open" else None)


def question_of(sis_id: str, conflict: FieldConflict) -> Question:
    """What is asked about a field that only a person can decide about."""
    sis_at, local_at = conflict.clocks.sis, conflict.clocks.local
    return Question(
        sis_id=sis_id,
        field=conflict.field,
        rule=conflict.rule,
        base=conflict.base,
        sis=conflict.sis,
        local=conflict.local,
        sis_at=sis_at.isoformat() if sis_at else None,
        local_at=local_at.isoformat() if local_at else None,
    )


async def load_questions(
    connection: AsyncConnection, integration_id: int, kind: Kind, sis_ids: Sequence[str]
) -> Mapping[str, Mapping[str, Filed]]:
    """The questions about these records that are open or decided, by record and field: the latest of each field."""
    found: dict[str, dict[str, Filed]] = {}
    if not sis_ids:
        return found
    query = (
        select(table)
        .where(table.c.integration_id == integration_id, table.c.kind == kind, table.c.state.in_(("open", "decided")))
        .where(table.c.sis_id.between(min(sis_ids), max(sis_ids)))
        .order_by(table.c.filed_at, table.c.state)  # of two at one time, the open one is the later
    )
    for row in await connection.execute(query):
        found.setdefault(row.sis_id, {})[row.field] = Filed(
            id=row.id,
            state=row.state,
            base=value_of(row.base),
            sis=value_of(row.sis),
            local=value_of(row.local),
            decision=row.decision,
            value=value_of(row.value),
            filed_at=datetime.fromisoformat(row.filed_at),
        )
    return found


async def file_questions(
    connection: AsyncConnection,
    integration_id: int,
    plan: int,
    kind: Kind,
    questions: Collection[Question],
    closed: Collection[tuple[str, str]],
    filed: Mapping[str, Mapping[str, Filed]],
    now: datetime,
) -> None:
    """File what is asked anew, and end what is asked no more: `closed` are records and fields.

    A question about other values than the one that waits takes its place. `filed` is what was there before.
    """
    at = now.isoformat()
    anew = [question for question in questions if not _waits(question, filed)]
    ended = [("superseded", at, integration_id, kind, question.sis_id, question.field) for question in anew]
    ended += [("closed", at, integration_id, kind, sis_id, field) for sis_id, field in closed]
    await run_many(connection, _END, ended)
    if not anew:
        return
    operation = (await connection.execute(text("SELECT operation_id FROM sis_plan WHERE number = :p"), {"p": plan})).scalar_one()
    rows = [
        (
            uuid.uuid4().hex[:12], integration_id, kind, question.sis_id, question.field, question.rule, "open",
            _text(question.base), _text(question.sis), _text(question.local), question.sis_at, question.local_at, operation, at,
        )
        for question in anew
    ]  # fmt: skip
    await write_many(connection, table.name, _COLUMNS, rows)


def _waits(question: Question, filed: Mapping[str, Mapping[str, Filed]]) -> bool:
    known = filed.get(question.sis_id, {}).get(question.field)
    return known is not None and known.asks(question.sis, question.local)


async def count_open(connection: AsyncConnection, integration_id: int) -> int:
    """How many questions wait for a person."""
    query = text("SELECT COUNT(*) FROM sis_conflict WHERE integration_id = :i AND state = 'open'")
    return int((await connection.execute(query, {"i": integration_id})).scalar_one())


async def forget_unasked(connection: AsyncConnection, integration_id: int, kind: Kind, unasked: Unasked) -> None:
    """Forget what was asked about fields that nobody asks the SIS for any more: its values are not kept (promise P7)."""
    of_kind = (table.c.integration_id == integration_id, table.c.kind == kind)
    asked_about = (await connection.execute(select(table.c.field).where(*of_kind).distinct())).scalars()
    if forgotten := sorted(filter(unasked.holds, asked_about)):
        await connection.execute(table.delete().where(*of_kind, table.c.field.in_(forgotten)))


def value_of(stored: str | None) -> Any:
    """A value as a question keeps it."""
    return decode(stored) if stored is not None else None


def _text(value: Any) -> str | None:
    return encode(value).decode() if value is not None else None
