"""The one function that decides about a record. Pure: no I/O, no clock.

Three states meet: S, what the SIS says; L, what the app has; and the bases, what was last decided (`base_sis`) and what the app
read back after our last write (`base_local`). Its fields are merged one by one (`field_merge`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal

from sis_connect.capabilities import Kind, Leaving
from sis_connect.roster.conflict import SILENCE, Clocks, Policy, Said
from sis_connect.roster.documents import Values, flatten, is_blank, nest
from sis_connect.roster.field_merge import FieldConflict, Merged, merge_fields

__all__ = [
    "ACTIONS",
    "NOTHING",
    "PINNED",
    "UNSTATED",
    "WHOLE",
    "Action",
    "Decision",
    "FieldConflict",
    "Local",
    "Mapped",
    "Merged",
    "Rules",
    "Source",
    "answered",
    "decide",
    "decision_to_write",
    "delivered",
    "given_back",
    "merge_fields",
    "protected",
]

Action = Literal["create", "update", "withdraw", "reenroll", "conflict", "quarantine", "unchanged"]
ACTIONS: tuple[Action, ...] = ("create", "update", "withdraw", "reenroll", "conflict", "quarantine", "unchanged")

_IDENTITY = frozenset({"username", "email", "emails"})
_NO_FLAGS: frozenset[str] = frozenset()
#: What the question about a row that the app deleted is filed under.
WHOLE = "*"
UNSTATED = "no_longer_stated"
#: The reason of what would be a withdrawal, were it not pinned.
PINNED = "pinned"
_ENDED = {
    UNSTATED: "its source row speaks of it no longer",
    "absence": "its whole list came empty",
    "ended": "its term is over",
    "rollover": "its school year is over",
    "merged": "the SIS says that this is another record now",
}
#: Reasons of what ends by itself: nobody is removed by it.
_BY_DATE = frozenset(("ended", "rollover"))
_ENDS = ("exit_date", "end_date")


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
    """L: the app's row. `edited_at` is when somebody other than us changed it last; `edits` says so of single columns."""

    document: Values = field(repr=False)
    edited_at: datetime | None = None
    edits: Mapping[str, datetime] | None = None


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
    moves. An empty `status` leaves the mapping's. The open questions about the fields that it `closes` are none any more.
    """

    action: Action
    reason: str
    rule: str
    writes: Values = field(default_factory=dict, repr=False)
    conflicts: Sequence[FieldConflict] = ()
    flags: frozenset[str] = _NO_FLAGS
    status: str = ""
    base: Values | None = field(default=None, repr=False)
    closes: Collection[str] = ()


NOTHING = Decision(action="unchanged", reason="same", rule="nothing changed")


def decide(
    kind: Kind, source: Source | None, local: Local | None, mapped: Mapped | None, rules: Rules, said: Said = SILENCE
) -> Decision:
    """Decide about one record."""
    if source is None:
        return NOTHING
    if mapped is None:
        return _first_contact(kind, source, local, rules, said)
    if mapped.status == "deleted":
        base = None if source.absent else _base(mapped, delivered(source, mapped))
        return Decision(action="unchanged", reason="deleted_locally", rule="tombstone", base=base, closes=said.open)
    if source.absent:
        return protected(_absence(kind, source, local, mapped, rules, said), said)
    if local is None:
        return _deleted_locally(kind, source, mapped, rules, said)
    return protected(_both(kind, source, local, mapped, rules, said), said)


def answered(
    kind: Kind,
    source: Source,
    local: Local | None,
    mapped: Mapped | None,
    rules: Rules,
    said: Said,
    names: Collection[str],
) -> Decision:
    """Decide about some fields of a record only: those about which people have just said something."""
    if local is None:
        return _deleted_locally(kind, source, mapped, rules, said) if mapped is not None else NOTHING
    told = delivered(source, mapped)
    sis = {name: told[name] for name in names if name in told}
    merged = _merge(kind, sis, source, local, mapped, rules, said)
    base = nest({**(flatten(mapped.base_sis) if mapped else {}), **_decided(sis, merged)})
    return protected(_outcome(merged, local, base, "resolved", "a person decided"), said)


def given_back(source: Source, local: Local, mapped: Mapped, names: Collection[str]) -> Decision:
    """Write S over what the app has edited: over these fields, or without any over all."""
    mine, base_local = flatten(local.document), flatten(mapped.base_local)
    edited = names or {name for name in mine.keys() | base_local.keys() if mine.get(name) != base_local.get(name)}
    sis = {name: s for name, s in delivered(source, mapped).items() if name in edited and s != mine.get(name)}
    base = nest({**flatten(mapped.base_sis), **sis})
    return _outcome(Merged(writes=sis), local, base, "reverted", "a person gave up the app's edit")


def decision_to_write(local: Local, writes: Values, *, reason: str, rule: str) -> Decision:
    """A decision that somebody has taken outside the merge: its action follows from what it writes, flags as ever."""
    merged = Merged(writes=dict(writes))
    return replace(_outcome(merged, local, {}, reason, rule), base=None)


def protected(decision: Decision, said: Said) -> Decision:
    """The same decision, unless it withdraws what somebody has pinned."""
    if decision.action != "withdraw" or "" not in said.pinned:
        return decision
    return Decision(action="unchanged", reason=PINNED, rule="protected by a person")


def delivered(source: Source, mapped: Mapped | None) -> dict[str, Any]:
    """S, flat. A stay that we ended without being told to, and that is told of again, ends when the SIS says, or not at all."""
    sis = flatten(source.document)
    if mapped is not None and mapped.base_sis.get("exit_inferred"):
        sis = {**dict.fromkeys(name for name in _ENDS if name in mapped.base_sis), **sis}
    return sis


def _base(mapped: Mapped, sis: Values) -> dict[str, Any]:
    """What will have been decided on: what was delivered now, over what was before."""
    return nest({**flatten(mapped.base_sis), **sis})


def _decided(sis: Values, merged: Merged) -> Values:
    """What of S was decided on."""
    return {name: value for name, value in sis.items() if name not in merged.undecided} if merged.undecided else sis


def _first_contact(kind: Kind, source: Source, local: Local | None, rules: Rules, said: Said) -> Decision:
    if source.absent:
        return NOTHING
    status = source.document["status"]
    if local is None:
        if status == "inactive" and not rules.history:
            return Decision(action="unchanged", reason=_left(source), rule="was never here")
        reason = "history" if status == "inactive" else "new"
        return Decision(action="create", reason=reason, rule="new in the SIS", status=status, base=source.document)
    sis = flatten(source.document)
    merged = _merge(kind, sis, source, local, None, rules, said)
    base = nest(_decided(sis, merged)) if merged.undecided else source.document
    return _outcome(merged, local, base, "first_contact", "an existing local record")


def _absence(kind: Kind, source: Source, local: Local | None, mapped: Mapped, rules: Rules, said: Said) -> Decision:
    """Withdraw what is gone, as if the SIS had said so: an app that owns the status, or has changed it, is heard as ever."""
    if mapped.status == "inactive":
        return _gone_before(source, local, mapped, rules)
    flags = {"absent"}
    if source.ended:
        reason, rule = source.ended, _ENDED.get(source.ended, "what it hangs from has ended")
    elif rules.leaving != "absence":
        reason, rule = "absence", "it vanished, which this SIS never does to somebody who leaves"
        flags.add("anomaly")
    elif not _is_proved(source, rules):
        return Decision(action="unchanged", reason="absence", rule="missing, within the time of grace")
    else:
        reason, rule = "absence", "missing from complete reads for longer than the time of grace"
    gone = {"status": "inactive", "status_reason": reason}
    if local is None:
        return _gone(reason, _base(mapped, gone), said)
    merged = _merge(kind, gone, source, local, mapped, rules, said)
    decision = _outcome(merged, local, _base(mapped, _decided(gone, merged)), reason, rule)
    return replace(decision, flags=decision.flags | flags) if decision.action == "withdraw" else decision


def _is_proved(source: Source, rules: Rules) -> bool:
    """Whether it is missing for longer than the time of grace."""
    waited = rules.now - source.missing_since if source.missing_since else timedelta()
    return not rules.grace or (source.missing_pulls >= 2 and waited >= rules.grace)


def _gone_before(source: Source, local: Local | None, mapped: Mapped, rules: Rules) -> Decision:
    """Note that the SIS does not tell any more of what somebody withdrew here before: so its return is news (promise P6)."""
    if source.ended not in ("", UNSTATED) and not source.missing_pulls:
        # It is told of still. Nothing is decided, but the day is noted that the SIS gives for its end.
        return Decision(action="unchanged", reason=source.ended, rule="it had left here before", base=dict(mapped.base_sis))
    over = mapped.base_sis.get("status") == "inactive"
    if over or source.ended not in ("", UNSTATED) or not (source.ended or _is_proved(source, rules)):
        return NOTHING
    gone: dict[str, Any] = {"status": "inactive", "status_reason": "absence"}
    for name in _ENDS:
        ends = mapped.base_local.get(name)
        if ends and local is not None and ends == local.document.get(name) != mapped.base_sis.get(name):
            gone |= {name: ends, "exit_inferred": True}  # that was our date, not the SIS's
    return Decision(action="unchanged", reason="absence", rule="it had left here before", base=_base(mapped, gone))


def _gone(reason: str, base: Values, said: Said) -> Decision:
    rule = "gone on both sides"
    return Decision(action="unchanged", reason=reason, rule=rule, status="inactive", base=base, closes=said.open)


def _deleted_locally(kind: Kind, source: Source, mapped: Mapped, rules: Rules, said: Said) -> Decision:
    status = source.document["status"]
    reason, base = "deleted_locally", _base(mapped, delivered(source, mapped))
    if status == "inactive":
        return _gone(reason, base, said)
    strategy, owner = rules.policy.of(kind, WHOLE)
    filed = said.filed.get(WHOLE)
    decision = filed.decision if filed is not None and filed.answers(status, None) else None
    if decision == "sis" or (decision is None and (owner == "sis" or (owner == "shared" and strategy == "sis_wins"))):
        rule = f"the local row was deleted; {'a person decided' if decision else 'the SIS wins'}, so it is made again"
        return Decision(action="create", reason=reason, rule=rule, status=status, base=base, closes=said.open)
    if decision == "local" or owner == "local" or strategy == "local_wins":
        rule = "a person decided" if decision else "local_wins"
        return Decision(action="unchanged", reason=reason, rule=rule, status="deleted", base=base, closes=said.open)
    asked = FieldConflict(WHOLE, strategy, "ask", sis=status, anew=filed is None or not filed.asks(status, None))
    action: Action = "conflict" if asked.anew else "unchanged"
    return Decision(action=action, reason=reason, rule=strategy, conflicts=(asked,), closes=said.open - {WHOLE})


def _both(kind: Kind, source: Source, local: Local, mapped: Mapped, rules: Rules, said: Said) -> Decision:
    sis = delivered(source, mapped)
    merged = _merge(kind, sis, source, local, mapped, rules, said)
    reason = "remapped" if source.remapped else _why(kind, merged.writes, local, source)
    return _outcome(merged, local, _base(mapped, _decided(sis, merged)), reason, "changed in the SIS")


def _merge(kind: Kind, sis: Values, source: Source, local: Local, mapped: Mapped | None, rules: Rules, said: Said) -> Merged:
    merged = merge_fields(
        kind,
        sis=sis,
        local=flatten(local.document),
        base_sis=flatten(mapped.base_sis) if mapped else None,
        base_local=flatten(mapped.base_local) if mapped else None,
        policy=rules.policy,
        clocks=_clocks(source, local, mapped, rules),
        edits=local.edits,
        remapped=source.remapped,
        said=said,
    )
    if said.filed:
        merged.closes |= said.open & {WHOLE}  # the row is there
    return merged


def _outcome(merged: Merged, local: Local, base: Values, reason: str, rule: str) -> Decision:
    mine = flatten(local.document)
    before = str(mine.get("status") or "active")
    after = str(merged.writes.get("status", before))
    action: Action = "update" if merged.writes else "unchanged"
    flags = _flags(merged.writes, mine)
    if before != "inactive" and after == "inactive":
        action = "withdraw"
        if reason not in _BY_DATE:
            flags.add("removal")
    elif before == "inactive" and after != "inactive":
        action = "reenroll"
    asked = [conflict for conflict in merged.conflicts if conflict.decided == "ask"]
    if not merged.writes and any(conflict.anew for conflict in asked):
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
        closes=merged.closes,
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
        local_exact=False,
    )
