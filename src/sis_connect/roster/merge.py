"""The one function that decides about a record, and the three-way merge of its fields. Pure: no I/O, no clock.

Three states meet: S, what the SIS says; L, what the app has; and the bases, what was last decided (`base_sis`) and what the app
read back after our last write (`base_local`). A plain change of one side is no conflict; only a field that changed on both
sides to different values is, and its strategy decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal

from sis_connect.capabilities import Kind, Leaving
from sis_connect.roster.conflict import STRATEGIES, Clash, Clocks, Policy
from sis_connect.roster.documents import Values, flatten, is_blank, nest

Action = Literal["create", "update", "withdraw", "reenroll", "conflict", "quarantine", "unchanged"]
ACTIONS: tuple[Action, ...] = ("create", "update", "withdraw", "reenroll", "conflict", "quarantine", "unchanged")

_IDENTITY = frozenset({"username", "email", "emails"})
_MISSING: Any = object()
_NO_FLAGS: frozenset[str] = frozenset()
UNSTATED = "no_longer_stated"
_ENDED = {UNSTATED: "its source row speaks of it no longer"}


# -- fields ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """A field that changed on both sides, and what came of it: `sis`, `local`, or `ask` (kept as the app has it)."""

    field: str
    rule: str
    decided: str


@dataclass(slots=True)
class Merged:
    """The outcome for the fields of one record: what to write, and how each contested field was settled."""

    writes: dict[str, Any] = field(default_factory=dict)
    conflicts: list[FieldConflict] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def merge_fields(
    kind: str,
    *,
    sis: Values,
    local: Values,
    base_sis: Values | None,
    base_local: Values | None,
    policy: Policy,
    clocks: Clocks,
    remapped: bool = False,
) -> Merged:
    """Merge the delivered fields of a record. All values are flat; a field that is not in `sis` was not delivered."""
    merged = Merged()
    for name, s in sis.items():
        mine = local.get(name)
        strategy, owner = policy.of(kind, name)
        base = _MISSING if base_sis is None else base_sis.get(name, _MISSING)
        s_changed = base is _MISSING or s != base
        l_changed = base_local is None or mine != base_local.get(name)
        if s == mine or not (s_changed or l_changed):
            continue
        if owner == "sis":
            merged.writes[name] = s
        elif owner == "local" or not s_changed:
            merged.kept.append(name)
        elif not l_changed or (base is _MISSING and is_blank(mine)):
            merged.writes[name] = s
        elif remapped or (base is _MISSING and is_blank(s)):
            merged.kept.append(name)
        else:
            clash = Clash(field=name, base=None if base is _MISSING else base, sis=s, local=mine, clocks=clocks)
            side = STRATEGIES[strategy](clash)
            merged.conflicts.append(FieldConflict(name, strategy, side))
            if side == "sis":
                merged.writes[name] = s
    return merged


# -- records -----------------------------------------------------------------------------------------------------------


# These are made by the million in a first sync: not frozen, since that doubles what making one costs. Nobody changes them.


@dataclass(slots=True, kw_only=True)
class Source:
    """S. `document` is the record as of today, or what was last staged of it where it is `missing`.

    `missing_pulls` counts complete pulls without it since `missing_since`. `ended` says why it is over although nothing says that
    it left: what it hangs from has ended, or its source row still comes but no longer speaks of it.
    """

    document: Values = field(repr=False)
    updated_at: datetime | None = None
    missing_pulls: int = 0
    missing_since: datetime | None = None
    ended: str = ""
    remapped: bool = False

    @property
    def absent(self) -> bool:
        """Whether the SIS does not speak of it now."""
        return self.missing_pulls > 0 or bool(self.ended)


@dataclass(slots=True, kw_only=True)
class Local:
    """L: the app's row. `edited_at` is when somebody other than us changed it last."""

    document: Values = field(repr=False)
    edited_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Mapped:
    """What the mapping remembers of a record."""

    status: str
    base_sis: Values = field(repr=False)
    base_local: Values = field(repr=False)
    base_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the decision depends on beside the record itself. `now` and `today` are inputs like any other.

    `history`: what was over before we heard of it is kept, too.
    """

    leaving: Leaving
    reliable_updated_at: bool
    policy: Policy
    grace: timedelta
    now: datetime
    today: date
    history: bool = False


@dataclass(slots=True, kw_only=True)
class Decision:
    """What to do about one record, and why.

    `writes` are flat fields for the app; what is created is written whole. `base` is what will have been decided on, where that
    moves. An empty `status` leaves the mapping's.
    """

    action: Action
    reason: str
    rule: str
    writes: Values = field(default_factory=dict, repr=False)
    conflicts: Sequence[FieldConflict] = ()
    flags: frozenset[str] = _NO_FLAGS
    status: str = ""
    base: Values | None = field(default=None, repr=False)


NOTHING = Decision(action="unchanged", reason="same", rule="nothing changed")


def decide(kind: Kind, source: Source | None, local: Local | None, mapped: Mapped | None, rules: Rules) -> Decision:
    """Decide about one record."""
    if source is None:
        return NOTHING
    if mapped is None:
        return _first_contact(kind, source, local, rules)
    if mapped.status == "deleted":
        base = None if source.absent else _base(mapped, _delivered(source, mapped))
        return Decision(action="unchanged", reason="deleted_locally", rule="tombstone", base=base)
    if source.absent:
        return _absence(kind, source, local, mapped, rules)
    if local is None:
        return _deleted_locally(kind, source, mapped, rules)
    return _both(kind, source, local, mapped, rules)


def _delivered(source: Source, mapped: Mapped) -> dict[str, Any]:
    """S, flat. A stay that we ended without being told to, and that is told of again, ends when the SIS says, or not at all."""
    sis = flatten(source.document)
    if mapped.base_sis.get("exit_inferred"):
        sis.setdefault("exit_date", None)
    return sis


def _base(mapped: Mapped, sis: Values) -> dict[str, Any]:
    """What will have been decided on: what was delivered now, over what was before."""
    return nest({**flatten(mapped.base_sis), **sis})


def _first_contact(kind: Kind, source: Source, local: Local | None, rules: Rules) -> Decision:
    if source.absent:
        return NOTHING
    status = source.document["status"]
    if local is None:
        if status == "inactive" and not rules.history:
            return Decision(action="unchanged", reason=_left(source), rule="was never here")
        reason = "history" if status == "inactive" else "new"
        return Decision(action="create", reason=reason, rule="new in the SIS", status=status, base=source.document)
    merged = merge_fields(
        kind,
        sis=flatten(source.document),
        local=flatten(local.document),
        base_sis=None,
        base_local=None,
        policy=rules.policy,
        clocks=_clocks(source, local, None, rules),
    )
    return _outcome(merged, local, source.document, "first_contact", "an existing local record")


def _absence(kind: Kind, source: Source, local: Local | None, mapped: Mapped, rules: Rules) -> Decision:
    """Withdraw what is gone, as if the SIS had said so: an app that owns the status, or has changed it, is heard as ever."""
    if mapped.status == "inactive":
        return NOTHING
    flags = {"absent"}
    if source.ended:
        reason, rule = source.ended, _ENDED.get(source.ended, "what it hangs from has ended")
    elif rules.leaving != "absence":
        reason, rule = "absence", "it vanished, which this SIS never does to somebody who leaves"
        flags.add("anomaly")
    elif rules.grace and (source.missing_pulls < 2 or _waited(source, rules) < rules.grace):
        return Decision(action="unchanged", reason="absence", rule="missing, within the time of grace")
    else:
        reason, rule = "absence", "missing from complete reads for longer than the time of grace"
    gone = {"status": "inactive", "status_reason": reason}
    base = _base(mapped, gone)
    if local is None:
        return Decision(action="unchanged", reason=reason, rule="gone on both sides", status="inactive", base=base)
    decision = _outcome(_merge(kind, gone, source, local, mapped, rules), local, base, reason, rule)
    return replace(decision, flags=decision.flags | flags) if decision.action == "withdraw" else decision


def _waited(source: Source, rules: Rules) -> timedelta:
    return rules.now - source.missing_since if source.missing_since else timedelta()


def _deleted_locally(kind: Kind, source: Source, mapped: Mapped, rules: Rules) -> Decision:
    status = source.document["status"]
    reason, base = "deleted_locally", _base(mapped, _delivered(source, mapped))
    if status == "inactive":
        return Decision(action="unchanged", reason=reason, rule="gone on both sides", status="inactive", base=base)
    strategy, owner = rules.policy.of(kind, "*")
    if owner == "sis" or (owner == "shared" and strategy == "sis_wins"):
        rule = "the local row was deleted; the SIS wins, so it is made again"
        return Decision(action="create", reason=reason, rule=rule, status=status, base=base)
    if owner == "local" or strategy == "local_wins":
        return Decision(action="unchanged", reason=reason, rule="local_wins", status="deleted", base=base)
    conflict = FieldConflict("*", strategy, "ask")
    return Decision(action="conflict", reason=reason, rule=strategy, conflicts=(conflict,))


def _both(kind: Kind, source: Source, local: Local, mapped: Mapped, rules: Rules) -> Decision:
    sis = _delivered(source, mapped)
    merged = _merge(kind, sis, source, local, mapped, rules)
    reason = "remapped" if source.remapped else _why(kind, merged.writes, local, source)
    return _outcome(merged, local, _base(mapped, sis), reason, "changed in the SIS")


def _merge(kind: Kind, sis: Values, source: Source, local: Local, mapped: Mapped, rules: Rules) -> Merged:
    return merge_fields(
        kind,
        sis=sis,
        local=flatten(local.document),
        base_sis=flatten(mapped.base_sis),
        base_local=flatten(mapped.base_local),
        policy=rules.policy,
        clocks=_clocks(source, local, mapped, rules),
        remapped=source.remapped,
    )


def _outcome(merged: Merged, local: Local, base: Values, reason: str, rule: str) -> Decision:
    mine = flatten(local.document)
    before = str(mine.get("status") or "active")
    after = str(merged.writes.get("status", before))
    action: Action = "update" if merged.writes else "unchanged"
    flags = _flags(merged.writes, mine)
    if before != "inactive" and after == "inactive":
        action = "withdraw"
        if reason != "ended":
            flags.add("removal")
    elif before == "inactive" and after != "inactive":
        action = "reenroll"
    asked = [conflict for conflict in merged.conflicts if conflict.decided == "ask"]
    if asked and not merged.writes:
        action, rule = "conflict", asked[0].rule
    elif merged.conflicts:
        rule = merged.conflicts[0].rule
    elif not merged.writes:
        rule = "the app's own edit stays" if merged.kept else "nothing to write"
    return Decision(
        action=action,
        reason=reason,
        rule=rule,
        writes=merged.writes,
        conflicts=merged.conflicts,
        flags=frozenset(flags),
        status=after,
        base=base,
    )


def _flags(writes: Values, mine: Values) -> set[str]:
    """What guards look at. A first value is no change of identity; a status that loses its reason turns nothing blank."""
    changed = [name for name in writes if mine.get(name)]
    blanked = {f"blank:{name}" for name in changed if is_blank(writes[name]) and name != "status_reason"}
    return blanked | ({"identity"} if any(name in _IDENTITY or name.startswith("ids.") for name in changed) else set())


def _why(kind: str, writes: Values, local: Local, source: Source) -> str:
    status = writes.get("status")
    if status == "inactive":
        return _left(source)
    if status is not None:
        return "began" if local.document.get("status") == "scheduled" else "re_entry"
    if kind == "students" and "school" in writes:
        return "transfer"
    if kind == "students" and "grade" in writes:
        return "promotion"
    return "correction"


_REASONS = {"transferred": "transfer", "graduated": "graduation", "withdrawn": "withdrawal", None: "withdrawal"}


def _left(source: Source) -> str:
    reason: str | None = source.document.get("status_reason")
    return _REASONS.get(reason, reason or "withdrawal")


def _clocks(source: Source, local: Local, mapped: Mapped | None, rules: Rules) -> Clocks:
    return Clocks(
        sis=source.updated_at,
        sis_reliable=rules.reliable_updated_at,
        base=mapped.base_at if mapped else None,
        local=local.edited_at,
    )
