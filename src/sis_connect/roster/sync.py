"""A sync, in one sentence: read, plan, guard, apply, report, all under one lease."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast

from sqlalchemy import update

from sis_connect.capabilities import Kind
from sis_connect.roster.apply import Applier
from sis_connect.roster.holds import (
    Hold,
    decide_hold,
    find_hold,
)
from sis_connect.roster.planning import Planning, Request
from sis_connect.roster.report import SyncReport
from sis_connect.roster.stage import Staging
from sis_connect.roster.staged_rows import count_as_whole
from sis_connect.roster.succession import take_over
from sis_connect.store.lease import Lease, check_fence, hold_lease
from sis_connect.store.tables import plan

__all__ = ["Request", "Synchroniser"]


@dataclass(slots=True, kw_only=True)
class Synchroniser(Planning):
    """Runs what can be asked of one integration."""

    # -- what can be asked for -----------------------------------------------------------------------------------------

    async def plan(self, request: Request) -> SyncReport:
        """Read and decide; write nothing to the roster."""

        async def work(report: SyncReport, lease: Lease) -> None:
            await self.read_and_plan(report, lease, replace(request, only_plan=True))

        return await self.operations.run("plan", request.actor, work)

    async def sync(self, request: Request) -> SyncReport:
        """Read, decide, and apply what no guard holds."""

        async def work(report: SyncReport, lease: Lease) -> None:
            made = await self.read_and_plan(report, lease, request)
            if made is not None and not (report.holds and request.strict):
                planner, staging = made
                await self._apply(report, lease, planner.plan, fresh=staging)
                await take_over(planner, integration=self.integration, actor=request.actor)

        return await self.operations.run("sync", request.actor, work)

    async def apply(self, plan_id: str, number: int, actor: str) -> SyncReport:
        """Apply a plan that was made before; what the world has moved on from is skipped and reported."""

        async def work(report: SyncReport, lease: Lease) -> None:
            report.plan = plan_id
            await self._apply(report, lease, number)

        return await self.operations.run("apply", actor, work)

    async def approve(self, hold: Hold, actor: str) -> SyncReport:
        """Apply at once what a guard held, as far as it is still as planned."""

        async def work(report: SyncReport, lease: Lease) -> None:
            await self._decide(hold, "approved", actor)
            await self._apply(report, lease, hold.plan, hold=hold.id)

        return await self.operations.run("approve", actor, work)

    async def reject(self, hold: Hold, actor: str) -> Hold:
        """Refuse what a guard held. It is not proposed again until the SIS says something else.

        What only a strict run held is not refused: no guard objects to it, and the next sync proposes it again.
        """
        async with hold_lease(self.store, self.operations.lease_name, self.clock):
            await self._decide(hold, "rejected", actor)
        return await find_hold(self.store, hold.id)

    async def _decide(self, hold: Hold, state: Literal["approved", "rejected"], actor: str) -> None:
        async with self.store.write() as connection:
            await decide_hold(connection, hold, state, actor, now=self.clock.now(), integration=self.integration)

    # -- applying ------------------------------------------------------------------------------------------------------

    async def _apply(
        self, report: SyncReport, lease: Lease, number: int, *, hold: str | None = None, fresh: Staging | None = None
    ) -> None:
        applier = Applier(
            store=self.store,
            target=self.target,
            integration_id=self.integration_id,
            lease=lease,
            clock=self.clock,
            today=self.today,
            plan=number,
            progress=lambda kind, number: self.meter.tell("applying", kind, number),
        )
        try:
            await applier.apply(hold=hold, fresh=fresh is not None)
        finally:
            self._count_written(report, applier)
        if hold is None:
            async with self.store.write() as connection:
                await connection.execute(update(plan).where(plan.c.number == number).values(state="applied"))
                if fresh is not None:
                    await check_fence(connection, lease)
                    await count_as_whole(connection, self.integration_id, fresh.results, number)

    def _count_written(self, report: SyncReport, applier: Applier) -> None:
        """What was planned gives way to what was written, also where the writer was interrupted."""
        for kind in report.changes.keys() | applier.changes.keys():
            planned = report.changes.setdefault(kind, {})
            kept: dict[str, int] = {name: planned[name] for name in ("unchanged", "quarantine") if name in planned}
            written = {action: n for action, n in applier.changes.get(cast(Kind, kind), {}).items() if action != "unchanged"}
            report.changes[kind] = {**written, **kept}
        report.skipped = {kind: dict(counts) for kind, counts in applier.skipped.items()}
