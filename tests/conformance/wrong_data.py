"""Providers for Harbor that declare what is not so, lose something, or bring what was not asked for: each in one way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, field_validator

from conformance.right_provider import GRADES, MEMBERS, OF_SCHOOL, SCHOOLS, SECTIONS, STUDENTS, HarborProvider, student
from conformance.wrong_mapping import BringsCourses, members_with, rewritten, students_with, with_members, with_students
from sis_connect.capabilities import Kind
from sis_connect.provider import Finding, InvalidRow, Page, ProviderInfo, Reading, Scope, Since, Stream
from sis_connect.records import Record, School, SchoolEnrollment, Section, Student
from sis_connect.rest_provider import Asked, Endpoint, build

# -- what is declared, and what doctor hears ---------------------------------------------------------------------------


class HasNoCheck:
    """Is nearly a provider."""

    def __init__(self, info: ProviderInfo, config: Any, **rest: Any) -> None:
        self.info = info

    def pages(self, kinds: Collection[Kind], **rest: Any) -> Iterator[Page]:
        return iter(())


class LooseSettings(BaseModel):
    """Takes whatever it is given."""

    model_config = ConfigDict(extra="allow")


class FragileSettings(BaseModel):
    """Stumbles over a value that it does not expect."""

    model_config = ConfigDict(extra="forbid")
    campus: str = "main"

    @field_validator("campus")
    @classmethod
    def known(cls, value: str) -> str:
        return {"main": "m", "north": "n"}[value]


class FindsNothing(HarborProvider):
    async def check(self) -> Sequence[Finding]:
        return []


class IsAlwaysWell(HarborProvider):
    async def check(self) -> Sequence[Finding]:
        return [Finding(topic="connection", level="ok", message="All is well.")]


class FailsToCheck(HarborProvider):
    async def check(self) -> Sequence[Finding]:
        await self.transport.get_json("/schools")
        return [Finding(topic="connection", level="ok", message="All is well.")]


class CannotBeMade(HarborProvider):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        raise KeyError("region")


# -- pages -------------------------------------------------------------------------------------------------------------


class ChangesPages(HarborProvider):
    """Hands on the right pages, changed."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.seen: dict[Stream, list[bytes]] = {}

    def changed(self, page: Page) -> Page:
        return page

    async def pages(
        self,
        kinds: Collection[Kind],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        async for page in super().pages(kinds, scope=scope, since=since, cursor=cursor):
            yield self.changed(page)

    def new(self, page: Page) -> list[bytes]:
        """The rows that have not come before."""
        known = self.seen.setdefault(page.stream, [])
        rows = [bytes(row) for row in page.rows if bytes(row) not in known]
        known.extend(rows)
        return rows


class UnderstandsNothing(ChangesPages):
    def changed(self, page: Page) -> Page:
        def read(raw: bytes) -> Reading:
            raise InvalidRow("id is missing", key=None)

        return replace(page, read=read)


class KeepsAllCustomFields(ChangesPages):
    """Keeps whatever else the row has, declared or not."""

    def changed(self, page: Page) -> Page:
        def read(raw: bytes) -> Reading:
            found, extras = page.read(raw), json.loads(raw).get("extras", {})
            return replace(found, records=tuple(_with(record, extras) for record in found.records))

        return replace(page, read=read)


def _with(record: Record, extras: Mapping[str, Any]) -> Record:
    return record.model_copy(update={"custom": {**extras, **record.custom}}) if record.custom else record


class ProvesNothing(ChangesPages):
    def changed(self, page: Page) -> Page:
        return replace(page, total=None, had_next=False, declared_size=None, rows=page.rows)


class TellsNoTotals(ChangesPages):
    def changed(self, page: Page) -> Page:
        return replace(page, total=None)


class LosesSingleRows(ChangesPages):
    def changed(self, page: Page) -> Page:
        return page if page.received != 1 else replace(page, rows=())


class Remembers(ChangesPages):
    """Brings what came last time where nothing comes."""

    last: ClassVar[dict[Stream, Sequence[bytes]]] = {}

    def changed(self, page: Page) -> Page:
        if page.rows:
            self.last[page.stream] = page.rows
        return replace(page, rows=page.rows or self.last.get(page.stream, ()))


class SortsOutRepeatedRows(ChangesPages):
    """What comes again is left out, and so is the total that would give it away."""

    def changed(self, page: Page) -> Page:
        return replace(page, rows=self.new(page), total=None)


class StopsAtTheTotal(ChangesPages):
    def changed(self, page: Page) -> Page:
        before = len(self.seen.get(page.stream, ()))
        rows = self.new(page)
        return replace(page, rows=rows if page.total is None else rows[: max(0, page.total - before)])


class CountsByItself(ChangesPages):
    def changed(self, page: Page) -> Page:
        rows = self.new(page)
        return replace(page, rows=rows, total=page.total if page.total is not None else len(self.seen[page.stream]))


class NeverSatisfied(HarborProvider):
    """Reads on until a page is empty, whatever comes."""

    async def pages(
        self,
        kinds: Collection[Kind],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        asked, number, more = self.asked({}), 1, True
        while more:
            answer = await self.ask(STUDENTS, asked, {"page": str(number), "per_page": str(self.config.page_size or 50)})
            rows = STUDENTS.rows_in(answer.body)
            number, more = number + 1, bool(rows)
            yield Page(endpoint="students", kinds=("students",), read=STUDENTS.reader(asked), rows=rows, more=more)


class OneNameForAll(ChangesPages):
    """Calls the lists of all schools the same."""

    def changed(self, page: Page) -> Page:
        return replace(page, context="")


class HandsOnRecords(ChangesPages):
    """Has rows that are read already."""

    def changed(self, page: Page) -> Page:
        return replace(page, rows=tuple(page.read(raw) for raw in page.rows))  # type: ignore[misc]


class SpeaksForAll(ChangesPages):
    def changed(self, page: Page) -> Page:
        return replace(page, kinds=("schools", "students", "sections", "enrollments"))


class LosesKeys(ChangesPages):
    def changed(self, page: Page) -> Page:
        def read(raw: bytes) -> Reading:
            try:
                return page.read(raw)
            except InvalidRow as fault:
                raise InvalidRow(fault.message, key=None, fields=fault.fields) from None

        return replace(page, read=read)


class IdsOfThisServer(ChangesPages):
    """Puts the address into ids."""

    def changed(self, page: Page) -> Page:
        port = urlsplit(self.config.base_url).port

        def read(raw: bytes) -> Reading:
            reading = page.read(raw)
            return replace(reading, records=tuple(_renamed(record, f"{port}-{record.sis_id}") for record in reading.records))

        return replace(page, read=read)


class IdsByPlace(ChangesPages):
    """Takes for an id the place in the list."""

    def changed(self, page: Page) -> Page:
        rows = page.rows

        def read(raw: bytes) -> Reading:
            reading = page.read(raw)
            return replace(reading, records=tuple(_renamed(record, f"{rows.index(raw)}") for record in reading.records))

        return replace(page, read=read) if "enrollments" in page.kinds else page


def _renamed(record: Record, sis_id: str) -> Record:
    return record.model_copy(update={"sis_id": sis_id})


# -- values ------------------------------------------------------------------------------------------------------------


class AllArePrimary(HarborProvider):
    endpoints: ClassVar = members_with(lambda values: {**values, "primary": True})


class KnowsNoBirthDates(HarborProvider):
    endpoints: ClassVar = students_with(lambda values: {**values, **({"birth_date": None} if "birth_date" in values else {})})


class KnowsNoCustomFields(HarborProvider):
    endpoints: ClassVar = with_students(custom=None)


class NobodyAttends(HarborProvider):
    endpoints: ClassVar = students_with(lambda values: {**values, "school": None})


class NeverChanges(HarborProvider):
    endpoints: ClassVar = students_with(lambda values: {**values, "updated_at": datetime(2026, 1, 1, tzinfo=UTC)})


def _still_here(row: Any, asked: Asked) -> Iterator[Record]:
    if row.standing == "enrolled":
        yield from student(row, asked)


class ForgetsWhoLeft(HarborProvider):
    endpoints: ClassVar = with_students(_still_here)


def _unchecked(**changed: Any) -> Any:
    def read(row: Any, asked: Asked) -> Iterator[Record]:
        for record in student(row, asked):
            yield Student.model_construct(record.model_fields_set | set(changed), **{**record.__dict__, **changed})

    return read


class LeavesBlanks(HarborProvider):
    endpoints: ClassVar = with_students(_unchecked(given_name="Ada "))


class HasGradesOfItsOwn(HarborProvider):
    endpoints: ClassVar = with_students(_unchecked(grade="K"))


def _strict(row: Any, asked: Asked) -> Iterator[Record]:
    if row.year_group == "Pre":
        raise InvalidRow("this is no grade", key=None, fields=("grade",))
    yield from student(row, asked)


class KnowsNoPreschool(HarborProvider):
    endpoints: ClassVar = with_students(_strict)


def _fragile(row: Any, asked: Asked) -> Iterator[Record]:
    assert GRADES[row.year_group or "K"]
    yield from student(row, asked)


class StumblesOverGrades(HarborProvider):
    endpoints: ClassVar = with_students(_fragile)


# -- what was not asked for --------------------------------------------------------------------------------------------


def _generous(row: Any, asked: Asked) -> Iterator[Record]:
    for record in student(row, asked):
        extra = {"gender": "X"} if asked.fields["students"] else {}
        yield build(Student, **{name: getattr(record, name) for name in record.model_fields_set}, **extra)


class BringsMoreFields(HarborProvider):
    endpoints: ClassVar = with_students(_generous)


def _with_section(row: Any, asked: Asked) -> Iterator[Record]:
    for record in MEMBERS.read(row, asked):
        yield record
        yield build(Section, sis_id=row.section_id and str(row.section_id), school=asked.context["school"])


class SaysNothingOfSections(HarborProvider):
    endpoints: ClassVar = with_members(_with_section)


class ReadsEverybody(HarborProvider):
    """Does not look at which schools and students are asked for."""

    def pages(
        self,
        kinds: Collection[Kind],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        return super().pages(kinds, scope=Scope(), since=since, cursor=cursor)


class BringsThemAlways(BringsCourses):
    """Does not look at which kinds are asked for."""

    def pages(
        self,
        kinds: Collection[Kind],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        return super().pages(self.info.capabilities.offered(), scope=scope, since=since, cursor=cursor)


# -- what is declared, and not there -----------------------------------------------------------------------------------


def _with_stay(row: Any, asked: Asked) -> Iterator[Record]:
    yield from student(row, asked)
    yield build(
        SchoolEnrollment, sis_id=f"{row.id}-1", student=str(row.id), school=str(row.school_id or 1), entry_date=date(2026, 8, 17)
    )


class MakesUpStays(HarborProvider):
    endpoints: ClassVar[tuple[Endpoint[Any], ...]] = tuple(
        replace(each, read=_with_stay, kinds=("students", "school_enrollments"), changes=None, delta=None)
        if each in (STUDENTS, OF_SCHOOL)
        else each
        for each in (SCHOOLS, STUDENTS, OF_SCHOOL, SECTIONS, MEMBERS)
    )


class CallsSchoolsOtherwise(HarborProvider):
    endpoints: ClassVar = (
        replace(SCHOOLS, read=rewritten(SCHOOLS, lambda values: {**values, "name": f"{School.__name__} {values['name']}"})),
        STUDENTS,
        OF_SCHOOL,
        SECTIONS,
        MEMBERS,
    )
