"""What only the engine shows: the roster of a real sync, and that a second one writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from datetime import date
from typing import Any

from sis_connect.capabilities import KINDS, Kind
from sis_connect.records import RECORDS
from sis_connect.testing.suite.bench import Bench
from sis_connect.testing.suite.check import Check, Failed, listed
from sis_connect.testing.suite.identity import needs_sandbox
from sis_connect.testing.suite.quoting import such_as
from sis_connect.testing.suite.rosters import Roster, Row, by_id

Run = Callable[[Bench], Coroutine[Any, Any, None]]


async def sync_brings_the_roster(bench: Bench) -> None:
    await _first(bench)
    service = await bench.service()
    rosters = {kind: by_id(bench.truth(kind)) for kind in _kept(bench)}
    due = due_at_first(rosters, bench.sandbox.date)
    for kind, right in rosters.items():
        mine = {row["sis_id"]: row async for row in service.export(bench.integration, kind)}
        missing = sorted(due[kind] - mine.keys())
        if missing:
            raise Failed(
                f"After a sync, {len(missing)} of {len(due[kind])} {kind} are not in the roster{such_as(missing)}. "
                "Look at the quarantine: references to what is not delivered keep a record waiting."
            )
        if surplus := sorted(mine.keys() - right.keys()):
            raise Failed(f"After a sync, the roster has {len(surplus)} {kind} that the SIS has not{such_as(surplus)}.")
        for sis_id in right.keys() & mine.keys():
            row = right[sis_id]
            for name in ("given_name", "family_name", "name", "title"):
                if name in row and (mine[sis_id].get(name) or None) != row[name]:
                    raise Failed(f"After a sync, {name} of {kind} {sis_id} is not what the SIS has.")


def due_at_first(rosters: Mapping[Kind, Roster], today: date) -> dict[Kind, set[str]]:
    """What a first sync must bring: who is there now, and what belongs to them. Who has left need not come at first."""
    due: dict[Kind, set[str]] = {}
    for kind in KINDS:
        if kind in rosters:
            due[kind] = {sis_id for sis_id, row in rosters[kind].items() if _is_present(row, today) and _belongs(kind, row, due)}
    return due


def _is_present(row: Row, today: date) -> bool:
    ends = [date.fromisoformat(row[name]) for name in ("exit_date", "end_date") if row.get(name)]
    return row["status"] == "active" and all(end > today for end in ends)


def _belongs(kind: Kind, row: Row, due: Mapping[Kind, set[str]]) -> bool:
    """Whether all that a record means nothing without is due, too."""
    targets: dict[str, Kind] = {**RECORDS[kind].references, "user": "students" if row.get("role") == "student" else "staff"}
    named = [(targets[name], row[name]) for name in RECORDS[kind].required_references if isinstance(row.get(name), str)]
    return all(target not in due or sis_id in due[target] for target, sis_id in named)


async def second_sync_writes_nothing(bench: Bench) -> None:
    await _first(bench)
    for how in ({}, {"full": True}):
        report = await bench.sync(**how)
        written = {
            f"{action} of {kind}": number
            for kind, actions in report.changes.items()
            for action, number in actions.items()
            if action != "unchanged" and number
        }
        if written or report.status != "succeeded":
            what = listed(f"{number} {each}" for each, number in written.items()) or f"status {report.status}"
            raise Failed(
                f"A second sync of the same data is not without effect: {what}. What a row is read as must depend on the row "
                "alone; updated_at is the SIS's own or None, never the time of reading."
            )


async def _first(bench: Bench) -> None:
    report = await bench.synced()
    if report.error is not None or report.status != "succeeded":
        reasons = [entry["reason"] for entry in report.incomplete]
        told = str(report.error) if report.error else listed(dict.fromkeys(map(str, reasons))) or str(report.status)
        raise Failed(f"A first sync, with nothing wrong at the server, does not succeed: {told}")


def _kept(bench: Bench) -> tuple[Kind, ...]:
    return tuple(kind for kind in bench.kinds if kind != "guardians")


def _check(run: Run, title: str, promise: str) -> Check[Bench]:
    return Check(name=run.__name__, title=title, run=run, promise=promise, needs=needs_sandbox)


CHECKS: tuple[Check[Bench], ...] = (
    _check(sync_brings_the_roster, "After a sync the roster is what the SIS has.", "P1"),
    _check(second_sync_writes_nothing, "A second sync of the same data writes nothing.", "P5"),
)
