"""The integrations of one database: storing, finding and describing them, with their client secrets sealed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Row, Select, delete, insert, select, text, update

from sis_connect import audit
from sis_connect.clock import Clock
from sis_connect.connection import own_settings
from sis_connect.discovery import Registry
from sis_connect.errors import ConfigurationError
from sis_connect.roster.report import SyncReport
from sis_connect.settings import SISConfigManager, SISProviderConfig
from sis_connect.store.sql import Store
from sis_connect.store.tables import integration as table
from sis_connect.store.tables import oauth_token, operation
from sis_connect.tokens.vault import Vault, new_key

_SECRET = "client secret"  # noqa: S105 - the name of a field
_KEY_FILE = "sis-connect.key"
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
    """The integrations of one database. A row is an integration as it is stored, with how its last sync ended.

    `vault` makes the vault when a secret is first needed; it is told whether it may make a new key.
    """

    def __init__(
        self, store: Store, *, vault: Callable[[bool], Vault], clock: Clock, registry: Registry, config_manager: SISConfigManager
    ) -> None:
        self._store, self._clock, self._registry = store, clock, registry
        self._config_manager = config_manager
        self._make_vault = vault
        self._vault: Vault | None = None

    # -- life cycle ----------------------------------------------------------------------------------------------------

    async def create(self, name: str, config: SISProviderConfig, *, actor: str) -> Integration:
        """Store an integration, or replace the settings of the one of that name."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ConfigurationError(
                f"{name!r} cannot be the name of an integration.", remedy="Use letters, digits, dots, hyphens and underscores."
            )
        own_settings(self._registry.info(config.provider), config)
        before = await self._find(name)
        if before is not None and before.provider != config.provider:
            raise ConfigurationError(
                f"The integration {name!r} is connected through {before.provider}, and its records have that provider's ids.",
                remedy="Choose another name for the new connection.",
            )
        integration_id = await self._write(name, config, before, actor)
        if config.client_secret is not None:
            await self._seal(integration_id, config.client_secret)
        return described(await self.row(name))

    async def _write(self, name: str, config: SISProviderConfig, before: Row[Any] | None, actor: str) -> int:
        settings = json.dumps(config.model_dump(mode="json", exclude_unset=True, exclude={"client_secret", "provider"}))
        values = {"provider": config.provider, "settings": settings, "status": "active", "removed_at": None}
        now = self._clock.now()
        async with self._store.write() as connection:
            if before is None:
                values |= {"name": name, "created_at": now.isoformat()}
                result = await connection.execute(insert(table).values(**values).returning(table.c.id))
                integration_id = int(result.scalar_one())
            else:
                integration_id = int(before.id)
                await connection.execute(update(table).where(table.c.id == integration_id).values(**values))
                await connection.execute(delete(oauth_token).where(oauth_token.c.integration_id == integration_id))
            action = "integration.created" if before is None else "integration.changed"
            await audit.record(
                connection, at=now, actor=actor, action=action, integration=name, detail={"provider": config.provider}
            )
        return integration_id

    async def remove(self, name: str, *, actor: str) -> None:
        """Forget secret and token; roster and mapping stay."""
        row = await self.row(name)
        async with self._store.write() as connection:
            values = {"removed_at": self._clock.now().isoformat(), "secret": None, "status": "disabled"}
            await connection.execute(update(table).where(table.c.id == row.id).values(**values))
            await connection.execute(delete(oauth_token).where(oauth_token.c.integration_id == row.id))
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

    async def rows(self) -> Sequence[Row[Any]]:
        """All that are not removed, by name."""
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
        """The settings of an integration, with its secret and with what the environment says."""
        stored = {**json.loads(row.settings), "provider": row.provider}
        if row.secret is not None:
            vault = await self.vault()
            stored["client_secret"] = SecretStr(vault.open(row.secret, integration=str(row.id), field=_SECRET).decode())
        return self._config_manager.resolve(row.name, stored, origin=f"the integration {row.name}")

    async def vault(self) -> Vault:
        """What seals the secrets. A new key is made only while nothing is sealed with another one."""
        if self._vault is None:
            query = text(
                "SELECT EXISTS (SELECT 1 FROM sis_integration WHERE secret IS NOT NULL) "
                "OR EXISTS (SELECT 1 FROM sis_oauth_token WHERE sealed IS NOT NULL)"
            )
            async with self._store.read() as connection:
                sealed = bool((await connection.execute(query)).scalar())
            self._vault = self._make_vault(not sealed)
        return self._vault

    async def _seal(self, integration_id: int, secret: SecretStr) -> None:
        vault = await self.vault()
        sealed = vault.seal(secret.get_secret_value().encode(), integration=str(integration_id), field=_SECRET)
        async with self._store.write() as connection:
            await connection.execute(update(table).where(table.c.id == integration_id).values(secret=sealed))


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
            operation.c.type.in_(("sync", "apply")),
            operation.c.finished_at.is_not(None),
        )
        .order_by(operation.c.started_at.desc())
        .limit(1)
        .correlate(table)
        .scalar_subquery()
    )
    ended = (operation.c.finished_at.label("last_sync_at"), operation.c.status.label("last_status"))
    return select(table, *ended).outerjoin(operation, operation.c.id == last)


def vault_of(database: str, key: str | None, key_file: str | Path | None, *, may_create: bool) -> Vault:
    """The vault of a database: with the given key, else what is in the key file, by default the one beside the database."""
    if key:
        return Vault.from_text(key)
    if key_file is None and database.startswith("sqlite:///") and database != "sqlite:///:memory:":
        key_file = Path(database.removeprefix("sqlite:///")).parent / _KEY_FILE
    return Vault.from_text(new_key()) if key_file is None else Vault.from_file(key_file, may_create=may_create)
