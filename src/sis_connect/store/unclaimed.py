"""People whom the app had before the SIS told of them: rows that belong to no record yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol, runtime_checkable

from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.store.target import LocalRow, RosterTarget


@runtime_checkable
class Matching(RosterTarget, Protocol):
    """A target that can be asked for them. `match_email` says whether an e-mail address may tell who somebody is."""

    match_email: bool

    async def any_unclaimed(self, connection: AsyncConnection, kind: Kind) -> bool:
        """Whether there is anybody at all."""
        ...

    async def find_unclaimed(
        self, connection: AsyncConnection, kind: Kind, wanted: Mapping[str, Collection[str]]
    ) -> dict[str, LocalRow]:
        """Those who have one of these values in one of these fields, by local id.

        Fields are flat, as in `ids.student_number`; `emails` and `email` are compared without regard to case. A field that the
        target does not keep finds nobody.
        """
        ...

    async def load_unclaimed(self, connection: AsyncConnection, kind: Kind, local_ids: Collection[str]) -> dict[str, LocalRow]:
        """Those of these who belong to no record yet, by local id."""
        ...

    async def claim(self, connection: AsyncConnection, kind: Kind, names: Mapping[str, str]) -> None:
        """Let rows belong to records from now on (local id: `sis_id`), where they lie in this database."""
        ...
