"""What can go wrong on purpose in a sandbox.

Answers: `status` (value: the code, 500), `retry_after` (429; value: seconds, `date+SECONDS` for the date form), `reset` (the
connection is aborted), `slow` (value: seconds, 1), `truncate` (half the body; value `connection`: the full length is promised and
the connection breaks), `html` (a web page; value: the code, 200), `redirect` (302; value: where to, else to another origin).

Lists: `empty`, `cap` (value: rows a page at most, 10), `repeat_page` (the first page again), `drift` (value: rows that appear at
the front before the second page is asked for, 1; negative: that vanish), `drop_total`, `wrong_total` (value: added, 1),
`next_elsewhere` (links to the next page point at another origin; only where the vendor has such links).

`token_expiry`: the token presented is dead (value: after how many more requests, 0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from sis_connect.errors import ConfigurationError

NAMES = frozenset(
    [
        "status",
        "retry_after",
        "reset",
        "slow",
        "truncate",
        "html",
        "redirect",
        "next_elsewhere",
        "repeat_page",
        "cap",
        "drop_total",
        "wrong_total",
        "drift",
        "token_expiry",
        "empty",
    ]
)
_NUMBERS = {"status": "500", "slow": "1", "html": "200", "cap": "10", "drift": "1", "wrong_total": "1", "token_expiry": "0"}

T = TypeVar("T")


@dataclass(slots=True)
class Fault:
    """One fault. `count`: how many times (None: until cleared). `path`: a prefix, or a pattern with `*`, of the path or of the
    path with its query."""

    name: str
    value: str = ""
    count: int | None = None
    path: str = ""
    _seen: int = 0
    _moves: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ConfigurationError(f"There is no fault {self.name!r}.", remedy=f"Known: {', '.join(sorted(NAMES))}.")
        self.value = self.value or _NUMBERS.get(self.name, "")
        if self.name in _NUMBERS:
            try:
                float(self.value)
            except ValueError:
                raise ConfigurationError(f"The fault {self.name!r} takes a number, not {self.value!r}.") from None

    @classmethod
    def parse(cls, text: str) -> Fault:
        """`NAME` or `NAME=VALUE`, as on the command line."""
        name, _, value = text.partition("=")
        return cls(name.strip(), value.strip())

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Fault:
        """The body of a control request; what is left out, or null, has its default."""
        count = values.get("count")
        value = values.get("value")
        return cls(
            str(values.get("name", "")),
            "" if value is None else str(value),
            None if count is None else int(count),
            str(values.get("path") or ""),
        )

    def concerns(self, target: str) -> bool:
        """Whether it applies to a request; `target` is the path, with its query if there is one."""
        path = target.partition("?")[0]
        return path.startswith(self.path) or fnmatchcase(path, self.path) or fnmatchcase(target, self.path)

    @property
    def number(self) -> float:
        return float(self.value)

    def drift(self, path: str, rows: Sequence[T], *, later_page: bool) -> Sequence[T]:
        """Rows as they are before, and as they are from the first later page on."""
        moves, step = self._moves.get(path, 0), int(self.number)
        if later_page and moves < (self.count or 1):
            self._moves[path] = moves = moves + 1
        return rows[step * ((self.count or 1) - moves) :] if step > 0 else rows[-step * moves :]


class Faults:
    """The faults in force."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self._faults = list(faults)

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def clear(self) -> None:
        self._faults.clear()

    def __len__(self) -> int:
        return len(self._faults)

    def take(self, name: str, target: str) -> Fault | None:
        """The fault of that name that strikes this request, if any; it counts as used."""
        for fault in self._faults:
            if fault.name == name and fault.concerns(target):
                fault._seen += 1
                struck = fault._seen - (int(fault.number) if name == "token_expiry" else 0)
                if struck > 0 and (fault.count is None or struck <= fault.count):
                    return fault
        return None

    def rows(self, target: str, rows: Sequence[T], *, size: int, later_page: bool) -> Sequence[T]:
        """A whole list under `empty` and `drift`. Drift concerns lists of more than one page only."""
        if not self._faults:
            return rows
        if self.take("empty", target):
            return rows[:0]
        path = target.partition("?")[0]
        for fault in self._faults:
            if fault.name == "drift" and fault.concerns(target) and len(rows) > size:
                rows = fault.drift(path, rows, later_page=later_page)
        return rows

    def page(self, target: str, rows: Sequence[T], number: int, size: int) -> Sequence[T]:
        """Page `number`, counted from 1, under `empty`, `drift`, `cap` and `repeat_page`."""
        if self._faults:
            rows = self.rows(target, rows, size=size, later_page=number > 1)
            if cap := self.take("cap", target):
                size = min(size, int(cap.number))
            if number > 1 and self.take("repeat_page", target):
                number = 1
        return rows[(number - 1) * size : number * size]

    def slice(self, target: str, rows: Sequence[T], offset: int, size: int) -> Sequence[T]:
        """Rows from `offset` on, under the same faults."""
        if self._faults:
            rows = self.rows(target, rows, size=size, later_page=offset > 0)
            if cap := self.take("cap", target):
                size = min(size, int(cap.number))
            if offset and self.take("repeat_page", target):
                offset = 0
        return rows[offset : offset + size]

    def total(self, target: str, total: int) -> int | None:
        """What the server says there is; None when it does not say."""
        if not self._faults:
            return total
        if self.take("drop_total", target):
            return None
        wrong = self.take("wrong_total", target)
        return total + int(wrong.number) if wrong else total
