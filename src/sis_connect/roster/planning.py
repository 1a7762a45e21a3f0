"""Reading and deciding: what a run does before anything is written to the roster."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import insert, text

from sis_connect.capabilities import KINDS, Kind
from sis_connect.custom_fields import of_kind
from sis_connect.errors import ProviderError
from sis_connect.provider import Scope
from sis_connect.records import on_request
from sis_connect.roster.census import count_emptied
from sis_connect.roster.conflict import Policy
from sis_connect.roster.documents import Unasked
from sis_connect.roster.guarding import Guarding, Request
from sis_connect.roster.holds import release_dependents
from sis_connect.roster.merge import Rules
from sis_connect.roster.plan import Planner
from sis_connect.roster.pull import Pull, count_records, judge_pull, kinds_to_read
from sis_connect.roster.report import SyncReport
from sis_connect.roster.rollover import NOT_WHOLE, demand_new_year, school_year_of, turn_as_planned
from sis_connect.roster.scopes import as_stored, covers
from sis_connect.roster.stage import Staging
from sis_connect.roster.succession import succeed
from sis_connect.roster.years import supersede
from sis_connect.store.lease import Lease, check_fence
from sis_connect.store.tables import plan

__all__ = ["Planning", "Request"]


@dataclass(slots=True, kw_only=True)
class Planning(Guarding):
    """Reads and plans."""

    # -- reading -------------------------------------------------------------------------------------------------------

    async def read_and_plan(self, report: SyncReport, lease: Lease, request: Request) -> tuple[Planner, Staging] | None:
        kinds = kinds_to_read(self.info, request.kinds, self.config.fields)
        request = replace(request, scope=await self._in_its_year(request))
        staging = await self._read(report, lease, request, kinds)
        if request.scope.students is not None or request.scope.schools is not None:
            # What the provider can tell of some schools or students is all that such a read is about.
            kinds = tuple(kind for kind in kinds if any(kind in result.kinds for result in staging.results))
        judge_pull(report, staging, kinds)
        await count_records(report, staging, self.info.capabilities, kinds)
        report.quarantined = await self.waiting()
        if report.status == "failed":
            return None
        if request.to is not None:
            await demand_new_year(self.store, self.integration_id, staging, request.to)
            if report.incomplete and not request.only_plan:
                report.warnings.append(dict(NOT_WHOLE))
                return None  # what the last year leaves over would be told by guessing (promise P1)
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
        await self.guard(report, planner, request, staging=staging, first=first)
        await self.summarise(report, planner)
        if request.to is not None and not (request.only_plan or (report.holds and request.strict)):
            # From here on there is no way back: should this run be interrupted, the next sync goes on in the new year.
            await turn_as_planned(self.store, lease, planner.plan)
        return planner, staging

    async def _in_its_year(self, request: Request) -> Scope:
        """The scope, with the school year to read: that of a roll-over, else the later of the last one's and the settings'."""
        if request.to is not None:
            return replace(request.scope, school_year=request.to)
        async with self.store.read() as connection:
            turned_to = await school_year_of(connection, self.integration_id)
        years = [year for year in (turned_to, request.scope.school_year) if year is not None]
        return replace(request.scope, school_year=max(years, default=None))

    async def _read(self, report: SyncReport, lease: Lease, request: Request, kinds: tuple[Kind, ...]) -> Staging:
        if self.provider is None:
            raise ProviderError("There is no open provider to read from.")
        provider, every = self.provider, self.config.full_every
        pull = Pull(
            provider=provider, info=self.info, kinds=kinds, scope=request.scope, meter=self.meter,
            patience=self.config.budget, under_way=self.traffic.under_way,
        )  # fmt: skip
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
                custom=self.config.custom,
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

    async def open_planner(
        self,
        report: SyncReport,
        lease: Lease,
        *,
        kinds: tuple[Kind, ...] = (),
        scope: Scope | None = None,
        proven: frozenset[int] = frozenset(),
        only: Mapping[Kind, Set[str]] | None = None,
        to: int | None = None,
    ) -> Planner:
        """A new plan, with nothing in it yet. Whoever applies it turns the roster to the school year `to`."""
        policy, scope = self._policy(), scope or Scope()
        report.plan = uuid.uuid4().hex
        return Planner(
            store=self.store,
            target=self.target,
            integration_id=self.integration_id,
            lease=lease,
            clock=self.clock,
            capabilities=self.info.capabilities,
            rules=lambda kind: self._rules(kind, policy),
            today=self.today,
            scope=scope,
            unasked={kind: self._unasked(kind) for kind in KINDS},
            plan=await self._open_plan(report, kinds, scope, to),
            proven=proven,
            only=only,
            progress=lambda kind, number: self.meter.tell("deciding", kind, number),
        )

    def _unasked(self, kind: Kind) -> Unasked:
        custom = frozenset(each.name for each in of_kind(self.config.custom, kind))
        return Unasked(on_request(kind) - self.config.asked(kind), custom)

    def _policy(self) -> Policy:
        return Policy(self.config.strategy, self.config.policies, self.strategies)

    async def _plan(
        self, report: SyncReport, lease: Lease, request: Request, kinds: tuple[Kind, ...], staging: Staging
    ) -> Planner:
        policy = self._policy()
        fingerprint = json.dumps([policy.strategy, {name: rule.model_dump() for name, rule in sorted(policy.fields.items())}])
        proven = frozenset(result.stream_id for result in staging.results if result.proves_absence)
        to = None if report.incomplete else request.to
        planner = await self.open_planner(report, lease, kinds=kinds, scope=request.scope, proven=proven, to=to)
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
        await self._remember_policy(fingerprint)
        return planner

    async def _open_plan(self, report: SyncReport, kinds: tuple[Kind, ...], scope: Scope, to: int | None) -> int:
        values = {"id": report.plan, "integration_id": self.integration_id, "operation_id": report.operation}
        values |= {"state": "open", "created_at": self.clock.now().isoformat()}
        values["scope"] = json.dumps(as_stored(kinds, scope) | ({"to": to} if to is not None else {}))
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
