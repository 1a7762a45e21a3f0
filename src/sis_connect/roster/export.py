"""The export: the local roster as plain rows."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from sqlalchemy import text

from sis_connect.capabilities import Kind
from sis_connect.store.elsewhere import Elsewhere
from sis_connect.store.sql import Store
from sis_connect.store.tables import roster_fields
from sis_connect.store.target import from_column

#: How many rows are read at a time: what is in memory at once.
BATCH = 1000


async def roster_rows(store: Store, integration_id: int, kind: Kind) -> AsyncGenerator[dict[str, Any], None]:
    """The records of one kind in the built-in tables, by `sis_id`: `id`, which is the local id, `sis_id`, and all fields."""
    names = roster_fields(kind)
    columns = ", ".join(f'"{column}"' for column in ("id", "sis_id", *names))
    query = text(f"SELECT {columns} FROM roster_{kind} WHERE integration_id = :i AND sis_id > :a ORDER BY sis_id LIMIT {BATCH}")
    after = ""
    while True:
        async with store.read() as connection:
            rows = (await connection.execute(query, {"i": integration_id, "a": after})).all()
        for id_, sis_id, *values in rows:
            record = {column: from_column(column, value) for column, value in zip(names, values, strict=True)}
            yield {"id": str(id_), "sis_id": sis_id, **record}
            after = sis_id
        if not rows:
            return


async def kept_rows(store: Store, kind: Kind, target: Elsewhere) -> AsyncGenerator[dict[str, Any], None]:
    """The same of a kind that an app keeps in its own models. What it has no place for is None."""
    names, after = roster_fields(kind), ""
    while True:
        async with store.read() as connection:
            page = await target.page(connection, kind, after)
        for sis_id, row in page.items():
            yield {"id": row.local_id, "sis_id": sis_id, **{name: row.document.get(name) for name in names}}
            after = sis_id
        if not page:
            return
