"""What to read where somebody says that something has changed, and how soon a district is read again. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from sis_connect.capabilities import KINDS, Capabilities
from sis_connect.provider import Hint

#: So many students are read one by one where the SIS can list changes, and where it cannot: a request for each.
FEW, MANY = 20, 200
#: The share of the vendor's limit that following changes takes at most: the rest is for whatever else runs.
SHARE = 0.5
#: The longest pause after failures, in seconds.
LONGEST_PAUSE = 3600.0
_LONGEST_VALUE = 200
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Told(Protocol):
    """A hint as it is kept."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> str: ...


H = TypeVar("H", bound=Told)


@dataclass(frozen=True, slots=True, repr=False)
class Work(Generic[H]):
    """What hints come down to: students to be read alone, and the hints that this answers; and whether the district's changes are
    to be read, which answers all."""

    students: frozenset[str]
    answered: tuple[H, ...]
    district: bool


def usable(hints: Iterable[Hint]) -> list[tuple[str, str, str]]:
    """Hints that make sense, as (kind, name, value). Whoever sends them may send anything."""
    found: list[tuple[str, str, str]] = []
    for hint in hints:
        if not isinstance(hint, Hint) or hint.kind not in ("", *KINDS):
            continue
        value = hint.value.strip() if isinstance(hint.value, str) else ""
        if not hint.kind or not value:
            found.append((hint.kind, "sis_id", ""))
        elif len(value) <= _LONGEST_VALUE and value.isprintable() and _NAME.fullmatch(hint.name):
            found.append((hint.kind, hint.name, value))
    return found


def at_most(capabilities: Capabilities) -> int:
    """How many students are read one by one before it is better to read the district's changes."""
    students = capabilities.of("students")
    if not students.single_read:
        return 0
    return FEW if students.delta != "none" else MANY


def sort_out(hints: Sequence[H], sis_ids: Mapping[tuple[str, str], Sequence[str]], most: int) -> Work[H]:
    """What to read. `sis_ids` says who the students are whose other identifier (name, value) was told."""
    students: set[str] = set()
    answered: list[H] = []
    for hint in hints:
        if hint.kind == "students" and hint.value:
            known = [hint.value] if hint.name == "sis_id" else sis_ids.get((hint.name, hint.value), ())
            students.update(known)
            answered += [hint] if known else []
    if len(students) > most:
        return Work(frozenset(), (), district=True)
    return Work(frozenset(students), tuple(answered), district=len(answered) < len(hints))


def rest(requests: int, seconds: float, limit: tuple[int, float] | None) -> float:
    """The seconds that a district must be left alone after so many requests, so that `SHARE` of its limit is not exceeded."""
    needed = 0.0 if limit is None else requests * limit[1] / limit[0] / SHARE
    return max(needed - seconds, 0.0)


def pause(every: float, failures: int, retry_after: float | None = None) -> float:
    """The seconds until the next read: `every`, and after each further failure twice as long, up to an hour."""
    backed_off = min(every * 2.0 ** min(failures, 20), max(every, LONGEST_PAUSE))
    return max(backed_off, retry_after or 0.0)
