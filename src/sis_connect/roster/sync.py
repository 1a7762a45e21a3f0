"""A sync, in one sentence: read, plan, guard, apply, report, all under one lease."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from sqlalchemy import update

from sis_connect.capabilities import Kind
from sis_connect.roster.answers import Answered, answer_as_planned
from sis_connect.roster.apply import Applier
from sis_connect.roster.coverage import compare_coverage
from sis_connect.roster.holds import (
    Hold,
    decide_hold,
    demand_standing,
    find_hold,
)
from sis_connect.roster.integrity import count_findings
from sis_connect.roster.pins import stale_pins
from sis_connect.roster.plan import Planner
from sis_connect.roster.planning import Planning, Request
from sis_connect.roster.questions import count_open
from sis_connect.roster.report import SyncReport
from sis_connect.roster.rollover import turn_as_planned
from sis_connect.roster.stage import Staging
from sis_connect.roster.staged_rows import count_as_whole
from sis_connect.roster.succession import take_over
from sis_connect.roster.taking_back import begin_undo
from sis_connect.store.lease import Lease, check_fence, hold_lease
from sis_connect.store.tables import plan

__all__ = ["Proposal", "Request", "Synchroniser"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What the report says of a proposal beside the changes in the plan: records that were left out, and what is to be known."""

    skipped: Mapping[Kind, Mapping[str, int]] = field(default_factory=dict)
    warnings: Sequence[dict[str, Any]] = ()


@dataclass(slots=True, kw_only=True)
class Synchroniser(Planning):
    """Runs what can be asked of one integration."""

    # -- what can be asked for -----------------------------------------------------------------------------------------

    async def plan(self, request: Request) -> SyncReport:
        """Read and decide; write nothing to the roster."""

        async def work(report: SyncReport, lease: Lease) -> None:
            await self.read_and_plan(report, lease, replace(request, only_plan=True))

        return await self.operations.run("plan", request.actor, work)

    async def sync(self, request: Request, *, type_: str = "sync") -> SyncReport:
        """Read, decide, and apply what no guard holds. `type_` is how the operation is listed."""

        async def work(report: SyncReport, lease: Lease) -> None:
            made = await self.read_and_plan(report, lease, request)
            if made is not None and not (report.holds and request.strict):
                planner, staging = made
                await self._apply(report, lease, planner.plan, fresh=staging)
                await take_over(planner, integration=self.integration, actor=request.actor)
                await self._look_back(report, recount=request.scope.students is None)

        return await self.operations.run(type_, request.actor, work)

    async def apply(self, plan_id: str, number: int, actor: str) -> SyncReport:
        """Apply a plan that was made before; what the world has moved on from is skipped and reported."""

        async def work(report: SyncReport, lease: Lease) -> None:
            report.plan = plan_id
            async with self.store.read() as connection:
                await demand_standing(connection, number)
            await turn_as_planned(self.store, lease, number)
            by = Answered(integration=self.integration, actor=actor, at=self.clock.now())
            await answer_as_planned(self.store, lease, number, by)
            async with self.store.write() as connection:
                await check_fence(connection, lease)
                await begin_undo(connection, number, by)
            await self._apply(report, lease, number)
            await self._look_back(report)

        return await self.operations.run("apply", actor, work)

    async def approve(self, hold: Hold, actor: str) -> SyncReport:
        """Apply at once what a guard held, as far as it is still as planned."""

        async def work(report: SyncReport, lease: Lease) -> None:
            await self._decide(hold, "approved", actor)
            await self._apply(report, lease, hold.plan, hold=hold.id)
            await self._look_back(report)

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

    async def carry_out(
        self,
        type_: str,
        actor: str,
        propose: Callable[[Planner], Awaitable[Proposal | None]],
        *,
        only: Mapping[Kind, Set[str]] | None = None,
        only_plan: bool = False,
    ) -> SyncReport:
        """Plan what somebody has decided, and apply what no guard holds. Nothing is read from the SIS.

        `propose` puts the changes into the plan; with `only`, the planner decides about those records and no others.
        """

        async def work(report: SyncReport, lease: Lease) -> None:
            planner = await self.open_planner(report, lease, only=only)
            proposal = await propose(planner) or Proposal()
            report.skipped = {kind: dict(counts) for kind, counts in proposal.skipped.items()}
            report.warnings += proposal.warnings
            request = Request(only_plan=only_plan, actor=actor)
            await self.guard(report, planner, request)
            await self.summarise(report, planner)
            if not only_plan:
                await self._apply(report, lease, planner.plan)
                await self._look_back(report, recount=only is None)

        return await self.operations.run(type_, actor, work)

    async def _look_back(self, report: SyncReport, *, recount: bool = True) -> None:
        """After a run: what in the roster cannot be right, what waits for an answer, and what a person should know."""
        async with self.store.write() as connection:
            report.conflicts = await count_open(connection, self.integration_id)
            report.integrity = await count_findings(connection, self.integration_id, self.today, recount=recount)
            if recount:
                report.warnings += await compare_coverage(connection, self.integration_id, report.operation, self.clock.now())
            report.warnings += await stale_pins(connection, self.integration_id, self.today)

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
            operation_id=report.operation,
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
        for kind, counts in applier.skipped.items():
            skipped = report.skipped.setdefault(kind, {})
            for action, number in counts.items():
                skipped[action] = skipped.get(action, 0) + number
        applier.tell(report)
