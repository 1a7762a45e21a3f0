"""What every part of the service stands on: the store, the integrations, and how a run is put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy import Row

from sis_connect.chosen import Choices
from sis_connect.clock import Clock, school_date
from sis_connect.connection import OpenProvider, open_provider
from sis_connect.discovery import Registry
from sis_connect.errors import AuthorizationError, SISError
from sis_connect.events import Listener
from sis_connect.hosting.containment import time_zone_of
from sis_connect.hosting.watchdog import Watchdog
from sis_connect.provider import ProviderInfo
from sis_connect.roster.report import Progress
from sis_connect.roster.sync import Synchroniser
from sis_connect.service.authorization import Authorizations
from sis_connect.service.integrations import Integrations
from sis_connect.service.token_access import TokenAccessor
from sis_connect.service.token_operations import TokenOperations
from sis_connect.settings import SISConfigManager, SISProviderConfig
from sis_connect.store.sql import Store
from sis_connect.targets.choice import TargetChoice
from sis_connect.tokens.key_sources import KeySource
from sis_connect.traffic import Traffic

OnProgress = Callable[[Progress], None] | None
#: The host's own check: whether `actor` may do `action` (such as `resolve`) with an integration.
Permission = Callable[[str, str, str], bool]


class Ground:
    """The database of a service and all that belongs to it."""

    def __init__(
        self,
        store: Store,
        *,
        key_source: KeySource,
        clock: Clock,
        today: date | None,
        registry: Registry,
        config_manager: SISConfigManager,
        on_event: Listener | None = None,
        permission: Permission | None = None,
        targets: TargetChoice | None = None,
    ) -> None:
        self.registry = registry
        self._store, self._clock, self._today = store, clock, today
        self._permission = permission
        self._choices = Choices(registry)
        self._integrations = Integrations(
            store, key_source=key_source, clock=clock, registry=registry, config_manager=config_manager
        )
        self._targets = replace(targets or TargetChoice(), brought=self._choices.target, chosen=self._integrations.target)
        self._tokens = TokenAccessor(store, self._integrations, registry, clock, on_event)
        self._token_operations = TokenOperations(store, self._integrations, clock, self._tokens)
        self._authorizations = Authorizations(store, self._integrations, registry, clock, self._tokens)

    def _demand(self, actor: str, action: str, name: str) -> None:
        """Raise `AuthorizationError` unless the host's permission check lets this person do that."""
        if self._permission is not None and self._permission(actor, action, name) is not True:
            raise AuthorizationError(
                f"{actor or 'Nobody in particular'} may not {action} in {name}.",
                remedy="Ask somebody who may, or have this application grant it.",
                severity="low",
                integration=name,
            )

    @asynccontextmanager
    async def _synchroniser(self, name: str, progress: OnProgress, *, offline: bool = False) -> AsyncIterator[Synchroniser]:
        row = await self._integrations.row(name)
        info, config = await self._integrations.opened(row)
        traffic = Traffic()
        async with AsyncExitStack() as stack:
            watchdog = stack.enter_context(Watchdog(self.registry.packages()))
            opened = None if offline else await stack.enter_async_context(self._provider(row, info, config, traffic))
            yield Synchroniser(
                store=self._store,
                target=await self._targets.target_of(self._store, row.id, name, config),
                target_name=self._targets.known_as(name, config.target),
                integration_id=row.id,
                integration=name,
                info=info,
                config=config,
                clock=self._clock,
                today=await self._school_date(row, config, opened, info),
                traffic=traffic,
                provider=opened.provider if opened else None,
                progress=progress,
                strategies=self.registry.strategies,
                guards=self._choices.guards(config.guards),
                notices=watchdog.warnings,
            )

    @asynccontextmanager
    async def _provider(
        self, row: Row[Any], info: ProviderInfo, config: SISProviderConfig, traffic: Traffic
    ) -> AsyncIterator[OpenProvider]:
        limiter = self._tokens.limiter(info, config)
        traffic.window_left = lambda: limiter.window_left
        async with (
            self._tokens.source(row, info, config, limiter=limiter, on_call=traffic.count) as tokens,
            open_provider(info, config, limiter=limiter, tokens=tokens, clock=self._clock, on_call=traffic.count) as opened,
        ):
            traffic.under_way = opened.under_way
            yield opened

    async def _school_date(
        self, row: Row[Any], config: SISProviderConfig, opened: OpenProvider | None, info: ProviderInfo | None = None
    ) -> date:
        if self._today is not None:
            return self._today
        zone = config.time_zone or row.time_zone
        if zone is None and opened is not None and info is not None:
            try:
                zone = await time_zone_of(opened.provider, info, patience=config.budget, under_way=opened.under_way)
            except SISError:
                zone = None  # the run itself will say what is wrong with the connection
            if zone is not None:
                await self._integrations.note_time_zone(row.id, zone)
        return school_date(self._clock.now(), zone or "UTC")
