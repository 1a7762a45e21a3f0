"""Who decides about a field that changed on both sides: its policy, or what people have said about it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sis_connect.errors import ConfigurationError
from sis_connect.hosting.faults import passes
from sis_connect.records import RECORDS
from sis_connect.settings import FieldPolicy, Owner, Strategy
from sis_connect.strategies import NO_CLOCKS, SIDES, STRATEGIES, Clash, Clocks, Decider, Side, manual

__all__ = [
    "BY_A_PERSON",
    "EVERY",
    "NO_CLOCKS",
    "SIDES",
    "SILENCE",
    "STRATEGIES",
    "Clash",
    "Clocks",
    "Decider",
    "Filed",
    "Policy",
    "Said",
    "Side",
    "check_policy",
]


#: The rule where a person has decided.
BY_A_PERSON = "decided"
#: What stands for all fields of a kind in a policy, and for the record itself.
EVERY = "*"


@dataclass(frozen=True, slots=True)
class Policy:
    """Who decides about which field: one strategy for all, and exceptions by `kind.field`, or by `kind.*` for all of a kind."""

    strategy: Strategy = "sis_wins"
    fields: Mapping[str, FieldPolicy] = field(default_factory=dict)
    strategies: Mapping[str, Decider] = field(default_factory=lambda: STRATEGIES, compare=False, repr=False)

    def of(self, kind: str, name: str) -> tuple[Strategy, Owner]:
        """Strategy and owner of one field. A part of `ids` may be named itself or with all `ids`."""
        if not self.fields:
            return self.strategy, "shared"
        for key in (f"{kind}.{name}", f"{kind}.{name.partition('.')[0]}", f"{kind}.{EVERY}"):
            if key in self.fields:
                policy = self.fields[key]
                return policy.strategy or self.strategy, policy.owner
        return self.strategy, "shared"

    def settle(self, strategy: Strategy, clash: Clash) -> Side:
        """What a strategy says. One that is not there, stumbles, or says something else decides nothing: a person is asked."""
        decide = self.strategies.get(strategy, manual)
        try:
            side = decide(clash)
        except BaseException as error:
            if passes(error):
                raise
            return "ask"  # whatever a stranger's strategy does, it must not end the run (promise P12)
        return side if isinstance(side, str) and side in SIDES else "ask"


def check_policy(strategy: str, fields: Mapping[str, FieldPolicy], known: Collection[str]) -> None:
    """Raise `ConfigurationError` for a strategy that nobody brings, or a policy of a field that there is not."""
    wanted = [strategy, *(policy.strategy for policy in fields.values() if policy.strategy is not None)]
    for name in wanted:
        if name not in known:
            raise ConfigurationError(
                f"There is no strategy {name!r} (there are {', '.join(known)}).",
                remedy="Choose one of these, or install the plugin that brings it.",
            )
    for key in fields:
        kind, _, name = key.partition(".")
        model = RECORDS.get(kind)  # type: ignore[call-overload]
        if model is None or (name != EVERY and name.partition(".")[0] not in model.model_fields):
            raise ConfigurationError(
                f"There is no field {key!r} to have a policy.",
                remedy="Name it by kind and field, such as students.grade, or students.* for all of a kind.",
            )


# -- what people said --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """A question as it was filed. `state` is `open` or `decided`, and `decision` then `sis`, `local` or `value`."""

    id: str
    state: str
    base: Any = field(repr=False)
    sis: Any = field(repr=False)
    local: Any = field(repr=False)
    decision: str | None
    value: Any = field(repr=False)
    filed_at: datetime | None = None

    def about(self, sis: Any, local: Any) -> bool:
        """Whether it is about these two values."""
        return bool(self.sis == sis and self.local == local)

    def asks(self, sis: Any, local: Any) -> bool:
        """Whether it waits for an answer about these two values."""
        return self.state == "open" and self.about(sis, local)

    def answers(self, sis: Any, local: Any) -> bool:
        """Whether a person has decided about these two values."""
        return self.state == "decided" and self.about(sis, local)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What people have said about one record: the questions that were filed about its fields, and what of it is pinned.

    A pin of the record itself is the empty name.
    """

    filed: Mapping[str, Filed] = field(default_factory=dict)
    pinned: Set[str] = frozenset()

    def holds(self, name: str) -> bool:
        """Whether a field is pinned, by itself or with all of its column."""
        return bool(self.pinned) and (name in self.pinned or name.partition(".")[0] in self.pinned)

    def forbids(self, action: str, names: Iterable[str]) -> bool:
        """Whether a pin stands against an action, or against writing one of these fields."""
        return bool(self.pinned) and ((action == "withdraw" and "" in self.pinned) or any(map(self.holds, names)))

    @property
    def open(self) -> frozenset[str]:
        """The fields about which a question is open."""
        return frozenset(name for name, filed in self.filed.items() if filed.state == "open")


SILENCE = Said()
