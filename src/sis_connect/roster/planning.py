"""Reading and deciding: what a run does before anything is written to the roster."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import cast

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Kind
from sis_connect.clock import Clock
from sis_connect.errors import ProviderError
from sis_connect.provider import BaseSISProvider, ProviderInfo, Scope
from sis_connect.records import on_request
from sis_connect.roster.conflict import Policy
from sis_connect.roster.guard import evaluate
from sis_connect.roster.holds import (
    Hold,
    census,
    count_emptied,
    mark_changes_of_id,
    raise_holds,
    release_dependents,
)
from sis_connect.roster.merge import Rules
from sis_connect.roster.operation import Operations
from sis_connect.roster.plan import Planner
from sis_connect.roster.pull import Pull, count_records, judge_pull, kinds_to_read
from sis_connect.roster.report import Meter, Progress, SyncReport
from sis_connect.roster.scopes import as_stored, covers
from sis_connect.roster.stage import Staging
from sis_connect.roster.succession import succeed
from sis_connect.roster.years import supersede
from sis_connect.settings import SISProviderConfig
from sis_connect.store.lease import Lease, check_fence
from sis_connect.store.sql import Store
from sis_connect.store.tables import plan
from sis_connect.store.target import RosterTarget
from sis_connect.traffic import Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a run is asked to do. Without `kinds`, all that the provider offers."""

    kinds: tuple[Kind, ...] = ()
    scope: Scope = field(default_factory=Scope)
    full: bool = False
    strict: bool = False
    only_plan: bool = False
    actor: str = ""


@dataclass(slots=True, kw_only=True)
class Planning:
    """One integration, ready to be read and planned. `provider` is open; it is not needed where nothing is read."""

    store: Store
    target: RosterTarget
    integration_id: int
    integration: str
    info: ProviderInfo
    config: SISProviderConfig
    clock: Clock
    today: date
    traffic: Traffic
    provider: BaseSISProvider | None = None
    progress: Callable[[Progress], None] | None = None

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
        )

    # -- reading -------------------------------------------------------------------------------------------------------

    async def read_and_plan(self, report: SyncReport, lease: Lease, request: Request) -> tuple[Planner, Staging] | None:
        kinds = kinds_to_read(self.info, request.kinds, self.config.fields)
        staging = await self._read(report, lease, request, kinds)
        if request.scope.students is not None or request.scope.schools is not None:
            # What the provider can tell of some schools or students is all that such a read is about.
            kinds = tuple(kind for kind in kinds if any(kind in result.kinds for result in staging.results))
        judge_pull(report, staging, kinds)
        await count_records(report, staging, self.info.capabilities, kinds)
        report.quarantined = await self._waiting()
        if report.status == "failed":
            return None
        first = await self._read_first_time(request)
        if "students" in kinds and not report.records["students"] and not await self._any_students():
            broken = [result.error for result in staging.results if result.error is not None and "students" in result.kinds]
            raise (
                broken[0]
                if broken
                else ProviderError(
                    "The SIS delivered no students, and there were none before.",
                    remedy="Check with `doctor` that the credentials may read students and that the school year is right.",
                )
            )
        planner = await self._plan(report, lease, request, kinds, staging)
        await self._guard(report, planner, staging, request, first=first)
        await self._summarise(report, planner)
        return planner, staging

    async def _read(self, report: SyncReport, lease: Lease, request: Request, kinds: tuple[Kind, ...]) -> Staging:
        if self.provider is None:
            raise ProviderError("There is no open provider to read from.")
        provider, every = self.provider, self.config.full_every
        pull = Pull(provider=provider, kinds=kinds, scope=request.scope, meter=self.meter)
        return await pull.read(
            lambda: Staging(
                self.store,
                integration_id=self.integration_id,
                operation_id=report.operation,
                lease=lease,
                clock=self.clock,
                capabilities=self.info.capabilities,
                asked={kind: self.config.asked(kind) for kind in KINDS},
                kinds=kinds,
                full=request.full,
            ),
            full=request.full,
            full_every=self.info.full_every if every is None else every,
        )

    async def _read_first_time(self, request: Request) -> frozenset[Kind]:
        """The kinds of which no plan that was applied to its end saw as much as this one. An interrupted first counts as none."""
        query = text("SELECT DISTINCT scope FROM sis_plan WHERE integration_id = :i AND state = 'applied'")
        async with self.store.read() as connection:
            scopes = [json.loads(scope) for scope in (await connection.execute(query, {"i": self.integration_id})).scalars()]
        seen = {kind for scope in scopes if covers(scope, request.scope) for kind in scope["kinds"]}
        return frozenset(KINDS) - seen

    async def _any_students(self) -> bool:
        query = text("SELECT EXISTS (SELECT 1 FROM sis_student_mapping WHERE integration_id = :i)")
        async with self.store.read() as connection:
            return bool((await connection.execute(query, {"i": self.integration_id})).scalar())

    # -- planning ------------------------------------------------------------------------------------------------------

    async def _plan(
        self, report: SyncReport, lease: Lease, request: Request, kinds: tuple[Kind, ...], staging: Staging
    ) -> Planner:
        policy = Policy(self.config.strategy, self.config.policies)
        fingerprint = json.dumps([policy.strategy, {name: rule.model_dump() for name, rule in sorted(policy.fields.items())}])
        report.plan = uuid.uuid4().hex
        planner = Planner(
            store=self.store,
            target=self.target,
            integration_id=self.integration_id,
            lease=lease,
            clock=self.clock,
            capabilities=self.info.capabilities,
            rules=lambda kind: self._rules(kind, policy),
            today=self.today,
            scope=request.scope,
            unasked={kind: on_request(kind) - self.config.asked(kind) for kind in KINDS},
            plan=await self._open_plan(report, kinds, request.scope),
            proven=frozenset(result.stream_id for result in staging.results if result.proves_absence),
            progress=lambda kind, number: self.meter.tell("deciding", kind, number),
        )
        await supersede(planner, staging.results)
        carry_out = not (request.strict or request.only_plan)
        await succeed(planner, integration=self.integration, actor=request.actor, carry_out=carry_out)
        async with self.store.read() as connection:
            emptied = await count_emptied(connection, self.integration_id, [it for it in staging.results if it.proves_absence])
        planner.emptied = {result.stream_id: result.school or "" for result in staging.results if result.stream_id in emptied}
        for result in staging.results:
            for kind, number in emptied.get(result.stream_id, {}).items():
                key = kind, result.school or ""
                planner.counts.emptied[key] = planner.counts.emptied.get(key, 0) + number
        changed = await self._policy_changed(fingerprint)
        # A new policy concerns all kinds, also those that this run does not decide about.
        await planner.nominate(self.info.capabilities.offered() if changed else kinds, everything=request.full or changed)
        for kind in (kind for kind in KINDS if kind in kinds):
            await planner.decide((kind,))
            async with self.store.write() as connection:
                await check_fence(connection, lease)
                await release_dependents(connection, self.integration_id)
        report.conflicts = planner.conflicts
        await self._remember_policy(fingerprint)
        return planner

    async def _open_plan(self, report: SyncReport, kinds: tuple[Kind, ...], scope: Scope) -> int:
        values = {"id": report.plan, "integration_id": self.integration_id, "operation_id": report.operation}
        values |= {"state": "open", "created_at": self.clock.now().isoformat(), "scope": json.dumps(as_stored(kinds, scope))}
        async with self.store.write() as connection:
            result = await connection.execute(insert(plan).values(**values).returning(plan.c.number))
            return int(result.scalar_one())

    def _rules(self, kind: Kind, policy: Policy) -> Rules:
        capabilities = self.info.capabilities.of(kind)
        return Rules(
            leaving=capabilities.leaving,
            reliable_updated_at=capabilities.reliable_updated_at,
            policy=policy,
            grace=timedelta(hours=self.config.absence_grace),
            now=self.clock.now(),
            today=self.today,
            history=capabilities.stint_history,
        )

    async def _policy_changed(self, fingerprint: str) -> bool:
        query = text("SELECT policy FROM sis_integration WHERE id = :i")
        async with self.store.read() as connection:
            known = (await connection.execute(query, {"i": self.integration_id})).scalar()
        return known is not None and known != fingerprint

    async def _remember_policy(self, fingerprint: str) -> None:
        async with self.store.write() as connection:
            values = {"i": self.integration_id, "p": fingerprint}
            await connection.execute(text("UPDATE sis_integration SET policy = :p WHERE id = :i AND policy IS NOT :p"), values)

    async def _guard(self, report: SyncReport, planner: Planner, staging: Staging, request: Request, *, first: Set[Kind]) -> None:
        """Evaluate every guard before anything is written (promise P3)."""
        counts, narrow = planner.counts, request.scope.schools or request.scope.students
        async with self.store.write() as connection:
            await check_fence(connection, planner.lease)
            await self._count_newly_bad(connection, report, planner, staging)
            if first < frozenset(KINDS):
                await mark_changes_of_id(
                    connection, self.integration_id, planner.plan, self.info.capabilities, counts, planner.contested
                )
            population = await census(connection, self.integration_id, counts, request.scope.schools)
            trips = evaluate(counts, population, first=first)
            report.holds = [
                Hold(**{**{name: getattr(hold, name) for name in hold.__slots__}, "integration": self.integration})
                for hold in await raise_holds(
                    connection, self.integration_id, planner.plan, trips, now=self.clock.now(), owner=request.actor,
                    judged=None if narrow else self._judged(report, staging), strict=request.strict,
                )
            ]  # fmt: skip
            await self._acknowledge(connection, report, {trip.kind for trip in trips if trip.guard == "quarantine"})
        if report.holds and report.status != "failed":
            report.status = "held"

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

    async def _summarise(self, report: SyncReport, planner: Planner) -> None:
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
        for kind, number in report.records.items():
            if isinstance(number, int):
                report.changes.setdefault(kind, {})["unchanged"] = max(0, number - touched[kind])
        for kind, number in planner.renamed.items():
            report.reasons.setdefault(kind, {})["renamed"] = number
        report.quarantined = await self._waiting()

    async def _waiting(self) -> int:
        """How many records wait in quarantine."""
        query = text("SELECT COUNT(*) FROM sis_quarantine WHERE integration_id = :i")
        async with self.store.read() as connection:
            return int((await connection.execute(query, {"i": self.integration_id})).scalar_one())
