"""What can go wrong on purpose in a sandbox.

Answers: `status` (value: the code, 500), `retry_after` (429; value: seconds, `date+SECONDS` for the date form), `reset` (the
connection is aborted), `slow` (value: seconds, 1, or until all faults are cleared), `truncate` (half the body; value
`connection`: the full length is promised and the connection breaks), `html` (a web page; value: the code, 200), `redirect`
(302; value: where to, else to another origin).

Lists: `empty`, `first` (value: a list has only so many rows, 10), `cap` (value: rows a page at most, 10), `repeat_page` (the
first page again), `drift` (value: rows that appear at the front before the second page is asked for, 1; negative: that vanish),
`drop_total`, `wrong_total` (value: added, 1), `next_elsewhere` (links to the next page point at another origin; only where the
vendor has such links).

`token_expiry`: the token presented is dead (value: after how many more requests, 0).

`storm` (value: its seed): a sequence of faults that pass, each of which strikes one request; see `storm()`. The same seed is the
same storm, and several of them may rage at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from random import Random
from typing import Any, Generic, TypeVar

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
        "first",
        "storm",
    ]
)
_NUMBERS = {
    "status": "500",
    "slow": "1",
    "html": "200",
    "first": "10",
    "cap": "10",
    "drift": "1",
    "wrong_total": "1",
    "token_expiry": "0",
}

#: Of these a storm is made: what a client gets over by trying again, or by asking for a new token.
PASSING = ("status", "retry_after", "reset", "slow", "truncate", "html", "token_expiry")
_ODDS: Mapping[str, tuple[str, ...]] = {
    "status": ("500", "502", "503", "504"),
    "retry_after": ("1", "date+1"),
    "slow": ("0.02", "0.1"),
    "truncate": ("", "connection"),
    "html": ("200", "503"),
    "cap": ("2", "7"),
    "drift": ("1", "-1"),
    "wrong_total": ("1", "-1"),
}
#: What strikes instead of an answer. Everything else waits for the list, the link or the token that it is about.
_ANSWERS = frozenset(("status", "retry_after", "reset", "slow", "truncate", "html", "redirect"))

T = TypeVar("T")


@dataclass(slots=True)
class Fault:
    """One fault. `count`: how many times (None: until cleared). `path`: a prefix, or a pattern with `*`, of the path or of the
    path with its query. `after`: so many of those requests pass before it strikes."""

    name: str
    value: str = ""
    count: int | None = None
    path: str = ""
    after: int = 0
    _seen: int = 0
    _moves: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ConfigurationError(f"There is no fault {self.name!r}.", remedy=f"Known: {', '.join(sorted(NAMES))}.")
        self.value = self.value or _NUMBERS.get(self.name, "")
        if self.name == "storm" and not self.value:
            raise ConfigurationError("A storm needs a seed.", remedy="Write storm=1, or any other seed.")
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
            int(values.get("after") or 0),
        )

    def concerns(self, target: str) -> bool:
        """Whether it applies to a request; `target` is the path, with its query if there is one."""
        return concerns(self.path, target)

    @property
    def number(self) -> float:
        return float(self.value)

    @property
    def has_struck(self) -> bool:
        return self._seen > self.after or bool(self._moves)

    def drift(self, path: str, rows: Sequence[T], *, later_page: bool) -> Sequence[T]:
        """Rows as they are before, and as they are from the first later page on."""
        moves, step = self._moves.get(path, 0), int(self.number)
        if later_page and moves < (self.count or 1):
            self._moves[path] = moves = moves + 1
        return rows[step * ((self.count or 1) - moves) :] if step > 0 else rows[-step * moves :]


def concerns(pattern: str, target: str) -> bool:
    """Whether a prefix or pattern is about a request; `target` is the path, with its query if there is one."""
    path = target.partition("?")[0]
    return path.startswith(pattern) or fnmatchcase(path, pattern) or fnmatchcase(target, pattern)


Strikes = Sequence[Fault | None]


def storm(
    seed: int | str, requests: int = 200, *, share: float = 0.15, names: Sequence[str] = PASSING
) -> tuple[Fault | None, ...]:
    """What strikes the first request, the second, and so on, for as many `requests`; None is calm. The same arguments always give
    the same storm. `share` of the requests are struck. Storms are put together by adding them, one after the other."""
    chance = Random(f"storm:{seed}")  # noqa: S311 - chance, not secrets
    strikes: list[Fault | None] = []
    for _ in range(requests):
        struck, name, odds = chance.random() < share, chance.choice(names), chance.random()
        values = _ODDS.get(name, ("",))
        strikes.append(Fault(name, values[int(odds * len(values))]) if struck else None)
    return tuple(strikes)


@dataclass(slots=True)
class Storm:
    """A storm under way, over the requests with a path."""

    strikes: Strikes
    path: str = ""
    _seen: int = 0

    @property
    def struck(self) -> bool:
        """Whether it has struck yet."""
        return any(self.strikes[: self._seen])

    def strike(self, target: str) -> Fault | None:
        """What strikes this request."""
        if self._seen >= len(self.strikes) or not concerns(self.path, target):
            return None
        self._seen += 1
        return self.strikes[self._seen - 1]


@dataclass(frozen=True, slots=True)
class Shown(Generic[T]):
    """One page of a list: its rows, the total that is told, how many rows there are up to its end, and whether more follow."""

    rows: Sequence[T]
    total: int | None
    end: int
    more: bool


class Faults:
    """The faults in force."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self._faults: list[Fault] = []
        self._storms: list[Storm] = []
        self._cleared = asyncio.Event()
        #: How many answers are being held back.
        self.held = 0
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Put a fault in force. A storm is as many requests long as its count says."""
        if fault.name == "storm":
            self.rage(storm(fault.value) if fault.count is None else storm(fault.value, fault.count), fault.path)
        else:
            self._faults.append(fault)

    def rage(self, strikes: Strikes, path: str = "") -> None:
        """Let a storm loose on the requests to come."""
        self._storms.append(Storm(strikes, path))

    def clear(self) -> None:
        self._faults.clear()
        self._storms.clear()
        self._cleared.set()
        self._cleared = asyncio.Event()

    async def hold(self, seconds: float) -> None:
        """Let an answer wait, until all is cleared at the latest."""
        self.held += 1
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._cleared.wait(), seconds)
        finally:
            self.held -= 1

    def __len__(self) -> int:
        return len(self._faults) + len(self._storms)

    @property
    def struck(self) -> bool:
        """Whether anything in force has struck yet."""
        return any(fault.has_struck for fault in self._faults) or any(raging.struck for raging in self._storms)

    def arrive(self, target: str) -> Callable[[str], Fault | None]:
        """A request has come: what of each name strikes it, storms included."""
        struck: dict[str, Fault] = {}
        for raging in self._storms:
            fault = raging.strike(target)
            if fault is not None and fault.name in _ANSWERS:
                struck.setdefault(fault.name, fault)
            elif fault is not None:
                self._faults.append(Fault(fault.name, fault.value, 1, target.partition("?")[0]))
        return lambda name: struck.pop(name, None) or self.take(name, target)

    def take(self, name: str, target: str) -> Fault | None:
        """The fault of that name that strikes this request, if any; it counts as used."""
        for fault in self._faults:
            if fault.name == name and fault.concerns(target):
                fault._seen += 1
                struck = fault._seen - fault.after - (int(fault.number) if name == "token_expiry" else 0)
                if struck > 0 and (fault.count is None or struck <= fault.count):
                    return fault
        return None

    def rows(self, target: str, rows: Sequence[T], *, size: int, later_page: bool) -> Sequence[T]:
        """A whole list under `empty`, `first` and `drift`. Drift concerns lists of more than one page only."""
        if not self._faults:
            return rows
        if self.take("empty", target):
            return rows[:0]
        if first := self.take("first", target):
            rows = rows[: int(first.number)]
        path = target.partition("?")[0]
        for fault in self._faults:
            if fault.name == "drift" and fault.concerns(target) and len(rows) > size:
                rows = fault.drift(path, rows, later_page=later_page)
        return rows

    def page(self, target: str, rows: Sequence[T], number: int, size: int) -> Sequence[T]:
        """Page `number`, counted from 1, under `empty`, `first`, `drift`, `cap` and `repeat_page`."""
        return self._part(target, rows, size, number=number).rows

    def slice(self, target: str, rows: Sequence[T], offset: int, size: int) -> Sequence[T]:
        """Rows from `offset` on, under the same faults."""
        return self._part(target, rows, size, offset=offset).rows

    def show(
        self, target: str, rows: Sequence[T], size: int, *, number: int | None = None, offset: int | None = None
    ) -> Shown[T]:
        """A page and all that is told about it, under the same faults, `drop_total` and `wrong_total`: by its number, counted
        from 1, or from an offset on."""
        part = self._part(target, rows, size, number=number, offset=offset)
        return replace(part, total=self.total(target, part.total or 0))

    def _part(
        self, target: str, rows: Sequence[T], size: int, *, number: int | None = None, offset: int | None = None
    ) -> Shown[T]:
        later_page = (number or 1) > 1 or (offset or 0) > 0
        if self._faults:
            rows = self.rows(target, rows, size=size, later_page=later_page)
            if cap := self.take("cap", target):
                size = min(size, int(cap.number))
        begin = offset if offset is not None else ((number or 1) - 1) * size
        repeated = later_page and self.take("repeat_page", target)
        page = rows[:size] if repeated else rows[begin : begin + size]
        end = begin + len(page)
        return Shown(rows=page, total=len(rows), end=end, more=bool(page) and end < len(rows))

    def total(self, target: str, total: int) -> int | None:
        """What the server says there is; None when it does not say."""
        if not self._faults:
            return total
        if self.take("drop_total", target):
            return None
        wrong = self.take("wrong_total", target)
        return total + int(wrong.number) if wrong else total
