"""The three-way merge of the fields of a record. Pure: no I/O, no clock.

A plain change of one side is no conflict; only a field that changed on both sides to different values is, and then a person's
answer decides, or its strategy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from datetime import datetime
from typing import Any

from sis_connect.roster.conflict import BY_A_PERSON, NO_CLOCKS, SILENCE, Clash, Clocks, Filed, Policy, Said
from sis_connect.roster.documents import Values, is_blank

_MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """A field that changed on both sides, and what came of it: `sis`, `local`, `value` (that of a person), or `ask`.

    `anew` says that it is asked for the first time. The values are pupils' data: they are not in its repr.
    """

    field: str
    rule: str
    decided: str
    base: Any = attribute(default=None, repr=False, compare=False)
    sis: Any = attribute(default=None, repr=False, compare=False)
    local: Any = attribute(default=None, repr=False, compare=False)
    clocks: Clocks = attribute(default=NO_CLOCKS, repr=False, compare=False)
    anew: bool = attribute(default=True, compare=False)

    @property
    def outcome(self) -> str:
        """What is counted: `asked_without_clocks` is where nobody knows who was later, `asked` any other question."""
        if self.decided != "ask":
            return self.decided
        return "asked_without_clocks" if self.rule == "newest_wins" and not self.clocks.honest else "asked"


@dataclass(slots=True)
class Merged:
    """The outcome for the fields of one record: what to write, how each contested field was settled, and what the app keeps.

    About the fields that are `undecided`, nothing is remembered: they are compared again as if this had not happened. The open
    questions about those that it `closes` are none any more.
    """

    writes: dict[str, Any] = attribute(default_factory=dict)
    conflicts: list[FieldConflict] = attribute(default_factory=list)
    kept: list[str] = attribute(default_factory=list)
    undecided: set[str] = attribute(default_factory=set)
    closes: set[str] = attribute(default_factory=set)


def merge_fields(
    kind: str,
    *,
    sis: Values,
    local: Values,
    base_sis: Values | None,
    base_local: Values | None,
    policy: Policy,
    clocks: Clocks,
    edits: Mapping[str, datetime] | None = None,
    remapped: bool = False,
    said: Said = SILENCE,
) -> Merged:
    """Merge the delivered fields of a record. All values are flat; a field that is not in `sis` was not delivered.

    `edits` says when the app edited a column last, where that is known; `said` is what people have said about the record.
    """
    merged = Merged()
    for name, s in sis.items():
        mine = local.get(name)
        strategy, owner = policy.of(kind, name)
        base = _MISSING if base_sis is None else base_sis.get(name, _MISSING)
        s_changed = base is _MISSING or s != base
        l_changed = base_local is None or mine != base_local.get(name)
        filed = said.filed.get(name)
        if s == mine or not (s_changed or l_changed):
            continue
        if said.holds(name):
            merged.kept.append(name)
            merged.undecided.add(name)
        elif owner == "sis":
            merged.writes[name] = s
        elif owner == "local" or not s_changed:
            merged.kept.append(name)
        elif not l_changed or (base is _MISSING and is_blank(mine)):
            merged.writes[name] = s
        elif (remapped and name not in said.open) or (base is _MISSING and is_blank(s)):
            merged.kept.append(name)
        else:
            _clash(
                merged, name, strategy, policy, None if base is _MISSING else base, s, mine, filed, _at(clocks, name, edits or {})
            )
    if said.filed:
        merged.closes = {name for name in said.open & sis.keys() if not _asked(merged, name)}
    if merged.writes:
        fixed = said.holds("status_reason") or policy.of(kind, "status_reason")[1] == "local"
        _let_reason_follow(merged, sis, local, base_local, fixed)
    return merged


def _clash(
    merged: Merged, name: str, strategy: str, policy: Policy, base: Any, s: Any, mine: Any, filed: Filed | None, clocks: Clocks
) -> None:
    """Settle a field that changed on both sides: as a person has decided about these two values, else by its strategy."""
    if filed is not None and filed.answers(s, mine):
        rule, side = BY_A_PERSON, str(filed.decision)
    else:
        if filed is not None and filed.state == "open":
            # What both sides say is not agreed on since. The SIS said something else, at most, when the question was filed.
            clocks = replace(clocks, base=filed.filed_at if filed.sis != s else None)
        rule, side = strategy, policy.settle(strategy, Clash(field=name, base=base, sis=s, local=mine, clocks=clocks))
    anew = side != "ask" or filed is None or not filed.asks(s, mine)
    merged.conflicts.append(FieldConflict(name, rule, side, base, s, mine, clocks, anew))
    if side == "ask":
        merged.undecided.add(name)
    elif side == "sis":
        merged.writes[name] = s
    elif side == "value" and filed is not None and filed.value != mine:
        merged.writes[name] = filed.value


def _asked(merged: Merged, name: str) -> bool:
    return any(conflict.field == name and conflict.decided == "ask" for conflict in merged.conflicts)


def _at(clocks: Clocks, name: str, edits: Mapping[str, datetime]) -> Clocks:
    """The clocks of one field. A part of `ids` was edited when the column was, or before."""
    column, dot, _ = name.partition(".")
    return replace(clocks, local=edits[column], local_exact=not dot) if column in edits else clocks


def _let_reason_follow(merged: Merged, sis: Values, local: Values, base_local: Values | None, fixed: bool) -> None:
    """A reason belongs to its status: where the app keeps another status, it is not told why it should have changed.

    Where it is given the SIS's status, the reason that we ourselves wrote with the former one goes, unless it is `fixed`.
    """
    if "status" in merged.writes:
        mine, theirs = local.get("status_reason"), sis.get("status_reason")
        ours = base_local is not None and mine == base_local.get("status_reason")
        if "status_reason" in sis and ours and mine != theirs and not fixed:
            merged.writes["status_reason"] = theirs
        return
    if "status_reason" not in merged.writes or sis.get("status") == local.get("status"):
        return
    del merged.writes["status_reason"]
    merged.kept.append("status_reason")
    if "status" in merged.undecided:
        merged.undecided.add("status_reason")
