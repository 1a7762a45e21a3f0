"""Plans and syncs of a service, and what their guards hold."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Row, select

from sis_connect.capabilities import KINDS, Kind
from sis_connect.errors import ConfigurationError
from sis_connect.provider import Scope
from sis_connect.roster import holds as holding
from sis_connect.roster.holds import Hold
from sis_connect.roster.plan_rows import PlanRow, plan_rows
from sis_connect.roster.report import SyncReport
from sis_connect.roster.sync import Request, Synchroniser
from sis_connect.service.ground import Ground, OnProgress
from sis_connect.store.tables import hold as hold_table
from sis_connect.store.tables import integration as integration_table
from sis_connect.store.tables import plan


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


class Syncs(Ground):
    """Plans, syncs and holds."""

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
        self._demand(actor, "apply", row.name)
        async with self._synchroniser(row.name, progress, offline=True) as run:
            report = await run.apply(row.id, row.number, actor)
        async with self._store.read() as connection:
            open_holds = await holding.holds_about(connection, row.integration_id, row.number, row.name)
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
        self._demand(actor, "approve", name)
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
        name = await self._integrations.name_of(hold.integration_id)
        self._demand(actor, "reject", name)
        async with self._synchroniser(name, None, offline=True) as run:
            return await run.reject(hold, actor)

    async def _plan_row(self, plan_id: str) -> Row[Any]:
        query = (
            select(plan.c.id, plan.c.number, plan.c.integration_id, integration_table.c.name)
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
