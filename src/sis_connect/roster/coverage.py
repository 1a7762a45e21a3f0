"""Coverage: what share of each school's sections has a teacher, and of its students a section, against the last run.

A partial failure looks healthy in the totals of a district: one region's schools without any teacher are a few per cent of it.
So each school is compared with itself. Between school years nobody is in a class, and nothing is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.roster.guard import ROLE, ROLES
from sis_connect.roster.school_years import load_calendar
from sis_connect.store.sql import write_many

#: A share that falls by so much is news, in schools with so many sections or students.
DROP, FLOOR = 0.20, 20
#: For so long a school is compared with its best, so that what is lost little by little is noticed, too.
KEPT = timedelta(days=1)
Measured = tuple[str, str]
_NO_PLAN = -1
_COLUMNS = ("integration_id", "school", "measure", "number", "of", "share", "operation_id", "at")
_WORDS = {"sections_with_teacher": "sections have a teacher", "students_with_section": "students are in a section"}
_TEACHING = ", ".join(f"'{role}'" for role in ROLES["sections_with_teacher"])


def _present(kind: str, fields: str) -> str:
    """The active records of a kind as they are, or as a plan would leave them: `{d}` stands for the record's document."""
    one = kind.removesuffix("s")
    return (
        f"SELECT m.sis_id, COALESCE(p.school, m.school) AS school{fields.format(d='COALESCE(p.document, m.base_sis)')} "
        f"FROM sis_{one}_mapping m LEFT JOIN sis_plan_row p ON p.plan = :p AND p.kind = '{kind}' AND p.sis_id = m.sis_id "
        "WHERE m.integration_id = :i AND CASE COALESCE(p.action, '') WHEN 'withdraw' THEN 0 WHEN 'reenroll' THEN 1 "
        "ELSE m.status NOT IN ('inactive', 'deleted') END UNION ALL "
        f"SELECT p.sis_id, p.school{fields.format(d='p.document')} FROM sis_plan_row p WHERE p.plan = :p AND p.kind = '{kind}' "
        "AND p.action = 'create' AND COALESCE(json_extract(p.document, '$.status'), 'active') <> 'inactive'"
    )


_BOTH = ", json_extract({d}, '$.role') AS role, json_extract({d}, '$.section') AS section, json_extract({d}, '$.user') AS person"
_MEASURE = text(
    f"WITH enrolled AS MATERIALIZED ({_present('enrollments', _BOTH)}), "
    f"sections AS ({_present('sections', '')}), students AS ({_present('students', '')}) "
    "SELECT school, 'sections_with_teacher' AS measure, COUNT(*) AS total, "
    f"SUM(sis_id IN (SELECT section FROM enrolled WHERE role IN ({_TEACHING}))) AS number FROM sections "
    "WHERE school IS NOT NULL GROUP BY school UNION ALL "
    "SELECT school, 'students_with_section', COUNT(*), SUM(sis_id IN (SELECT person FROM enrolled WHERE role = 'student')) "
    "FROM students WHERE school IS NOT NULL GROUP BY school"
)
_REMOVED = text(
    f"SELECT school, {ROLE} AS role, COUNT(*) AS number FROM sis_plan_row WHERE plan = :p "
    "AND kind = 'enrollments' AND action = 'withdraw' AND flags LIKE '% removal %' AND school IS NOT NULL GROUP BY 1, 2"
)
_WRITTEN = text(
    "SELECT EXISTS (SELECT 1 FROM sis_event WHERE operation_id = :o AND kind IN ('sections', 'students', 'enrollments'))"
)
_DAY = text("SELECT school_date FROM sis_sync_operation WHERE id = :o")


@dataclass(frozen=True, slots=True)
class Covered:
    """`number` of `of` sections have a teacher, or students a section."""

    number: int
    of: int

    @property
    def share(self) -> float:
        return self.number / self.of if self.of else 0.0

    def is_below(self, before: Covered) -> bool:
        """Whether this is less than before."""
        return self.number * before.of < before.number * self.of

    def fell_from(self, before: Covered) -> bool:
        """Whether this is much less than before, and of enough to tell."""
        # In whole numbers, since a share of exactly so much less must not depend on how it is rounded.
        lost = before.number * self.of - self.number * before.of
        return min(self.of, before.of) >= FLOOR and lost >= round(DROP * 100) * self.of * before.of / 100


async def compare_coverage(
    connection: AsyncConnection, integration_id: int, operation_id: str, now: datetime
) -> list[dict[str, Any]]:
    """Warn of the schools that are covered much less than after the last runs, and remember how well each one is covered.

    What is remembered stays until the share is as good again, until it was warned of, or for a day: a slow loss is a loss.
    """
    changed = await connection.execute(_WRITTEN, {"o": operation_id})
    today = (await connection.execute(_DAY, {"o": operation_id})).scalar()
    if not changed.scalar() or today is None or await _is_summer(connection, integration_id, date.fromisoformat(today)):
        return []
    before = await _known(connection, integration_id)
    recent = await _known(connection, integration_id, since=now - KEPT)
    measured = await _measure(connection, integration_id)
    fallen = [(key, it) for key, it in sorted(measured.items()) if key in before and it.fell_from(before[key])]
    told = {key for key, _ in fallen}
    rows = [
        (integration_id, *key, it.number, it.of, it.share, operation_id, now.isoformat())
        for key, it in measured.items()
        if key in told or key not in recent or not it.is_below(recent[key])
    ]
    update = "number = excluded.number, of = excluded.of, share = excluded.share, "
    update += "operation_id = excluded.operation_id, at = excluded.at"
    conflict = f"(integration_id, school, measure) DO UPDATE SET {update}"
    await write_many(connection, "sis_coverage", _COLUMNS, rows, conflict=conflict)
    return [_warning(school, measure, it, before[school, measure]) for (school, measure), it in fallen]


async def count_uncovered(
    connection: AsyncConnection, integration_id: int, plan: int, today: date
) -> dict[Measured, tuple[int, int]]:
    """The planned removals that would leave a school covered much less than after the last run, with how much it was then."""
    removed: dict[Measured, int] = {}
    for row in await connection.execute(_REMOVED, {"p": plan}):
        for measure in (measure for measure, roles in ROLES.items() if row.role in roles):
            removed[row.school, measure] = removed.get((row.school, measure), 0) + row.number
    if not removed or await _is_summer(connection, integration_id, today):
        return {}
    before, after = await _known(connection, integration_id), await _measure(connection, integration_id, plan)
    fallen = [key for key, it in after.items() if key in removed and key in before and it.fell_from(before[key])]
    return {key: (removed[key], max(before[key].number, removed[key])) for key in sorted(fallen)}


async def _is_summer(connection: AsyncConnection, integration_id: int, today: date) -> bool:
    return (await load_calendar(connection, integration_id)).is_between_years(today)


async def _measure(connection: AsyncConnection, integration_id: int, plan: int = _NO_PLAN) -> dict[Measured, Covered]:
    rows = await connection.execute(_MEASURE, {"i": integration_id, "p": plan})
    return {(row.school, row.measure): Covered(int(row.number or 0), int(row.total)) for row in rows}


async def _known(
    connection: AsyncConnection, integration_id: int, *, since: datetime | None = None
) -> Mapping[Measured, Covered]:
    query = text('SELECT school, measure, number, "of" AS total FROM sis_coverage WHERE integration_id = :i AND at > :since')
    rows = await connection.execute(query, {"i": integration_id, "since": since.isoformat() if since else ""})
    return {(row.school, row.measure): Covered(row.number, row.total) for row in rows}


def _warning(school: str, measure: str, now: Covered, before: Covered) -> dict[str, Any]:
    return {
        "warning": "coverage",
        "message": f"At school {school}, {now.share:.0%} of {now.of} {_WORDS[measure]}; before that, it was "
        f"{before.share:.0%} of {before.of}.",
        "school": school,
        "measure": measure,
        "number": now.number,
        "of": now.of,
        "before": {"number": before.number, "of": before.of},
    }
