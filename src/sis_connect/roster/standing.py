"""Where one record stands: what the SIS said of it, what was decided, and what it waits for. Loaded, not judged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.roster.cases import Case, encode, load
from sis_connect.store.tables import mappings
from sis_connect.store.target import RosterTarget

Row = dict[str, Any]

_TOLD = (
    "SELECT t.endpoint, t.context, t.school, COALESCE(t.cursor_at, t.complete_at) AS read_at, t.complete_at AS whole_at, "
    "s.missing_pulls, s.missing_since, s.updated_at, s.whole FROM sis_staged s JOIN sis_stream t ON t.id = s.stream_id "
    "WHERE s.integration_id = :i AND s.kind = :k AND s.sis_id = :s ORDER BY s.missing_pulls, s.whole DESC, t.endpoint, t.context"
)
_QUARANTINED = (
    "SELECT q.fields, q.reason, q.since, t.endpoint FROM sis_quarantine q LEFT JOIN sis_stream t ON t.id = q.stream_id "
    "WHERE q.integration_id = :i AND ((q.stream_id = 0 AND q.kind = :k AND q.key = :s) OR (q.stream_id, q.key) IN "
    "(SELECT s.stream_id, s.key FROM sis_staged s WHERE s.integration_id = :i AND s.kind = :k AND s.sis_id = :s)) ORDER BY q.id"
)
_HELD = (
    "SELECT h.id, h.guard, h.scope, h.count, h.created_at, h.expires_at, r.action, r.reason FROM sis_hold h JOIN sis_plan_row r "
    "ON r.plan = h.plan AND r.kind = :k AND r.sis_id = :s AND r.hold_id = h.id AND r.state = 'held' "
    "WHERE h.integration_id = :i AND h.state = 'open' ORDER BY h.created_at"
)
_REFUSED = "SELECT actor, at FROM sis_rejection WHERE integration_id = :i AND kind = :k AND sis_id = :s"
_ASKED = (
    "SELECT id, field, rule, filed_at FROM sis_conflict WHERE integration_id = :i AND kind = :k AND sis_id = :s "
    "AND state = 'open' ORDER BY filed_at"
)
_PINNED = (
    "SELECT field, reason, actor, created_at, expires_on FROM sis_pin WHERE integration_id = :i AND kind = :k AND sis_id = :s "
    "AND (expires_on IS NULL OR expires_on > :today) ORDER BY field"
)
_EDITED = "SELECT field, at, author FROM sis_local_edit WHERE integration_id = :i AND kind = :k AND sis_id = :s ORDER BY field"
_WAITS = "SELECT why FROM sis_candidate WHERE integration_id = :i AND kind = :k AND sis_id = :s"
#: One look through all events, for as many records as are asked for.
_HAPPENED = (
    "SELECT e.kind, e.sis_id, e.id AS event, e.action, e.at, e.school_date, p.reason, p.rule, e.operation_id AS operation, "
    "o.type, o.actor FROM sis_event e LEFT JOIN sis_plan_row p ON p.plan = e.plan AND p.kind = e.kind AND p.sis_id = e.sis_id "
    "LEFT JOIN sis_sync_operation o ON o.id = e.operation_id WHERE e.integration_id = :i "
    "AND e.kind || ' ' || e.sis_id IN (SELECT value FROM json_each(:records)) ORDER BY e.id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where one record stands. Times are UTC, ISO 8601; days are ISO dates.

    `told` are the rows of the SIS that speak of it, with the list (`endpoint`, `context`) and when that was last read; rows with
    `missing_pulls` did not come any more since `missing_since`. `sis_status` is what they come to today, and None where nothing
    is told. `status` is what was decided last, `local_status` what the app has. `begins` and `ends` are its dates, `due` is the
    day on which it changes by itself. `history` is what was written of it, the latest last.
    """

    kind: Kind
    sis_id: str
    local_id: str | None = None
    told: Sequence[Row] = ()
    sis_status: str | None = None
    sis_reason: str | None = None
    status: str | None = None
    decided_at: str | None = None
    due: str | None = None
    local_status: str | None = None
    local_reason: str | None = None
    begins: str | None = None
    ends: str | None = None
    school: str | None = None
    section: str | None = None
    edits: Sequence[Row] = ()
    quarantine: Sequence[Row] = ()
    holds: Sequence[Row] = ()
    refused: Sequence[Row] = ()
    questions: Sequence[Row] = ()
    pins: Sequence[Row] = ()
    waits: str | None = None
    history: Sequence[Row] = field(default=())

    @property
    def missing_since(self) -> str | None:
        """Since when nothing that the SIS delivers speaks of it any more; None where something does, or nothing ever did."""
        whole = [row for row in self.told if row["whole"]]
        return max(row["missing_since"] for row in whole) if whole and all(row["missing_pulls"] for row in whole) else None

    @property
    def missing_pulls(self) -> int:
        """How many complete reads in a row came without it."""
        return min((int(row["missing_pulls"]) for row in self.told if row["whole"]), default=0)

    @property
    def known(self) -> bool:
        """Whether the SIS has ever delivered it, or it is in the roster."""
        return bool(self.told) or self.status is not None

    def as_dict(self) -> Row:
        """Plain JSON: no names and no other fields of the record."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return values | {"missing_since": self.missing_since, "missing_pulls": self.missing_pulls}

    def __repr__(self) -> str:
        return f"<Standing of one of {self.kind}>"


async def standings(
    connection: AsyncConnection,
    target: RosterTarget,
    integration_id: int,
    records: Sequence[tuple[Kind, str]],
    today: date,
) -> list[Standing]:
    """Where these records stand, in their order."""
    happened: dict[tuple[str, str], list[Row]] = {record: [] for record in records}
    values = {"i": integration_id, "records": encode([f"{kind} {sis_id}" for kind, sis_id in records]).decode()}
    for row in await _all(connection, _HAPPENED, values):
        happened[row.pop("kind"), row.pop("sis_id")].append(row)
    return [
        await _standing(connection, target, integration_id, kind, sis_id, today, happened[kind, sis_id])
        for kind, sis_id in records
    ]


async def _standing(
    connection: AsyncConnection,
    target: RosterTarget,
    integration_id: int,
    kind: Kind,
    sis_id: str,
    today: date,
    history: Sequence[Row],
) -> Standing:
    case = (await load(connection, target, integration_id, kind, [sis_id], today))[sis_id]
    values = {"i": integration_id, "k": kind, "s": sis_id}
    quarantine = await _all(connection, _QUARANTINED, values)
    waits = (await connection.execute(text(_WAITS), values)).scalar()
    return Standing(
        kind=kind,
        sis_id=sis_id,
        **_as_decided(case),
        told=await _all(connection, _TOLD, values),
        quarantine=[{**row, "fields": json.loads(row["fields"])} for row in quarantine],
        holds=await _all(connection, _HELD, values),
        refused=await _all(connection, _REFUSED, values),
        questions=await _all(connection, _ASKED, values),
        pins=await _all(connection, _PINNED, {**values, "today": today.isoformat()}),
        edits=await _all(connection, _EDITED, values),
        waits=str(waits) if waits is not None else None,
        history=history,
    )


def _as_decided(case: Case) -> Row:
    document: Mapping[str, Any] = case.source.document if case.source is not None else {}
    local: Mapping[str, Any] = case.local.document if case.local is not None else {}
    told = case.source is not None and not case.source.absent
    either = {**document, **{name: value for name, value in local.items() if value is not None}}
    return {
        "local_id": case.row.local_id if case.row is not None else None,
        "sis_status": document.get("status") if told else None,
        "sis_reason": document.get("status_reason") if told else None,
        "status": case.mapping.status if case.mapping is not None else None,
        "decided_at": case.mapping.changed_at if case.mapping is not None else None,
        "due": case.due,
        "local_status": (local.get("status") or "active") if case.local is not None else None,
        "local_reason": local.get("status_reason"),
        "begins": either.get("entry_date") or either.get("begin_date"),
        "ends": either.get("exit_date") or either.get("end_date"),
        "school": _text(either.get("school")),
        "section": _text(either.get("section")),
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


async def _all(connection: AsyncConnection, query: str, values: Row) -> list[Row]:
    return [dict(row) for row in (await connection.execute(text(query), values)).mappings()]


# -- finding -----------------------------------------------------------------------------------------------------------


async def find_ids(connection: AsyncConnection, integration_id: int, kind: Kind, asked: str) -> list[str]:
    """The `sis_id`s of the records that go by an id: it is their `sis_id`, or else one of their other ids or numbers."""
    mapping = mappings[kind].name
    by_id = (
        f"SELECT sis_id FROM {mapping} WHERE integration_id = :i AND sis_id = :s UNION "
        "SELECT sis_id FROM sis_staged WHERE integration_id = :i AND kind = :k AND sis_id = :s"
    )
    # Looked through once, for one question: the text is compared first, since taking documents apart is slow.
    by_number = (
        "SELECT sis_id FROM sis_identifier WHERE integration_id = :i AND kind = :k AND value = :s UNION "
        f"SELECT m.sis_id FROM {mapping} m WHERE m.integration_id = :i AND instr(m.base_sis, :s) "
        "AND EXISTS (SELECT 1 FROM json_tree(m.base_sis, '$.ids') t WHERE t.value = :s AND t.type = 'text') UNION "
        "SELECT d.sis_id FROM sis_staged d WHERE d.integration_id = :i AND d.kind = :k AND instr(d.document, :s) "
        "AND EXISTS (SELECT 1 FROM json_tree(d.document, '$.ids') t WHERE t.value = :s AND t.type = 'text')"
    )
    values = {"i": integration_id, "k": kind, "s": asked}
    for query in (by_id, by_number):
        found = (await connection.execute(text(query), values)).scalars().all()
        if found:
            return sorted(found)
    return []


async def find_belonging(connection: AsyncConnection, integration_id: int, kind: Kind, **fields: str) -> list[str]:
    """The `sis_id`s of the records of a kind that refer to these in these fields, by what the SIS says or what was decided."""
    found: set[str] = set()
    for table, column, also in (("sis_staged", "document", "AND kind = :k "), (mappings[kind].name, "base_sis", "")):
        conditions = [f"instr({column}, :{name}) AND json_extract({column}, '$.{name}') = :{name}" for name in fields]
        query = f"SELECT sis_id FROM {table} WHERE integration_id = :i {also}AND {' AND '.join(conditions)}"
        values = {"i": integration_id, **fields} | ({"k": kind} if also else {})
        found |= set((await connection.execute(text(query), values)).scalars())
    return sorted(found)


async def find_refused_row(connection: AsyncConnection, integration_id: int, kind: Kind, asked: str) -> Row | None:
    """What waits in quarantine under this key and was never taken: all that is known of it is that it could not be read."""
    query = (
        "SELECT q.fields, q.reason, q.since, t.endpoint FROM sis_quarantine q LEFT JOIN sis_stream t ON t.id = q.stream_id "
        "WHERE q.integration_id = :i AND q.kind = :k AND q.key = :s LIMIT 1"
    )
    rows = await _all(connection, query, {"i": integration_id, "k": kind, "s": asked})
    return {**rows[0], "fields": json.loads(rows[0]["fields"])} if rows else None


async def find_same_person(connection: AsyncConnection, integration_id: int, student: str) -> list[str]:
    """The `sis_id`s of the staff records of a student who is staff, too: the SIS gives both the same id `person`."""
    query = (
        "SELECT t.sis_id FROM sis_student_mapping s JOIN sis_staff_mapping t ON t.integration_id = s.integration_id "
        "AND json_extract(t.base_sis, '$.ids.person') = json_extract(s.base_sis, '$.ids.person') "
        "WHERE s.integration_id = :i AND s.sis_id = :s AND t.status <> 'deleted' ORDER BY t.sis_id"
    )
    return list((await connection.execute(text(query), {"i": integration_id, "s": student})).scalars())
