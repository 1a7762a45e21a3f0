"""Many integrations in one database: their life cycle, plans, syncs, holds, and what the roster holds."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast

from pydantic import SecretStr
from sqlalchemy import Row, delete, insert, select, text, update

from sis_connect import audit
from sis_connect.capabilities import KINDS, Kind
from sis_connect.clock import Clock, SystemClock, school_date
from sis_connect.connection import OpenProvider, limiter_for, open_provider, own_settings, token_source
from sis_connect.discovery import Registry, discover
from sis_connect.errors import ConfigurationError, SISError
from sis_connect.provider import Finding, ProviderInfo, Scope
from sis_connect.roster import holds as holding
from sis_connect.roster.holds import Hold
from sis_connect.roster.plan import PlanRow, plan_rows
from sis_connect.roster.report import Progress, SyncReport
from sis_connect.roster.sync import Request, Synchroniser
from sis_connect.settings import SISConfigManager, SISProviderConfig, key_in_environment
from sis_connect.store.sql import DEFAULT_DATABASE, Store, open_store
from sis_connect.store.tables import hold as hold_table
from sis_connect.store.tables import integration as integration_table
from sis_connect.store.tables import oauth_token, operation, plan, roster_fields
from sis_connect.store.target import BuiltInTarget, from_column
from sis_connect.store.token_store import SQLTokenStore
from sis_connect.store.window_log import SQLWindowLog
from sis_connect.tokens.vault import Vault, new_key
from sis_connect.traffic import Traffic

_SECRET = "client secret"  # noqa: S105 - the name of a field
_KEY_FILE = "sis-connect.key"
_STATUS_AFTER = {"succeeded": "active", "held": "held", "incomplete": "degraded"}
OnProgress = Callable[[Progress], None] | None


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


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that was made: its id, and the report of making it."""

    id: str
    integration: str
    report: SyncReport

    @property
    def exit_code(self) -> int:
        """What the command line returns."""
        return self.report.exit_code

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON: the report's shape, with `plan` for `operation`."""
        return {**self.report.as_dict(name="plan"), "plan": self.id}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One run. `report` is what it reported; times are UTC, ISO 8601."""

    id: str
    integration: str
    type: str
    actor: str
    status: str
    school_date: str
    started_at: str
    finished_at: str | None
    report: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How an integration is doing. `age_seconds` is the time since the last sync that was not a failure."""

    integration: str
    provider: str
    status: str
    last_sync_at: str | None
    last_status: str | None
    age_seconds: float | None
    active: dict[str, int]
    holds: int
    quarantined: int

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


class SISService:
    """The integrations of one database. Open it with `async with SISService.open(...)`."""

    def __init__(
        self,
        store: Store,
        *,
        vault: Callable[[bool], Vault],
        clock: Clock,
        today: date | None,
        registry: Registry,
        config_manager: SISConfigManager,
    ) -> None:
        self.registry = registry
        self._store, self._clock, self._today = store, clock, today
        self._config_manager = config_manager
        self._make_vault, self._vault_made = vault, None

    _vault_made: Vault | None

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        database: str | None = None,
        *,
        key: str | None = None,
        key_file: str | Path | None = None,
        clock: Clock | None = None,
        today: date | None = None,
        registry: Registry | None = None,
        config_manager: SISConfigManager | None = None,
    ) -> AsyncIterator[SISService]:
        """Open a database (`sqlite:///sis-connect.db` unless told) and close it in the end.

        Secrets are sealed with `key` (32 bytes in base64url, several separated by commas), else `SIS_CONNECT_KEY`, else what
        is in `key_file`, by default `sis-connect.key` beside the database. `today` fixes the school date; by default it is the
        calendar day in the district's time zone.
        """
        database = database or DEFAULT_DATABASE
        key = key or (None if key_file else key_in_environment())
        async with open_store(database) as store:
            yield cls(
                store,
                vault=lambda may_create: _vault(key, key_file, database, may_create=may_create),
                clock=clock or SystemClock(),
                today=today,
                registry=registry or discover(),
                config_manager=config_manager or SISConfigManager(),
            )

    # -- integrations --------------------------------------------------------------------------------------------------

    async def create_integration(self, name: str, config: SISProviderConfig, *, actor: str = "") -> Integration:
        """Store an integration, or replace the settings of the one of that name. The client secret is sealed."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ConfigurationError(
                f"{name!r} cannot be the name of an integration.", remedy="Use letters, digits, dots, hyphens and underscores."
            )
        own_settings(self.registry.info(config.provider), config)
        settings = json.dumps(config.model_dump(mode="json", exclude_unset=True, exclude={"client_secret", "provider"}))
        now = self._clock.now()
        before = await self._find(name)
        if before is not None and before.provider != config.provider:
            raise ConfigurationError(
                f"The integration {name!r} is connected through {before.provider}, and its records have that provider's ids.",
                remedy="Choose another name for the new connection.",
            )
        async with self._store.write() as connection:
            values = {"provider": config.provider, "settings": settings, "status": "active", "removed_at": None}
            if before is None:
                values |= {"name": name, "created_at": now.isoformat()}
                result = await connection.execute(insert(integration_table).values(**values).returning(integration_table.c.id))
                integration_id = int(result.scalar_one())
            else:
                integration_id = int(before.id)
                await connection.execute(
                    update(integration_table).where(integration_table.c.id == integration_id).values(**values)
                )
                await connection.execute(delete(oauth_token).where(oauth_token.c.integration_id == integration_id))
            action = "integration.created" if before is None else "integration.changed"
            await audit.record(
                connection, at=now, actor=actor, action=action, integration=name, detail={"provider": config.provider}
            )
        if config.client_secret is not None:
            await self._seal(integration_id, config.client_secret)
        return await self._described(await self._row(name))

    async def _seal(self, integration_id: int, secret: SecretStr) -> None:
        vault = await self._vault()
        sealed = vault.seal(secret.get_secret_value().encode(), integration=str(integration_id), field=_SECRET)
        async with self._store.write() as connection:
            await connection.execute(
                update(integration_table).where(integration_table.c.id == integration_id).values(secret=sealed)
            )

    async def integrations(self) -> list[Integration]:
        """All integrations, by name."""
        query = select(integration_table).where(integration_table.c.removed_at.is_(None)).order_by(integration_table.c.name)
        async with self._store.read() as connection:
            rows = (await connection.execute(query)).all()
        return [await self._described(row) for row in rows]

    async def remove_integration(self, name: str, *, actor: str = "") -> None:
        """End a connection: secret and token go, roster and mapping stay, and adding it again goes on where it was."""
        row = await self._row(name)
        async with self._store.write() as connection:
            values = {"removed_at": self._clock.now().isoformat(), "secret": None, "status": "disabled"}
            await connection.execute(update(integration_table).where(integration_table.c.id == row.id).values(**values))
            await connection.execute(delete(oauth_token).where(oauth_token.c.integration_id == row.id))
            await audit.record(connection, at=self._clock.now(), actor=actor, action="integration.removed", integration=name)

    async def doctor(self, name: str) -> list[Finding]:
        """Try the connection and say what is right and wrong with it, in plain words. Changes nothing at the SIS."""
        row = await self._row(name)
        info = self.registry.info(row.provider)
        async with self._provider(row, info, await self._config(row), Traffic()) as opened:
            return list(await opened.provider.check())

    # -- plans and syncs -----------------------------------------------------------------------------------------------

    async def plan(
        self,
        name: str,
        *,
        kinds: Collection[Kind] | None = None,
        school: str | None = None,
        student: str | None = None,
        full: bool = False,
        strict: bool = False,
        progress: OnProgress = None,
        actor: str = "",
    ) -> Plan:
        """Read the SIS and plan what a sync would change. Nothing is written to the roster."""
        async with self._synchroniser(name, progress) as run:
            report = await run.plan(self._request(run, kinds, school, student, full=full, strict=strict, actor=actor))
        await self._note_status(name, report)
        return Plan(report.plan or "", name, report)

    def plan_rows(self, plan_id: str) -> AsyncIterator[PlanRow]:
        """The changes of a plan, one by one."""
        return plan_rows(self._store, plan_id)

    async def apply(self, plan: Plan | str, *, progress: OnProgress = None, actor: str = "") -> SyncReport:
        """Apply a plan. A record whose state has moved on since is skipped and reported; what guards hold stays held."""
        row = await self._plan_row(plan if isinstance(plan, str) else plan.id)
        async with self._synchroniser(row.name, progress, offline=True) as run:
            report = await run.apply(row.id, row.number, actor)
        open_holds = await self.holds(row.name)
        if report.status == "succeeded" and open_holds:
            report.status, report.holds = "held", open_holds
        await self._note_status(row.name, report)
        return report

    async def sync(
        self,
        name: str,
        *,
        kinds: Collection[Kind] | None = None,
        school: str | None = None,
        student: str | None = None,
        full: bool = False,
        strict: bool = False,
        progress: OnProgress = None,
        actor: str = "",
    ) -> SyncReport:
        """Read, plan, and apply what no guard holds.

        `full` compares every record anew; `strict` lets one guard hold everything.
        """
        async with self._synchroniser(name, progress) as run:
            report = await run.sync(self._request(run, kinds, school, student, full=full, strict=strict, actor=actor))
        await self._note_status(name, report)
        return report

    def _request(
        self,
        run: Synchroniser,
        kinds: Collection[Kind] | None,
        school: str | None,
        student: str | None,
        *,
        full: bool,
        strict: bool,
        actor: str,
    ) -> Request:
        unknown = [kind for kind in kinds or () if kind not in KINDS]
        if unknown:
            raise ConfigurationError(f"There is no kind {unknown[0]!r}.", remedy=f"The kinds are {', '.join(KINDS)}.")
        schools = frozenset([school]) if school else frozenset(run.config.schools) or None
        scope = Scope(schools=schools, students=frozenset([student]) if student else None, school_year=run.config.school_year)
        return Request(kinds=tuple(kinds or ()), scope=scope, full=full, strict=strict, actor=actor)

    # -- holds ---------------------------------------------------------------------------------------------------------

    async def holds(self, name: str | None = None) -> list[Hold]:
        """The open holds of one integration, or of all."""
        query = select(hold_table, integration_table.c.name.label("integration")).join(
            integration_table, integration_table.c.id == hold_table.c.integration_id
        )
        query = query.where(hold_table.c.state == "open").order_by(hold_table.c.created_at)
        if name is not None:
            query = query.where(hold_table.c.integration_id == (await self._row(name)).id)
        async with self._store.read() as connection:
            return [holding.from_row(row, row.integration) for row in await connection.execute(query)]

    async def approve(self, hold_id: str, *, actor: str = "") -> SyncReport:
        """Apply what a guard held, as far as it is still as planned."""
        hold = await holding.find_hold(self._store, hold_id)
        name = await self._name_of(hold.integration_id)
        async with self._synchroniser(name, None, offline=True) as run:
            report = await run.approve(hold, actor)
        still_open = await self.holds(name)
        if report.status == "succeeded" and still_open:
            report.holds = still_open
        await self._note_status(name, report)
        return report

    async def reject(self, hold_id: str, *, actor: str = "") -> Hold:
        """Refuse what a guard held; it is not proposed again until the SIS says something else."""
        hold = await holding.find_hold(self._store, hold_id)
        async with self._synchroniser(await self._name_of(hold.integration_id), None, offline=True) as run:
            return await run.reject(hold, actor)

    # -- what is there -------------------------------------------------------------------------------------------------

    async def operations(self, name: str | None = None, *, limit: int = 50) -> list[Operation]:
        """The latest runs, newest first."""
        query = select(operation, integration_table.c.name).join(
            integration_table, integration_table.c.id == operation.c.integration_id
        )
        if name is not None:
            query = query.where(operation.c.integration_id == (await self._row(name)).id)
        async with self._store.read() as connection:
            rows = (await connection.execute(query.order_by(operation.c.started_at.desc()).limit(limit))).all()
        return [
            Operation(
                id=row.id,
                integration=row.name,
                type=row.type,
                actor=row.actor,
                status=row.status,
                school_date=row.school_date,
                started_at=row.started_at,
                finished_at=row.finished_at,
                report=json.loads(row.report) if row.report else None,
            )
            for row in rows
        ]

    async def export(self, name: str, kind: Kind) -> AsyncIterator[dict[str, Any]]:
        """The local roster of one kind, row by row: `id` is the local id, `sis_id` the SIS's, the rest as in the records."""
        row = await self._row(name)
        if kind not in KINDS:
            raise ConfigurationError(f"There is no kind {kind!r}.", remedy=f"The kinds are {', '.join(KINDS)}.")
        names = roster_fields(kind)
        columns = ", ".join(f'"{column}"' for column in ("id", "sis_id", *names))
        query = text(f"SELECT {columns} FROM roster_{kind} WHERE integration_id = :i AND sis_id > :a ORDER BY sis_id LIMIT 1000")
        after = ""
        while True:
            async with self._store.read() as connection:
                rows = (await connection.execute(query, {"i": row.id, "a": after})).all()
            for id_, sis_id, *values in rows:
                record = {column: from_column(column, value) for column, value in zip(names, values, strict=True)}
                yield {"id": str(id_), "sis_id": sis_id, **record}
                after = sis_id
            if not rows:
                return

    async def health(self, name: str | None = None) -> list[Health]:
        """How one integration is doing, or all."""
        names = [name] if name is not None else [one.name for one in await self.integrations()]
        return [await self._health(await self._row(one)) for one in names]

    async def _health(self, row: Row[Any]) -> Health:
        described = await self._described(row)
        good = text(
            "SELECT MAX(finished_at) FROM sis_sync_operation WHERE integration_id = :i "
            "AND type IN ('sync', 'apply') AND status <> 'failed' AND finished_at IS NOT NULL"
        )
        active = " UNION ALL ".join(
            f"SELECT '{kind}', COUNT(*) FROM roster_{kind} WHERE integration_id = :i AND status = 'active'" for kind in KINDS
        )
        waiting = text("SELECT COUNT(*) FROM sis_quarantine WHERE integration_id = :i")
        held = text("SELECT COUNT(*) FROM sis_hold WHERE integration_id = :i AND state = 'open'")
        values = {"i": row.id}
        async with self._store.read() as connection:
            last = (await connection.execute(good, values)).scalar()
            counts = {row[0]: int(row[1]) for row in await connection.execute(text(active), values)}
            quarantined = int((await connection.execute(waiting, values)).scalar_one())
            holds = int((await connection.execute(held, values)).scalar_one())
        age = (self._clock.now() - datetime.fromisoformat(last)).total_seconds() if last else None
        return Health(
            integration=row.name,
            provider=row.provider,
            status=row.status,
            last_sync_at=described.last_sync_at,
            last_status=described.last_status,
            age_seconds=age,
            active=counts,
            holds=holds,
            quarantined=quarantined,
        )

    # -- putting a run together ----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _synchroniser(self, name: str, progress: OnProgress, *, offline: bool = False) -> AsyncIterator[Synchroniser]:
        row = await self._row(name)
        info, config = self.registry.info(row.provider), await self._config(row)
        traffic = Traffic()
        async with AsyncExitStack() as stack:
            opened = None if offline else await stack.enter_async_context(self._provider(row, info, config, traffic))
            yield Synchroniser(
                store=self._store,
                target=BuiltInTarget(row.id),
                integration_id=row.id,
                integration=name,
                info=info,
                config=config,
                clock=self._clock,
                today=await self._school_date(row, config, opened),
                traffic=traffic,
                provider=opened.provider if opened else None,
                progress=progress,
            )

    @asynccontextmanager
    async def _provider(
        self, row: Row[Any], info: ProviderInfo, config: SISProviderConfig, traffic: Traffic
    ) -> AsyncIterator[OpenProvider]:
        limiter = limiter_for(info, config, clock=self._clock, log=SQLWindowLog(self._store, self._clock))
        traffic.window_left = lambda: limiter.window_left
        tokens = None
        if config.client_id and config.client_secret is not None:
            tokens = token_source(
                info,
                config,
                limiter=limiter,
                clock=self._clock,
                on_call=traffic.count,
                store=SQLTokenStore(self._store, await self._vault(), self._clock, integration_id=row.id),
            )
        async with open_provider(
            info, config, limiter=limiter, tokens=tokens, clock=self._clock, on_call=traffic.count
        ) as opened:
            yield opened

    async def _school_date(self, row: Row[Any], config: SISProviderConfig, opened: OpenProvider | None) -> date:
        if self._today is not None:
            return self._today
        zone = config.time_zone or row.time_zone
        if zone is None and opened is not None:
            ask = getattr(opened.provider, "time_zone", None)
            try:
                zone = await ask() if ask is not None else None
            except SISError:
                zone = None  # the run itself will say what is wrong with the connection
            if zone is not None:
                async with self._store.write() as connection:
                    values = {"time_zone": zone}
                    await connection.execute(update(integration_table).where(integration_table.c.id == row.id).values(**values))
        return school_date(self._clock.now(), zone or "UTC")

    async def _config(self, row: Row[Any]) -> SISProviderConfig:
        stored = {**json.loads(row.settings), "provider": row.provider}
        if row.secret is not None:
            vault = await self._vault()
            stored["client_secret"] = SecretStr(vault.open(row.secret, integration=str(row.id), field=_SECRET).decode())
        return self._config_manager.resolve(row.name, stored, origin=f"the integration {row.name}")

    async def _vault(self) -> Vault:
        if self._vault_made is None:
            query = text(
                "SELECT EXISTS (SELECT 1 FROM sis_integration WHERE secret IS NOT NULL) "
                "OR EXISTS (SELECT 1 FROM sis_oauth_token WHERE sealed IS NOT NULL)"
            )
            async with self._store.read() as connection:
                sealed = bool((await connection.execute(query)).scalar())
            self._vault_made = self._make_vault(not sealed)
        return self._vault_made

    # -- rows ----------------------------------------------------------------------------------------------------------

    async def _find(self, name: str) -> Row[Any] | None:
        async with self._store.read() as connection:
            return (await connection.execute(select(integration_table).where(integration_table.c.name == name))).one_or_none()

    async def _row(self, name: str) -> Row[Any]:
        row = await self._find(name)
        if row is None or row.removed_at is not None:
            known = ", ".join(one.name for one in await self.integrations()) or "none"
            raise ConfigurationError(
                f"There is no integration {name!r} (there are: {known}).",
                remedy="Add it with `sis-connect add`, or correct the name.",
            )
        return row

    async def _name_of(self, integration_id: int) -> str:
        query = select(integration_table.c.name).where(integration_table.c.id == integration_id)
        async with self._store.read() as connection:
            return str((await connection.execute(query)).scalar_one())

    async def _plan_row(self, plan_id: str) -> Row[Any]:
        query = (
            select(plan.c.id, plan.c.number, integration_table.c.name)
            .join(integration_table, integration_table.c.id == plan.c.integration_id)
            .where(plan.c.id.startswith(plan_id, autoescape=True))
            .limit(2)
        )
        async with self._store.read() as connection:
            rows = (await connection.execute(query)).all()
        if len(rows) != 1 or not plan_id:
            found = "More than one plan begins" if rows else "There is no plan that begins"
            raise ConfigurationError(f"{found} with {plan_id!r}.", remedy="Make one with `sis-connect plan NAME`.")
        return cast("Row[Any]", rows[0])

    async def _described(self, row: Row[Any]) -> Integration:
        query = (
            select(operation.c.finished_at, operation.c.status)
            .where(
                operation.c.integration_id == row.id,
                operation.c.type.in_(("sync", "apply")),
                operation.c.finished_at.is_not(None),
            )
            .order_by(operation.c.started_at.desc())
            .limit(1)
        )
        async with self._store.read() as connection:
            last = (await connection.execute(query)).one_or_none()
        return Integration(
            name=row.name,
            provider=row.provider,
            base_url=str(json.loads(row.settings).get("base_url", "")),
            status=row.status,
            created_at=row.created_at,
            last_sync_at=last.finished_at if last else None,
            last_status=last.status if last else None,
        )

    async def _note_status(self, name: str, report: SyncReport) -> None:
        """An integration's status follows from what happened."""
        status = _STATUS_AFTER.get(report.status, "degraded")
        if report.error is not None and report.error.category == "authentication":
            status = "auth_failed"
        if report.error is not None and report.error.category in ("conflict", "storage"):
            return
        async with self._store.write() as connection:
            await connection.execute(update(integration_table).where(integration_table.c.name == name).values(status=status))


def _vault(key: str | None, key_file: str | Path | None, database: str, *, may_create: bool) -> Vault:
    if key:
        return Vault.from_text(key)
    if key_file is None and database.startswith("sqlite:///") and database != "sqlite:///:memory:":
        key_file = Path(database.removeprefix("sqlite:///")).parent / _KEY_FILE
    return Vault.from_text(new_key()) if key_file is None else Vault.from_file(key_file, may_create=may_create)
