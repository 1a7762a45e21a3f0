"""Many integrations in one database, behind one door: their life cycle, plans, syncs, holds, and what the roster holds.

`SISService` is put together from its parts, each in a file of its own; all of them stand on `service.ground`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import date
from pathlib import Path

from sis_connect.clock import Clock, SystemClock
from sis_connect.discovery import Registry, discover
from sis_connect.events import Listener
from sis_connect.health import Health, Operation
from sis_connect.service.connections import Connections
from sis_connect.service.ground import OnProgress
from sis_connect.service.integrations import Integration
from sis_connect.service.key_rotation import KeyRotation
from sis_connect.service.syncs import Plan, Syncs
from sis_connect.service.token_care import TokenCare
from sis_connect.settings import SISConfigManager, database_in_environment, today_in_environment
from sis_connect.store.sql import DEFAULT_DATABASE, open_store
from sis_connect.tokens.fleet import TokenResult
from sis_connect.tokens.health import TokenHealth
from sis_connect.tokens.key_sources import KeySource, key_source_for

__all__ = [
    "Health",
    "Integration",
    "KeyRotation",
    "OnProgress",
    "Operation",
    "Plan",
    "SISService",
    "TokenHealth",
    "TokenResult",
]


class SISService(Connections, TokenCare, Syncs):
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
    ) -> AsyncIterator[SISService]:
        """Open a database and close it in the end: `database`, else `SIS_CONNECT_DATABASE_URL`, else `sqlite:///sis-connect.db`.

        Secrets are sealed with the keys of `key_source`, else with `key` (32 bytes in base64url, several separated by commas),
        else with what is in `key_file`; else as `SIS_CONNECT_KEY_FILE`, `SIS_CONNECT_KEY_SOURCE` and `SIS_CONNECT_KEY` say, by
        default with `sis-connect.key` beside the database. `today` fixes the school date; by default it is the calendar day in
        the district's time zone. `on_event` is told what happens to tokens, such as that one is broken.
        """
        database = database or database_in_environment() or DEFAULT_DATABASE
        keys = key_source or key_source_for(database, key=key, key_file=key_file)
        async with open_store(database) as store:
            service = cls(
                store,
                key_source=keys,
                clock=clock or SystemClock(),
                today=today or today_in_environment(),
                registry=registry or discover(),
                config_manager=config_manager or SISConfigManager(),
                on_event=on_event,
            )
            async with aclosing(service._authorizations):
                yield service
