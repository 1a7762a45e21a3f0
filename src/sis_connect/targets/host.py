"""The target for a host app's own SQLAlchemy models, with sessions of the app's own, in async code or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from sis_connect.capabilities import Kind
from sis_connect.errors import ConfigurationError, StorageError
from sis_connect.hosting.faults import raise_alone
from sis_connect.store.creations import Write
from sis_connect.store.elsewhere import Moment, Written
from sis_connect.store.renames import referring_to
from sis_connect.store.target import BuiltInTarget, LocalRow
from sis_connect.targets.batches import AWAY, Batch, local_names
from sis_connect.targets.edits import Agreed, known_statuses, stated
from sis_connect.targets.models import Model, demand
from sis_connect.targets.rows import Rows

T = TypeVar("T")
#: How many rows are compared at a time, to find those that the app has changed.
PAGE = 2000


class SQLAlchemyTarget:
    """Keeps records in a host app's own models: which kind in which `Model`. Other kinds stay in the built-in tables.

    `sessions` is the app's `sessionmaker` or `async_sessionmaker`; sessions of the former are used in a thread. Give it to
    `SISService.open(target=...)` for all integrations, or to `targets={name: ...}` for some.
    """

    def __init__(self, sessions: Callable[[], Session] | Callable[[], AsyncSession], models: Mapping[Kind, Model]) -> None:
        for kind, model in models.items():
            demand(kind, model)
        for kind, model in models.items():
            _demand_owners(kind, model, models)
        #: The app's own sessions, and which kind is kept in which of its models.
        self.sessions, self.models = sessions, dict(models)

    @property
    def tells_apart(self) -> bool:
        """Whether all of its models tell the rows of one integration from those of another."""
        return all(model.integration is not None for model in self.models.values())

    def bind(self, integration_id: int, integration: str, *, batch_size: int = 200, match_email: bool = False) -> HostTarget:
        """The target of one integration."""
        kinds = {kind: Rows(kind, model, integration) for kind, model in self.models.items()}
        return HostTarget(self.sessions, kinds, integration_id, batch_size=batch_size, match_email=match_email)


def _demand_owners(kind: Kind, model: Model, models: Mapping[Kind, Model]) -> None:
    for name, place in model.placed.items():
        rows = Rows(kind, model, "")
        if place.refers and not any(owner in models for owner in rows.owner_kinds(name)):
            raise ConfigurationError(
                f"{name} of {kind} refers to rows that are not in the app.", remedy="Map that kind, too, or leave refers out."
            )


class HostTarget(BuiltInTarget):
    """The app's rows of one integration, and the built-in tables for the kinds that the app has no model for."""

    def __init__(
        self,
        sessions: Callable[[], Session] | Callable[[], AsyncSession],
        kinds: Mapping[Kind, Rows],
        integration_id: int,
        *,
        batch_size: int,
        match_email: bool,
    ) -> None:
        super().__init__(integration_id, match_email=match_email)
        self._sessions, self._kinds = sessions, kinds
        self.batch_size = batch_size

    # -- sessions ------------------------------------------------------------------------------------------------------

    async def _run(self, work: Callable[[Session], T], *, writing: bool = False) -> T:
        """Do some work in a session of the app's own, in one transaction."""

        def begun(session: Session) -> T:
            _begin(session, self._kinds, writing=writing)
            return work(session)

        def in_thread(session: Session) -> T:
            with session, session.begin():
                return begun(session)

        try:
            session = self._sessions()
            if isinstance(session, AsyncSession):
                async with session, session.begin():
                    return await session.run_sync(begun)
            return await asyncio.to_thread(in_thread, session)
        # What a database says quotes the values that it was given (promise P7).
        except AWAY as error:
            raise_alone(
                StorageError(
                    f"The app's own database refused to work ({type(error).__name__}).",
                    remedy="Check that it is running and has all of the models' columns, then run the same command again.",
                    retryable=True,
                )
            )
        except DBAPIError as error:
            raise_alone(
                StorageError(
                    f"The app's own database refused an operation ({type(error.orig).__name__}).",
                    remedy="Check that the models that were given fit its tables.",
                )
            )

    # -- what lies elsewhere -------------------------------------------------------------------------------------------

    def keeps(self, kind: Kind) -> bool:
        return kind in self._kinds

    def fields(self, kind: Kind) -> frozenset[str]:
        return self._kinds[kind].kept

    async def page(self, connection: AsyncConnection, kind: Kind, after: str) -> dict[str, LocalRow]:
        return await self._stated(connection, kind, await self._page(self._kinds[kind], after))

    async def _page(self, rows: Rows, after: str) -> dict[str, LocalRow]:
        return await self._run(lambda session: self._local(session, rows, rows.page(session, after, PAGE)))

    async def write(self, kind: Kind, writes: Sequence[Write], moment: Moment) -> Written:
        def work(session: Session) -> Written:
            batch = Batch(session, self._kinds, self._kinds[kind], moment)
            batch.write(writes)
            return batch.written

        return await self._run(work, writing=True)

    # -- the target's port ---------------------------------------------------------------------------------------------

    async def find(self, connection: AsyncConnection, kind: Kind, sis_ids: Sequence[str]) -> dict[str, LocalRow]:
        if kind not in self._kinds:
            return await super().find(connection, kind, sis_ids)
        rows = self._kinds[kind]
        if not sis_ids:
            return {}
        found = await self._run(lambda session: self._local(session, rows, rows.by_key(session, sis_ids)))
        return await self._stated(connection, kind, found)

    async def _stated(self, connection: AsyncConnection, kind: Kind, found: Mapping[str, LocalRow]) -> dict[str, LocalRow]:
        """The same rows with their statuses, also where the app's columns do not tell."""
        known = await known_statuses(connection, kind, self._integration, found) if found else {}
        return {sis_id: replace(row, document=stated(row.document, known.get(sis_id))) for sis_id, row in found.items()}

    def _local(self, session: Session, rows: Rows, found: Mapping[str, Any]) -> dict[str, LocalRow]:
        names = local_names(session, self._kinds, rows.referred(found.values()))
        local: dict[str, LocalRow] = {}
        for name, row in found.items():
            document = rows.document(row, names)
            local[name] = LocalRow(rows.local_id(row), document, rows.edited_at(row), rows.version(document), rows.edits(row))
        return local

    async def settle(self, connection: AsyncConnection, kind: Kind, sis_ids: Sequence[str]) -> None:
        if kind not in self._kinds:
            await super().settle(connection, kind, sis_ids)

    async def nominate(self, connection: AsyncConnection, kind: Kind) -> None:
        if kind not in self._kinds:
            await super().nominate(connection, kind)
            return
        rows, agreed = self._kinds[kind], Agreed(connection, self._integration, kind)
        expected = await agreed.number()
        if not expected:
            return
        since = await agreed.last_looked_at() if rows.model.edited_at else None
        if since is not None and await self._run(rows.number) >= expected:
            await agreed.nominate(await self._run(lambda session: rows.changed_since(session, since)))
        else:
            await agreed.compare(self._pages(rows), rows.kept)

    async def _pages(self, rows: Rows) -> AsyncIterator[Mapping[str, Mapping[str, Any]]]:
        """All rows as documents, some at a time."""
        after = ""
        while page := await self._page(rows, after):
            yield {sis_id: row.document for sis_id, row in page.items()}
            after = list(page)[-1]

    # -- other ids -----------------------------------------------------------------------------------------------------

    async def rename_there(self, kind: Kind, names: Mapping[str, str]) -> Collection[str]:
        def work(session: Session) -> Collection[str]:
            refused = self._kinds[kind].rename(session, names) if kind in self._kinds else []
            renamed = {former: new for former, new in names.items() if former not in refused}
            for by in referring_to(kind):
                if by.kind in self._kinds:
                    self._kinds[by.kind].rename_references(session, by, renamed)
            return refused

        return await self._run(work, writing=True)

    async def rename(self, connection: AsyncConnection, kind: Kind, names: Mapping[str, str]) -> Collection[str]:
        """What refers to these rows from the built-in tables; the rows themselves go by other ids already."""
        return await BuiltInTarget(self._integration).rename(connection, kind, names)

    # -- people whom the app knew before -------------------------------------------------------------------------------

    async def any_unclaimed(self, connection: AsyncConnection, kind: Kind) -> bool:
        if kind not in self._kinds:
            return await super().any_unclaimed(connection, kind)
        return await self._run(self._kinds[kind].any_unclaimed)

    async def find_unclaimed(
        self, connection: AsyncConnection, kind: Kind, wanted: Mapping[str, Collection[str]]
    ) -> dict[str, LocalRow]:
        if kind not in self._kinds:
            return await super().find_unclaimed(connection, kind, wanted)
        rows = self._kinds[kind]
        return await self._run(lambda session: self._by_local_id(session, rows, rows.unclaimed(session, wanted)))

    async def load_unclaimed(self, connection: AsyncConnection, kind: Kind, local_ids: Collection[str]) -> dict[str, LocalRow]:
        if kind not in self._kinds:
            return await super().load_unclaimed(connection, kind, local_ids)
        rows = self._kinds[kind]

        def work(session: Session) -> dict[str, LocalRow]:
            found = rows.by_identity(session, local_ids).values()
            return self._by_local_id(session, rows, (row for row in found if getattr(row, rows.model.key) is None))

        return await self._run(work)

    def _by_local_id(self, session: Session, rows: Rows, found: Iterable[Any]) -> dict[str, LocalRow]:
        local = self._local(session, rows, {rows.local_id(row): row for row in found})
        return {local_id: replace(row, document=stated(row.document, None)) for local_id, row in local.items()}

    async def claim(self, connection: AsyncConnection, kind: Kind, names: Mapping[str, str]) -> None:
        if kind not in self._kinds:
            await super().claim(connection, kind, names)


def _begin(session: Session, kinds: Mapping[Kind, Rows], *, writing: bool) -> None:
    """Begin in fact: the SQLite driver would wait for the first statement that writes, and savepoints would end on their own."""
    for rows in kinds.values():
        connection = session.connection(bind_arguments={"mapper": rows.model.mapper})
        driver = connection.connection.driver_connection
        if connection.dialect.name == "sqlite" and not getattr(driver, "in_transaction", True):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
