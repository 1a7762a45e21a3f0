"""Why somebody comes, moves or goes: loads what the reason of a change depends on, where it depends on anything.

A first sync pays nothing for it: nobody was there before, so whoever comes is new.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from types import MappingProxyType

from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.calendar import SchoolCalendar
from sis_connect.capabilities import Kind
from sis_connect.roster.cases import Case, decode, encode
from sis_connect.roster.documents import Values
from sis_connect.roster.merge import Decision
from sis_connect.roster.reasons import Change, Person, Stay, of_enrollment, of_stay, of_student, stint_of, word_for
from sis_connect.roster.school_years import load_calendar
from sis_connect.store.sql import fetch
from sis_connect.store.stays import OF_STUDENTS
from sis_connect.store.tables import mappings

Decided = tuple[Case, Decision]

_TOLD = (
    "SELECT s.sis_id, s.document FROM json_each(?) j CROSS JOIN sis_staged s ON s.integration_id = ? AND s.student = j.value "
    "WHERE s.kind = 'school_enrollments' AND s.whole = 1 AND s.missing_pulls = 0 ORDER BY s.sis_id, s.document"
)
_KNOWN = (
    "SELECT m.sis_id, m.base_sis, json_extract(m.spans, '$[#-1][1]') FROM json_each(?) j "
    f"CROSS JOIN {OF_STUDENTS} WHERE m.status <> 'deleted'"
)
_PEOPLE = (
    "SELECT j.value, p.action, p.reason, m.status, "
    "COALESCE(json_extract(m.base_local, '$.status_reason'), json_extract(m.base_sis, '$.status_reason')) "
    "FROM json_each(?) j LEFT JOIN sis_plan_row p ON p.plan = ? AND p.kind = '{kind}' AND p.sis_id = j.value "
    "AND p.action <> 'unchanged' LEFT JOIN {mapping} m ON m.integration_id = ? AND m.sis_id = j.value"
)
_NOBODY: Mapping[str, Person] = MappingProxyType({})


async def classify(
    connection: AsyncConnection,
    integration_id: int,
    plan: int,
    kind: Kind,
    decided: Sequence[Decided],
    today: date,
) -> Sequence[Decided]:
    """The same decisions, each with the reason that the person's other stays, and the rest of the plan, give it."""
    if not decided or not await depends(connection, integration_id, kind):
        return decided
    concerned = [one for one in decided if _DEPENDS[kind](one[1])]
    if not concerned:
        return decided
    reasons = await _REASONS[kind](connection, integration_id, plan, concerned)
    return [
        (case, replace(decision, reason=reasons[case.sis_id]) if reasons.get(case.sis_id, decision.reason) != decision.reason
         else decision)
        for case, decision in decided
    ]  # fmt: skip


async def depends(connection: AsyncConnection, integration_id: int, kind: Kind) -> bool:
    """Whether reasons of this kind depend on anything: only of people, and only once some are there."""
    query = f"SELECT EXISTS (SELECT 1 FROM {mappings[kind].name} WHERE integration_id = ?)"
    return kind in _DEPENDS and bool((await fetch(connection, query, (integration_id,)))[0][0])


def _student_depends(decision: Decision) -> bool:
    if decision.action == "update":
        return "school" in decision.writes or "grade" in decision.writes
    return decision.action in ("withdraw", "reenroll")


def _stay_depends(decision: Decision) -> bool:
    return decision.action in ("update", "withdraw", "reenroll") or (decision.action == "create" and decision.reason == "new")


def _enrollment_depends(decision: Decision) -> bool:
    if decision.action == "update":
        return "role" in decision.writes or "primary" in decision.writes
    return decision.action in ("create", "withdraw", "reenroll")


async def _students(
    connection: AsyncConnection, integration_id: int, plan: int, concerned: Sequence[Decided]
) -> Mapping[str, str]:
    stays = await stays_of(connection, integration_id, [case.sis_id for case, _ in concerned])
    years = await load_calendar(connection, integration_id) if stays else SchoolCalendar()
    return {case.sis_id: of_student(_change(case, decision), stays.get(case.sis_id, ()), years) for case, decision in concerned}


async def _stays(connection: AsyncConnection, integration_id: int, plan: int, concerned: Sequence[Decided]) -> Mapping[str, str]:
    changes = [(case.sis_id, _change(case, decision)) for case, decision in concerned]
    owners = sorted({str(change.after["student"]) for _, change in changes})
    stays = await stays_of(connection, integration_id, owners)
    people = await _people(connection, integration_id, plan, "students", owners)
    years = await load_calendar(connection, integration_id)
    return {
        sis_id: of_stay(change, sis_id, stays.get(owner := str(change.after["student"]), ()), people.get(owner), years)
        for sis_id, change in changes
    }


async def _enrollments(
    connection: AsyncConnection, integration_id: int, plan: int, concerned: Sequence[Decided]
) -> Mapping[str, str]:
    changes = [(case.sis_id, _change(case, decision)) for case, decision in concerned]
    learners = {str(change.after["user"]) for _, change in changes if change.after["role"] == "student"}
    teachers = {str(change.after["user"]) for _, change in changes if change.after["role"] != "student"}
    people = {
        "students": await _people(connection, integration_id, plan, "students", sorted(learners)),
        "staff": await _people(connection, integration_id, plan, "staff", sorted(teachers)),
    }
    return {
        sis_id: of_enrollment(
            change, people["students" if change.after["role"] == "student" else "staff"].get(str(change.after["user"]))
        )
        for sis_id, change in changes
    }


_DEPENDS: Mapping[Kind, Callable[[Decision], bool]] = {
    "students": _student_depends,
    "school_enrollments": _stay_depends,
    "enrollments": _enrollment_depends,
}
_REASONS = {"students": _students, "school_enrollments": _stays, "enrollments": _enrollments}


async def stays_of(connection: AsyncConnection, integration_id: int, students: Sequence[str]) -> Mapping[str, list[Stay]]:
    """All stays that are known of these students, as the SIS tells of them now and as they were before, by student."""
    names = encode(list(students)).decode()
    told: dict[str, Values] = {}
    for sis_id, document in await fetch(connection, _TOLD, (names, integration_id)):
        told.setdefault(sis_id, decode(document))
    known: dict[str, Values] = {}
    for sis_id, base, ended in await fetch(connection, _KNOWN, (names, integration_id)):
        document = decode(base)
        # Of what the SIS tells no more and never dated, we know when it ended here.
        known[sis_id] = document if sis_id in told or document.get("exit_date") else {**document, "exit_date": ended}
    stays: dict[str, list[Stay]] = defaultdict(list)
    for sis_id in sorted(told.keys() | known.keys()):
        now, before = told.get(sis_id), known.get(sis_id)
        owner = (now or before or {}).get("student")
        if isinstance(owner, str) and (now is None or _is_readable(now)):
            stays[owner].append(Stay(sis_id, stint_of(now) if now else None, stint_of(before) if before else None))
    return stays


def _is_readable(document: Values) -> bool:
    """Whether a stay names its school as others do. One that names it in another way is no evidence yet."""
    return isinstance(document.get("school"), str)


def _change(case: Case, decision: Decision) -> Change:
    if decision.action == "create":
        return Change(decision.action, decision.reason, {}, decision.base or {})
    before = case.local.document if case.local is not None else {}
    source = case.source.document if case.source is not None else {}
    return Change(decision.action, decision.reason, before, {**source, **before, **decision.writes})


async def _people(
    connection: AsyncConnection, integration_id: int, plan: int, kind: Kind, names: Sequence[str]
) -> Mapping[str, Person]:
    """What becomes of these people by this plan, or became of them before."""
    if not names:
        return _NOBODY
    query = _PEOPLE.format(kind=kind, mapping=mappings[kind].name)
    people: dict[str, Person] = {}
    for name, action, reason, status, left in await fetch(
        connection, query, (encode(list(names)).decode(), plan, integration_id)
    ):
        if action is not None:
            people[name] = Person(action, reason)
        elif status == "inactive":
            people[name] = Person("gone", word_for(left))
    return people
