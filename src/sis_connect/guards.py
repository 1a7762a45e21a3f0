"""Guards that plugins bring: pure functions that look at what a run would change, counted, before anything is written.

    def nobody_leaves_on_a_friday(changes, school_date):
        if school_date.weekday() == 4 and changes.number("students", "withdraw"):
            yield Stop(kind="students", action="withdraw", limit="none on a Friday")

A guard sees numbers only: no names, no ids of pupils. What it stops waits as a hold, for a person to approve or to reject.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

from sis_connect.capabilities import KINDS, Kind

#: What a run may do to a record, and a guard may stop.
Action = Literal["create", "update", "withdraw", "reenroll"]
ACTIONS: tuple[Action, ...] = get_args(Action)


def in_words(name: str) -> str:
    """The name of a guard for a person. That of a plugin's guard stays as settings have it."""
    return name if ":" in name else name.replace("_", " ")


class Change(NamedTuple):
    """Changes that are alike. `school` is a `sis_id`, `""` where they belong to no school; `reason` such as `absence`."""

    kind: Kind
    action: Action
    school: str
    reason: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What a run would change: how many records, by kind, action, school and reason."""

    counts: Mapping[Change, int]

    def number(self, kind: Kind, action: Action, *, school: str | None = None, reason: str | None = None) -> int:
        """How many records of a kind: at one school or at all, for one reason or for any."""
        return sum(
            number
            for change, number in self.counts.items()
            if (change.kind, change.action) == (kind, action)
            and school in (None, change.school)
            and reason in (None, change.reason)
        )

    def schools(self, kind: Kind, action: Action) -> tuple[str, ...]:
        """The schools where there are such changes, by their `sis_id`."""
        return tuple(sorted({it.school for it in self.counts if (it.kind, it.action) == (kind, action) and it.school}))


@dataclass(frozen=True, slots=True)
class Population:
    """How many active records the roster has before the run, by kind and school, of the schools that it has read."""

    counts: Mapping[tuple[Kind, str], int]

    def number(self, kind: Kind, *, school: str | None = None) -> int:
        """How many of a kind: at one school, or at all."""
        return sum(number for (owner, at), number in self.counts.items() if owner == kind and school in (None, at))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Changes that are to wait for a person: of a kind, at one `school` or all, for one `reason` or any.

    As in `Change`, the school `""` is that of records which belong to none. Two stops of the same changes are one.
    `limit` says in a few words what was reached, as in `none on a Friday`; the hold shows it.
    """

    kind: Kind
    action: Action
    limit: str
    school: str | None = None
    reason: str | None = None


#: A guard's function. It is given those of these that it names: `changes` (Changes), `population` (Population), `school_date`
#: (the district's day, a date) and `first` (the kinds that are read for the first time).
Judge: TypeAlias = Callable[..., Iterable[Stop]]


@dataclass(frozen=True, slots=True)
class Guard:
    """A guard, and what it speaks for: only changes of these kinds and actions may it stop, and they wait where it fails.

    A function alone speaks for everything.
    """

    judge: Judge
    kinds: Collection[Kind] = KINDS
    actions: Collection[Action] = ACTIONS
