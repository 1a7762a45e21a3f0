"""Reads of changes only: what they may begin from, what they brought, and what is known of a stream afterwards.

A stream that was read whole not long ago, and that has a mark, may be asked for what changed since. What it then does not list
has not changed: nobody is missing for not being listed (promise P1), and nothing is looked at but the rows that came.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sis_connect.roster.fingerprints import Fingerprints, every

#: The share of the time between two reads of everything after which the next one is due. Nobody who reads every night begins on
#: the second.
PUNCTUAL = 0.98


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of a stream beside its rows: where its changes begin, when it was read whole, and by which mapping."""

    mark: str | None = None
    full_at: str | None = None
    mapping_version: str | None = None

    def after_all(self, mark: str | None, *, mapping_version: str, resumed: bool) -> Standing:
        """What is known after everything was read and proved complete. A read that was interrupted knows no mark of its own.

        It was read whole only once what follows from it is decided (see `count_as_whole`): until then, everything is read again.
        """
        return Standing(mark=self.mark if resumed else mark, full_at=None, mapping_version=mapping_version)

    def after_changes(self, mark: str | None, *, resumed: bool) -> Standing:
        """What is known after the changes were read to their end."""
        kept = self.mark if resumed else mark or self.mark
        return Standing(mark=kept, full_at=self.full_at, mapping_version=self.mapping_version)


def full_due(full_at: str, hours: float) -> datetime:
    """When a stream is to be read whole again."""
    return datetime.fromisoformat(full_at) + timedelta(hours=hours)


def is_fresh(full_at: str, hours: float, now: datetime) -> bool:
    """Whether a stream was read whole so lately that its changes will do."""
    return 0 <= (now - datetime.fromisoformat(full_at)).total_seconds() < hours * 3600 * PUNCTUAL


class Listed(Fingerprints):
    """The rows that a list of changes has brought. None is known beforehand: memory goes with what came, not with the stream."""

    def __init__(self, seen: bytes = b"") -> None:
        super().__init__()
        self._ids = array("q", seen)
        self._distinct: set[int] | None = None

    def sift(self, rows: Sequence[bytes], seed: int) -> Iterator[tuple[bytes, int]]:
        """All rows: whether they say something new, the staged ones tell."""
        return every(rows, seed)

    def mark(self, row_id: int, print_: int | None = None) -> bool:
        """Note that a row came, and its fingerprint where that is another one now."""
        self._ids.append(row_id)
        self._distinct = None
        if print_ is not None:
            super().add(row_id, print_)
        return True

    def add(self, row_id: int, print_: int) -> None:
        """Note a row that is new."""
        self.mark(row_id, print_)

    def was_seen(self, row_id: int) -> bool:
        """Whether the row with this id came."""
        return row_id in self._came()

    def seen_count(self) -> int:
        """How many different rows came."""
        return len(self._came())

    @property
    def seen(self) -> bytes:
        """The ids of the rows that came."""
        return self._ids.tobytes()

    def resumed(self, seen: bytes) -> Listed:
        """The same, for a read that goes on."""
        return Listed(seen)

    def corrections(self) -> tuple[bytes, bytes]:
        """Fingerprints and ids of the rows that are new or changed, each row once."""
        prints, row_ids = self._added
        latest = dict(zip(row_ids, prints, strict=True))
        return array("q", latest.values()).tobytes(), array("q", latest).tobytes()

    def _came(self) -> set[int]:
        if self._distinct is None:
            self._distinct = set(self._ids)
        return self._distinct


def corrected(known: Fingerprints, corrections: Iterable[tuple[bytes, bytes]]) -> None:
    """Bring fingerprints up to date with what lists of changes have brought since, the oldest first."""
    latest: dict[int, int] = {}
    for prints, row_ids in corrections:
        latest.update(zip(array("q", row_ids), array("q", prints), strict=True))
    if latest:
        known.correct(latest.items())
