"""What in a roster a district has to mend: records that cannot be right, and records that could not be taken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from sis_connect.roster.integrity import IntegrityFinding, list_findings
from sis_connect.roster.waiting import Quarantined, list_quarantined
from sis_connect.service.ground import Ground


class Quality(Ground):
    """Integrity and quarantine."""

    async def integrity(self, name: str, check: str | None = None) -> AsyncIterator[IntegrityFinding]:
        """What the integrity checks, or the one of that name, find in the roster now, check by check, by kind and `sis_id`.

        The names of the checks are those in `SyncReport.integrity`. Raises `ConfigurationError` where there is no such
        integration or check.
        """
        row = await self._integrations.row(name)
        _, config = await self._integrations.opened(row)
        today = await self._school_date(row, config, None)
        async with aclosing(list_findings(self._store, row.id, today, check=check)) as findings:
            async for finding in findings:
                yield finding

    async def quarantine(self, name: str) -> AsyncIterator[Quarantined]:
        """What waits in quarantine, by kind and the vendor's key. It heals by itself once the SIS delivers it in order."""
        row = await self._integrations.row(name)
        async with aclosing(list_quarantined(self._store, row.id)) as waiting:
            async for one in waiting:
                yield one
