"""An app's office: a database, and the integrations in it, as a test drives them against a sandbox."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from sis_connect.capabilities import Kind
from sis_connect.clock import Clock
from sis_connect.discovery import Registry
from sis_connect.roster.report import SyncReport
from sis_connect.service import SISService
from sis_connect.settings import SISProviderConfig, validated
from sis_connect.testing.sandbox import RunningSandbox

Row = dict[str, Any]
#: What PowerSchool offers, in order of dependency.
OFFERED: tuple[Kind, ...] = (
    "schools", "terms", "courses", "staff", "students", "school_enrollments", "sections", "enrollments",
)  # fmt: skip
#: Few requests, and all that happens to students.
STUDENTS_ONLY: tuple[Kind, ...] = ("schools", "students", "school_enrollments")
_CALENDAR: Mapping[str, tuple[str, str]] = {
    "school_enrollments": ("entry_date", "exit_date"),
    "enrollments": ("begin_date", "end_date"),
}


def settings(sandbox: RunningSandbox, **more: Any) -> SISProviderConfig:
    """How to connect to a sandbox."""
    given = {"base_url": sandbox.base_url, "client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
    return validated({"provider": sandbox.provider, **given, **sandbox.settings, **more}, origin="a test")


@dataclass
class Office:
    """`database` is a file in a folder of its own, where the key that seals secrets lies too."""

    sandbox: RunningSandbox
    database: Path
    clock: Clock | None = None
    registry: Registry | None = None
    today: date | None = field(default=None)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.database}"

    def open(self) -> AbstractAsyncContextManager[SISService]:
        today = self.today or self.sandbox.date
        return SISService.open(self.url, today=today, clock=self.clock, registry=self.registry)

    async def connect(self, name: str = "lincoln", *, sandbox: RunningSandbox | None = None, **more: Any) -> None:
        async with self.open() as service:
            await service.create_integration(name, settings(sandbox or self.sandbox, **more))

    async def sync(self, name: str = "lincoln", **request: Any) -> SyncReport:
        async with self.open() as service:
            return await service.sync(name, **request)

    async def approve_all(self, name: str = "lincoln") -> list[SyncReport]:
        """Let everything through that waits for a person."""
        async with self.open() as service:
            return [await service.approve(hold.id, actor="a test") for hold in await service.holds(name)]

    async def roster(self, kind: Kind, name: str = "lincoln") -> dict[str, Row]:
        """The local roster of one kind, by `sis_id`."""
        async with self.open() as service:
            return {str(row["sis_id"]): row async for row in service.export(name, kind)}

    async def content(self, name: str = "lincoln") -> dict[str, dict[str, Row]]:
        """The whole local roster, without the local ids."""
        async with self.open() as service:
            return {
                kind: {str(row["sis_id"]): {**row, "id": None} async for row in service.export(name, kind)} for kind in OFFERED
            }

    async def active(self, kind: Kind = "students", name: str = "lincoln") -> set[str]:
        return {sis_id for sis_id, row in (await self.roster(kind, name)).items() if row["status"] == "active"}

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Look into the database by hand, or change something there."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def stored_bytes(self) -> bytes:
        """Everything that the database keeps on disk, its write-ahead log included."""
        return b"".join(path.read_bytes() for path in sorted(self.database.parent.glob(f"{self.database.name}*")))


def expected(sandbox: RunningSandbox, kind: Kind, fields: tuple[str, ...] = ()) -> dict[str, Row]:
    """What the local roster should hold of a kind on the sandbox's day: its truth, and what the calendar makes of that."""
    return {row["sis_id"]: _as_of(kind, row, sandbox.date) for row in sandbox.truth(kind, fields=fields)}


def _as_of(kind: Kind, truth: Row, today: date) -> Row:
    row = {"status": "active", **{name: value for name, value in truth.items() if name not in ("key", "derived")}}
    if kind in _CALENDAR and row["status"] == "active":
        begin, end = (row.get(name) for name in _CALENDAR[kind])
        if end is not None and end <= today.isoformat():
            return {**row, "status": "inactive", "status_reason": "ended"}
        if begin is not None and begin > today.isoformat():
            return {**row, "status": "scheduled"}
    return row


def differences(local: dict[str, Row], truth: dict[str, Row]) -> list[str]:
    """Where the local roster is not as expected, by record and field. Who was never here need not be."""
    found = []
    for sis_id, row in truth.items():
        mine = local.get(sis_id)
        if mine is None:
            found += [f"{sis_id} is missing"] if row["status"] != "inactive" else []
            continue
        for name in (mine.keys() | row.keys()) - {"id"}:
            if (mine.get(name) or None) != (row.get(name) or None):
                found.append(f"{sis_id}.{name}: {mine.get(name)!r} where the SIS has {row.get(name)!r}")
    here = {sis_id for sis_id, row in local.items() if row["status"] != "inactive"}
    return found + [f"{sis_id} is still {local[sis_id]['status']}" for sis_id in sorted(here - truth.keys())]
