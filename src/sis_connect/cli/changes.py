"""Some of the changes of a plan, as lines that show no more of a person than their id in the SIS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from sis_connect.cli.tables import counted, table

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sis_connect.roster.plan_rows import PlanRow


async def change_table(rows: AsyncIterator[PlanRow], limit: int) -> str:
    """The first changes of a plan; empty where it has none."""
    shown: list[list[str]] = []
    more = False
    async with aclosing(cast("AsyncGenerator[PlanRow]", rows)) as stream:
        async for row in stream:
            if len(shown) == limit:
                more = True
                break
            shown.append(
                [row.action, row.kind.replace("_", " "), row.sis_id, (row.reason or "").replace("_", " "), fields_of(row)]
            )
    if not shown:
        return ""
    title = f"The first {counted(len(shown), 'change')}:" if more else f"{counted(len(shown), 'change')}:"
    return f"{title}\n{table(['action', 'kind', 'id in the SIS', 'reason', 'fields'], shown)}"


def fields_of(row: PlanRow) -> str:
    """The names of the fields that change, for an update."""
    before: dict[str, Any] = dict(row.before or {})
    after: dict[str, Any] = dict(row.after or {})
    if not before or not after:
        return ""
    return ", ".join(name for name in after if before.get(name) != after[name])
