"""Records that come in pieces: somebody listed at two schools, a birth date in rows of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import reduce
from typing import Any, Generic, TypeVar

from sis_connect.records import Record, is_whole

R = TypeVar("R", bound=Record)

#: What a piece says of itself, and not of the record.
_OWN = frozenset({"sis_id", "ids", "status", "status_reason"})
_EVIDENCE = frozenset({"derived", "updated_at"})


class Pieces(Generic[R]):
    """Gathers the records of a kind, in the order in which they were first seen. Parts that find no whole record are left out.

    Who comes twice is one record of both (`united`), or what came first: pages may repeat rows while the SIS is being edited.
    """

    def __init__(self, *, united: bool) -> None:
        self._united = united
        self._found: dict[str, R] = {}
        self._parts: dict[str, list[R]] = defaultdict(list)

    def take(self, piece: R) -> None:
        """Take in one piece."""
        if not is_whole(piece):
            self._parts[piece.sis_id].append(piece)
        elif piece.sis_id not in self._found:
            self._found[piece.sis_id] = piece
        elif self._united:
            self._found[piece.sis_id] = combined(self._found[piece.sis_id], piece)

    def records(self) -> Iterator[R]:
        """The records, each with all its pieces."""
        for sis_id, record in self._found.items():
            yield reduce(completed, self._parts.get(sis_id, ()), record)


def combined(first: R, second: R) -> R:
    """One record of two pieces: lists are united, identifiers keep all their values, and active anywhere is active."""
    update = _additions(first, second, second.model_fields_set - _OWN)
    if second.status == "active":
        update |= {"status": "active", "status_reason": None}
    return first.model_copy(update=update)


def completed(record: R, part: R) -> R:
    """A record with what a part adds to it. Its status and its time of change are its own."""
    return record.model_copy(update=_additions(record, part, part.model_fields_set - _OWN - _EVIDENCE))


def _additions(first: Record, second: Record, names: frozenset[str] | set[str]) -> dict[str, Any]:
    ids: dict[str, str | tuple[str, ...]] = dict(first.ids)
    for name, value in second.ids.items():
        values = sorted({*_listed(ids.get(name, ())), *_listed(value)})
        ids[name] = values[0] if len(values) == 1 else tuple(values)
    additions: dict[str, Any] = {"ids": ids} if second.ids else {}
    for name in names:
        mine, theirs = getattr(first, name), getattr(second, name)
        if mine is None or name not in first.model_fields_set:
            additions[name] = theirs
        elif isinstance(mine, tuple) and isinstance(theirs, tuple):
            additions[name] = tuple(sorted({*mine, *theirs}, key=str)) if mine != theirs else mine
        elif isinstance(mine, dict) and isinstance(theirs, dict):
            additions[name] = {**mine, **{key: value for key, value in theirs.items() if mine.get(key) is None}}
    return additions


def _listed(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
