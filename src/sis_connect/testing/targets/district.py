"""A small district in memory, whose SIS says what a check tells it to say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from sis_connect.capabilities import KINDS, Capabilities, Kind, KindCapabilities
from sis_connect.provider import CONTRACT, DONE, Finding, Page, ProviderInfo, Reading, Scope, Since, Stream
from sis_connect.records import RECORDS

Fields = dict[str, Any]

#: By what the SIS itself says how it called somebody before.
FORMER_ID = "former_id"
_CAPABILITIES = KindCapabilities(offered=True, leaving="absence", former_ids=(FORMER_ID,))

INFO = ProviderInfo(
    name="target_suite",
    label="The target suite",
    provider=f"{__name__}:MemorySIS",
    contract=CONTRACT,
    capabilities=Capabilities(dict.fromkeys(KINDS, _CAPABILITIES)),
    full_every=0.0,
)


def small_district(students: int = 6) -> dict[Kind, list[Fields]]:
    """Two schools, a course with two sections, a teacher, some students, where they sit, and their guardians.

    Each field that is no list is filled, so that an app's columns need not allow for blanks. Ids and numbers never coincide.
    """
    numbers = range(1, students + 1)
    return {
        "schools": [
            {"sis_id": f"school-{n}", "name": f"Example School {n}", "identifier": f"E{n}", "grades": ["05", "06"]}
            for n in (1, 2)
        ],
        "terms": [
            {
                "sis_id": "term-1", "title": "Full Year", "type": "school_year", "school": "school-1", "school_year": 2027,
                "start_date": "2026-08-12", "end_date": "2027-06-01",
            }
        ],
        "courses": [
            {
                "sis_id": "course-1", "title": "Synthetic Studies", "course_code": "SYN-1", "department": "Examples",
                "school": "school-1",
            }
        ],
        "staff": [
            {
                "sis_id": "staff-1", **_names("Terry", "Tutor", "t"), "schools": ["school-1"], "role": "teacher",
                "email": "terry.tutor@example.org", "ids": {"staff_number": "9001"},
            }
        ],
        "students": [_student(n) for n in numbers],
        "school_enrollments": [
            {
                "sis_id": f"stay-{n}", "student": f"student-{n}", "school": "school-1", "entry_date": "2026-08-12",
                "exit_date": "2027-06-01", "grade": "05", "entry_code": "E1", "exit_code": "X1",
            }
            for n in numbers
        ],
        "sections": [
            {
                "sis_id": f"section-{n}", "title": f"Synthetic Studies {n}", "section_number": f"{n:02d}", "school": "school-1",
                "course": "course-1", "term": "term-1", "department": "Examples", "period": f"{n}", "location": f"Room {n}",
            }
            for n in (1, 2)
        ],
        "enrollments": [_seat(f"seat-{n}", f"student-{n}", "student") for n in numbers] + [_seat("seat-t", "staff-1", "teacher")],
        "guardians": [
            {
                "sis_id": "guardian-1", "given_name": "Gale", "family_name": "Guardian", "relationship": "parent",
                "students": ["student-1", "student-2"], "emails": [{"address": "gale@example.org"}],
                "phones": [{"number": "555-0100"}],
            }
        ],
    }  # fmt: skip


def _names(given: str, family: str, key: str) -> Fields:
    preferred = {"preferred_given_name": f"{given}y", "preferred_middle_name": "Q", "preferred_family_name": family}
    return {"given_name": given, "middle_name": "Quill", "family_name": family, **preferred, "username": f"example.{key}"}


def _student(n: int) -> Fields:
    return {
        "sis_id": f"student-{n}", **_names(f"Given{n}", f"Example{n}", str(n)), "school": "school-1", "grade": "05",
        "grade_text": "5th", "birth_date": f"2015-03-{n:02d}", "gender": "X", "emails": [{"address": f"pupil{n}@example.org"}],
        "phones": [{"number": f"555-01{n:02d}"}], "addresses": [{"street": f"{n} Example Street"}],
        "contacts": [{"name": "Gale Guardian"}], "demographics": {"ethnicity": "synthetic"},
        "ids": {"student_number": f"{1000 + n}", "state_id": f"S{5000 + n}"},
    }  # fmt: skip


def _seat(sis_id: str, user: str, role: str) -> Fields:
    dates = {"begin_date": "2026-08-12", "end_date": "2027-06-01"}
    return {"sis_id": sis_id, "section": "section-1", "user": user, "role": role, "primary": True, "school": "school-1", **dates}


@dataclass(repr=False)
class MemorySIS:
    """Delivers `records` as they stand, each kind in one page with its total. A field that is left out is not delivered."""

    records: dict[Kind, list[Fields]] = field(default_factory=small_district)
    info: ClassVar[ProviderInfo] = INFO

    def put(self, kind: Kind, *records: Fields) -> None:
        """Say something else of these records, or something of new ones."""
        told = {record["sis_id"]: record for record in records}
        known = {record["sis_id"]: record for record in self.records.get(kind, [])}
        self.records[kind] = list({**known, **told}.values())

    def change(self, kind: Kind, sis_id: str, **fields: Any) -> None:
        """Say something else of some fields; `without` does the reverse of delivering one."""
        self.put(kind, {**self.of(kind, sis_id), **fields})

    def without(self, kind: Kind, sis_id: str, *names: str) -> None:
        """Do not deliver these fields."""
        self.put(kind, {name: value for name, value in self.of(kind, sis_id).items() if name not in names})

    def drop(self, kind: Kind, *sis_ids: str) -> None:
        """Deliver these records no more."""
        self.records[kind] = [record for record in self.records[kind] if record["sis_id"] not in sis_ids]

    def of(self, kind: Kind, sis_id: str) -> Fields:
        """What is said of a record."""
        return next(record for record in self.records[kind] if record["sis_id"] == sis_id)

    async def check(self) -> Sequence[Finding]:
        return []

    async def pages(
        self,
        kinds: Collection[Kind],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        for kind in KINDS:
            if kind in kinds and (cursor or {}).get((kind, "")) != DONE:
                rows = [msgspec.json.encode([kind, record]) for record in self.records.get(kind, [])]
                yield Page(endpoint=kind, kinds=(kind,), read=_read, rows=rows, total=len(rows), cursor="1")


def _read(row: bytes) -> Reading:
    kind: Kind
    kind, fields = msgspec.json.decode(row)
    return Reading(fields["sis_id"], (RECORDS[kind].model_validate(fields),))
