"""References between records: resolved to `sis_id`s, and checked, so that nothing points nowhere.

A record whose required target is unknown waits in quarantine and heals by itself once the target is there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.records import RECORDS
from sis_connect.roster.cases import Case, encode
from sis_connect.roster.documents import Values
from sis_connect.roster.known_ids import KnownIds
from sis_connect.store.sql import chunks, fetch, run_many, write_many
from sis_connect.store.tables import mappings

#: From so many records on that are decided about at once, all ids of the kinds they refer to are loaded, instead of asked for.
MANY = 4000
_PORTION = 20_000
_MAPPED = "SELECT sis_id FROM {table} WHERE integration_id = ? AND sis_id > ? ORDER BY sis_id LIMIT ?"
_CREATED = (
    "SELECT sis_id FROM sis_plan_row WHERE plan = ? AND kind = ? AND sis_id > ? AND action = 'create' ORDER BY sis_id LIMIT ?"
)
_ASKED = (
    "SELECT j.value FROM json_each(?) j CROSS JOIN {table} m ON m.integration_id = ? AND m.sis_id = j.value UNION ALL "
    "SELECT j.value FROM json_each(?) j CROSS JOIN sis_plan_row p ON p.plan = ? AND p.kind = ? AND p.sis_id = j.value "
    "AND p.action = 'create'"
)
#: Ids that nobody has now, by which somebody went before.
_FORMERLY = (
    "SELECT j.value, f.sis_id FROM json_each(?) j CROSS JOIN sis_identifier f ON f.integration_id = ? AND f.kind = ? "
    "AND f.name = 'sis_id' AND f.value = j.value WHERE NOT EXISTS (SELECT 1 FROM {table} m "
    "WHERE m.integration_id = f.integration_id AND m.sis_id = f.value) AND NOT EXISTS (SELECT 1 FROM sis_plan_row p "
    "WHERE p.plan = ? AND p.kind = ? AND p.sis_id = f.value AND p.action = 'create')"
)
#: Orphans belong to no stream.
_NO_STREAM = 0


class References:
    """Resolves and checks the references of one kind's records within one plan. `known_as`: ids that stand for others for now."""

    def __init__(
        self, integration_id: int, plan: int, kind: Kind, known_as: Mapping[Kind, Mapping[str, str]] = MappingProxyType({})
    ) -> None:
        self._integration, self._plan, self._kind = integration_id, plan, kind
        model = RECORDS[kind]
        self._fields = [*model.references, *(["user"] if kind == "enrollments" else [])]
        # Without an owner, the person whom an enrolment is of: a student or one of the staff.
        self._required = [(name, None if name == "user" else model.references[name]) for name in model.required_references]
        self._known: dict[Kind, set[str]] = defaultdict(set)
        self._all: dict[Kind, KnownIds] = {}
        self._nowhere: dict[str, tuple[str, ...]] = {}
        self.known_as = known_as
        self._renamed: set[Kind] | None = None

    async def resolve(self, connection: AsyncConnection, cases: Sequence[Case]) -> list[Case]:
        """The same cases with references by `sis_id`, after looking up which targets exist."""
        wanted: dict[tuple[str, str], set[str]] = defaultdict(set)
        for case in cases:
            if case.source is None:
                continue
            for name in self._fields:
                value = case.source.document.get(name)
                if isinstance(value, (list, dict)):
                    for reference in _unresolved(value):
                        wanted[reference[0], reference[1]].add(reference[2])
        found = await self._identified(connection, wanted)
        resolved = [_resolved(case, self._fields, found) for case in cases] if wanted else list(cases)
        resolved = await self._followed(connection, resolved)
        self._nowhere = _leading_nowhere(resolved, self._fields) if wanted else {}
        await self._look_up(connection, resolved)
        return resolved

    async def _followed(self, connection: AsyncConnection, cases: list[Case]) -> list[Case]:
        """The same cases, where ids by which records went before lead to what they are called now."""
        if self._renamed is None:
            query = "SELECT EXISTS (SELECT 1 FROM sis_identifier WHERE integration_id = ? AND kind = ? AND name = 'sis_id')"
            ever = {kind: (await fetch(connection, query, (self._integration, kind)))[0][0] for kind in RECORDS}
            self._renamed = {kind for kind, any_of_it in ever.items() if any_of_it}
        if not self._renamed and not self.known_as:
            return cases
        told: dict[Kind, set[str]] = defaultdict(set)
        for case in cases:
            for owner, _, referred in _referred(self._kind, case, self._fields):
                told[owner].update(referred)
        found: dict[Kind, dict[str, str]] = {}
        for owner, ids in told.items():
            names = self.known_as.get(owner, {})
            found[owner] = {sis_id: names[sis_id] for sis_id in ids if sis_id in names}
            if owner in self._renamed:
                values = (encode(sorted(ids)).decode(), self._integration, owner, self._plan, owner)
                found[owner].update(await fetch(connection, _FORMERLY.format(table=mappings[owner].name), values))
        return [_leading_to(self._kind, case, self._fields, found) for case in cases] if any(found.values()) else cases

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

    async def _look_up(self, connection: AsyncConnection, cases: Sequence[Case]) -> None:
        """Find out which of the records that these cannot be without are there, or will be by this plan."""
        missing: dict[Kind, set[str]] = defaultdict(set)
        for case in cases:
            if case.source is None:
                continue
            for name, owner in self._required:
                target = case.source.document.get(name)
                if isinstance(target, str):
                    theirs = owner or _person(case)
                    if theirs not in self._all and target not in self._known[theirs]:
                        missing[theirs].add(target)
        for owner, ids in missing.items():
            if len(cases) >= MANY:
                self._all[owner] = await self._load(connection, owner)
                continue
            asked = encode(sorted(ids)).decode()
            values = (asked, self._integration, asked, self._plan, owner)
            found = await fetch(connection, _ASKED.format(table=mappings[owner].name), values)
            self._known[owner].update(sis_id for (sis_id,) in found)

    async def _load(self, connection: AsyncConnection, owner: Kind) -> KnownIds:
        known = KnownIds()
        mapped = (_MAPPED.format(table=mappings[owner].name), (self._integration,))
        for query, values in (mapped, (_CREATED, (self._plan, owner))):
            after = ""
            while found := await fetch(connection, query, (*values, after, _PORTION)):
                known.update(sis_id for (sis_id,) in found)
                after = found[-1][0]
        return known

    def lost(self, case: Case) -> tuple[str, ...]:
        """The references of a record that lead nowhere: required ones, and any that stands for an id we have not met."""
        if case.source is None:
            return ()
        if case.source.document.get("status") == "inactive":
            return ()
        lost = self._unknown(case, case.source.document)
        if case.sis_id in self._nowhere:
            lost += [name for name in self._nowhere[case.sis_id] if name not in RECORDS[self._kind].required_references]
        return tuple(lost)

    def leads_nowhere(self, case: Case) -> bool:
        """Whether a record, be it over or not, refers to nobody we know where it cannot be without."""
        return case.source is not None and bool(self._unknown(case, case.source.document))

    def _unknown(self, case: Case, document: Values) -> list[str]:
        unknown = []
        for name, owner in self._required:
            theirs, target = owner or _person(case), document.get(name)
            known = self._all[theirs] if theirs in self._all else self._known[theirs]
            if not isinstance(target, str) or target not in known:
                unknown.append(name)
        return unknown

    async def quarantine(
        self,
        connection: AsyncConnection,
        orphans: Mapping[str, tuple[str, ...]],
        looked_at: Sequence[str],
        now: datetime,
    ) -> None:
        """Note the orphans among the records looked at, and let go of those that are healed."""
        # Orphans are few: asking first spares one statement for each healthy record.
        waiting = await connection.exec_driver_sql(
            "SELECT EXISTS (SELECT 1 FROM sis_quarantine WHERE integration_id = ? AND stream_id = ? AND kind = ?)",
            (self._integration, _NO_STREAM, self._kind),
        )
        if waiting.scalar():
            healed = [(self._integration, _NO_STREAM, self._kind, sis_id) for sis_id in looked_at if sis_id not in orphans]
            statement = "DELETE FROM sis_quarantine WHERE integration_id = ? AND stream_id = ? AND kind = ? AND key = ?"
            await run_many(connection, statement, healed)
        rows = [
            (
                self._integration, _NO_STREAM, sis_id, self._kind, '["' + '", "'.join(names) + '"]',
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


def _person(case: Case) -> Kind:
    """The kind that an enrolment's user is of, by its role."""
    return "students" if case.source is not None and case.source.document.get("role") == "student" else "staff"


def _referred(kind: Kind, case: Case, names: Sequence[str]) -> Iterator[tuple[Kind, str, list[str]]]:
    """Whom a record refers to by `sis_id`: the kind, the field and the ids."""
    document = case.source.document if case.source is not None else {}
    for name in names:
        value = document.get(name)
        ids = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]
        if ids:
            yield (_person(case) if name == "user" else RECORDS[kind].references[name]), name, ids


def _leading_to(kind: Kind, case: Case, names: Sequence[str], found: Mapping[Kind, Mapping[str, str]]) -> Case:
    """The same case, where some ids lead to others."""
    changed: dict[str, Any] = {}
    for owner, name, ids in _referred(kind, case, names):
        others = found.get(owner, {})
        if case.source is not None and not others.keys().isdisjoint(ids):
            value = case.source.document[name]
            changed[name] = [_other(item, others) for item in value] if isinstance(value, list) else _other(value, others)
    if case.source is None or not changed:
        return case
    return replace(case, source=replace(case.source, document={**case.source.document, **changed}))


def _other(item: Any, others: Mapping[str, str]) -> Any:
    return others.get(item, item) if isinstance(item, str) else item


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
