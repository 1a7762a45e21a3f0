"""A decision as a row of the plan, and whether there is anything about it to write down. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sis_connect.capabilities import Kind
from sis_connect.roster.belonging import school_of
from sis_connect.roster.cases import Case, decode, encode
from sis_connect.roster.documents import flatten
from sis_connect.roster.guard import emptied
from sis_connect.roster.merge import Decision

#: What the rows of decisions that a person took are flagged with.
PERSON = "person"
COLUMNS = (
    "plan", "kind", "sis_id", "action", "reason", "rule", "school", "before", "after", "document", "evidence", "flags",
    "source", "local", "base", "due", "state",
)  # fmt: skip
_NEW = '{"conflicts":[],"status":""}'


def moves(case: Case, decision: Decision) -> bool:
    """Whether a decision that writes nothing to the app still has to be remembered."""
    if case.mapping is None or case.source is None:
        return decision.base is not None
    if decision.status and decision.status != case.mapping.status:
        return True
    return decision.base is not None and (decision.base != decode(case.mapping.base_sis) or case.due != case.mapping.due)


def row_of(plan: int, kind: Kind, case: Case, decision: Decision, empty: Mapping[int, str]) -> tuple[Any, ...]:
    """The row, in the order of `COLUMNS`. `empty` are the streams that came without rows where there were some."""
    before = after = None  # of what is new, the document says it all
    evidence = _NEW
    if decision.action != "create":
        mine = flatten(case.local.document) if case.local else {}
        before = encode({name: mine.get(name) for name in decision.writes}).decode()
        after = encode(dict(decision.writes)).decode()
        evidence = encode(_evidence(case, decision)).decode()
    flags = decision.flags
    if not case.streams:
        flags |= {"unseen"}  # no row brought the record itself
    if empty and decision.action == "withdraw":
        flags |= {emptied(empty[stream]) for stream in case.streams if stream in empty}
    return (
        plan, kind, case.sis_id, decision.action, decision.reason, decision.rule, school_of(case), before, after,
        encode(decision.base).decode() if decision.base is not None else None, evidence,
        f" {' '.join(sorted(flags))} " if flags else "", case.source_witness, case.local_witness, case.base_witness,
        case.due, "planned",
    )  # fmt: skip


def _evidence(case: Case, decision: Decision) -> dict[str, Any]:
    evidence: dict[str, Any] = {
        "conflicts": [[conflict.field, conflict.rule, conflict.decided] for conflict in decision.conflicts],
        "status": decision.status,
    }
    if case.adopts:
        evidence["adopts"] = case.adopts
    if case.source is not None and case.source.missing_pulls:
        evidence |= {"missing_pulls": case.source.missing_pulls, "missing_since": str(case.source.missing_since)}
    return evidence
