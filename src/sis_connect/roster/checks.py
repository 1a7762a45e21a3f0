"""The integrity checks: what in a roster cannot be right. Each is a name, a sentence, and a query that finds the records.

A query names the kinds it reads in braces; what stands for them has `sis_id` and the fields of the record, and is found by
`sis_id` through an index. Everything else is one pass over a table, or over the sets of ids that a pass has made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sis_connect.capabilities import KINDS, Kind
from sis_connect.records import RECORDS

#: Numbers that belong to one person only. Others are of a school, of a stay, or of whoever is both student and staff.
NUMBERS = ("state_id", "student_number", "staff_number")
#: Fields with several references each.
_LISTS = frozenset({"schools", "students"})
#: What a district's courses, terms and staff belong to may be the district itself, which is no school.
_OF_THE_DISTRICT = frozenset({("courses", "school"), ("terms", "school"), ("staff", "schools")})
_CURRENT = "IN ('active', 'scheduled')"
_OPEN = "status = 'active'"
#: Some district delivers no terms; in another, no term is on. In neither does anybody have to sit anywhere.
_IN_SESSION = (
    "(NOT EXISTS (SELECT 1 FROM {terms}) "
    "OR EXISTS (SELECT 1 FROM {terms} t WHERE t.start_date <= :today AND t.end_date > :today))"
)
_TAUGHT = "SELECT section FROM {enrollments} WHERE role IN ('teacher', 'co_teacher')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check. `query` selects kind, `sis_id`, school and what the `sentence` says of it in the place of `{detail}`."""

    name: str
    sentence: str
    query: str

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of records that it looks at."""
        return frozenset(re.findall(r"\{(\w+)\}", self.query))


def _school(kind: Kind) -> str:
    """Which school a record belongs to, as far as it says so."""
    if kind == "schools":
        return "r.sis_id"
    if kind == "enrollments":
        return "COALESCE(r.school, (SELECT s.school FROM {sections} s WHERE s.sis_id = r.section))"
    return "r.school" if "school" in RECORDS[kind].model_fields else "NULL"


def _found(kind: Kind, where: str, detail: str = "''") -> str:
    return f"SELECT '{kind}' AS kind, r.sis_id, {_school(kind)} AS school, {detail} AS detail FROM {{{kind}}} r WHERE {where}"


def _references() -> Iterator[tuple[Kind, str, Kind, str]]:
    """All that records refer to: the kind, its field, the kind that the field leads to, and of which records that is so."""
    for kind in KINDS:
        for field, owner in RECORDS[kind].references.items():
            yield kind, field, owner, ""
        if kind == "enrollments":
            yield kind, "user", "students", " AND r.role = 'student'"
            yield kind, "user", "staff", " AND r.role <> 'student'"


def _unknown() -> Iterator[str]:
    """References to what is not there. Where nothing of a kind is there at all, it is not offered, or not read."""
    for kind, field, owner, among in _references():
        if (kind, field) in _OF_THE_DISTRICT:
            continue
        where = f"r.{_OPEN}{among} AND EXISTS (SELECT 1 FROM {{{owner}}})"
        target = f"NOT EXISTS (SELECT 1 FROM {{{owner}}} t WHERE t.sis_id = "
        if field in _LISTS:
            yield _found(kind, f"{where} AND EXISTS (SELECT 1 FROM json_each(r.{field}) e WHERE {target}e.value))", f"'{field}'")
        else:
            yield _found(kind, f"{where} AND r.{field} IS NOT NULL AND {target}r.{field})", f"'{field}'")


def _ended() -> Iterator[str]:
    """References to what has ended. A section may outlive its term, and somebody at several schools one of them."""
    for kind, field, owner, among in _references():
        if field not in _LISTS and field != "term" and (kind, field) not in _OF_THE_DISTRICT:
            over = f"SELECT t.sis_id FROM {{{owner}}} t WHERE t.status = 'inactive'"  # the few, and so looked for among them
            yield _found(kind, f"r.{_OPEN}{among} AND r.{field} IN ({over})", f"'{field}'")


def _overlapping() -> str:
    """Stays of one student at one school that overlap, and one of which is current: the one that began later, or was told later.

    A stay of no day is a no-show; one that was withdrawn and has no last day does not tell when it ended.
    """
    order = f"PARTITION BY student, school ORDER BY entry_date, status {_CURRENT}, sis_id"
    before = f"OVER ({order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    last = "COALESCE(exit_date, '9999-12-31')"
    return (
        "SELECT 'school_enrollments' AS kind, sis_id, school, entry_date AS detail FROM (SELECT sis_id, school, entry_date, "
        f"status {_CURRENT} AS current, MAX({last}) {before} AS until, "
        f"MAX(CASE WHEN status {_CURRENT} THEN {last} END) {before} AS current_until FROM {{school_enrollments}} "
        f"WHERE (status {_CURRENT} OR exit_date IS NOT NULL) AND (exit_date IS NULL OR exit_date > entry_date)) "
        "WHERE (current AND entry_date < until) OR entry_date < current_until"
    )


def _numbers() -> Iterator[tuple[Kind, str]]:
    """Who goes by which numbers."""
    names = ", ".join(f"'{name}'" for name in NUMBERS)
    for kind in ("students", "staff"):
        at = "r.school" if kind == "students" else "NULL"
        yield (
            kind,
            f"SELECT r.sis_id, {at} AS school, r.status, j.key, j.value FROM {{{kind}}} r, json_each(r.ids) j "
            f"WHERE j.key IN ({names}) AND j.type <> 'array'",
        )


def _shared() -> Iterator[str]:
    for kind, numbers in _numbers():
        yield (
            f"SELECT '{kind}' AS kind, sis_id, school, key AS detail FROM (SELECT sis_id, school, key, COUNT(*) OVER "
            f"(PARTITION BY key, value) AS bearers FROM ({numbers} AND r.status = 'active')) WHERE bearers > 1"
        )


def _reissued() -> Iterator[str]:
    for kind, numbers in _numbers():
        yield (
            f"SELECT '{kind}' AS kind, sis_id, school, key AS detail FROM ({numbers} AND r.status = 'active') "
            f"WHERE (key, value) IN (SELECT key, value FROM ({numbers} AND r.status = 'inactive'))"
        )


def _outside() -> Iterator[str]:
    """Enrolments outside the term of their section, and stays that last longer than any term does."""
    term = (
        "SELECT 1 FROM {sections} s JOIN {terms} t ON t.sis_id = s.term WHERE s.sis_id = r.section "
        "AND (r.begin_date < t.start_date OR r.begin_date >= t.end_date OR r.end_date > t.end_date)"
    )
    yield _found("enrollments", f"r.status {_CURRENT} AND EXISTS ({term})", "'the term of its section'")
    last = "(SELECT MAX(end_date) FROM {terms})"
    yield _found("school_enrollments", f"r.{_OPEN} AND r.exit_date > {last}", "'every term that is known'")


def _backwards() -> Iterator[str]:
    """A stay that ends on the day before it begins is a no-show, as some offices enter it."""
    rules: tuple[tuple[Kind, str, str], ...] = (
        ("terms", "start_date", "r.end_date <= r.start_date"),
        ("school_enrollments", "entry_date", "r.exit_date < date(r.entry_date, '-1 day')"),
        ("enrollments", "begin_date", "r.end_date < r.begin_date"),
    )
    for kind, first, wrong in rules:
        yield _found(kind, wrong, f"r.{first}")


def _union(queries: Iterator[str]) -> str:
    return " UNION ALL ".join(queries)


_ALL = (
    Check(
        name="unknown_references",
        sentence="It refers to something that is not there ({detail}).",
        query=_union(_unknown()),
    ),
    Check(
        name="ended_references",
        sentence="It is active, but what it refers to has ended ({detail}).",
        query=_union(_ended()),
    ),
    Check(
        name="students_without_school",
        sentence="This active student has no school.",
        query=_found("students", f"r.{_OPEN} AND r.school IS NULL"),
    ),
    Check(
        name="students_without_stay",
        sentence="This active student has no stay at any school that is open or to come.",
        query=_found(
            "students",
            f"r.{_OPEN} AND EXISTS (SELECT 1 FROM {{school_enrollments}}) "
            f"AND r.sis_id NOT IN (SELECT student FROM {{school_enrollments}} WHERE status {_CURRENT})",
        ),
    ),
    Check(
        name="stays_elsewhere",
        sentence="This student is said to attend a school at which there is no open stay, but has one elsewhere.",
        query=_found(
            "students",
            f"r.{_OPEN} AND r.school IS NOT NULL AND r.sis_id IN (SELECT student FROM {{school_enrollments}} WHERE {_OPEN}) "
            f"AND (r.sis_id, r.school) NOT IN (SELECT student, school FROM {{school_enrollments}} WHERE {_OPEN})",
        ),
    ),
    Check(
        name="students_without_section",
        sentence="This active student sits in no section, though the school has some.",
        query=_found(
            "students",
            f"r.{_OPEN} AND {_IN_SESSION} AND r.school IN (SELECT school FROM {{sections}} WHERE {_OPEN}) "
            "AND EXISTS (SELECT 1 FROM {enrollments} WHERE role = 'student') "
            f"AND r.sis_id NOT IN (SELECT user FROM {{enrollments}} WHERE role = 'student' AND status {_CURRENT})",
        ),
    ),
    Check(
        name="staff_without_school",
        sentence="This active member of staff is at no school that is known here.",
        query=_found(
            "staff",
            f"r.{_OPEN} AND EXISTS (SELECT 1 FROM {{staff}} WHERE COALESCE(schools, '[]') <> '[]') AND NOT EXISTS "
            "(SELECT 1 FROM json_each(r.schools) e JOIN {schools} t ON t.sis_id = e.value)",
        ),
    ),
    Check(
        name="sections_without_term",
        sentence="This active section belongs to no term.",
        query=_found("sections", f"r.{_OPEN} AND r.term IS NULL AND EXISTS (SELECT 1 FROM {{terms}})"),
    ),
    Check(
        name="sections_without_teacher",
        sentence="This active section has no teacher.",
        query=_found(
            "sections",
            f"r.{_OPEN} AND NOT EXISTS (SELECT 1 FROM {{terms}} t WHERE t.sis_id = r.term AND t.end_date <= :today) "
            f"AND EXISTS ({_TAUGHT}) AND r.sis_id NOT IN ({_TAUGHT} AND status {_CURRENT})",
        ),
    ),
    Check(
        name="overlapping_stays",
        sentence="This stay began on {detail}, before another one of the same student at the same school was over.",
        query=_overlapping(),
    ),
    Check(
        name="dates_outside_year",
        sentence="Its dates lie outside {detail}.",
        query=_union(_outside()),
    ),
    Check(
        name="ended_before_begun",
        sentence="It ended before it began on {detail}.",
        query=_union(_backwards()),
    ),
    Check(
        name="shared_numbers",
        sentence="Another active person has the same {detail}.",
        query=_union(_shared()),
    ),
    Check(
        name="reissued_numbers",
        sentence="Somebody who has left has the same {detail}: it was given out again, or this is the same person.",
        query=_union(_reissued()),
    ),
)
#: All checks by name, in the order in which they are told.
CHECKS: Mapping[str, Check] = MappingProxyType({check.name: check for check in _ALL})
