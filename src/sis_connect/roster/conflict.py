"""Strategies for a field that changed on both sides. Pure functions: a clash in, a side out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from sis_connect.settings import FieldPolicy, Owner, Strategy

#: `ask` means that nobody can decide but a person: the local value stays, and the conflict is reported.
Side = Literal["sis", "local", "ask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """When each side last changed, as far as that is known. All UTC.

    `sis` is the record's `updated_at` and counts only where `sis_reliable`; `base` is when both sides last agreed; `local` is the
    time of the app's edit.
    """

    sis: datetime | None = None
    sis_reliable: bool = False
    base: datetime | None = None
    local: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """One field that changed on both sides to different values."""

    field: str
    base: Any
    sis: Any
    local: Any
    clocks: Clocks

    def __repr__(self) -> str:
        return f"<Clash: {self.field}>"


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
    sides last agreed, and the app is newer where its edit was made after the record last changed. Anything else is a guess.
    """
    clocks = clash.clocks
    if not clocks.sis_reliable or clocks.sis is None or clocks.local is None:
        return "ask"
    if clocks.base is not None and clocks.base >= clocks.local:
        return "sis"
    return "local" if clocks.local > clocks.sis else "ask"


STRATEGIES: Mapping[Strategy, Callable[[Clash], Side]] = MappingProxyType(
    {"sis_wins": sis_wins, "local_wins": local_wins, "newest_wins": newest_wins, "manual": manual}
)


@dataclass(frozen=True, slots=True)
class Policy:
    """Who decides about which field: one strategy for all, and exceptions by `kind.field`."""

    strategy: Strategy = "sis_wins"
    fields: Mapping[str, FieldPolicy] = field(default_factory=dict)

    def of(self, kind: str, name: str) -> tuple[Strategy, Owner]:
        """Strategy and owner of one field. A part of `ids` may be named itself or with all `ids`."""
        for key in (f"{kind}.{name}", f"{kind}.{name.partition('.')[0]}"):
            if key in self.fields:
                policy = self.fields[key]
                return policy.strategy or self.strategy, policy.owner
        return self.strategy, "shared"
