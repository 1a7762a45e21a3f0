"""Reports of plans and syncs in words. They are made from the fixed JSON shape alone, so that both always agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sis_connect.capabilities import KINDS
from sis_connect.cli.invocation import DONE, FAILED, HELD, INCOMPLETE
from sis_connect.cli.tables import counted, duration, indented, number, size, table
from sis_connect.errors import SISError
from sis_connect.guards import in_words

TO_DO = ("create", "update", "withdraw", "reenroll")
NOT_OFFERED = "not_offered"
#: How many lines of one sort are shown.
SHOWN = 8
EXIT_CODES = {"succeeded": DONE, "failed": FAILED, "held": HELD, "incomplete": INCOMPLETE}

ACTIONS = {
    "create": "created",
    "update": "updated",
    "withdraw": "withdrawn",
    "reenroll": "re-enrolled",
    "conflict": "in conflict",
    "quarantine": "quarantined",
    "unchanged": "unchanged",
}


def exit_code(report: Mapping[str, Any]) -> int:
    """What the command leaves with."""
    return EXIT_CODES[report["status"]]


def failed_report(error: SISError, arguments: Mapping[str, Any], *, key: str = "operation") -> dict[str, Any]:
    """The fixed shape for a sync that did not come far enough to have a report."""
    return {
        key: error.operation,
        "integration": error.integration or arguments.get("name"),
        "status": "failed",
        "requests": 0,
        "bytes": 0,
        "seconds": 0.0,
        "records": {},
        "changes": {},
        "held": {},
        "skipped": {},
        "reasons": {},
        "failed": {},
        "conflicts": 0,
        "clashes": {},
        "quarantined": 0,
        "missing": {},
        "holds": [],
        "incomplete": [],
        "integrity": {},
        "warnings": [],
        "read": {"changes": 0, "whole": 0, "full_due": None},
        "error": error.as_dict(),
    }


def failed_plan(error: SISError, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a plan."""
    return failed_report(error, arguments, key="plan")


def describe(report: Mapping[str, Any], *, next_step: bool = True) -> str:
    """A report of a plan, an apply or a sync, for a person; with what to do next unless that is told elsewhere."""
    planned = "plan" in report
    blocks = [
        _headline(report, planned),
        _counts(report, planned),
        _nothing_done(report, planned),
        _changes_only(report),
        _reasons(report),
        _held(report),
        _incomplete(report),
        _left_over(report),
        _clashes(report),
        _integrity(report),
        _warnings(report),
        _next_step(report, planned) if next_step else "",
    ]
    return "\n\n".join(block for block in blocks if block)


def _headline(report: Mapping[str, Any], planned: bool) -> str:
    name, status = report["integration"], report["status"]
    effort = duration(report["seconds"])
    if report["requests"]:
        effort += f", {counted(report['requests'], 'request')}, {size(report['bytes'])} read"
    if status == "failed":
        return f"{name}: failed after {effort}."
    words = {
        "succeeded": "ready to be applied" if planned else "done",
        "held": "some changes would be held" if planned else "done, except for what is held",
        "incomplete": "incomplete, so nobody is withdrawn where something could not be read",
    }
    return f"{name}: {words[status]} ({effort})."


def _counts(report: Mapping[str, Any], planned: bool) -> str:
    records: Mapping[str, Any] = report["records"]
    changes: Mapping[str, Mapping[str, int]] = report["changes"]
    lacking = [kind.replace("_", " ") for kind in KINDS if records.get(kind) == NOT_OFFERED]
    kinds = [kind for kind in KINDS if (kind in records or kind in changes) and records.get(kind) != NOT_OFFERED]
    if not kinds:
        return ""
    actions = [action for action in ACTIONS if any(changes.get(kind, {}).get(action) for kind in kinds)]
    headings = ["read"] if records else []
    headings += [f"to {action}" if planned and action in TO_DO else ACTIONS[action] for action in actions]
    if not headings:
        return ""
    rows = []
    for kind in kinds:
        counts = [number(changes.get(kind, {}).get(action)) for action in actions]
        rows.append([kind.replace("_", " "), *([number(records.get(kind))] if records else []), *counts])
    note = f"\n(This SIS does not offer {', '.join(lacking)}.)" if lacking else ""
    return table(["", *headings], rows, right=headings) + note


def _nothing_done(report: Mapping[str, Any], planned: bool) -> str:
    """Where nothing was read and nothing written, a person is told so: "done" alone would not say which."""
    quiet = not planned and report["status"] != "failed" and not report["records"]
    return "Nothing in the roster was changed." if quiet and not _to_do(report) else ""


def _to_do(report: Mapping[str, Any]) -> bool:
    return any(action in TO_DO for counts in report["changes"].values() for action in counts)


def _changes_only(report: Mapping[str, Any]) -> str:
    read = report["read"]
    if not read["changes"]:
        return ""
    lists = counted(read["changes"] + read["whole"], "list")
    due = f"; everything is read again from {str(read['full_due'])[:16].replace('T', ' ')} UTC on" if read["full_due"] else ""
    return f"Only what has changed was read ({read['changes']:,} of {lists}){due}."


def _reasons(report: Mapping[str, Any]) -> str:
    reasons: Mapping[str, Mapping[str, int]] = report["reasons"]
    lines = []
    for kind in KINDS:
        counts = sorted(reasons.get(kind, {}).items(), key=lambda item: -item[1])
        named = [f"{count:,} {reason.replace('_', ' ')}" for reason, count in counts if reason]
        if set(reasons.get(kind, {})) - {"new"}:
            lines.append(f"{kind.replace('_', ' ')}: {', '.join(named)}")
    return "\n".join(["Why:", *(indented(line) for line in lines)]) if lines else ""


def _incomplete(report: Mapping[str, Any]) -> str:
    unread: Sequence[Mapping[str, str]] = report["incomplete"]
    error = report["error"]
    if not unread or (error and all(read["reason"].endswith(error["message"]) for read in unread)):
        return ""  # where all broke off for the reason that the run failed for, that is told once
    because: dict[str, list[str]] = {}
    for read in unread:
        because.setdefault(read["reason"], []).append(f"{read['endpoint']} {read['context']}".strip())
    lines = [f"{lists[0] if len(lists) == 1 else _together(lists)}: {reason}" for reason, lists in because.items()]
    if len(lines) > SHOWN:
        lines[SHOWN:] = [f"and {sum(len(lists) for lists in list(because.values())[SHOWN:]):,} more"]
    return "\n".join(["Not read to a proven end:", *(indented(line) for line in lines)])


def _together(lists: Sequence[str]) -> str:
    """Lists that broke off for one reason, as when the SIS is down: that is told once."""
    few = ", ".join(lists[:3])
    return few if len(lists) <= 3 else f"{counted(len(lists), 'list')} ({few}, …)"


def _held(report: Mapping[str, Any]) -> str:
    holds: Sequence[Mapping[str, Any]] = report["holds"]
    if not holds:
        return ""
    intro = f"{counted(len(holds), 'guard')} asked for a person to look first; these changes wait:"
    return f"{intro}\n{indented(hold_table(holds))}"


def hold_table(holds: Sequence[Mapping[str, Any]]) -> str:
    """Holds, one a line; with their integration where they are of several."""
    districts = len({hold.get("integration") for hold in holds}) > 1
    headings = ["ID", *(["integration"] if districts else []), "guard", "what", "scope", "count", "of", "limit", "expires"]
    rows = [
        [
            str(hold.get("id") or "-"),
            *([str(hold.get("integration") or "-")] if districts else []),
            in_words(str(hold["guard"])),
            f"{hold['action']} {str(hold['kind']).replace('_', ' ')}",
            _scope(hold["scope"]),
            number(hold["count"]),
            number(hold["of"]),
            _limit(hold["limit"]),
            str(hold.get("expires") or "-")[:10],
        ]
        for hold in holds
    ]
    return table(headings, rows, right=("count", "of"))


def _scope(scope: object) -> str:
    if isinstance(scope, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in scope.items() if value is not None) or "district"
    return str(scope) if scope else "district"


def _limit(limit: object) -> str:
    if isinstance(limit, float) and limit < 1:
        return f"{limit:.0%}"
    return "any" if limit is None else str(limit)


def _by_kind(counts: Mapping[str, int]) -> str:
    """3 students, 12 enrollments."""
    names = {kind: kind.replace("_", " ") for kind in KINDS}
    return ", ".join(counted(counts[kind], names[kind].removesuffix("s"), names[kind]) for kind in KINDS if counts.get(kind))


def _left_over(report: Mapping[str, Any]) -> str:
    lines = []
    skipped = sum(sum(counts.values()) for counts in report["skipped"].values())
    if skipped:
        lines.append(f"{counted(skipped, 'change')} left out: the record has changed since the plan was made.")
    if report["failed"]:
        lines.append(f"The app did not take {_by_kind(report['failed'])}; the next sync tries again.")
    if report["missing"]:
        lines.append(f"Not delivered, and kept until a later read proves that they have left: {_by_kind(report['missing'])}.")
    if report["conflicts"]:
        waits = counted(report["conflicts"], "question waits", "questions wait")
        lines.append(f"{waits} for a person; until then the app's value is kept: sis-connect conflicts {report['integration']}")
    if report["quarantined"]:
        kept = f"{counted(report['quarantined'], 'record')} in quarantine; the last good state is kept"
        lines.append(f"{kept}: sis-connect quarantine {report['integration']}")
    return "\n".join(lines)


OUTCOMES = {
    "sis": "taken from the SIS",
    "local": "left to the app",
    "value": "as a person said",
    "asked": "asked",
    "asked_without_clocks": "asked (no two clocks to compare)",
}


def _clashes(report: Mapping[str, Any]) -> str:
    """How fields that changed on both sides were settled, strategy by strategy."""
    clashes: Mapping[str, Mapping[str, int]] = report["clashes"]
    if not clashes:
        return ""
    lines = []
    for strategy, outcomes in clashes.items():
        told = [f"{count:,} {OUTCOMES.get(outcome, outcome.replace('_', ' '))}" for outcome, count in outcomes.items() if count]
        lines.append(f"{strategy}: {', '.join(told)}")
    return "\n".join(["Fields that both sides had changed:", *(indented(line) for line in lines)])


def _integrity(report: Mapping[str, Any]) -> str:
    """What the district should mend, one line for each check."""
    found: Mapping[str, int] = report["integrity"]
    if not found:
        return ""
    lines = [f"{check.replace('_', ' ')}: {count:,}" for check, count in found.items()]
    intro = f"For the district to mend (sis-connect integrity {report['integration']}):"
    return "\n".join([intro, *(indented(line) for line in lines)])


def _warnings(report: Mapping[str, Any]) -> str:
    """What a person should know, one line each."""
    messages = [str(warning["message"]) for warning in report["warnings"]]
    shown = messages if len(messages) <= SHOWN else [*messages[:SHOWN], f"and {len(messages) - SHOWN:,} more (--json)"]
    return "\n".join(["Please note:", *(indented(message) for message in shown)]) if messages else ""


def _next_step(report: Mapping[str, Any], planned: bool) -> str:
    if report["status"] == "failed":
        return ""
    if planned:
        if not _to_do(report) and not report["holds"]:
            return "There is nothing to apply."
        if not _to_do(report):
            return "Nothing of it is written before a person has decided: `sis-connect holds`, then `approve ID` or `reject ID`."
        return f"Apply it with: sis-connect apply {report['plan']}"
    if report["holds"]:
        return "Look at them with `sis-connect holds`, then `sis-connect approve ID` or `sis-connect reject ID`."
    return ""
