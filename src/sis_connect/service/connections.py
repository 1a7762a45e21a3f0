"""The integrations of a service: their life cycle, how they are, and what the roster holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from sis_connect.capabilities import KINDS, Kind
from sis_connect.errors import ConfigurationError
from sis_connect.health import Health, Operation, health_of, latest_operations
from sis_connect.hosting.containment import findings_of
from sis_connect.hosting.watchdog import Watchdog
from sis_connect.provider import Finding
from sis_connect.roster.export import kept_rows, roster_rows
from sis_connect.service.ground import Ground
from sis_connect.service.integrations import Integration, described
from sis_connect.settings import SISProviderConfig
from sis_connect.traffic import Traffic


class Connections(Ground):
    """Integrations and what is there of them."""

    async def create_integration(self, name: str, config: SISProviderConfig, *, actor: str = "") -> Integration:
        """Store an integration, or replace the settings of the one of that name. The client secret is sealed."""
        self._choices.demand(config)
        return await self._integrations.create(name, config, actor=actor)

    async def stored_settings(self, name: str) -> dict[str, Any]:
        """The settings of an integration as they are stored, without secrets; none where there is no such integration."""
        return await self._integrations.stored(name)

    async def integrations(self) -> list[Integration]:
        """All integrations, by name."""
        return [described(row) for row in await self._integrations.rows()]

    async def remove_integration(self, name: str, *, actor: str = "") -> None:
        """End a connection: secret and token go, roster and mapping stay, and adding it again goes on where it was."""
        await self._integrations.remove(name, actor=actor)

    async def doctor(self, name: str) -> list[Finding]:
        """Try the connection and say what is right and wrong with it, in plain words. Changes nothing at the SIS."""
        row = await self._integrations.row(name)
        info, config = await self._integrations.opened(row)
        with Watchdog(self.registry.packages()) as watchdog:
            async with self._provider(row, info, config, Traffic()) as opened:
                findings = await findings_of(opened.provider, info, patience=config.budget, under_way=opened.under_way)
            blocked = [Finding(topic="event loop", level="warning", message=it["message"]) for it in watchdog.warnings()]
        return [*findings, *blocked]

    async def operations(self, name: str | None = None, *, limit: int = 50) -> list[Operation]:
        """The latest runs, newest first."""
        integration_id = (await self._integrations.row(name)).id if name is not None else None
        return await latest_operations(self._store, integration_id, limit)

    async def export(self, name: str, kind: Kind) -> AsyncIterator[dict[str, Any]]:
        """The local roster of one kind, row by row: `id` is the local id, `sis_id` the SIS's, the rest as in the records.

        Of a kind that the app keeps in its own models, it is what stands there; fields that they have no place for are None.
        """
        row = await self._integrations.row(name)
        if kind not in KINDS:
            raise ConfigurationError(f"There is no kind {kind!r}.", remedy=f"The kinds are {', '.join(KINDS)}.")
        elsewhere = self._targets.elsewhere(row, kind)
        rows = kept_rows(self._store, kind, elsewhere) if elsewhere else roster_rows(self._store, row.id, kind)
        async with aclosing(rows) as records:
            async for record in records:
                yield record

    async def health(self, name: str | None = None) -> list[Health]:
        """How one integration is doing, or all."""
        return await health_of(self._store, await self._integrations.rows(name), self._clock.now())
