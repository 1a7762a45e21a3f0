"""What a roster that came over OneRoster should hold: the sandbox's truth, and what we make of deletions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from office import Office, Row, expected
from sis_connect.capabilities import Kind
from sis_connect.testing.sandbox import RunningSandbox

KINDS: tuple[Kind, ...] = ("schools", "terms", "courses", "staff", "students", "sections", "enrollments")
#: All that is read only where it is asked for.
ASKED = "guardians,birth_date,gender,demographics,emails,phones"


async def connected(sandbox: RunningSandbox, folder: Path, **settings: Any) -> Office:
    """An office with an empty database in this folder, where absence counts at once."""
    office = Office(sandbox, folder / "roster.db")
    told = {"token_url": sandbox.token_url} if sandbox.provider == "oneroster" else {}
    await office.connect(**{**told, "max_attempts": "1", "absence_grace": "0", **settings})
    return office


def truth(sandbox: RunningSandbox, kind: Kind, *, fields: str = "", everybody: bool) -> dict[str, Row]:
    """The roster that is right. Lists of teachers have no staff who do not teach."""
    rows = expected(sandbox, kind, tuple(fields.split(",")))
    if kind == "staff" and not everybody:
        rows = {sis_id: row for sis_id, row in rows.items() if row["role"] == "teacher"}
    return {sis_id: _left(row) if row["status"] == "tobedeleted" else row for sis_id, row in rows.items()}


def _left(row: Row) -> Row:
    return {**row, "status": "inactive", "status_reason": "deleted"}


async def wrong(office: Office, kinds: tuple[Kind, ...] = KINDS, *, fields: str = "", everybody: bool = True) -> list[str]:
    """Where the local roster is not right. Of who has left, nothing counts but that they have."""
    found = []
    for kind in kinds:
        local, right = await office.roster(kind), truth(office.sandbox, kind, fields=fields, everybody=everybody)
        for sis_id, row in right.items():
            mine = local.get(sis_id)
            if mine is None or row["status"] == "inactive":
                found += [f"{kind} {sis_id} is {mine and mine['status']}"] if (mine or row)["status"] != "inactive" else []
                continue
            different = [
                name for name in mine.keys() | row.keys() if name != "id" and (mine.get(name) or None) != (row.get(name) or None)
            ]
            found += [f"{kind} {sis_id}.{name}: {mine.get(name)!r}, not {row.get(name)!r}" for name in sorted(different)]
        found += [
            f"{kind} {sis_id} is still here" for sis_id in local if sis_id not in right and local[sis_id]["status"] == "active"
        ]
    return found
