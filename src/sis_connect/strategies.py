"""Strategies for a field that changed on both sides. Pure functions: a clash in, a side out. Plugins may bring others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

#: `ask` means that nobody can decide but a person: the local value stays, and a question is filed.
Side = Literal["sis", "local", "ask"]
SIDES: frozenset[str] = frozenset(("sis", "local", "ask"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """When each side last changed, as far as that is known. All UTC.

    `sis` is the record's `updated_at` and counts only where `sis_reliable`; `base` is when both sides last agreed; `local` is the
    time of the app's edit: of this field where it is `local_exact`, else of any field, so this one was edited then or before.
    """

    sis: datetime | None = None
    sis_reliable: bool = False
    base: datetime | None = None
    local: datetime | None = None
    local_exact: bool = True

    @property
    def honest(self) -> bool:
        """Whether there are two clocks at all that may be compared."""
        return self.sis_reliable and self.sis is not None and self.local is not None


NO_CLOCKS = Clocks()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """One field that changed on both sides to different values. `base` is what both last agreed on, None where they never did."""

    field: str
    base: Any
    sis: Any
    local: Any
    clocks: Clocks

    def __repr__(self) -> str:
        return f"<Clash: {self.field}>"


#: A strategy: it sees a clash and says who is right, or `ask`.
Decider = Callable[[Clash], Side]


def sis_wins(clash: Clash) -> Side:
    """The SIS is right."""
    return "sis"


def local_wins(clash: Clash) -> Side:
    """The app is right."""
    return "local"


def manual(clash: Clash) -> Side:
    """A person decides."""
    return "ask"


def newest_wins(clash: Clash) -> Side:
    """The later edit is right, if two honest clocks prove which one that is.

    A record's time is only an upper bound for each of its fields. So the SIS is newer where the local edit was made before both
    sides last agreed, and the app is newer where this field was edited after the record last changed. Anything else is a guess.
    """
    clocks = clash.clocks
    if not clocks.honest or clocks.sis is None or clocks.local is None:
        return "ask"
    if clocks.base is not None and clocks.base >= clocks.local:
        return "sis"
    return "local" if clocks.local_exact and clocks.local > clocks.sis else "ask"


#: The strategies that every installation has. Plugins bring others.
STRATEGIES: Mapping[str, Decider] = MappingProxyType(
    {"sis_wins": sis_wins, "local_wins": local_wins, "newest_wins": newest_wins, "manual": manual}
)
