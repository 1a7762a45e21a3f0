"""Integrity: what in a roster cannot be right, for the district to mend. Counted after each run, listed whenever asked for.

The roster is checked as it is kept: in the built-in tables, or, for kinds that an app keeps in models of its own, as the SIS told
them last. Counts are remembered with the last change that they know of, so that a run which changes nothing asks for one row.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Kind
from sis_connect.errors import ConfigurationError
from sis_connect.roster.checks import CHECKS, Check
from sis_connect.store.sql import Store
from sis_connect.store.tables import mappings, roster_fields

_REMEMBERED = text("SELECT integrity FROM sis_integration WHERE id = :i")
_REMEMBER = text("UPDATE sis_integration SET integrity = :remembered WHERE id = :i")
_LATEST = text("SELECT COALESCE(MAX(id), 0) FROM sis_event")
_CHANGED = text("SELECT DISTINCT kind FROM sis_event WHERE id > :after AND integration_id = :i")
#: Events are not kept for ever: where the next one is gone already, nobody knows what has changed.
_FORGOTTEN = text("SELECT COALESCE((SELECT cursor FROM sis_listener WHERE name = ''), 0)")


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrityFinding:
    """One record that a check finds fault with: which check, the record, its school if it is known, and what is wrong.

    `sis_id` and `school` are the SIS's own ids; no name or number of a person is in it.
    """

    check: str
    kind: Kind
    sis_id: str
    school: str | None
    message: str

    def __repr__(self) -> str:
        return f"<IntegrityFinding: {self.check}>"

    def as_dict(self) -> dict[str, str | None]:
        """Plain JSON."""
        return {name: getattr(self, name) for name in ("check", "kind", "sis_id", "school", "message")}


async def count_findings(
    connection: AsyncConnection, integration_id: int, today: date, *, recount: bool = True
) -> dict[str, int]:
    """How many records each check finds fault with; checks without findings are left out.

    Only checks of kinds that have changed since the last count are made. Without `recount` none is: what is remembered is told.
    """
    values = {"i": integration_id}
    remembered = (await connection.execute(_REMEMBERED, values)).scalar()
    known: dict[str, Any] = json.loads(remembered) if remembered else {"event": None, "counts": {}}
    counts: dict[str, int] = known["counts"]
    if not recount:
        return counts
    latest = int((await connection.execute(_LATEST)).scalar_one())
    if known["event"] == latest:
        return counts
    due = await _due(connection, integration_id, known["event"])
    if due:
        places = await _places(connection, integration_id)
        for check in due:
            query = text(f"SELECT COUNT(*) FROM ({_placed(check, places)})")
            counts[check.name] = int((await connection.execute(query, _values(check, integration_id, today))).scalar_one())
    counts = {name: counts[name] for name in CHECKS if counts.get(name)}
    document = json.dumps({"event": latest, "counts": counts})
    await connection.execute(_REMEMBER, {"i": integration_id, "remembered": document})
    return counts


async def _due(connection: AsyncConnection, integration_id: int, after: int | None) -> Iterable[Check]:
    """The checks whose outcome may have changed since an event; all of them where nobody knows."""
    if after is None or after < int((await connection.execute(_FORGOTTEN)).scalar_one()):
        return list(CHECKS.values())
    changed = set((await connection.execute(_CHANGED, {"i": integration_id, "after": after})).scalars())
    return [check for check in CHECKS.values() if check.kinds & changed]


async def list_findings(
    store: Store, integration_id: int, today: date, *, check: str | None = None
) -> AsyncGenerator[IntegrityFinding, None]:
    """What the checks, or one of them, find now: check by check, each by kind and `sis_id`. Raises `ConfigurationError`."""
    if check is not None and check not in CHECKS:
        raise ConfigurationError(f"There is no check {check!r}.", remedy=f"The checks are {', '.join(CHECKS)}.")
    async with store.read() as connection:
        places = await _places(connection, integration_id)
        for one in CHECKS.values() if check is None else (CHECKS[check],):
            query = text(f"{_placed(one, places)} ORDER BY kind, sis_id, detail")
            async for row in await connection.stream(query, _values(one, integration_id, today)):
                yield IntegrityFinding(
                    check=one.name,
                    kind=row.kind,
                    sis_id=row.sis_id,
                    school=row.school,
                    message=one.sentence.format(detail=row.detail),
                )


async def _places(connection: AsyncConnection, integration_id: int) -> Mapping[str, str]:
    """Where the records of each kind are to be found, for the place of its name in a query."""
    places: dict[str, str] = {}
    for kind in KINDS:
        kept = text(f"SELECT EXISTS (SELECT 1 FROM roster_{kind} WHERE integration_id = :i)")
        there = (await connection.execute(kept, {"i": integration_id})).scalar()
        places[kind] = f"(SELECT * FROM roster_{kind} WHERE integration_id = :i)" if there else _as_told(kind)
    return places


def _as_told(kind: Kind) -> str:
    """The records of a kind as the SIS told them last, in the shape of the roster's table."""
    told = ", ".join(f"json_extract(base_sis, '$.{name}') AS \"{name}\"" for name in roster_fields(kind) if name != "status")
    return f"(SELECT sis_id, status, {told} FROM {mappings[kind].name} WHERE integration_id = :i)"


def _placed(check: Check, places: Mapping[str, str]) -> str:
    return check.query.format_map(places)


def _values(check: Check, integration_id: int, today: date) -> dict[str, Any]:
    return {"i": integration_id, **({"today": today.isoformat()} if ":today" in check.query else {})}
