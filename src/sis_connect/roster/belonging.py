"""What a record belongs to: its school, its person, what it hangs from."""

from __future__ import annotations

from sis_connect.capabilities import Kind
from sis_connect.provider import Scope
from sis_connect.records import RECORDS
from sis_connect.roster.cases import Case

#: Kinds whose end ends what hangs from them, even where that is out of sight.
CARRIERS: tuple[Kind, ...] = ("schools", "sections")


def dependents(carrier: Kind) -> list[tuple[Kind, str]]:
    """The kinds, and their fields, that cannot be without a record of this kind."""
    return [
        (kind, name)
        for kind, model in RECORDS.items()
        for name, owner in model.references.items()
        if owner == carrier and name in model.required_references
    ]


def school_of(case: Case) -> str | None:
    """The school that a change belongs to, by which the guards count."""
    document = case.source.document if case.source else {}
    school = document.get("school") or (case.mapping.school if case.mapping is not None else None)
    return school if isinstance(school, str) else None


def is_history(case: Case) -> bool:
    """Whether it is over, and was so before we heard of it."""
    return case.mapping is None and case.source is not None and case.source.document.get("status") == "inactive"


def in_scope(kind: Kind, case: Case, scope: Scope) -> bool:
    """Whether a run limited to some schools or students may decide about a record."""
    document = case.source.document if case.source else {}
    if scope.students is not None:
        person = {"students": case.sis_id, "school_enrollments": document.get("student"), "enrollments": document.get("user")}
        return person.get(kind) in scope.students
    if scope.schools is None:
        return True
    if kind == "schools":
        return case.sis_id in scope.schools
    school = school_of(case)
    return school is None or school in scope.schools
