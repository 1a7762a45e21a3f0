"""Targets whose rows lie in somebody else's database: they are written in transactions of their own, not in ours.

Nothing there can be committed together with our mapping. So a batch is handed over first and remembered afterwards; if we die in
between, it is handed over again. The key that a row there carries tells that it was written before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol, runtime_checkable

from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import KINDS, Kind
from sis_connect.store.creations import Outcome, Write
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


def kept_elsewhere(target: object) -> frozenset[Kind]:
    """The kinds that a target keeps outside the built-in tables."""
    return frozenset(kind for kind in KINDS if target.keeps(kind)) if isinstance(target, Elsewhere) else frozenset()
