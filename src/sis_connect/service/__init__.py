"""Many integrations in one database, behind one door: their life cycle, plans, syncs, holds, and what the roster holds.

`SISService` is put together from its parts, each in a file of its own; all of them stand on `service.ground`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import date, timedelta
from pathlib import Path

from sis_connect.chosen import Choices
from sis_connect.clock import Clock, SystemClock
from sis_connect.discovery import Registry, discover
from sis_connect.events import Listener, RosterHandler
from sis_connect.health import Health, Operation
from sis_connect.service.connections import Connections
from sis_connect.service.decisions import Decisions
from sis_connect.service.following import Following
from sis_connect.service.ground import OnProgress, Permission
from sis_connect.service.history import History
from sis_connect.service.integrations import Integration
from sis_connect.service.key_rotation import KeyRotation
from sis_connect.service.presence import Presence
from sis_connect.service.quality import Quality
from sis_connect.service.real_time import Receipt
from sis_connect.service.school_years import CalendarOverview, SchoolYears
from sis_connect.service.syncs import Plan, Syncs
from sis_connect.service.telling import KEPT_DAYS, Telling
from sis_connect.service.token_care import TokenCare
from sis_connect.settings import SISConfigManager, database_in_environment, retention_in_environment, today_in_environment
from sis_connect.store.sql import DEFAULT_DATABASE, open_store
from sis_connect.targets.choice import Bindable, TargetChoice
from sis_connect.tokens.fleet import TokenResult
from sis_connect.tokens.health import TokenHealth
from sis_connect.tokens.key_sources import KeySource, key_source_for

__all__ = [
    "CalendarOverview",
    "Health",
    "Integration",
    "KeyRotation",
    "OnProgress",
    "Operation",
    "Permission",
    "Plan",
    "Receipt",
    "SISService",
    "TokenHealth",
    "TokenResult",
]


class SISService(Connections, TokenCare, Quality, Following, SchoolYears, Syncs, Decisions, History, Telling, Presence):
    """The integrations of one database. Open it with `async with SISService.open(...)`."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        database: str | None = None,
        *,
        key: str | None = None,
        key_file: str | Path | None = None,
        key_source: KeySource | None = None,
        clock: Clock | None = None,
        today: date | None = None,
        registry: Registry | None = None,
        config_manager: SISConfigManager | None = None,
        on_event: Listener | None = None,
        listeners: Mapping[str, RosterHandler] | None = None,
        retention_days: float | None = None,
        permission: Permission | None = None,
        target: Bindable | None = None,
        targets: Mapping[str, Bindable] | None = None,
    ) -> AsyncIterator[SISService]:
        """Open a database and close it in the end: `database`, else `SIS_CONNECT_DATABASE_URL`, else `sqlite:///sis-connect.db`.

        Secrets are sealed with the keys of `key_source`, else with `key` (32 bytes in base64url, several separated by commas),
        else with what is in `key_file`; else as `SIS_CONNECT_KEY_FILE`, `SIS_CONNECT_KEY_SOURCE` and `SIS_CONNECT_KEY` say, by
        default with `sis-connect.key` beside the database. `today` fixes the school date; by default it is the calendar day in
        the district's time zone. `on_event` is told what happens to tokens, such as that one is broken.
        `listeners` are told of each change of the roster after the operation that wrote it, by the name under which it is
        remembered how far they came (see `deliver`). `permission` is asked before anybody decides anything: called with actor,
        action and integration, it must return True. Events, and the details of plans, are kept for `retention_days`, else for
        `SIS_CONNECT_RETENTION_DAYS`, else for 90 days. The roster is kept in the app's own models where a `target` is given (see
        `sis_connect.targets`), or one for an integration by its name in `targets`; else as its setting `target` says, and without
        that in the built-in tables.
        """
        database = database or database_in_environment() or DEFAULT_DATABASE
        registry = registry or discover()
        keys = key_source or key_source_for(database, key=key, key_file=key_file, brought=Choices(registry).key_source)
        async with open_store(database) as store:
            service = cls(
                store,
                key_source=keys,
                clock=clock or SystemClock(),
                today=today or today_in_environment(),
                registry=registry,
                config_manager=config_manager or SISConfigManager(),
                on_event=on_event,
                permission=permission,
                targets=TargetChoice(target, targets or {}),
            )
            service._tell(listeners or {}, timedelta(days=retention_days or retention_in_environment() or KEPT_DAYS))
            async with aclosing(service._authorizations):
                yield service
