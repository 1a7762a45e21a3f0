"""Recognising source rows that have not changed, without parsing them.

A row's fingerprint covers its raw bytes and how they are read. The fingerprints of the last complete read are kept in the
source's order, since most rows come back in the place where they were; a row that has moved is found through a hash table
built only then. Some 20 bytes a row, whatever the size of the district.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from xxhash import xxh3_64_intdigest, xxh32_intdigest

_MASK = (1 << 63) - 1  # databases have signed integers
_LOOK_AHEAD = 8


def seed_of(mapping_version: str) -> int:
    """What a mapping version adds to each fingerprint."""
    return xxh32_intdigest(mapping_version)


def fingerprint(row: bytes, seed: int = 0) -> int:
    """63 bits that stand for a row's bytes."""
    return xxh3_64_intdigest(row, seed) & _MASK


def every(rows: Sequence[bytes], seed: int) -> Iterator[tuple[bytes, int]]:
    """All rows with their fingerprints, as if none were known."""
    for row in rows:
        yield row, fingerprint(row, seed)


class Fingerprints:
    """The rows of one stream's last read, and which of them have been seen again in this one."""

    def __init__(self, prints: array[int] | None = None, row_ids: array[int] | None = None, seen: bytes | None = None) -> None:
        self._prints = prints if prints is not None else array("q")
        self._row_ids = row_ids if row_ids is not None else array("q")
        self._seen = bytearray(seen) if seen is not None else bytearray(len(self._prints))
        self._seen.extend(bytes(len(self._prints) - len(self._seen)))
        self._next = 0
        self._table: array[int] | None = None

    def __len__(self) -> int:
        return len(self._prints)

    @classmethod
    def load(cls, prints: bytes | memoryview, row_ids: bytes | memoryview, seen: bytes | None = None) -> Fingerprints:
        """From what `dump` wrote."""
        restored = array("q"), array("q")
        restored[0].frombytes(prints)
        restored[1].frombytes(row_ids)
        return cls(*restored, seen=seen)

    def dump(self) -> tuple[memoryview, memoryview]:
        """Fingerprints and row ids as buffers, for the store: not copied, since they are the largest things in memory."""
        return memoryview(self._prints), memoryview(self._row_ids)

    def resumed(self, seen: bytes) -> Fingerprints:
        """The same rows, for a read that goes on: `seen` as it was; what was added since has been seen."""
        return Fingerprints(self._prints, self._row_ids, seen + b"\x01" * (len(self._prints) - len(seen)))

    def was_seen(self, row_id: int) -> bool:
        """Whether the row with this id has been seen."""
        position = bisect_left(self._row_ids, row_id)
        return position < len(self._row_ids) and self._row_ids[position] == row_id and bool(self._seen[position])

    @property
    def seen(self) -> bytes:
        """One byte for each row: whether it has been seen in this read."""
        return bytes(self._seen)

    def seen_count(self) -> int:
        """How many rows have been seen."""
        return self._seen.count(1)

    def sift(self, rows: Sequence[bytes], seed: int) -> Iterator[tuple[bytes, int]]:
        """The rows that are new or changed, with their fingerprints. The others are marked as seen."""
        prints, seen, position, end = self._prints, self._seen, self._next, len(self._prints)
        aside = -2
        for row in rows:
            print_ = xxh3_64_intdigest(row, seed) & _MASK
            if position < end and prints[position] == print_ and not seen[position]:
                seen[position] = 1
                position += 1
                continue
            found = self._find(print_, position)
            if found < 0:
                yield row, print_
                continue
            seen[found] = 1
            # A single row out of place does not move our place in the source's order; a run of them does.
            if position <= found < position + _LOOK_AHEAD or found == aside + 1:
                position = found + 1
            aside = found
        self._next = position

    def _find(self, print_: int, position: int) -> int:
        """Where a fingerprint stands; -1 where it is unknown."""
        prints = self._prints
        for ahead in range(position, min(position + _LOOK_AHEAD, len(prints))):
            if prints[ahead] == print_ and not self._seen[ahead]:
                return ahead
        if not prints:
            return -1
        table = self._table if self._table is not None else self._build()
        mask = len(table) - 1
        slot = print_ & mask
        while table[slot]:
            if prints[table[slot] - 1] == print_:
                return table[slot] - 1
            slot = (slot + 1) & mask
        return -1

    def _build(self) -> array[int]:
        size = 8
        while size < 2 * len(self._prints):
            size *= 2
        table, mask = array("I", bytes(4 * size)), size - 1
        for index, print_ in enumerate(self._prints):
            slot = print_ & mask
            while table[slot]:
                slot = (slot + 1) & mask
            table[slot] = index + 1
        self._table = table
        return table

    def mark(self, row_id: int) -> bool:
        """Mark the row with this id as seen. False where it is not of the last read, or has been seen already."""
        position = bisect_left(self._row_ids, row_id)
        if position == len(self._row_ids) or self._row_ids[position] != row_id or self._seen[position]:
            return False
        self._seen[position] = 1
        return True

    def unseen(self) -> Iterator[int]:
        """The ids of rows that have not come back."""
        position = self._seen.find(0)
        while position >= 0:
            yield self._row_ids[position]
            position = self._seen.find(0, position + 1)

    def extend(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Take in (row id, fingerprint) pairs in ascending order of id, as rows not seen yet."""
        for row_id, print_ in pairs:
            self._row_ids.append(row_id)
            self._prints.append(print_)
        self._seen.extend(bytes(len(self._prints) - len(self._seen)))

    @classmethod
    def collect(cls, pairs: Iterable[tuple[int, int]]) -> Fingerprints:
        """From (row id, fingerprint) pairs in ascending order of id."""
        known = cls()
        known.extend(pairs)
        return known
