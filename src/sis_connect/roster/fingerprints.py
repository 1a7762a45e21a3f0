"""Recognising source rows that have not changed, without parsing them.

A row's fingerprint covers its raw bytes and how they are read. The fingerprints of the last complete read are kept in the
source's order, since most rows come back in the place where they were; a row that has moved is found through a hash table
built only then. Some 20 bytes a row, whatever the size of the district.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

from xxhash import xxh3_64_intdigest, xxh32_intdigest

_MASK = (1 << 63) - 1  # databases have signed integers
_LOOK_AHEAD = 8
_PORTION = 65_536


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
        #: Whether the fingerprints are those of what is staged by now.
        self.exact = True
        self._added = array("q"), array("q")
        self._by_print: array[int] | None = None
        self._by_id: array[int] | None = None

    def __len__(self) -> int:
        return len(self._prints)

    def take(self, prints: bytes, row_ids: bytes) -> None:
        """Take in a portion of what the last read left, as rows not seen yet."""
        self._prints.frombytes(prints)
        self._row_ids.frombytes(row_ids)
        self._seen.extend(bytes(len(self._prints) - len(self._seen)))

    def rows(self) -> Iterator[tuple[int, int]]:
        """The (row id, fingerprint) pairs of the last read, in its order."""
        return zip(self._row_ids, self._prints, strict=True)

    def portions(self) -> Iterator[tuple[bytes, bytes]]:
        """All rows, with those that this read has added, as `take` wants them: piece by piece, since they may be many."""
        prints, row_ids = self._added
        if not self._prints:
            self._prints, self._row_ids = prints, row_ids  # not copied: after a first read it is all there is
        else:
            self._prints.extend(prints)
            self._row_ids.extend(row_ids)
        self._seen.extend(b"\x01" * (len(self._prints) - len(self._seen)))
        self._added = array("q"), array("q")
        self._by_print = self._by_id = None
        for start in range(0, len(self._prints), _PORTION):
            piece = slice(start, start + _PORTION)
            yield self._prints[piece].tobytes(), self._row_ids[piece].tobytes()

    def resumed(self, seen: bytes) -> Fingerprints:
        """The same rows, for a read that goes on: `seen` as it was; what was added since has been seen."""
        return Fingerprints(self._prints, self._row_ids, seen + b"\x01" * (len(self._prints) - len(seen)))

    def was_seen(self, row_id: int) -> bool:
        """Whether the row with this id has been seen."""
        position = self._position(row_id)
        return position >= 0 and bool(self._seen[position])

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
        if self._by_print is None:
            self._by_print = _table(prints)
        return next((index for index in _probe(self._by_print, print_) if prints[index] == print_), -1)

    def _position(self, row_id: int) -> int:
        """Where the row with this id stands; -1 where it is not of the last read."""
        if not self._row_ids:
            return -1
        if self._by_id is None:
            self._by_id = _table(self._row_ids)
        return next((index for index in _probe(self._by_id, row_id) if self._row_ids[index] == row_id), -1)

    def mark(self, row_id: int, print_: int | None = None) -> bool:
        """Mark the row with this id as seen, now with another fingerprint.

        False where it is not of the last read, or has been seen already.
        """
        position = self._position(row_id)
        if position < 0:
            self.exact = False  # it was added in this read, and has come again
            return False
        if print_ is not None:
            self._prints[position] = print_
        if self._seen[position]:
            return False
        self._seen[position] = 1
        return True

    def correct(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Take in what rows are by now, as (row id, fingerprint) in ascending order of id: an interrupted read has moved on."""
        new = []
        for row_id, print_ in pairs:
            position = self._position(row_id)
            if position < 0:
                new.append((row_id, print_))
            else:
                self._prints[position] = print_
        self._by_print = None
        if new:
            self.extend(new)
            self._by_id = None

    def add(self, row_id: int, print_: int) -> None:
        """Note a row that is new in this read, in the source's order. It is looked for only in the next one."""
        self._added[0].append(print_)
        self._added[1].append(row_id)

    @property
    def added_count(self) -> int:
        """How many rows were added."""
        return len(self._added[0])

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


def _table(values: array[int]) -> array[int]:
    """A hash table of positions, open addressing: position + 1 in each slot that is taken."""
    size = 8
    while size < 2 * len(values):
        size *= 2
    table, mask = array("I", bytes(4 * size)), size - 1
    for index, value in enumerate(values):
        slot = value & mask
        while table[slot]:
            slot = (slot + 1) & mask
        table[slot] = index + 1
    return table


def _probe(table: array[int], value: int) -> Iterator[int]:
    """The positions that may hold a value."""
    mask = len(table) - 1
    slot = value & mask
    while table[slot]:
        yield table[slot] - 1
        slot = (slot + 1) & mask
