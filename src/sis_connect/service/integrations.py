"""The integrations of one database: storing, finding and describing them, with their secrets sealed."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Row, Select, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect import audit
from sis_connect.clock import Clock
from sis_connect.discovery import Registry, refined
from sis_connect.errors import ConfigurationError
from sis_connect.oauth.wiring import demand_secret, grant_name
from sis_connect.provider import ProviderInfo
from sis_connect.provider_settings import own_settings
from sis_connect.roster.conflict import check_policy
from sis_connect.roster.report import SyncReport
from sis_connect.service.sealed_settings import SEALED_SETTINGS, opened_settings, sealed_settings, secrets_of
from sis_connect.settings import SISConfigManager, SISProviderConfig
from sis_connect.store.sealed import CLIENT_SECRET, FORMER_SECRET, anything_sealed
from sis_connect.store.sql import Store
from sis_connect.store.tables import integration as table
from sis_connect.store.tables import oauth_token, operation, pending_authorization
from sis_connect.token_client import same_client
from sis_connect.tokens.key_sources import KeyKeeper, KeySource, origin_of, vault_from
from sis_connect.tokens.vault import Vault

#: The grant that a person stands behind: its token cannot be had again without them.
BY_A_PERSON = "authorization_code"
_STATUS_AFTER = {"succeeded": "active", "held": "held", "incomplete": "degraded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """One district connected through one provider. Times are UTC, ISO 8601."""

    name: str
    provider: str
    base_url: str
    status: str
    created_at: str
    last_sync_at: str | None = None
    last_status: str | None = None

    def as_dict(self) -> dict[str, str | None]:
        """Plain JSON."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


class Integrations:
    """The integrations of one database. A row is an integration as it is stored, with how its last sync ended."""

    def __init__(
        self, store: Store, *, key_source: KeySource, clock: Clock, registry: Registry, config_manager: SISConfigManager
    ) -> None:
        self._store, self._clock, self._registry = store, clock, registry
        self._config_manager = config_manager
        self._key_source = key_source
        self._vault: Vault | None = None
        self._one_at_a_time = asyncio.Lock()

    # -- life cycle ----------------------------------------------------------------------------------------------------

    async def create(self, name: str, config: SISProviderConfig, *, actor: str) -> Integration:
        """Store an integration, or replace the settings of the one of that name."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ConfigurationError(
                f"{name!r} cannot be the name of an integration.", remedy="Use letters, digits, dots, hyphens and underscores."
            )
        info = refined(self._registry.info(config.provider), config)
        own_settings(info, config)
        check_policy(config.strategy, config.policies, self._registry.strategies)
        before = await self._find(name)
        if before is not None and before.provider != config.provider:
            raise ConfigurationError(
                f"The integration {name!r} is connected through {before.provider}, and its records have that provider's ids.",
                remedy="Choose another name for the new connection.",
            )
        demand_secret(info, config, stored=getattr(before, CLIENT_SECRET.column.name, None) is not None)
        settings = config.model_dump(mode="json", exclude_unset=True, exclude={*SEALED_SETTINGS, "provider"})
        same = before is not None and same_client(json.loads(before.settings), settings)
        secrets = secrets_of(config)
        # The vault comes first: it may have to make its key, and a transaction waits for nothing.
        vault = await self.vault() if secrets else None
        values = {"provider": config.provider, "settings": json.dumps(settings), "status": "active", "removed_at": None}
        now = self._clock.now()
        async with self._store.write() as connection:
            integration_id = before.id if before is not None else await _new_row(connection, name, values, now.isoformat())
            sealed: dict[str, bytes | None] = {} if same else {FORMER_SECRET.column.name: None}
            if not same:
                values["discovered"] = None
            if vault is not None:
                sealed |= sealed_settings(vault, integration_id, secrets, before if same else None)
            if FORMER_SECRET.column.name in sealed:
                values["former_secret_at"] = now.isoformat() if sealed[FORMER_SECRET.column.name] else None
            await connection.execute(update(table).where(table.c.id == integration_id).values(**values, **sealed))
            if before is not None:
                await _tokens_after_change(connection, integration_id, keep=same and grant_name(info, config) == BY_A_PERSON)
            await audit.record(
                connection,
                at=now,
                actor=actor,
                action="integration.created" if before is None else "integration.changed",
                integration=name,
                detail={"provider": config.provider, "sealed": sorted(column for column, value in sealed.items() if value)},
            )
        return described(await self.row(name))

    async def remove(self, name: str, *, actor: str) -> None:
        """Forget secrets and token; roster and mapping stay."""
        row = await self.row(name)
        nothing = {sealed.column.name: None for sealed in SEALED_SETTINGS.values()}
        values = {"removed_at": self._clock.now().isoformat(), "former_secret_at": None, "status": "disabled", **nothing}
        async with self._store.write() as connection:
            await connection.execute(update(table).where(table.c.id == row.id).values(**values))
            for other in (oauth_token, pending_authorization):
                await connection.execute(delete(other).where(other.c.integration_id == row.id))
            await audit.record(connection, at=self._clock.now(), actor=actor, action="integration.removed", integration=name)

    async def note_status(self, name: str, report: SyncReport) -> None:
        """An integration's status follows from what happened."""
        status = _STATUS_AFTER.get(report.status, "degraded")
        if report.error is not None and report.error.category == "authentication":
            status = "auth_failed"
        if report.error is not None and report.error.category in ("conflict", "storage"):
            return
        async with self._store.write() as connection:
            await connection.execute(update(table).where(table.c.name == name).values(status=status))

    async def note_time_zone(self, integration_id: int, zone: str) -> None:
        """Remember the district's time zone as the SIS tells it."""
        async with self._store.write() as connection:
            await connection.execute(update(table).where(table.c.id == integration_id).values(time_zone=zone))

    # -- rows ----------------------------------------------------------------------------------------------------------

    async def rows(self, name: str | None = None) -> Sequence[Row[Any]]:
        """All that are not removed, by name; or only the one of that name."""
        if name is not None:
            return [await self.row(name)]
        async with self._store.read() as connection:
            return (await connection.execute(_stored().where(table.c.removed_at.is_(None)).order_by(table.c.name))).all()

    async def row(self, name: str) -> Row[Any]:
        """The one of that name; `ConfigurationError` if there is none."""
        row = await self._find(name)
        if row is None or row.removed_at is not None:
            known = ", ".join(one.name for one in await self.rows()) or "none"
            raise ConfigurationError(
                f"There is no integration {name!r} (there are: {known}).",
                remedy="Add it with `sis-connect add`, or correct the name.",
            )
        return row

    async def name_of(self, integration_id: int) -> str:
        """The name, even of one that is removed."""
        async with self._store.read() as connection:
            return str((await connection.execute(select(table.c.name).where(table.c.id == integration_id))).scalar_one())

    async def _find(self, name: str) -> Row[Any] | None:
        async with self._store.read() as connection:
            return (await connection.execute(_stored().where(table.c.name == name))).one_or_none()

    # -- settings and secrets ------------------------------------------------------------------------------------------

    async def config(self, row: Row[Any]) -> SISProviderConfig:
        """The settings of an integration, with its secrets, what its sign-in server told, and with what the environment says."""
        told = {name: value for name, value in json.loads(row.settings).items() if value is not None}
        stored = {**json.loads(row.discovered or "{}"), **told, "provider": row.provider}
        sealed = any(getattr(row, sealed.column.name) is not None for sealed in SEALED_SETTINGS.values())
        secrets = opened_settings(await self.vault(), row) if sealed else {}
        return self._config_manager.resolve(row.name, stored, secrets=secrets, origin=f"the integration {row.name}")

    def target(self, row: Row[Any]) -> str | None:
        """The target that the settings of an integration name, of those that plugins bring."""
        return self._config_manager.one(row.name, "target", json.loads(row.settings)) or None

    async def stored(self, name: str) -> dict[str, Any]:
        """What is stored of an integration's settings, without secrets; nothing where there is no such integration."""
        row = await self._find(name)
        if row is None or row.removed_at is not None:
            return {}
        return {**json.loads(row.settings), "provider": row.provider}

    async def opened(self, row: Row[Any]) -> tuple[ProviderInfo, SISProviderConfig]:
        """The settings of an integration, and what its provider is with them."""
        registered = self._registry.info(row.provider)
        config = await self.config(row)
        return refined(registered, config), config

    async def vault(self) -> Vault:
        """What seals the secrets. A new key is made only while nothing is sealed with another one."""
        async with self._one_at_a_time:
            if self._vault is None:
                may_create = not await anything_sealed(self._store)
                # A key source may ask a file, a keyring or a server: not in the loop's thread.
                self._vault = await asyncio.to_thread(vault_from, self._key_source, may_create=may_create)
            return self._vault

    async def change_key(self, *, new: bool) -> Vault:
        """The vault with the keys as they are now; with `new`, with a new key that seals from now on."""
        await self.vault()  # so that a first key is there, and a missing one is noticed before anything is changed
        if new:
            if not isinstance(self._key_source, KeyKeeper):
                raise ConfigurationError(
                    f"A new key cannot be put into {origin_of(self._key_source)} from here.",
                    remedy="Put it there yourself, in front of the former one and a comma, then give the command without --new.",
                )
            await asyncio.to_thread(self._key_source.put_in_front)
        async with self._one_at_a_time:
            self._vault = await asyncio.to_thread(vault_from, self._key_source, may_create=False)
            return self._vault


async def _new_row(connection: AsyncConnection, name: str, values: Mapping[str, Any], at: str) -> int:
    created = insert(table).values(name=name, created_at=at, **values).returning(table.c.id)
    return int((await connection.execute(created)).scalar_one())


async def _tokens_after_change(connection: AsyncConnection, integration_id: int, *, keep: bool) -> None:
    """What a person agreed to is kept; any other token is fetched anew, so that what is wrong with a change shows at once."""
    mine = oauth_token.c.integration_id == integration_id
    if not keep:
        await connection.execute(delete(oauth_token).where(mine))
        return
    # A renewal that failed may have failed for what was changed now: it need not wait.
    rested = {"state": "active", "failures": 0, "next_try_at": None, "last_error": None}
    await connection.execute(update(oauth_token).where(mine, oauth_token.c.state == "failing").values(**rested))


def described(row: Row[Any]) -> Integration:
    """What a row says to people."""
    return Integration(
        name=row.name,
        provider=row.provider,
        base_url=str(json.loads(row.settings).get("base_url", "")),
        status=row.status,
        created_at=row.created_at,
        last_sync_at=row.last_sync_at,
        last_status=row.last_status,
    )


def _stored() -> Select[*tuple[Any, ...]]:
    """Integrations, each with its last sync that has ended."""
    last = (
        select(operation.c.id)
        .where(
            operation.c.integration_id == table.c.id,
            operation.c.type.in_(("sync", "apply", "rollover")),
            operation.c.finished_at.is_not(None),
        )
        .order_by(operation.c.started_at.desc())
        .limit(1)
        .correlate(table)
        .scalar_subquery()
    )
    ended = (operation.c.finished_at.label("last_sync_at"), operation.c.status.label("last_status"))
    return select(table, *ended).outerjoin(operation, operation.c.id == last)
