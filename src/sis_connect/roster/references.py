"""References between records: resolved to `sis_id`s, and checked, so that nothing points nowhere.

A record whose required target is unknown waits in quarantine and heals by itself once the target is there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.records import RECORDS
from sis_connect.roster.cases import Case, encode
from sis_connect.store.sql import chunks, run_many, write_many
from sis_connect.store.tables import mappings

#: How many known targets are remembered between batches; beyond that they are asked for again.
_REMEMBERED = 100_000
#: Orphans belong to no stream.
_NO_STREAM = 0


class References:
    """Resolves and checks the references of one kind's records within one plan."""

    def __init__(self, integration_id: int, plan: int) -> None:
        self._integration, self._plan = integration_id, plan
        self._known: dict[Kind, set[str]] = defaultdict(set)
        self._nowhere: dict[str, tuple[str, ...]] = {}

    async def resolve(self, connection: AsyncConnection, kind: Kind, cases: Sequence[Case]) -> list[Case]:
        """The same cases with references by `sis_id`, after looking up which targets exist."""
        for known in self._known.values():
            if len(known) > _REMEMBERED:
                known.clear()
        wanted: dict[tuple[str, str], set[str]] = defaultdict(set)
        fields = [*RECORDS[kind].references, *(["user"] if kind == "enrollments" else [])]
        for case in cases:
            document = case.source.document if case.source is not None else {}
            for name in fields:
                value = document.get(name)
                if isinstance(value, (list, dict)):
                    for reference in _unresolved(value):
                        wanted[reference[0], reference[1]].add(reference[2])
        found = await self._identified(connection, wanted)
        resolved = [_resolved(case, fields, found) if wanted else case for case in cases]
        self._nowhere = _leading_nowhere(resolved, fields) if wanted else {}
        for name in RECORDS[kind].required_references:
            await self._look_up(connection, kind, name, resolved)
        return resolved

    async def _identified(
        self, connection: AsyncConnection, wanted: Mapping[tuple[str, str], Iterable[str]]
    ) -> dict[tuple[str, str, str], str]:
        found = {}
        for (owner, name), values in wanted.items():
            for some in chunks(sorted(values)):
                rows = await connection.exec_driver_sql(
                    "SELECT value, sis_id FROM sis_identifier WHERE integration_id = ? AND kind = ? AND name = ? "
                    f"AND value IN ({', '.join('?' * len(some))})",
                    (self._integration, owner, name, *some),
                )
                found.update({(owner, name, row.value): row.sis_id for row in rows})
        return found

    async def _look_up(self, connection: AsyncConnection, kind: Kind, name: str, cases: Sequence[Case]) -> None:
        missing: dict[Kind, set[str]] = defaultdict(set)
        for case in cases:
            target = case.source.document.get(name) if case.source else None
            if isinstance(target, str):
                owner = owner_of(kind, name, case)
                if target not in self._known[owner]:
                    missing[owner].add(target)
        for owner, ids in missing.items():
            known = self._known[owner]
            wanted = encode(sorted(ids)).decode()
            rows = await connection.exec_driver_sql(
                f"SELECT j.value FROM json_each(?) j CROSS JOIN {mappings[owner].name} m ON m.integration_id = ? "
                "AND m.sis_id = j.value UNION ALL "
                "SELECT j.value FROM json_each(?) j CROSS JOIN sis_plan_row p ON p.plan = ? AND p.kind = ? "
                "AND p.sis_id = j.value AND p.action = 'create'",
                (wanted, self._integration, wanted, self._plan, owner),
            )
            known.update(rows.scalars())

    def lost(self, kind: Kind, case: Case) -> tuple[str, ...]:
        """The references of a record that lead nowhere: required ones, and any that stands for an id we have not met."""
        if case.source is None or case.source.document.get("status") == "inactive":
            return ()
        document, required = case.source.document, RECORDS[kind].required_references
        lost = [name for name in required if document.get(name) not in self._known[owner_of(kind, name, case)]]
        return (*lost, *(name for name in self._nowhere.get(case.sis_id, ()) if name not in required))

    async def quarantine(
        self,
        connection: AsyncConnection,
        kind: Kind,
        orphans: Mapping[str, tuple[str, ...]],
        looked_at: Sequence[str],
        now: datetime,
    ) -> None:
        """Note the orphans among the records looked at, and let go of those that are healed."""
        healed = [(self._integration, _NO_STREAM, kind, sis_id) for sis_id in looked_at if sis_id not in orphans]
        # Orphans are few: asking first spares one statement for each healthy record.
        waiting = await connection.exec_driver_sql(
            "SELECT EXISTS (SELECT 1 FROM sis_quarantine WHERE integration_id = ? AND stream_id = ? AND kind = ?)",
            (self._integration, _NO_STREAM, kind),
        )
        if waiting.scalar():
            statement = "DELETE FROM sis_quarantine WHERE integration_id = ? AND stream_id = ? AND kind = ? AND key = ?"
            await run_many(connection, statement, healed)
        rows = [
            (
                self._integration, _NO_STREAM, sis_id, kind, '["' + '", "'.join(names) + '"]',
                f"refers to what is not there ({', '.join(names)})", now.isoformat(), str(self._plan), True,
            )
            for sis_id, names in orphans.items()
        ]  # fmt: skip
        columns = (
            "integration_id", "stream_id", "key", "kind", "fields", "reason", "since", "operation_id", "acknowledged",
        )  # fmt: skip
        await write_many(
            connection, "sis_quarantine", columns, rows, conflict="(integration_id, stream_id, kind, key) DO NOTHING"
        )


def owner_of(kind: Kind, name: str, case: Case) -> Kind:
    """The kind that a reference points to. An enrolment's user is a student or one of the staff, by its role."""
    if name == "user":
        return "students" if case.source is not None and case.source.document.get("role") == "student" else "staff"
    return RECORDS[kind].references[name]


def _unresolved(value: Any) -> list[list[str]]:
    values = value if isinstance(value, list) else [value]
    return [item["ref"] for item in values if isinstance(item, dict)]


def _leading_nowhere(cases: Sequence[Case], names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The references that could not be resolved, by record. They are taken out: what is not known is not delivered."""
    nowhere: dict[str, tuple[str, ...]] = {}
    for case in cases:
        if case.source is None:
            continue
        document = case.source.document
        if lost := tuple(name for name in names if _unresolved(document.get(name))):
            nowhere[case.sis_id] = lost
            case.source = replace(case.source, document={n: value for n, value in document.items() if n not in lost})
    return nowhere


def _resolved(case: Case, names: Sequence[str], found: Mapping[tuple[str, str, str], str]) -> Case:
    if case.source is None:
        return case

    def resolve(value: Any) -> Any:
        if isinstance(value, list):
            return [resolve(item) for item in value]
        return found.get(tuple(value["ref"]), value) if isinstance(value, dict) else value

    document = dict(case.source.document)
    for name in names:
        if name in document:
            document[name] = resolve(document[name])
    return replace(case, source=replace(case.source, document=document))
