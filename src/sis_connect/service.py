"""Many integrations in one database, behind one door: their life cycle, plans, syncs, holds, and what the roster holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NoReturn, cast

from sqlalchemy import Row, select

from sis_connect.authorization import Authorizations
from sis_connect.capabilities import KINDS, Kind
from sis_connect.clock import Clock, SystemClock, school_date
from sis_connect.connection import OpenProvider, open_provider
from sis_connect.discovery import Registry, discover
from sis_connect.errors import ConfigurationError, SISError
from sis_connect.events import Listener
from sis_connect.health import Health, Operation, health_of, latest_operations
from sis_connect.integrations import Integration, Integrations, described
from sis_connect.key_rotation import KeyRotation, rotate_key
from sis_connect.provider import Finding, ProviderInfo, Scope
from sis_connect.roster import holds as holding
from sis_connect.roster.export import roster_rows
from sis_connect.roster.holds import Hold
from sis_connect.roster.plan import PlanRow, plan_rows
from sis_connect.roster.report import Progress, SyncReport
from sis_connect.roster.sync import Request, Synchroniser
from sis_connect.settings import (
    SISConfigManager,
    SISProviderConfig,
    database_in_environment,
    today_in_environment,
)
from sis_connect.store.sql import DEFAULT_DATABASE, Store, open_store
from sis_connect.store.tables import hold as hold_table
from sis_connect.store.tables import integration as integration_table
from sis_connect.store.tables import plan
from sis_connect.store.target import BuiltInTarget
from sis_connect.token_access import TokenAccessor
from sis_connect.token_operations import TokenOperations
from sis_connect.token_overview import tokens_of
from sis_connect.tokens.fleet import TokenResult
from sis_connect.tokens.health import TokenHealth
from sis_connect.tokens.key_sources import KeySource, key_source_for
from sis_connect.traffic import Traffic

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

OnProgress = Callable[[Progress], None] | None


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


class SISService:
    """The integrations of one database. Open it with `async with SISService.open(...)`."""

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
    ) -> None:
        self.registry = registry
        self._store, self._clock, self._today = store, clock, today
        self._integrations = Integrations(
            store, key_source=key_source, clock=clock, registry=registry, config_manager=config_manager
        )
        self._tokens = TokenAccessor(store, self._integrations, registry, clock, on_event)
        self._token_operations = TokenOperations(store, self._integrations, clock, self._tokens)
        self._authorizations = Authorizations(store, self._integrations, registry, clock, self._tokens)

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

    # -- integrations --------------------------------------------------------------------------------------------------

    async def create_integration(self, name: str, config: SISProviderConfig, *, actor: str = "") -> Integration:
        """Store an integration, or replace the settings of the one of that name. The client secret is sealed."""
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
        async with self._provider(row, info, config, Traffic()) as opened:
            return list(await opened.provider.check())

    # -- tokens --------------------------------------------------------------------------------------------------------

    async def tokens(self, name: str | None = None) -> list[TokenHealth]:
        """How the token of one integration is, or of all. Nothing is sent."""
        rows = await self._integrations.rows(name)
        return await tokens_of(self._store, self._integrations, rows, self._clock.now())

    async def authorization_url(self, name: str, *, redirect_uri: str, session: str, actor: str = "") -> str:
        """Where to send an administrator of the district to give access. It waits 10 minutes for their return.

        `redirect_uri` is the address of ours that the SIS has registered, to the letter. `session` is a value that only this
        user's session has: the same must be given when they come back.
        """
        return await self._authorizations.begin(name, redirect_uri=redirect_uri, session=session, actor=actor)

    async def complete_authorization(self, redirect_url: str, *, session: str, actor: str = "") -> Integration:
        """Take the whole address that the administrator came back to, and keep the token it brings. Each works once."""
        name = await self._authorizations.complete(redirect_url, session=session, actor=actor)
        return described(await self._integrations.row(name))

    async def renew_tokens(self, name: str | None = None, *, actor: str = "") -> list[TokenResult]:
        """A new token now, for one or all. What fails for one is its own result, here and below."""
        return await self._token_operations.renew(name, actor=actor)

    async def revoke_tokens(self, name: str | None = None, *, actor: str = "") -> list[TokenResult]:
        """Give tokens back to the SIS where it takes them back, and forget them here in any case."""
        return await self._token_operations.revoke(name, actor=actor)

    async def cleanup_tokens(self, name: str | None = None, *, actor: str = "") -> list[TokenResult]:
        """Drop what is of no use any more: authorizations never finished, what removed integrations left, former secrets."""
        return await self._token_operations.cleanup(name, actor=actor)

    async def keep_tokens(self, *, rate: float = 10.0, actor: str = "") -> NoReturn:
        """Keep grants alive that nobody uses, until cancelled: at most `rate` renewals a second. One process does it."""
        await self._token_operations.keep(rate=rate, actor=actor)

    async def rotate_key(self, *, new: bool = False, actor: str = "") -> KeyRotation:
        """Seal everything anew with the first key, while the work goes on; `new` puts a new key in front before.

        What was sealed with a former key opens all the time, as long as that key is still given.
        """
        return await rotate_key(self._store, self._integrations, self._clock, new=new, actor=actor)

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
        await self._integrations.note_status(name, report)
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
        await self._integrations.note_status(row.name, report)
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
        await self._integrations.note_status(name, report)
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
            query = query.where(hold_table.c.integration_id == (await self._integrations.row(name)).id)
        async with self._store.read() as connection:
            return [holding.from_row(row, row.integration) for row in await connection.execute(query)]

    async def approve(self, hold_id: str, *, actor: str = "") -> SyncReport:
        """Apply what a guard held, as far as it is still as planned."""
        hold = await holding.find_hold(self._store, hold_id)
        name = await self._integrations.name_of(hold.integration_id)
        async with self._synchroniser(name, None, offline=True) as run:
            report = await run.approve(hold, actor)
        still_open = await self.holds(name)
        if report.status == "succeeded" and still_open:
            report.holds = still_open
        await self._integrations.note_status(name, report)
        return report

    async def reject(self, hold_id: str, *, actor: str = "") -> Hold:
        """Refuse what a guard held; it is not proposed again until the SIS says something else."""
        hold = await holding.find_hold(self._store, hold_id)
        async with self._synchroniser(await self._integrations.name_of(hold.integration_id), None, offline=True) as run:
            return await run.reject(hold, actor)

    # -- what is there -------------------------------------------------------------------------------------------------

    async def operations(self, name: str | None = None, *, limit: int = 50) -> list[Operation]:
        """The latest runs, newest first."""
        integration_id = (await self._integrations.row(name)).id if name is not None else None
        return await latest_operations(self._store, integration_id, limit)

    async def export(self, name: str, kind: Kind) -> AsyncIterator[dict[str, Any]]:
        """The local roster of one kind, row by row: `id` is the local id, `sis_id` the SIS's, the rest as in the records."""
        row = await self._integrations.row(name)
        if kind not in KINDS:
            raise ConfigurationError(f"There is no kind {kind!r}.", remedy=f"The kinds are {', '.join(KINDS)}.")
        async with aclosing(roster_rows(self._store, row.id, kind)) as records:
            async for record in records:
                yield record

    async def health(self, name: str | None = None) -> list[Health]:
        """How one integration is doing, or all."""
        return await health_of(self._store, await self._integrations.rows(name), self._clock.now())

    # -- putting a run together ----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _synchroniser(self, name: str, progress: OnProgress, *, offline: bool = False) -> AsyncIterator[Synchroniser]:
        row = await self._integrations.row(name)
        info, config = await self._integrations.opened(row)
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
        limiter = self._tokens.limiter(info, config)
        traffic.window_left = lambda: limiter.window_left
        async with (
            self._tokens.source(row, info, config, limiter=limiter, on_call=traffic.count) as tokens,
            open_provider(info, config, limiter=limiter, tokens=tokens, clock=self._clock, on_call=traffic.count) as opened,
        ):
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
                await self._integrations.note_time_zone(row.id, zone)
        return school_date(self._clock.now(), zone or "UTC")

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
