"""Who was where on a date: from stays and enrolments, by their dates, and by our own account where the SIS gives none."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

import msgspec
from sqlalchemy import text

from sis_connect.capabilities import Kind
from sis_connect.roster.presence import Span, was_active
from sis_connect.store.sql import Store
from sis_connect.store.tables import mappings

#: How many rows are read at a time: what is in memory at once.
BATCH = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Somebody who was at a school, or in a section, on a date: one stay or one enrolment.

    `person` and `record` are ids of the SIS, `local_id` the app's for the person. `begins` is the first day, `ends` the first day
    no longer there; without them, our own account says that it was so. Names are the preferred ones where there are such; they
    and the ids are not in the repr.
    """

    person: str
    local_id: str | None
    given_name: str | None
    family_name: str | None
    role: str
    primary: bool
    school: str | None
    section: str | None
    begins: date | None
    ends: date | None
    record: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON; dates are ISO text."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return values | {name: day.isoformat() for name, day in values.items() if isinstance(day, date)}

    def __repr__(self) -> str:
        return f"<Whereabouts: {self.role}>"


async def who_was_where(
    store: Store, integration_id: int, day: date, *, school: str | None = None, section: str | None = None
) -> AsyncGenerator[Whereabouts, None]:
    """Who was at a school, by stays; with `section`, who was in it, by enrolments.

    Of an SIS that tells of no stays, students were at the schools in whose sections they were: once each, by one enrolment.
    """
    kind: Kind = "school_enrollments" if section is None else "enrollments"
    async with store.read() as connection:
        stays = text("SELECT EXISTS (SELECT 1 FROM sis_school_enrollment_mapping WHERE integration_id = :i)")
        by_sections = section is None and not (await connection.execute(stays, {"i": integration_id})).scalar()
    if by_sections:
        kind = "enrollments"
    query = text(_QUERIES[kind].format(where=_where(school, section, by_sections=by_sections)))
    wanted = {"i": integration_id, "day": day.isoformat()} | ({"school": school} if school is not None else {})
    wanted |= {"section": section} if section is not None else {}
    seen: set[tuple[str, str | None]] = set()
    after: str | None = ""
    while after is not None:
        async with store.read() as connection:
            rows = (await connection.execute(query, wanted | {"after": after})).all()
        after = rows[-1].record if len(rows) == BATCH else None
        for found in _active(rows, day):
            if by_sections:
                if (found.person, found.school) in seen:
                    continue
                seen.add((found.person, found.school))
            yield found


def _active(rows: Sequence[Any], day: date) -> Iterator[Whereabouts]:
    for row in rows:
        spans: list[Span] = msgspec.json.decode(row.spans) if row.spans else []
        if was_active(day, row.begins, row.ends, spans):
            yield Whereabouts(
                person=row.person,
                local_id=row.local_id,
                given_name=row.given_name,
                family_name=row.family_name,
                role=row.role,
                primary=bool(row.is_primary),
                school=row.school,
                section=row.section,
                begins=date.fromisoformat(row.begins) if row.begins else None,
                ends=date.fromisoformat(row.ends) if row.ends else None,
                record=row.record,
            )


def _where(school: str | None, section: str | None, *, by_sections: bool) -> str:
    conditions = ["(f.begins IS NULL OR f.begins <= :day)", "(f.ends IS NULL OR f.ends > :day)"]
    conditions += ["f.school = :school"] if school is not None else []
    conditions += ["f.section = :section"] if section is not None else []
    conditions += ["f.role = 'student'"] if by_sections else []
    return " AND ".join(conditions)


def _query(kind: Kind, person: str, role: str, primary: str, section: str, begins: str, ends: str) -> str:
    """The records of a kind with their people. What the app has counts; where its rows are elsewhere, what was written there."""

    def of(name: str) -> str:
        return f"CASE WHEN r.id IS NULL THEN json_extract(COALESCE(m.base_local, m.base_sis), '$.{name}') ELSE r.\"{name}\" END"

    told = {"person": of(person), "role": role or of("role"), "is_primary": primary or of("primary"), "school": of("school")}
    told |= {"section": section or of("section"), "begins": of(begins), "ends": of(ends)}
    columns = ", ".join(f"{expression} AS {name}" for name, expression in told.items())
    people = " ".join(
        f"LEFT JOIN {table} {alias} ON {alias}.integration_id = :i AND {alias}.sis_id = f.person AND {condition}"
        for owner, initial, condition in _OWNERS[kind]
        for table, alias in ((mappings[owner].name, f"{initial}m"), (f"roster_{owner}", f"{initial}r"))
    )
    aliases = [initial for _, initial, _ in _OWNERS[kind]]

    def first(*names: str) -> str:
        return f"COALESCE({', '.join(names)}, NULL)"

    names = ", ".join(f"{first(*_name(name, aliases))} AS {name}" for name in ("given_name", "family_name"))
    return (
        f"SELECT f.*, {first(*(f'{alias}m.local_id' for alias in aliases))} AS local_id, {names} FROM ("
        f"SELECT m.sis_id AS record, m.spans, {columns} FROM {mappings[kind].name} m LEFT JOIN roster_{kind} r "
        "ON r.integration_id = m.integration_id AND r.sis_id = m.sis_id WHERE m.integration_id = :i AND m.sis_id > :after "
        f"AND m.status <> 'deleted') f {people} WHERE {{where}} ORDER BY f.record LIMIT {BATCH}"
    )


def _name(name: str, aliases: Sequence[str]) -> Iterator[str]:
    """Where a name may stand, the preferred one first."""
    for alias in aliases:
        yield from (f"{alias}r.{which}" for which in (f"preferred_{name}", name))
        base = f"COALESCE({alias}m.base_local, {alias}m.base_sis)"
        yield from (f"json_extract({base}, '$.{which}')" for which in (f"preferred_{name}", name))


_OWNERS: dict[Kind, list[tuple[Kind, str, str]]] = {
    "school_enrollments": [("students", "s", "1 = 1")],
    "enrollments": [("students", "s", "f.role = 'student'"), ("staff", "t", "f.role <> 'student'")],
}
_QUERIES: dict[Kind, str] = {
    "school_enrollments": _query("school_enrollments", "student", "'student'", "0", "NULL", "entry_date", "exit_date"),
    "enrollments": _query("enrollments", "user", "", "", "", "begin_date", "end_date"),
}
