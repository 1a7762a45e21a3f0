"""Whether records exist, for many references at once: eight bytes an id, so that a whole district fits into a few megabytes."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable

from xxhash import xxh3_64_intdigest

_BUCKETS = 256


class KnownIds:
    """A set of ids by their 64-bit hashes: filled once, then only asked. That two of a million ids share one is one in 10^8."""

    def __init__(self) -> None:
        self._buckets = [array("Q") for _ in range(_BUCKETS)]
        self._sorted = True

    def update(self, ids: Iterable[str]) -> None:
        """Take in some ids."""
        for one in ids:
            hashed = xxh3_64_intdigest(one)
            self._buckets[hashed % _BUCKETS].append(hashed)
        self._sorted = False

    def _sort(self) -> None:
        # One bucket after the other, so that only a small part is ever there twice.
        self._buckets = [array("Q", sorted(bucket)) for bucket in self._buckets]
        self._sorted = True

    def __contains__(self, one: str) -> bool:
        if not self._sorted:
            self._sort()
        hashed = xxh3_64_intdigest(one)
        bucket = self._buckets[hashed % _BUCKETS]
        position = bisect_left(bucket, hashed)
        return position < len(bucket) and bucket[position] == hashed

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets)
