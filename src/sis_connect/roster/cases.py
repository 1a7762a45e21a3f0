"""Loading what a decision needs: what is staged of a record, what is mapped, and what the target has.

The plan loads it to decide, and the writer loads it again to see whether the world has moved on since (`witness`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import msgspec
import xxhash
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.roster.documents import at_date, combine
from sis_connect.roster.merge import UNSTATED, Local, Mapped, Source
from sis_connect.store.sql import fetch
from sis_connect.store.tables import mappings
from sis_connect.store.target import LocalRow, RosterTarget

decode = msgspec.json.decode
encode = msgspec.json.encode


@dataclass(slots=True)
class Case:
    """One record in all its states. The witnesses change whenever the state that they stand for does."""

    sis_id: str
    why: str
    source: Source | None
    source_witness: str
    due: str | None
    streams: tuple[int, ...]
    mapping: Mapping | None = None
    mapped: Mapped | None = None
    row: LocalRow | None = None
    local: Local | None = None

    @property
    def local_witness(self) -> str:
        """The version of the target's row."""
        return self.row.version if self.row else ""

    @property
    def base_witness(self) -> str:
        """What the mapping remembers."""
        if self.mapping is None:
            return ""
        return _digest(f"{self.mapping.status}|{self.mapping.base_sis}|{self.mapping.base_local}")


class Mapping(NamedTuple):
    """A row of the mapping."""

    local_id: str | None
    status: str
    school: str | None
    base_sis: str
    base_local: str | None
    due: str | None
    changed_at: str

    def __repr__(self) -> str:
        return f"<Mapping: {self.status}>"


class Part(NamedTuple):
    """What one source row says of a record."""

    document: str
    updated_at: str | None
    missing_pulls: int
    missing_since: str | None
    stream_id: int

    def __repr__(self) -> str:
        return f"<Part: of stream {self.stream_id}>"


def _digest(content: str) -> str:
    return xxhash.xxh3_64_hexdigest(content)


_BY_ID = itemgetter(0)
_NOMINATED = "SELECT sis_id, why FROM sis_candidate WHERE integration_id = ? AND kind = ? AND sis_id > ? ORDER BY sis_id LIMIT ?"
_NAMED = "SELECT value AS sis_id, '' AS why FROM json_each(?)"


async def load_candidates(
    connection: AsyncConnection, target: RosterTarget, integration_id: int, kind: Kind, today: date, *, after: str, limit: int
) -> list[Case]:
    """The next candidates of a kind, in order of their ids."""
    return await _load(connection, target, integration_id, kind, today, _NOMINATED, (integration_id, kind, after, limit))


async def load(
    connection: AsyncConnection, target: RosterTarget, integration_id: int, kind: Kind, sis_ids: Sequence[str], today: date
) -> dict[str, Case]:
    """These records, by id."""
    ids = encode(list(sis_ids)).decode()
    return {case.sis_id: case for case in await _load(connection, target, integration_id, kind, today, _NAMED, (ids,))}


async def _load(
    connection: AsyncConnection,
    target: RosterTarget,
    integration_id: int,
    kind: Kind,
    today: date,
    wanted: str,
    values: tuple[object, ...],
) -> list[Case]:
    # CROSS JOIN keeps the database from reordering: the few records wanted come first.
    query = (
        "SELECT c.sis_id, c.why, s.document, s.updated_at, s.missing_pulls, s.missing_since, s.stream_id, "
        "m.local_id, m.status, m.school, m.base_sis, m.base_local, m.due, m.changed_at "
        f"FROM ({wanted}) c LEFT JOIN sis_staged s ON s.integration_id = ? AND s.kind = ? AND s.sis_id = c.sis_id "
        f"LEFT JOIN {mappings[kind].name} m ON m.integration_id = ? AND m.sis_id = c.sis_id ORDER BY c.sis_id"
    )
    rows = await fetch(connection, query, (*values, integration_id, kind, integration_id))
    cases: list[Case] = []
    for sis_id, group in groupby(rows, _BY_ID):
        theirs = list(group)
        first = theirs[0]
        parts = [Part._make(row[2:7]) for row in theirs] if first[2] is not None else []
        mapping = Mapping._make(first[7:]) if first[10] is not None else None
        cases.append(_case(kind, sis_id, first[1], parts, mapping, today))
    local = await target.find(connection, kind, [case.sis_id for case in cases])
    for case in cases if local else ():
        case.row = local.get(case.sis_id)
        if case.row is not None:
            case.local = Local(document=case.row.document, edited_at=case.row.edited_at)
    return cases


def _case(kind: Kind, sis_id: str, why: str, parts: list[Part], mapping: Mapping | None, today: date) -> Case:
    if len(parts) > 1:
        parts.sort(key=lambda part: (part.document, part.missing_pulls))
    source, due = _source(kind, parts, mapping, today, why == "remapped")
    witness = _digest("|".join([f"{part.document}{'-' if part.missing_pulls else '+'}" for part in parts]))
    case = Case(sis_id, why, source, witness, due, tuple([part.stream_id for part in parts]))
    if mapping is not None:
        case.mapping, case.mapped = mapping, _mapped(mapping)
    return case


def _source(
    kind: Kind, parts: list[Part], mapping: Mapping | None, today: date, remapped: bool
) -> tuple[Source | None, str | None]:
    if present := [part for part in parts if not part.missing_pulls]:
        document, due = at_date(kind, combine([decode(part.document) for part in present]), today)
        times = [part.updated_at for part in present if part.updated_at]
        updated_at = datetime.fromisoformat(max(times)) if times else None
        return Source(document=document, updated_at=updated_at, remapped=remapped), due
    if parts:
        document, _ = at_date(kind, combine([decode(part.document) for part in parts]), today)
        since = max(part.missing_since or "" for part in parts)
        pulls = min(part.missing_pulls for part in parts)
        return Source(document=document, missing_pulls=pulls, missing_since=datetime.fromisoformat(since)), None
    if mapping is not None:
        return Source(document=decode(mapping.base_sis), ended=UNSTATED), None
    return None, None


def _mapped(mapping: Mapping) -> Mapped:
    base_sis = decode(mapping.base_sis)
    return Mapped(
        status=mapping.status,
        base_sis=base_sis,
        base_local=decode(mapping.base_local) if mapping.base_local else base_sis,
        base_at=datetime.fromisoformat(mapping.changed_at),
    )
