"""The one function that decides about a record, and the three-way merge of its fields. Pure: no I/O, no clock.

Three states meet: S, what the SIS says; L, what the app has; and the bases, what was last decided (`base_sis`) and what the app
read back after our last write (`base_local`). A plain change of one side is no conflict; only a field that changed on both
sides to different values is, and its strategy decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal

from sis_connect.capabilities import Kind, Leaving
from sis_connect.roster.conflict import STRATEGIES, Clash, Clocks, Policy

Values = Mapping[str, Any]
Action = Literal["create", "update", "withdraw", "reenroll", "conflict", "quarantine", "unchanged"]
ACTIONS: tuple[Action, ...] = ("create", "update", "withdraw", "reenroll", "conflict", "quarantine", "unchanged")

_NESTED = ("ids", "custom")
_IDENTITY = frozenset({"username", "email", "emails"})
_MISSING: Any = object()
_NO_FLAGS: frozenset[str] = frozenset()
_ENDS = {"school_enrollments": ("entry_date", "exit_date"), "enrollments": ("begin_date", "end_date")}


# -- documents and values ----------------------------------------------------------------------------------------------


def flatten(document: Values) -> dict[str, Any]:
    """A document with the parts of `ids` and `custom` as fields of their own (`ids.student_number`)."""
    values = dict(document)
    for name in _NESTED:
        for part, value in (values.pop(name, None) or {}).items():
            values[f"{name}.{part}"] = value
    return values


def nest(values: Values) -> dict[str, Any]:
    """The reverse of `flatten`."""
    document: dict[str, Any] = {}
    for name, value in values.items():
        owner, dot, part = name.partition(".")
        if dot:
            document.setdefault(owner, {})[part] = value
        else:
            document[name] = value
    return document


def combine(parts: Sequence[Values]) -> dict[str, Any]:
    """One record from several source rows, whatever their order of arrival: the caller sorts them.

    Lists are united, an identifier that differs keeps all its values, and somebody active anywhere is active.
    """
    if len(parts) == 1:
        return dict(parts[0])
    combined: dict[str, Any] = {}
    for part in parts:
        for name, value in flatten(part).items():
            known = combined.get(name)
            if known is None:
                combined[name] = value
            elif isinstance(known, list) or isinstance(value, list) or name.startswith("ids."):
                union = [*_listed(known), *(item for item in _listed(value) if item not in _listed(known))]
                combined[name] = sorted(union, key=str) if len(union) > 1 or isinstance(known, list) else union[0]
            elif name == "status" and value == "active":
                combined["status"], combined["status_reason"] = "active", None
    if any(part.get("status", "active") == "active" for part in parts):
        combined["status"] = "active"
        combined.pop("status_reason", None)
    return nest(combined)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def at_date(kind: str, document: Values, today: date) -> tuple[dict[str, Any], date | None]:
    """The document as it holds on a day, and the day on which that changes by itself.

    A stay that has not begun is `scheduled`, one whose last day has passed is `inactive` with the reason `ended`, and one that
    ends on the day it begins never took place (`no_show`).
    """
    values = dict(document)
    values.setdefault("status", "active")
    if values["status"] == "tobedeleted":
        values["status"], values["status_reason"] = "inactive", values.get("status_reason") or "deleted"
    begins, ends = _ENDS.get(kind, (None, None))
    if begins is None or ends is None or values["status"] != "active":
        return values, None
    first, last = _day(values.get(begins)), _day(values.get(ends))
    if first is not None and first == last:
        values["status"], values["status_reason"] = "inactive", "no_show"
        return values, None
    if last is not None and last <= today:
        values["status"], values["status_reason"] = "inactive", "ended"
        return values, None
    if first is not None and first > today:
        values["status"] = "scheduled"
        return values, first
    return values, last


def _day(value: Any) -> date | None:
    return date.fromisoformat(value) if isinstance(value, str) else None


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
        elif not l_changed or (base is _MISSING and mine is None):
            merged.writes[name] = s
        elif remapped or (base is _MISSING and s is None):
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

    `missing_pulls` counts complete pulls without it since `missing_since`; `stated` is false where its source row still comes but
    no longer speaks of it.
    """

    document: Values
    updated_at: datetime | None = None
    missing_pulls: int = 0
    missing_since: datetime | None = None
    stated: bool = True
    remapped: bool = False


@dataclass(slots=True, kw_only=True)
class Local:
    """L: the app's row. `edited_at` is when somebody other than us changed it last."""

    document: Values
    edited_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Mapped:
    """What the mapping remembers of a record."""

    status: str
    base_sis: Values
    base_local: Values
    base_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the decision depends on beside the record itself. `now` and `today` are inputs like any other."""

    leaving: Leaving
    reliable_updated_at: bool
    policy: Policy
    grace: timedelta
    now: datetime
    today: date


@dataclass(slots=True, kw_only=True)
class Decision:
    """What to do about one record, and why.

    `writes` are flat fields for the app; what is created is written whole. An empty `status` leaves the mapping's.
    """

    action: Action
    reason: str
    rule: str
    writes: Values = field(default_factory=dict)
    conflicts: Sequence[FieldConflict] = ()
    flags: frozenset[str] = _NO_FLAGS
    status: str = ""
    moves_base: bool = False


NOTHING = Decision(action="unchanged", reason="same", rule="nothing changed")


def decide(kind: Kind, source: Source | None, local: Local | None, mapped: Mapped | None, rules: Rules) -> Decision:
    """Decide about one record."""
    if source is None:
        return NOTHING
    if mapped is None:
        return _first_contact(kind, source, local, rules)
    absent = source.missing_pulls > 0 or not source.stated
    if mapped.status == "deleted":
        return Decision(action="unchanged", reason="deleted_locally", rule="tombstone", moves_base=not absent)
    if absent:
        return _absence(kind, source, local, mapped, rules)
    if local is None:
        return _deleted_locally(kind, source, mapped, rules)
    return _both(kind, source, local, mapped, rules)


def _first_contact(kind: Kind, source: Source, local: Local | None, rules: Rules) -> Decision:
    if source.missing_pulls > 0 or not source.stated:
        return NOTHING
    status = source.document["status"]
    if local is None:
        if status == "inactive":
            return Decision(action="unchanged", reason=_left(source), rule="was never here")
        return Decision(action="create", reason="new", rule="new in the SIS", status=status, moves_base=True)
    merged = merge_fields(
        kind,
        sis=flatten(source.document),
        local=flatten(local.document),
        base_sis=None,
        base_local=None,
        policy=rules.policy,
        clocks=_clocks(source, local, None, rules),
    )
    return _outcome(merged, local, status, "first_contact", "an existing local record")


def _absence(kind: Kind, source: Source, local: Local | None, mapped: Mapped, rules: Rules) -> Decision:
    if mapped.status == "inactive":
        return NOTHING
    flags = {"removal"}
    if not source.stated:
        reason, rule = "no_longer_stated", "its source row speaks of it no longer"
    elif rules.leaving != "absence":
        reason, rule = "absence", "it vanished, which this SIS never does to somebody who leaves"
        flags.add("anomaly")
    elif rules.grace and (source.missing_pulls < 2 or _waited(source, rules) < rules.grace):
        return Decision(action="unchanged", reason="absence", rule="missing, within the time of grace")
    else:
        reason, rule = "absence", "missing from complete reads for longer than the time of grace"
    if local is None:
        return Decision(action="unchanged", reason=reason, rule="gone on both sides", status="inactive", moves_base=True)
    writes = {"status": "inactive", "status_reason": reason}
    return Decision(action="withdraw", reason=reason, rule=rule, writes=writes, flags=frozenset(flags), status="inactive")


def _waited(source: Source, rules: Rules) -> timedelta:
    return rules.now - source.missing_since if source.missing_since else timedelta()


def _deleted_locally(kind: Kind, source: Source, mapped: Mapped, rules: Rules) -> Decision:
    status = source.document["status"]
    if status == "inactive":
        return Decision(
            action="unchanged", reason="deleted_locally", rule="gone on both sides", status="inactive", moves_base=True
        )
    strategy, owner = rules.policy.of(kind, "*")
    if owner == "sis" or (owner == "shared" and strategy == "sis_wins"):
        return Decision(
            action="create",
            reason="deleted_locally",
            rule="the local row was deleted; the SIS wins, so it is made again",
            status=status,
            moves_base=True,
        )
    if owner == "local" or strategy == "local_wins":
        return Decision(action="unchanged", reason="deleted_locally", rule="local_wins", status="deleted", moves_base=True)
    conflict = FieldConflict("*", strategy, "ask")
    return Decision(action="conflict", reason="deleted_locally", rule=strategy, conflicts=(conflict,))


def _both(kind: Kind, source: Source, local: Local, mapped: Mapped, rules: Rules) -> Decision:
    sis, mine = flatten(source.document), flatten(local.document)
    merged = merge_fields(
        kind,
        sis=sis,
        local=mine,
        base_sis=flatten(mapped.base_sis),
        base_local=flatten(mapped.base_local),
        policy=rules.policy,
        clocks=_clocks(source, local, mapped, rules),
        remapped=source.remapped,
    )
    reason = "remapped" if source.remapped else _why(kind, merged.writes, mine, source)
    return _outcome(merged, local, "", reason, "changed in the SIS")


def _outcome(merged: Merged, local: Local, status: str, reason: str, rule: str) -> Decision:
    before = str(local.document.get("status") or "active")
    after = str(merged.writes.get("status", before))
    action: Action = "update" if merged.writes else "unchanged"
    flags = {"identity"} if any(_identifies(name, local) for name in merged.writes) else set()
    flags |= {
        f"blank:{name}" for name, value in merged.writes.items() if value in (None, [], {}) and flatten(local.document).get(name)
    }
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
        status=status or after,
        moves_base=True,
    )


def _identifies(name: str, local: Local) -> bool:
    """Whether changing a field changes by what a person is known. A first value changes nothing."""
    if name not in _IDENTITY and not name.startswith("ids."):
        return False
    return bool(flatten(local.document).get(name))


def _why(kind: str, writes: Values, mine: Values, source: Source) -> str:
    status = writes.get("status")
    if status == "inactive":
        return _left(source)
    if status is not None:
        return "began" if mine.get("status") == "scheduled" else "re_entry"
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
