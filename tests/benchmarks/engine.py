"""The sync engine alone: raw JSON pages in, a roster in SQLite out, against a bare upsert of the same rows.

    python tests/benchmarks/engine.py [--students 100000]

Prints ratios of one run: first sync, unchanged second sync and one with 1 % changed, each over a bare `executemany` upsert of the
same rows through the driver; and the peak memory of a first sync over that of a tenth of the size.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from datetime import date
from pathlib import Path

import msgspec

from sis_connect.capabilities import Capabilities, Kind, KindCapabilities
from sis_connect.clock import SystemClock
from sis_connect.provider import CONTRACT, Finding, Page, ProviderInfo, Reading, Scope, Since, Stream
from sis_connect.records import Enrollment, School, Section, Student
from sis_connect.roster.sync import Request, Synchroniser
from sis_connect.settings import SISProviderConfig
from sis_connect.store.sql import open_store
from sis_connect.store.tables import roster_fields
from sis_connect.store.target import BuiltInTarget, to_column
from sis_connect.traffic import Traffic

PAGE = 1000
EACH = 7  # enrolments of a student
KINDS: tuple[Kind, ...] = ("schools", "sections", "students", "enrollments")
INFO = ProviderInfo(
    name="benchmark",
    label="Benchmark",
    provider="benchmark:Pages",
    contract=CONTRACT,
    capabilities=Capabilities({kind: KindCapabilities(offered=True, total_count=True) for kind in KINDS}),
)


class Named(msgspec.Struct):
    id: str
    name: str
    school: str = ""


class StudentRow(msgspec.Struct):
    id: str
    given: str
    family: str
    number: str
    state: str
    school: str
    grade: str
    user: str


class EnrollmentRow(msgspec.Struct):
    id: str
    section: str
    student: str
    begin: str
    end: str


_student = msgspec.json.Decoder(StudentRow).decode
_enrollment = msgspec.json.Decoder(EnrollmentRow).decode
_named = msgspec.json.Decoder(Named).decode


def read_student(row: bytes) -> Reading:
    one = _student(row)
    record = Student(
        sis_id=one.id,
        ids={"student_number": one.number, "state_id": one.state},
        given_name=one.given,
        family_name=one.family,
        username=one.user,
        school=one.school,
        grade=one.grade,
        status="active",
    )
    return Reading(one.id, (record,))


def read_enrollment(row: bytes) -> Reading:
    one = _enrollment(row)
    record = Enrollment(
        sis_id=one.id,
        section=one.section,
        user=one.student,
        role="student",
        begin_date=one.begin,
        end_date=one.end,
        status="active",
    )
    return Reading(one.id, (record,))


def read_school(row: bytes) -> Reading:
    one = _named(row)
    return Reading(one.id, (School(sis_id=one.id, name=one.name),))


def read_section(row: bytes) -> Reading:
    one = _named(row)
    return Reading(one.id, (Section(sis_id=one.id, title=one.name, school=one.school),))


READERS: Mapping[Kind, Callable[[bytes], Reading]] = {
    "schools": read_school,
    "sections": read_section,
    "students": read_student,
    "enrollments": read_enrollment,
}


def guid(kind: str, number: int) -> str:
    """An id as most SISs give them: a GUID, in no order."""
    return str(uuid.UUID(hashlib.md5(f"{kind}{number}".encode(), usedforsecurity=False).hexdigest()))


def rows_of(kind: Kind, students: int, *, changed: bool) -> Iterator[dict[str, str]]:
    """The synthetic rows of one kind; every hundredth differs where `changed`. Padded to what real rows weigh."""
    pad, schools, sections = "x" * 350, students // 500 + 1, students * EACH // 25 + 1
    if kind == "schools":
        yield from ({"id": guid("school", n), "name": f"School {n}"} for n in range(schools))
    elif kind == "sections":
        yield from (
            {"id": guid("section", n), "name": f"Section {n}", "school": guid("school", n % schools)}
            for n in range(students * EACH // 25 + 1)
        )
    elif kind == "students":
        for n in range(students):
            suffix = "-Neu" if changed and n % 100 == 0 else ""
            yield {
                "id": guid("student", n),
                "given": f"Given{n % 977}",
                "family": f"Family{n % 3571}{suffix}",
                "number": f"{n + 500000}",
                "state": f"9{n:08d}",
                "school": guid("school", n % schools),
                "grade": f"{n % 12 + 1:02d}",
                "user": f"given.family{n}",
                "pad": pad,
            }
    else:
        for n in range(students * EACH):
            end = "2027-05-28" if changed and n % 100 == 0 else "2027-06-05"
            yield {
                "id": guid("enrollment", n),
                "section": guid("section", n % sections),
                "student": guid("student", n // EACH),
                "begin": "2026-08-12",
                "end": end,
                "pad": pad,
            }


def write_pages(folder: Path, students: int) -> None:
    """One JSON page a line, so that reading them back needs no memory."""
    for changed in (False, True):
        for kind in KINDS:
            with (folder / f"{kind}-{changed}.jsonl").open("wb") as file:
                page: list[dict[str, str]] = []
                for row in rows_of(kind, students, changed=changed):
                    page.append(row)
                    if len(page) == PAGE:
                        file.write(msgspec.json.encode(page) + b"\n")
                        page = []
                if page:
                    file.write(msgspec.json.encode(page) + b"\n")


_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Pages:
    """A provider that reads pages from files."""

    info = INFO

    def __init__(self, folder: Path, *, changed: bool) -> None:
        self._folder, self._changed = folder, changed

    async def check(self) -> list[Finding]:
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
            with (self._folder / f"{kind}-{self._changed}.jsonl").open("rb") as file:
                for line in file:
                    rows = _split(line)
                    yield Page(endpoint=f"/{kind}", kinds=(kind,), read=READERS[kind], rows=rows, had_next=True, more=True)
            yield Page(endpoint=f"/{kind}", kinds=(kind,), read=READERS[kind], rows=())


async def sync(database: Path, folder: Path, *, changed: bool) -> tuple[float, dict[str, dict[str, int]]]:
    async with open_store(f"sqlite:///{database}") as store:
        async with store.write() as connection:
            await connection.exec_driver_sql(
                "INSERT OR IGNORE INTO sis_integration (id, name, provider, settings, status, created_at) "
                "VALUES (1, 'benchmark', 'benchmark', '{}', 'active', '2026-08-01T00:00:00+00:00')"
            )
        run = Synchroniser(
            store=store,
            target=BuiltInTarget(1),
            integration_id=1,
            integration="benchmark",
            info=INFO,
            config=SISProviderConfig(provider="benchmark", base_url="http://127.0.0.1"),
            clock=SystemClock(),
            today=date(2026, 11, 2),
            traffic=Traffic(),
            provider=Pages(folder, changed=changed),
        )
        started = time.perf_counter()
        report = await run.sync(Request())
        seconds = time.perf_counter() - started
    if report.status != "succeeded":
        raise SystemExit(f"the sync {report.status}: {report.error} {report.incomplete} {report.holds}")
    return seconds, report.changes


def bare_upsert(folder: Path, database: Path) -> float:
    """The same rows into the same tables through the driver's own executemany: parsed beforehand, and nothing else done."""

    async def prepare() -> None:
        async with open_store(f"sqlite:///{database}"):
            pass

    asyncio.run(prepare())
    tables = []
    for kind in KINDS:
        rows: list[tuple[object, ...]] = []
        names = roster_fields(kind)
        for line in (folder / f"{kind}-False.jsonl").open("rb"):
            for raw in _split(line):
                for record in READERS[kind](bytes(raw)).records:
                    document = record.model_dump(mode="json", exclude_unset=True)
                    rows.append((1, record.sis_id, *(to_column(name, document.get(name)) for name in names)))
        tables.append((kind, ("integration_id", "sis_id", *names), rows))
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA synchronous=NORMAL")
    started = time.perf_counter()
    for kind, columns, rows in tables:
        listed = ", ".join(f'"{column}"' for column in columns)
        updates = ", ".join(f'"{column}" = excluded."{column}"' for column in columns[2:])
        statement = (
            f"INSERT INTO roster_{kind} ({listed}) VALUES ({', '.join('?' * len(columns))}) "
            f"ON CONFLICT (integration_id, sis_id) DO UPDATE SET {updates}"
        )
        with connection:
            connection.executemany(statement, rows)
    seconds = time.perf_counter() - started
    connection.close()
    return seconds


def measured(step: str, folder: Path, database: Path) -> dict[str, float]:
    """One step in a process of its own, so that its peak memory is its own."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder), "--database", str(database)]
    output = subprocess.run(command, capture_output=True, text=True, check=False)
    if output.returncode:
        raise SystemExit(output.stderr)
    values: dict[str, float] = json.loads(output.stdout)
    return values


def run_step(step: str, folder: Path, database: Path) -> None:
    if step == "bare":
        seconds = bare_upsert(folder, database)
    else:
        seconds, _ = asyncio.run(sync(database, folder, changed=step == "changed"))
    used = resource.getrusage(resource.RUSAGE_SELF)
    measured = {"seconds": seconds, "processor": used.ru_utime + used.ru_stime, "mebibytes": used.ru_maxrss / 1024}
    json.dump(measured, sys.stdout)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--students", type=int, default=100_000)
    parser.add_argument("--step")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--database", type=Path)
    options = parser.parse_args()
    if options.step:
        run_step(options.step, options.folder, options.database)
        return
    with tempfile.TemporaryDirectory() as name:
        results = {}
        for size in (options.students // 10, options.students):
            folder = Path(name) / str(size)
            folder.mkdir()
            write_pages(folder, size)
            bare = measured("bare", folder, folder / "bare.db")
            results[size] = {step: measured(step, folder, folder / "roster.db") for step in ("first", "same", "changed")} | {
                "bare": bare
            }
    large, small = results[options.students], results[options.students // 10]
    base = large["bare"]["seconds"]
    print(f"{options.students} students, {options.students * EACH} enrolments, bare upsert of the same rows: {base:.1f} s")
    for step, label, limit in (("first", "first sync", 6.0), ("same", "unchanged", 1.0), ("changed", "1 % changed", 1.5)):
        seconds = large[step]["seconds"]
        print(f"{label:<14} {seconds:7.1f} s   {seconds / base:5.2f} times a bare upsert   (limit {limit:g})")
    for step in ("first", "same"):
        ratio = large[step]["mebibytes"] / small[step]["mebibytes"]
        print(f"memory, {step:<6} {large[step]['mebibytes']:7.0f} MiB {ratio:5.2f} times a tenth of the size   (limit 1.3)")


if __name__ == "__main__":
    main()
