"""The way back, and the why: undoing an operation, and explaining where a student stands."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, select

from sis_connect.capabilities import KINDS, Kind
from sis_connect.errors import ConfigurationError
from sis_connect.roster.explain import Explainer, Explanation
from sis_connect.roster.report import SyncReport
from sis_connect.roster.undo import INVERSE, Undone, undo
from sis_connect.service.ground import Ground, OnProgress
from sis_connect.store.tables import operation


class History(Ground):
    """Undo and explain."""

    async def undo(
        self,
        operation_id: str,
        *,
        kinds: Collection[Kind] | None = None,
        actions: Collection[str] | None = None,
        preview: bool = False,
        progress: OnProgress = None,
        actor: str = "",
    ) -> SyncReport:
        """Take back what an operation wrote, or only some `kinds` or `actions` of it, as far as nobody has changed it since.

        Whatever wrote can be undone, an undo too. It is a plan that the guards judge; with `preview`, nothing is written, and the
        report names the plan, which `apply` takes. The next sync neither repeats nor undoes it.
        """
        for given, known in ((kinds, KINDS), (actions, tuple(INVERSE))):
            unknown = [name for name in given or () if name not in known]
            if unknown:
                raise ConfigurationError(f"Nothing can be undone of {unknown[0]!r}.", remedy=f"There are: {', '.join(known)}.")
        row = await self._operation(operation_id)
        name = await self._integrations.name_of(row.integration_id)
        self._demand(actor, "undo", name)
        undone = Undone(
            operation=row.id,
            started_at=datetime.fromisoformat(row.started_at),
            kinds=tuple(kinds) if kinds else KINDS,
            actions=tuple(actions) if actions else tuple(INVERSE),
        )
        async with self._synchroniser(name, progress, offline=True) as run:
            report = await undo(run, undone, actor=actor, preview=preview)
        if not preview:
            await self._integrations.note_status(name, report)
        return report

    async def explain(self, name: str, *, student: str, section: str | None = None) -> Explanation:
        """Why a student is on the roster, or is not; with `section`, on the roster of that section. Nothing is read from the SIS.

        `student` and `section` are ids in the SIS, or one of their other ids or numbers. Raises `ConfigurationError` where
        several go by it. The answer holds no names and no other fields of the student.
        """
        async with Ground._synchroniser(self, name, None, offline=True) as run:
            explainer = Explainer(
                integration_id=run.integration_id,
                integration=name,
                target=run.target,
                capabilities=run.info.capabilities,
                grace=run.config.absence_grace,
                today=run.today,
            )
        async with self._store.read() as connection:
            return await explainer.explain(connection, student.strip(), section.strip() if section is not None else None)

    async def _operation(self, operation_id: str) -> Row[Any]:
        query = (
            select(operation.c.id, operation.c.integration_id, operation.c.started_at)
            .where(operation.c.id.startswith(operation_id, autoescape=True))
            .limit(2)
        )
        async with self._store.read() as connection:
            rows = (await connection.execute(query)).all()
        if len(rows) != 1 or not operation_id:
            found = "More than one operation begins" if rows else "There is no operation that begins"
            raise ConfigurationError(f"{found} with {operation_id!r}.", remedy="See `sis-connect operations` for the ids.")
        return cast("Row[Any]", rows[0])
