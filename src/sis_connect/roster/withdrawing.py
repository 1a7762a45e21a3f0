"""Withdrawing students by hand, many at a time: them, their open stays and their section enrolments, dated.

It is a person's decision, written as such: the SIS is not contradicted by the next sync, which neither undoes nor repeats it, and
takes what the SIS says anew. Guards count it like any other removal. What begins only later is the SIS's to call off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.capabilities import Kind
from sis_connect.errors import ConfigurationError
from sis_connect.roster.cases import Case, encode, load
from sis_connect.roster.merge import Decision
from sis_connect.roster.plan import Planner
from sis_connect.roster.report import SyncReport
from sis_connect.roster.sync import Proposal, Synchroniser
from sis_connect.store.sql import chunks, fetch
from sis_connect.store.stays import OF_STUDENTS
from sis_connect.store.tables import mappings

#: How many students are looked at together: what is in memory at once.
BATCH = 2000
RULE = "a person withdrew the student"
#: How a student's record states our reasons.
_STATED = {"withdrawal": "withdrawn", "transfer": "transferred", "graduation": "graduated"}
_DATES: Mapping[Kind, tuple[str, str]] = {
    "school_enrollments": ("entry_date", "exit_date"),
    "enrollments": ("begin_date", "end_date"),
}
#: Why a record is left out, in words for one and for many.
_LEFT_OUT = {
    "begins_later": (
        "record of these students begins later; call it off in the SIS.",
        "records of these students begin later; call them off in the SIS.",
    ),
    "pinned": ("record is pinned and stays as it is.", "records are pinned and stay as they are."),
}
_OPEN = "m.status NOT IN ('inactive', 'deleted', 'scheduled')"
_STAYS = (
    f"SELECT m.sis_id, m.student, m.school, m.status FROM json_each(?) j CROSS JOIN {OF_STUDENTS} "
    "WHERE m.status NOT IN ('inactive', 'deleted') ORDER BY m.sis_id"
)
_ENROLLMENTS = (
    "SELECT m.sis_id, json_extract(m.base_sis, '$.user'), m.school, m.status FROM sis_enrollment_mapping m "
    "WHERE m.integration_id = ? AND m.status NOT IN ('inactive', 'deleted') AND json_extract(m.base_sis, '$.role') = 'student' "
    "AND json_extract(m.base_sis, '$.user') IN (SELECT value FROM json_each(?)) ORDER BY m.sis_id"
)
_AT_SCHOOL = (
    f"SELECT m.student FROM sis_school_enrollment_mapping m WHERE m.integration_id = ? AND m.school = ? AND {_OPEN} UNION "
    f"SELECT m.sis_id FROM sis_student_mapping m WHERE m.integration_id = ? AND m.school = ? AND {_OPEN} ORDER BY 1"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """Who is withdrawn, why, and which day is the first on which they are not there any more.

    With `school`, those who are at that school. Somebody who is at another one as well leaves only this one.
    """

    students: Sequence[str] = field(default=(), repr=False)
    school: str | None = None
    reason: str = "withdrawal"
    day: date


@dataclass(frozen=True, slots=True)
class Belonging:
    """A stay or an enrolment of a student that is not over."""

    sis_id: str
    student: str
    school: str | None
    status: str

    @property
    def has_begun(self) -> bool:
        """Whether it is more than announced."""
        return self.status != "scheduled"

    def __repr__(self) -> str:
        return f"<Belonging: {self.status}>"


async def withdraw(run: Synchroniser, withdrawal: Withdrawal, *, actor: str, preview: bool = False) -> SyncReport:
    """Withdraw students. With `preview`, only plan it: the report names the plan, which can be applied."""
    students = await _students(run, withdrawal)

    async def propose(planner: Planner) -> Proposal:
        left_out: Counter[str] = Counter()
        for some in chunks(students, BATCH):
            left_out += await _propose(planner, withdrawal, some)
        return Proposal(warnings=[_warning(why, number) for why, number in sorted(left_out.items())])

    return await run.carry_out("plan" if preview else "withdraw", actor, propose, only_plan=preview)


def _warning(why: str, number: int) -> dict[str, Any]:
    one, many = _LEFT_OUT[why]
    return {"warning": why, "message": f"{number} {one if number == 1 else many}", "count": number}


async def _students(run: Synchroniser, withdrawal: Withdrawal) -> Sequence[str]:
    """Whom it is about, by id. Raises `ConfigurationError` where the roster does not know them."""
    integration_id = run.integration_id
    async with run.store.read() as connection:
        if withdrawal.school is not None:
            if withdrawal.school not in await known(connection, integration_id, "schools", [withdrawal.school]):
                raise ConfigurationError("The roster has no such school.", remedy="See `export NAME schools` for their ids.")
            school = (integration_id, withdrawal.school)
            return [row[0] for row in await fetch(connection, _AT_SCHOOL, (*school, *school))]
        named = await known(connection, integration_id, "students", withdrawal.students)
    if unknown := [number for number, name in enumerate(withdrawal.students, 1) if name not in named]:
        # Their ids are pupils' data: they are told by their places.
        places = ", ".join(str(number) for number in unknown[:5]) + (", …" if len(unknown) > 5 else "")
        raise ConfigurationError(
            f"The roster does not know {len(unknown)} of the {len(withdrawal.students)} students named (number {places}).",
            remedy="Name them by the `sis_id` that `export NAME students` shows. Nothing was changed.",
        )
    return sorted(named)


async def known(connection: AsyncConnection, integration_id: int, kind: Kind, names: Sequence[str]) -> set[str]:
    """Which of these the roster knows, also those that have left."""
    query = (
        f"SELECT m.sis_id FROM json_each(?) j CROSS JOIN {mappings[kind].name} m ON m.integration_id = ? AND m.sis_id = j.value "
        "WHERE m.status <> 'deleted'"
    )
    return {row[0] for row in await fetch(connection, query, (encode(list(names)).decode(), integration_id))}


async def _propose(planner: Planner, withdrawal: Withdrawal, students: Sequence[str]) -> Counter[str]:
    """Put the withdrawal of some students into the plan. Returns how many records are left out, by why."""
    names, school = encode(list(students)).decode(), withdrawal.school
    async with planner.store.read() as connection:
        stays = [Belonging(*row) for row in await fetch(connection, _STAYS, (names, planner.integration_id))]
        enrolments = [Belonging(*row) for row in await fetch(connection, _ENROLLMENTS, (planner.integration_id, names))]
    elsewhere = {stay.student for stay in stays if school is not None and stay.school != school and stay.has_begun}
    pinned = set(await _put(planner, "students", withdrawal, [name for name in students if name not in elsewhere]))
    left_out = Counter({"pinned": len(pinned)})
    owned: tuple[tuple[Kind, list[Belonging]], ...] = (("school_enrollments", stays), ("enrollments", enrolments))
    for kind, belongings in owned:
        theirs = [one for one in belongings if one.student not in pinned]
        theirs = [one for one in theirs if one.student not in elsewhere or one.school == school]
        left_out["pinned"] += len(await _put(planner, kind, withdrawal, [one.sis_id for one in theirs if one.has_begun]))
        left_out["begins_later"] += sum(not one.has_begun for one in theirs)
    return +left_out


async def _put(planner: Planner, kind: Kind, withdrawal: Withdrawal, ids: Sequence[str]) -> Sequence[str]:
    """Put the end of some records into the plan. Returns those that are pinned."""
    async with planner.store.read() as connection:
        cases = await load(connection, planner.target, planner.integration_id, kind, ids, planner.today)
    decided = [(case, ending(kind, case, withdrawal)) for case in cases.values()]
    return await planner.put(kind, [(case, decision) for case, decision in decided if decision is not None])


def ending(kind: Kind, case: Case, withdrawal: Withdrawal) -> Decision | None:
    """How a record is withdrawn: with its dates, if it has any. None where it has ended, or is not there any more. Pure."""
    if case.local is None or case.local.document.get("status") == "inactive":
        return None
    mine, reason = case.local.document, withdrawal.reason
    writes: dict[str, Any] = {
        "status": "inactive",
        "status_reason": _STATED.get(reason, reason) if kind == "students" else reason,
    }
    if kind in _DATES:
        begins, ends = _DATES[kind]
        first, last = mine.get(begins), mine.get(ends)
        day = max(withdrawal.day.isoformat(), first or "")
        if last is None or day < last:
            writes[ends] = day
    return Decision(action="withdraw", reason=reason, rule=RULE, writes=writes, flags=frozenset({"removal"}), status="inactive")
