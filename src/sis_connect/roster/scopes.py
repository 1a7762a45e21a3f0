"""What a run was limited to, as its plan keeps it, and whether that was as much as another one reads. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sis_connect.capabilities import Kind
from sis_connect.provider import Scope


def as_stored(kinds: Sequence[Kind], scope: Scope) -> dict[str, Any]:
    """Kinds and schools of a run; that it was limited to single students, not to whom."""
    schools = None if scope.schools is None else sorted(scope.schools)
    return {"kinds": list(kinds), "schools": schools, "students": scope.students is not None}


def covers(stored: Mapping[str, Any], scope: Scope) -> bool:
    """Whether a run that was limited to `stored` saw all that one limited to `scope` sees."""
    if stored.get("students"):
        return False
    schools = stored.get("schools")
    return schools is None or (scope.schools is not None and scope.schools <= set(schools))
