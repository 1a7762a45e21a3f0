"""Loading what a decision needs: what is staged of a record, what is mapped, and what the target has.

The plan loads it to decide, and the writer loads it again to see whether the world has moved on since (`witness`).
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
import xxhash
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.roster.documents import Unasked, Values, at_date, combine
from sis_connect.roster.merge import UNSTATED, Local, Mapped, Source
from sis_connect.roster.years import year_of
from sis_connect.store.sql import fetch
from sis_connect.store.tables import mappings
from sis_connect.store.target import LocalRow, RosterTarget

decode = msgspec.json.decode
encode = msgspec.json.encode


@dataclass(slots=True)
class Case:
    """One record in all its states. The witnesses change whenever the state that they stand for does.

    `adopts` is the local id of somebody whom the app knew before the SIS told of him, where this is he.
    """

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
    adopts: str = ""

    def take(self, row: LocalRow) -> None:
        """Let this be its local row."""
        edits = {name: edit.at for name, edit in row.edits.items()}
        self.row, self.local = row, Local(document=row.document, edited_at=row.edited_at, edits=edits)

    def still_agreed_at(self, by_a_person: bool) -> str | None:
        """When both sides agreed, where they do not now: a person's decision or its own silence is not the SIS's consent."""
        if self.mapping is None or not (by_a_person or self.source is None or self.source.absent):
            return None
        return self.mapping.base_at or self.mapping.changed_at

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
    base_at: str | None = None

    def __repr__(self) -> str:
        return f"<Mapping: {self.status}>"


class Part(NamedTuple):
    """What one source row says of a record. It is `whole` unless it only completes what other rows bring.

    `year` is the school year that it was asked for, where that matters: several rows speak of the record.
    """

    document: str
    updated_at: str | None
    missing_pulls: int
    missing_since: str | None
    stream_id: int
    whole: int
    year: int = 0

    def __repr__(self) -> str:
        return f"<Part: of stream {self.stream_id}>"


def _digest(content: str) -> str:
    return xxhash.xxh3_64_hexdigest(content)


#: Why a record is looked at whose creation in a target elsewhere was begun.
BEGUN = "begun"
_BY_ID = itemgetter(0)
_NOTHING = Unasked()
_YEARLY = (
    "SELECT s.id, s.context FROM json_each(?) j CROSS JOIN sis_stream s ON s.id = j.value WHERE s.context LIKE '%school_year=%'"
)
_NOMINATED = "SELECT sis_id, why FROM sis_candidate WHERE integration_id = ? AND kind = ? AND sis_id > ? ORDER BY sis_id LIMIT ?"
_NAMED = "SELECT value AS sis_id, '' AS why FROM json_each(?)"


async def load_candidates(
    connection: AsyncConnection,
    target: RosterTarget,
    integration_id: int,
    kind: Kind,
    today: date,
    *,
    after: str,
    limit: int,
    unasked: Unasked = _NOTHING,
) -> list[Case]:
    """The next candidates of a kind, in order of their ids, without the fields that are `unasked`."""
    values = (integration_id, kind, after, limit)
    return await _load(connection, target, integration_id, kind, today, _NOMINATED, values, unasked)


async def load(
    connection: AsyncConnection,
    target: RosterTarget,
    integration_id: int,
    kind: Kind,
    sis_ids: Sequence[str],
    today: date,
    *,
    unasked: Unasked = _NOTHING,
) -> dict[str, Case]:
    """These records, by id, without the fields that are `unasked`."""
    ids = encode(list(sis_ids)).decode()
    return {case.sis_id: case for case in await _load(connection, target, integration_id, kind, today, _NAMED, (ids,), unasked)}


async def _load(
    connection: AsyncConnection,
    target: RosterTarget,
    integration_id: int,
    kind: Kind,
    today: date,
    wanted: str,
    values: tuple[object, ...],
    unasked: Unasked = _NOTHING,
) -> list[Case]:
    # CROSS JOIN keeps the database from reordering: the few records wanted come first.
    query = (
        "SELECT c.sis_id, c.why, s.document, s.updated_at, s.missing_pulls, s.missing_since, s.stream_id, s.whole, "
        "m.local_id, m.status, m.school, m.base_sis, m.base_local, m.due, m.changed_at, m.base_at "
        f"FROM ({wanted}) c LEFT JOIN sis_staged s ON s.integration_id = ? AND s.kind = ? AND s.sis_id = c.sis_id "
        f"LEFT JOIN {mappings[kind].name} m ON m.integration_id = ? AND m.sis_id = c.sis_id ORDER BY c.sis_id"
    )
    rows = await fetch(connection, query, (*values, integration_id, kind, integration_id))
    groups = [(sis_id, list(group)) for sis_id, group in groupby(rows, _BY_ID)]
    years = await _years(connection, {row[6] for _, theirs in groups if len(theirs) > 1 for row in theirs})
    cases: list[Case] = []
    for sis_id, theirs in groups:
        first = theirs[0]
        parts = [Part._make((*row[2:8], years.get(row[6], 0))) for row in theirs] if first[2] is not None else []
        mapping = Mapping._make(first[8:]) if first[11] is not None else None
        cases.append(case_of(kind, sis_id, first[1], parts, mapping, today, unasked))
    local = await target.find(connection, kind, [case.sis_id for case in cases])
    for case in cases if local else ():
        if (row := local.get(case.sis_id)) is not None:
            case.take(row)
            if case.why == BEGUN and case.mapping is None:
                case.local = None  # it is what we began to create when we were interrupted
    return cases


async def _years(connection: AsyncConnection, streams: Set[int]) -> dict[int, int]:
    """The school years that streams are read for, where they are read for one."""
    rows = await fetch(connection, _YEARLY, (encode(sorted(streams)).decode(),)) if streams else ()
    return {stream: year_of(context) or 0 for stream, context in rows}


def case_of(
    kind: Kind,
    sis_id: str,
    why: str,
    rows: list[Part],
    mapping: Mapping | None,
    today: date,
    unasked: Unasked = _NOTHING,
) -> Case:
    """One record as it is staged and mapped, without the target's row and without what is `unasked`. Pure."""
    parts = _that_count(rows)
    source, due = _source(kind, parts, mapping, today, why == "remapped", unasked)
    told = dict.fromkeys(f"{part.document}{'-' if part.missing_pulls else '+'}" for part in parts)  # by several lists, perhaps
    witness = _digest("|".join(told))
    streams = tuple([part.stream_id for part in parts if part.whole])
    case = Case(sis_id, why, source, witness, due, streams)
    if mapping is not None:
        case.mapping, case.mapped = mapping, _mapped(mapping, unasked)
    return case


def _that_count(parts: list[Part]) -> list[Part]:
    """What is staged of a record, in an order that is always the same.

    Rows that only complete it count while it is there. Where it is not, one that says that it has left is believed.
    """
    if len(parts) > 1:
        parts.sort(key=lambda part: (part.document, part.missing_pulls))
    if all(part.whole for part in parts):
        return parts
    if any(part.whole and not part.missing_pulls for part in parts):
        return [part for part in parts if part.whole or not part.missing_pulls]
    leaving = [part for part in parts if not part.whole and not part.missing_pulls and _has_left(part)]
    return leaving or [part for part in parts if part.whole]


def _has_left(part: Part) -> bool:
    return bool(decode(part.document).get("status", "active") != "active")


def _source(
    kind: Kind, parts: list[Part], mapping: Mapping | None, today: date, remapped: bool, unasked: Unasked
) -> tuple[Source | None, str | None]:
    if present := [part for part in parts if not part.missing_pulls]:
        document, due = at_date(kind, _combined(present, unasked), today)
        return Source(document=document, updated_at=_told_at(present), remapped=remapped), due
    if parts:
        document, _ = at_date(kind, _combined(parts, unasked), today)
        since = max(part.missing_since or "" for part in parts)
        pulls = min(part.missing_pulls for part in parts)
        return Source(document=document, missing_pulls=pulls, missing_since=datetime.fromisoformat(since)), None
    if mapping is not None:
        return Source(document=_asked(mapping.base_sis, unasked), ended=UNSTATED), None
    return None, None


def _combined(parts: Sequence[Part], unasked: Unasked) -> Values:
    whole = [part for part in parts if part.whole]
    rows, others = (whole, [part for part in parts if not part.whole]) if whole else (parts, [])
    return combine(
        [_asked(part.document, unasked) for part in rows],
        [_asked(part.document, unasked) for part in others],
        years=[part.year for part in rows],
        part_years=[part.year for part in others],
    )


def _asked(document: str, unasked: Unasked) -> dict[str, Any]:
    """A document without what nobody asks for any more: it may stand there from earlier (promise P7)."""
    return unasked.left_out_of(decode(document))


def _told_at(parts: Sequence[Part]) -> datetime | None:
    """When the SIS changed a record last: known only where all rows that feed it tell."""
    times = [part.updated_at for part in parts]
    return datetime.fromisoformat(max(filter(None, times))) if all(times) else None


def _mapped(mapping: Mapping, unasked: Unasked) -> Mapped:
    base_sis = _asked(mapping.base_sis, unasked)
    return Mapped(
        status=mapping.status,
        base_sis=base_sis,
        base_local=_asked(mapping.base_local, unasked) if mapping.base_local else base_sis,
        base_at=datetime.fromisoformat(mapping.base_at or mapping.changed_at),
    )
