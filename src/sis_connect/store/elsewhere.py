"""Targets whose rows lie in somebody else's database: they are written in transactions of their own, not in ours.

Nothing there can be committed together with our mapping. So a batch is handed over first and remembered afterwards; if we die in
between, it is handed over again. The key that a row there carries tells that it was written before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol, runtime_checkable

from sqlalchemy import Table, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Kind
from sis_connect.errors import ConfigurationError
from sis_connect.store.creations import Outcome, Write
from sis_connect.store.tables import integration, mappings, rosters
from sis_connect.store.target import LocalRow, RosterTarget


@dataclass(frozen=True, slots=True)
class Moment:
    """When something is written: `at` is UTC, `today` the day of the district."""

    at: datetime
    today: date


@dataclass(slots=True)
class Written:
    """What became of a batch: `outcomes` of what was written, `moved` what somebody had changed meanwhile, and `refused` what
    failed, with the kind of error, never its text: a database quotes values in it (promise P7)."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)


@runtime_checkable
class Elsewhere(RosterTarget, Protocol):
    """A target with transactions of its own, for some kinds. `batch_size` records go into one of them."""

    batch_size: int

    def keeps(self, kind: Kind) -> bool:
        """Whether the records of this kind lie there. What it does not keep lies in the built-in tables."""
        ...

    def fields(self, kind: Kind) -> frozenset[str]:
        """The fields that it keeps of a kind, flat: what it has no place for is neither written nor compared."""
        ...

    async def page(self, connection: AsyncConnection, kind: Kind, after: str) -> dict[str, LocalRow]:
        """The next rows after a `sis_id`, in the order of their `sis_id`s; none after the last."""
        ...

    async def write(self, kind: Kind, writes: Sequence[Write], moment: Moment) -> Written:
        """Create and update rows in one transaction; one record that fails leaves the others alone."""
        ...

    async def rename_there(self, kind: Kind, names: Mapping[str, str]) -> Collection[str]:
        """As `Renaming.rename`, in a transaction of its own."""
        ...


async def demand_the_same(connection: AsyncConnection, integration_id: int, kept: frozenset[Kind], name: str | None) -> None:
    """Refuse to work with another target than the one that keeps this roster, and remember which one that is.

    All that the former holds would look like deleted (promise P6), or be created once more in the other. That goes for a kind,
    too, which the same target has come to keep. `kept` are the kinds that it keeps outside the built-in tables. `name` is that of
    a plugin's target and "" that of the built-in tables; what an app has declared has none, since a plugin may bring the same for
    the command line.
    """
    query = select(integration.c.kept_elsewhere, integration.c.target).where(integration.c.id == integration_id)
    found = (await connection.execute(query)).first()
    known, before = (frozenset((found.kept_elsewhere or "").split()), found.target or "") if found else (frozenset(), "")
    if name not in (None, before):
        if not await _any_row(connection, mappings, KINDS, integration_id):
            known = frozenset()  # nothing is kept anywhere yet
        elif before:
            raise ConfigurationError(
                f"The target {before} keeps the roster of this integration, and its settings name {name or 'none'} now.",
                remedy=f"Set target to {before} again, or connect the district under another name to begin anew.",
            )
        elif await _any_row(connection, rosters, kept or KINDS, integration_id):
            raise ConfigurationError(
                f"The built-in tables keep the roster of this integration, and its settings name the target {name} now.",
                remedy="Take the setting target out again, or connect the district under another name to begin anew.",
            )
    if missing := sorted(known - kept):
        raise ConfigurationError(
            f"An app keeps the {' and '.join(missing)} of this integration in models of its own, and they are not here.",
            remedy="Run this from the app, whose service is opened with target= or targets=, or give the setting target.",
        )
    if moved := [kind for kind in sorted(kept - known) if await _mapped_here(connection, kind, integration_id)]:
        raise ConfigurationError(
            f"The target of this integration keeps {' and '.join(moved)} now, which the built-in tables have kept until now.",
            remedy="Go back to the version of it that leaves them out, or connect the district under another name to begin anew.",
        )
    values = {"kept_elsewhere": " ".join(sorted(known | kept)) or None, "target": (before if name is None else name) or None}
    if found is not None and values != {"kept_elsewhere": found.kept_elsewhere, "target": found.target}:
        await connection.execute(update(integration).where(integration.c.id == integration_id).values(**values))


async def _mapped_here(connection: AsyncConnection, kind: Kind, integration_id: int) -> bool:
    """Whether records of this kind lie in the built-in tables."""
    here, known = rosters[kind], mappings[kind]
    same = (here.c.integration_id == known.c.integration_id) & (here.c.sis_id == known.c.sis_id)
    query = select(exists().where(known.c.integration_id == integration_id).where(same))
    return bool((await connection.execute(query)).scalar())


async def _any_row(connection: AsyncConnection, tables: Mapping[Kind, Table], kinds: Iterable[Kind], integration_id: int) -> bool:
    there = [exists().where(tables[kind].c.integration_id == integration_id) for kind in kinds]
    return bool((await connection.execute(select(or_(*there)))).scalar())


def kept_elsewhere(target: object) -> frozenset[Kind]:
    """The kinds that a target keeps outside the built-in tables."""
    return frozenset(kind for kind in KINDS if target.keeps(kind)) if isinstance(target, Elsewhere) else frozenset()
