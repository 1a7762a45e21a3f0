"""What every run of an integration stands on, and the guards that look at its plan before anything is written (promise P3)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from datetime import date
from typing import Any, cast

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Kind
from sis_connect.clock import Clock
from sis_connect.guards import Guard
from sis_connect.provider import BaseSISProvider, ProviderInfo, Scope
from sis_connect.roster.absences import count_missing
from sis_connect.roster.carriers import take_for_ended
from sis_connect.roster.census import census
from sis_connect.roster.changes_of_id import mark_changes_of_id
from sis_connect.roster.conflict import STRATEGIES, Decider
from sis_connect.roster.coverage import count_uncovered
from sis_connect.roster.guard import evaluate
from sis_connect.roster.holds import Hold, raise_holds
from sis_connect.roster.operation import Operations
from sis_connect.roster.plan import Planner
from sis_connect.roster.plugin_guards import Verdict, ask, count_changes, count_present
from sis_connect.roster.profiles import InForce, in_force
from sis_connect.roster.report import Meter, Progress, SyncReport
from sis_connect.roster.stage import Staging
from sis_connect.settings import SISProviderConfig
from sis_connect.store.elsewhere import kept_elsewhere
from sis_connect.store.lease import check_fence
from sis_connect.store.sql import Store
from sis_connect.store.target import RosterTarget
from sis_connect.traffic import Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a run is asked to do. Without `kinds`, all that the provider offers. `to` is the school year of a roll-over."""

    kinds: tuple[Kind, ...] = ()
    scope: Scope = field(default_factory=Scope)
    full: bool = False
    strict: bool = False
    only_plan: bool = False
    actor: str = ""
    to: int | None = None


@dataclass(slots=True, kw_only=True)
class Guarding:
    """One integration, ready for a run. `provider` is open; it is not needed where nothing is read.

    `target_name` is as in `Operations`.
    """

    store: Store
    target: RosterTarget
    target_name: str | None = None
    integration_id: int
    integration: str
    info: ProviderInfo
    config: SISProviderConfig
    clock: Clock
    today: date
    traffic: Traffic
    provider: BaseSISProvider | None = None
    progress: Callable[[Progress], None] | None = None
    strategies: Mapping[str, Decider] = field(default_factory=lambda: STRATEGIES)
    guards: Mapping[str, Guard] = field(default_factory=dict)
    notices: Callable[[], list[dict[str, Any]]] = list

    meter: Meter = field(init=False)
    operations: Operations = field(init=False)

    def __post_init__(self) -> None:
        self.meter = Meter(self.progress, self.clock, self.traffic.window_left)
        self.operations = Operations(
            store=self.store,
            integration_id=self.integration_id,
            integration=self.integration,
            clock=self.clock,
            today=self.today,
            traffic=self.traffic,
            meter=self.meter,
            kept_elsewhere=kept_elsewhere(self.target),
            target_name=self.target_name,
            notices=self.notices,
        )

    async def guard(
        self,
        report: SyncReport,
        planner: Planner,
        request: Request,
        *,
        staging: Staging | None = None,
        first: Set[Kind] = frozenset(),
    ) -> None:
        """Evaluate every guard before anything is written (promise P3). Without `staging`, nothing was read."""
        counts, narrow = planner.counts, request.scope.schools or request.scope.students
        limits = self.limits(request)
        report.warnings += limits.warnings()
        async with self.store.write() as connection:
            await check_fence(connection, planner.lease)
            if staging is not None:
                await self._count_newly_bad(connection, report, planner, staging)
            if staging is not None and first < frozenset(KINDS):
                await mark_changes_of_id(
                    connection, self.integration_id, planner.plan, self.info.capabilities, counts, planner.contested
                )
            await take_for_ended(connection, self.integration_id, planner.plan, counts, self.today)
            population = await census(connection, self.integration_id, counts, request.scope.schools)
            if self.config.coverage == "hold":
                counts.uncovered = await count_uncovered(connection, self.integration_id, planner.plan, self.today)
            trips = evaluate(
                counts, population, first=first, profile=limits.profile, pause=str(limits.pause.last) if limits.pause else ""
            )
            for verdict in await self._verdicts(connection, planner.plan, request.scope, first):
                trips += verdict.trips
                report.warnings += verdict.warnings
            report.holds = [
                Hold(**{**{name: getattr(hold, name) for name in hold.__slots__}, "integration": self.integration})
                for hold in await raise_holds(
                    connection, self.integration_id, planner.plan, trips, now=self.clock.now(), owner=request.actor,
                    judged=None if narrow or staging is None else self._judged(report, staging), strict=request.strict,
                    by_person=staging is None,
                )
            ]  # fmt: skip
            if staging is not None:
                await self._acknowledge(connection, report, {trip.kind for trip in trips if trip.guard == "quarantine"})
        if report.holds and report.status != "failed":
            report.status = "held"

    async def _verdicts(self, connection: AsyncConnection, plan: int, scope: Scope, first: Set[Kind]) -> list[Verdict]:
        """What the guards of plugins say. Where nothing changes, there is nothing to ask them."""
        changes = await count_changes(connection, plan) if self.guards else None
        if changes is None or not changes.counts:
            return []
        present = await count_present(connection, self.integration_id, scope.schools)
        return [ask(name, guard, changes, present, school_date=self.today, first=first) for name, guard in self.guards.items()]

    def limits(self, request: Request) -> InForce:
        """What goes for the guards on this day."""
        return in_force(self.config.guard_profiles, self.config.pauses, self.today, rolls_over=request.to is not None)

    def _judged(self, report: SyncReport, staging: Staging) -> frozenset[str]:
        """The kinds of which a run knows all that is to be proposed: those that it saw whole, and those that are not offered."""
        seen = {kind for kind in report.records if kind in staging.seen_whole}
        return frozenset(seen | set(KINDS) - set(self.info.capabilities.offered()))

    async def _count_newly_bad(self, connection: AsyncConnection, report: SyncReport, planner: Planner, staging: Staging) -> None:
        query = text(
            "SELECT kind, COUNT(*) AS number FROM sis_quarantine WHERE integration_id = :i AND acknowledged = 0 "
            "AND stream_id <> 0 GROUP BY kind"
        )
        for row in await connection.execute(query, {"i": self.integration_id}):
            kind = cast(Kind, row.kind)
            rows = sum(result.distinct for result in staging.results if kind in result.kinds)
            planner.counts.newly_bad[kind] = row.number, max(rows, row.number)
            report.changes.setdefault(kind, {})["quarantine"] = row.number

    async def _acknowledge(self, connection: AsyncConnection, report: SyncReport, held: Set[Kind]) -> None:
        """Rows that wait in quarantine trip no guard twice, unless a guard holds them: then a person acknowledges them."""
        for kind in KINDS:
            if kind in held:
                report.held.setdefault(kind, {})["quarantine"] = report.changes[kind].pop("quarantine")
            else:
                known = "UPDATE sis_quarantine SET acknowledged = 1 WHERE integration_id = :i AND kind = :k AND acknowledged = 0"
                await connection.execute(text(known), {"i": self.integration_id, "k": kind})

    async def summarise(self, report: SyncReport, planner: Planner) -> None:
        """Count the plan: what it would change, what is held, and why."""
        query = text(
            "SELECT kind, action, reason, state, flags LIKE '% absent %' OR flags LIKE '% unseen %' AS absent, "
            "COUNT(*) AS number FROM sis_plan_row WHERE plan = :p GROUP BY kind, action, reason, state, absent"
        )
        touched: dict[str, int] = defaultdict(int)
        async with self.store.read() as connection:
            for row in await connection.execute(query, {"p": planner.plan}):
                if row.action == "unchanged":
                    continue
                if not row.absent:
                    touched[row.kind] += row.number
                place = report.held if row.state == "held" else report.changes
                counts = place.setdefault(row.kind, {})
                counts[row.action] = counts.get(row.action, 0) + row.number
                reasons = report.reasons.setdefault(row.kind, {})
                reasons[row.reason] = reasons.get(row.reason, 0) + row.number
            report.missing = await count_missing(connection, self.integration_id, planner.plan)
        for kind, number in report.records.items():
            if isinstance(number, int):
                report.changes.setdefault(kind, {})["unchanged"] = max(0, number - touched[kind])
        for kind, number in planner.renamed.items():
            report.reasons.setdefault(kind, {})["renamed"] = number
        report.quarantined = await self.waiting()
        report.conflicts = planner.conflicts
        report.clashes = {rule: dict(outcomes) for rule, outcomes in planner.clashes.items()}

    async def waiting(self) -> int:
        """How many records wait in quarantine."""
        query = text("SELECT COUNT(*) FROM sis_quarantine WHERE integration_id = :i")
        async with self.store.read() as connection:
            return int((await connection.execute(query, {"i": self.integration_id})).scalar_one())
