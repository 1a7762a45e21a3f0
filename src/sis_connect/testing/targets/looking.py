"""Looking into an app past its target: what really stands in its rows, and what its own people do with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from sis_connect.capabilities import Kind
from sis_connect.roster.documents import flatten
from sis_connect.store.sql import Store
from sis_connect.store.tables import roster_fields
from sis_connect.store.target import from_column as from_roster
from sis_connect.store.target import to_column as to_roster
from sis_connect.targets.host import SQLAlchemyTarget
from sis_connect.targets.models import Model, from_column, owner_of, to_column

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AppRow:
    """A row as the app itself sees it. `local_id` is what the target calls it, `fields` what it shows of the record, by flat
    names (`ids.student_number`), without what is blank."""

    sis_id: str
    local_id: str
    fields: Mapping[str, Any] = field(repr=False)


class AppRows(Protocol):
    """How to look into an app. Each method is told for which integration, by its name."""

    async def rows(self, kind: Kind, integration: str) -> list[AppRow]:
        """All rows of a kind that carry a `sis_id`, however many carry the same one."""
        ...

    async def edit(self, kind: Kind, integration: str, sis_id: str, fields: Mapping[str, Any]) -> None:
        """What somebody does in the app: change fields of a row, by flat names."""
        ...

    async def delete(self, kind: Kind, integration: str, sis_id: str) -> None:
        """What somebody does in the app: delete a row."""
        ...


@dataclass(frozen=True)
class ModelRows:
    """Rows of an app's own SQLAlchemy models."""

    target: SQLAlchemyTarget

    async def rows(self, kind: Kind, integration: str) -> list[AppRow]:
        def work(session: Session) -> list[AppRow]:
            model = self.target.models[kind]
            found = session.scalars(select(model.model).where(*_ours(model, integration)))
            return [self._shown(session, kind, model, row) for row in found if getattr(row, model.key) is not None]

        return await self._run(work)

    async def edit(self, kind: Kind, integration: str, sis_id: str, fields: Mapping[str, Any]) -> None:
        def work(session: Session) -> None:
            model = self.target.models[kind]
            row = session.scalars(select(model.model).where(*_ours(model, integration, sis_id))).one()
            for name, value in fields.items():
                place = model.placed[name]
                setattr(row, place.attribute, to_column(model, place, value))

        await self._run(work)

    async def delete(self, kind: Kind, integration: str, sis_id: str) -> None:
        def work(session: Session) -> None:
            model = self.target.models[kind]
            session.delete(session.scalars(select(model.model).where(*_ours(model, integration, sis_id))).one())

        await self._run(work)

    def _shown(self, session: Session, kind: Kind, model: Model, row: Any) -> AppRow:
        shown: dict[str, Any] = {}
        for name, place in model.placed.items():
            value = getattr(row, place.attribute)
            if place.refers and value is not None:
                owner = owner_of(
                    kind, name, str(getattr(row, role.attribute) if (role := model.placed.get("role")) else "student")
                )
                theirs = self.target.models[owner] if owner else model
                shown[name] = getattr(session.get_one(theirs.model, value), theirs.key)
            elif place.write is None or place.read is not None:
                shown[name] = from_column(place, value)
        gone = (model.active and not getattr(row, model.active)) or (
            model.withdrawn and getattr(row, model.withdrawn) is not None
        )
        if "status" not in shown and (model.active or model.withdrawn):
            shown["status"] = "inactive" if gone else "active"
        fields = {name: value for name, value in shown.items() if value is not None}
        return AppRow(getattr(row, model.key), str(getattr(row, model.identity)), fields)

    async def _run(self, work: Callable[[Session], T]) -> T:
        session = self.target.sessions()
        if isinstance(session, AsyncSession):
            async with session, session.begin():
                return await session.run_sync(work)

        def in_thread() -> T:
            with session, session.begin():
                return work(session)

        return await asyncio.to_thread(in_thread)


def _ours(model: Model, integration: str, sis_id: str | None = None) -> list[Any]:
    named = {**model.where, **({model.integration: integration} if model.integration else {})}
    named |= {model.key: sis_id} if sis_id is not None else {}
    return [getattr(model.model, name) == value for name, value in named.items()]


@dataclass(frozen=True)
class BuiltInRows:
    """Rows of the built-in `roster_*` tables."""

    store: Store

    async def rows(self, kind: Kind, integration: str) -> list[AppRow]:
        query = text(f"SELECT * FROM roster_{kind} WHERE integration_id = {_ID}")
        async with self.store.read() as connection:
            found = (await connection.execute(query, {"integration": integration})).mappings().all()
        rows = []
        for row in found:
            shown = {name: from_roster(name, row[name]) for name in roster_fields(kind) if row[name] is not None}
            rows.append(AppRow(row["sis_id"], str(row["id"]), flatten(shown)))
        return rows

    async def edit(self, kind: Kind, integration: str, sis_id: str, fields: Mapping[str, Any]) -> None:
        assigned = ", ".join(f'"{name}" = :{name}' for name in fields)
        values = {name: to_roster(name, value) for name, value in fields.items()}
        await self._write(f"UPDATE roster_{kind} SET {assigned}", integration, sis_id, values)

    async def delete(self, kind: Kind, integration: str, sis_id: str) -> None:
        await self._write(f"DELETE FROM roster_{kind}", integration, sis_id, {})

    async def _write(self, statement: str, integration: str, sis_id: str, values: Mapping[str, Any]) -> None:
        which = f"WHERE sis_id = :sis_id AND integration_id = {_ID}"
        async with self.store.write() as connection:
            await connection.execute(text(f"{statement} {which}"), {**values, "sis_id": sis_id, "integration": integration})


_ID = "(SELECT id FROM sis_integration WHERE name = :integration)"
