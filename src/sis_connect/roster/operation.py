"""One operation, from its lease to its report, written down beginning and end."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import insert, text, update

from sis_connect import audit
from sis_connect.capabilities import Kind
from sis_connect.clock import Clock
from sis_connect.errors import ConflictError, SISError, StorageError
from sis_connect.roster.collecting import seldom_collecting
from sis_connect.roster.report import Meter, SyncReport
from sis_connect.store.elsewhere import demand_the_same
from sis_connect.store.lease import Lease, hold_lease
from sis_connect.store.sql import Store
from sis_connect.store.tables import operation as table
from sis_connect.traffic import Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """The operations of one integration. `kept_elsewhere` are the kinds that an app keeps in models of its own.

    `target_name` is that of a plugin's target and "" that of the built-in tables; what an app has declared has none.
    `notices` tells what was noticed beside the run, and `reports` are those of what was run.
    """

    store: Store
    integration_id: int
    integration: str
    clock: Clock
    today: date
    traffic: Traffic
    meter: Meter
    kept_elsewhere: frozenset[Kind] = frozenset()
    target_name: str | None = None
    notices: Callable[[], list[dict[str, Any]]] = list
    reports: list[SyncReport] = field(default_factory=list)

    @property
    def lease_name(self) -> str:
        """What only one may hold at a time."""
        return f"sync:{self.integration_id}"

    async def run(self, type_: str, actor: str, work: Callable[[SyncReport, Lease], Awaitable[None]]) -> SyncReport:
        """Run one operation, which fills in its report. An error becomes the report of a failed run."""
        report = SyncReport(operation=uuid.uuid4().hex, integration=self.integration)
        self.reports.append(report)
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
                    report.status = "failed"  # Ctrl-C, or a mistake in our own code: whoever started the run is told as it is
                    raise
                finally:
                    report.warnings += self.notices()
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
            await demand_the_same(connection, self.integration_id, self.kept_elsewhere, self.target_name)
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
