"""One operation, from its lease to its report, written down beginning and end."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date

from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect import audit
from sis_connect.capabilities import Kind
from sis_connect.clock import Clock
from sis_connect.errors import ConfigurationError, ConflictError, SISError, StorageError
from sis_connect.roster.collecting import seldom_collecting
from sis_connect.roster.report import Meter, SyncReport
from sis_connect.store.lease import Lease, hold_lease
from sis_connect.store.sql import Store
from sis_connect.store.tables import integration
from sis_connect.store.tables import operation as table
from sis_connect.traffic import Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """The operations of one integration. `kept_elsewhere` are the kinds that an app keeps in models of its own."""

    store: Store
    integration_id: int
    integration: str
    clock: Clock
    today: date
    traffic: Traffic
    meter: Meter
    kept_elsewhere: frozenset[Kind] = frozenset()

    @property
    def lease_name(self) -> str:
        """What only one may hold at a time."""
        return f"sync:{self.integration_id}"

    async def run(self, type_: str, actor: str, work: Callable[[SyncReport, Lease], Awaitable[None]]) -> SyncReport:
        """Run one operation, which fills in its report. An error becomes the report of a failed run."""
        report = SyncReport(operation=uuid.uuid4().hex, integration=self.integration)
        started = self.clock.monotonic()
        try:
            async with hold_lease(
                self.store,
                self.lease_name,
                self.clock,
                waiting=lambda seconds: self.meter.tell("waiting", "lease", int(seconds)),
            ) as lease:
                await self._open(report, type_, actor)
                try:
                    with seldom_collecting():
                        await work(report, lease)
                except SISError as error:
                    self._fail(report, error)
                except BaseException:
                    report.status = "failed"  # Ctrl-C, or a mistake in a plugin: whoever started the run is told as it is
                    raise
                finally:
                    report.requests, report.bytes = self.traffic.requests, self.traffic.bytes
                    report.seconds = self.clock.monotonic() - started
                    await self._close(report, type_, actor)
        except (ConflictError, StorageError) as error:
            if isinstance(error.__context__, asyncio.CancelledError):
                raise error.__context__ from error  # whoever cancelled the run is told that it is
            self._fail(report, error)
            report.seconds = self.clock.monotonic() - started
        return report

    def _fail(self, report: SyncReport, error: SISError) -> None:
        report.status, report.error = "failed", error.within(integration=self.integration, operation=report.operation)

    async def _open(self, report: SyncReport, type_: str, actor: str) -> None:
        # Whoever holds the lease is the only one at work: what still calls itself running was interrupted.
        interrupted = "UPDATE sis_sync_operation SET status = 'interrupted' WHERE integration_id = :i AND status = 'running'"
        async with self.store.write() as connection:
            await self._demand_its_app(connection)
            await connection.execute(text(interrupted), {"i": self.integration_id})
            await connection.execute(
                insert(table).values(
                    id=report.operation,
                    integration_id=self.integration_id,
                    type=type_,
                    actor=actor,
                    status="running",
                    school_date=self.today.isoformat(),
                    started_at=self.clock.now().isoformat(),
                )
            )

    async def _demand_its_app(self, connection: AsyncConnection) -> None:
        """Refuse to work without the models that keep this roster: all that they hold would look like deleted (promise P6)."""
        query = select(integration.c.kept_elsewhere).where(integration.c.id == self.integration_id)
        known = frozenset(((await connection.execute(query)).scalar() or "").split())
        if missing := sorted(known - self.kept_elsewhere):
            raise ConfigurationError(
                f"An app keeps the {' and '.join(missing)} of this integration in models of its own, and they are not here.",
                remedy="Run this from the app, whose service is opened with target= or targets=.",
            )
        if self.kept_elsewhere - known:
            kept = " ".join(sorted(self.kept_elsewhere | known))
            await connection.execute(
                update(integration).where(integration.c.id == self.integration_id).values(kept_elsewhere=kept)
            )

    async def _close(self, report: SyncReport, type_: str, actor: str) -> None:
        name = "plan" if type_ == "plan" else "operation"
        values = {
            "status": report.status,
            "finished_at": self.clock.now().isoformat(),
            "report": json.dumps(report.as_dict(name=name)),
        }
        async with self.store.write() as connection:
            await connection.execute(update(table).where(table.c.id == report.operation).values(**values))
            await self.traffic.save(connection, report.operation)
            await audit.record(
                connection,
                at=self.clock.now(),
                actor=actor,
                action=f"{type_}.{report.status}",
                integration=self.integration,
                detail={"operation": report.operation, "changes": report.changes, "held": report.held},
            )
