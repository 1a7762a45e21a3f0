"""What the app has changed in its own rows, found by comparing them with what was last agreed on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.roster.cases import decode, encode
from sis_connect.roster.documents import Values, flatten
from sis_connect.roster.known_ids import KnownIds
from sis_connect.store.sql import fetch
from sis_connect.store.tables import mappings

#: By how much the clock of the app's database may be behind ours, and how long its transactions may last.
OVERLAP = timedelta(hours=1)


async def known_statuses(
    connection: AsyncConnection, kind: Kind, integration_id: int, sis_ids: Collection[str]
) -> dict[str, str]:
    """The status of mapped records, by `sis_id`."""
    query = (
        f"SELECT m.sis_id, m.status FROM json_each(?) j CROSS JOIN {mappings[kind].name} m "
        "ON m.integration_id = ? AND m.sis_id = j.value WHERE m.status <> 'deleted'"
    )
    return dict(await fetch(connection, query, (encode(list(sis_ids)).decode(), integration_id)))


def stated(document: Values, known: str | None) -> Values:
    """A row's document with its status: where its columns do not tell, or not whether it begins only later, as we know it."""
    status = document.get("status")
    if status is None:
        return {**document, "status": known or "active"}
    return {**document, "status": known} if status == "inactive" and known == "scheduled" else document


def differs(document: Values, base: Values, kept: Collection[str]) -> bool:
    """Whether a row is not what was agreed on, as far as the app keeps it."""
    mine, agreed = _told(document), {name: value for name, value in _told(base).items() if name in kept}
    mine = dict(stated(mine, agreed.get("status")))
    return mine != agreed


def _told(document: Values) -> dict[str, Any]:
    return {name: value for name, value in flatten(document).items() if value is not None}


@dataclass(slots=True)
class Agreed:
    """What was last agreed on about the records of one kind, and which of them are to be looked at again."""

    connection: AsyncConnection
    integration_id: int
    kind: Kind

    @property
    def _mapping(self) -> str:
        return f"{mappings[self.kind].name} m WHERE m.integration_id = ? AND m.local_id IS NOT NULL AND m.status <> 'deleted'"

    async def number(self) -> int:
        """How many rows there should be."""
        return int((await fetch(self.connection, f"SELECT COUNT(*) FROM {self._mapping}", (self.integration_id,)))[0][0])

    async def last_looked_at(self) -> datetime | None:
        """From when on changes of the app may not have been seen by a run that went to its end."""
        query = text(
            "SELECT MAX(p.created_at) FROM sis_plan p WHERE p.integration_id = :i AND p.state = 'applied' "
            "AND EXISTS (SELECT 1 FROM json_each(p.scope, '$.kinds') k WHERE k.value = :k)"
        )
        at = (await self.connection.execute(query, {"i": self.integration_id, "k": self.kind})).scalar()
        return datetime.fromisoformat(at) - OVERLAP if at else None

    async def nominate(self, sis_ids: Collection[str], *, why: str = "local") -> None:
        """Make candidates of records, those of them that are mapped."""
        query = (
            "INSERT INTO sis_candidate (integration_id, kind, sis_id, why) SELECT m.integration_id, ?, m.sis_id, ? "
            f"FROM json_each(?) j CROSS JOIN {mappings[self.kind].name} m ON m.sis_id = j.value WHERE m.integration_id = ? "
            "ON CONFLICT (integration_id, kind, sis_id) DO NOTHING"
        )
        if sis_ids:
            values = (self.kind, why, encode(list(sis_ids)).decode(), self.integration_id)
            await self.connection.exec_driver_sql(query, values)

    async def compare(self, pages: AsyncIterator[Mapping[str, Values]], kept: Collection[str]) -> None:
        """Make candidates of rows that are not as agreed, and of those that are gone."""
        seen = KnownIds()
        base = (
            f"SELECT m.sis_id, COALESCE(m.base_local, m.base_sis) FROM json_each(?) j CROSS JOIN {mappings[self.kind].name} m "
            "ON m.sis_id = j.value WHERE m.integration_id = ?"
        )
        async for page in pages:
            bases = dict(await fetch(self.connection, base, (encode(list(page)).decode(), self.integration_id)))
            seen.update(bases)
            await self.nominate([one for one in bases if differs(page[one], decode(bases[one]), kept)])
        if len(seen) < await self.number():
            rows = await fetch(self.connection, f"SELECT m.sis_id FROM {self._mapping}", (self.integration_id,))
            await self.nominate([sis_id for (sis_id,) in rows if sis_id not in seen], why="target_missing")
