"""Qmlativ over its Custom or Generic interface: lists of objects by module, page and size, and what it takes to ask for them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from sis_connect.capabilities import Kind
from sis_connect.diagnosis import broken
from sis_connect.errors import AuthorizationError, ConfigurationError, NotOffered, SISError, UnexpectedResponse
from sis_connect.once import once
from sis_connect.provider import Finding, Page, Scope, Since, Stream
from sis_connect.rest_provider import Asked, Endpoint, RestProvider
from sis_connect.stream import PageSize, StreamReader
from sis_connect.transport.answers import Response
from sis_connect.values import given, number, text
from sis_connect_skyward import qmlativ_mapping as mapping
from sis_connect_skyward.errors import NotApproved, approval
from sis_connect_skyward.qmlativ_answers import current_year, listed
from sis_connect_skyward.qmlativ_lists import (
    ENDPOINTS,
    LOOKUPS,
    fields_of,
    names_of,
    object_of,
    of_student,
    search_fields,
)
from sis_connect_skyward.settings import QmlativSettings

#: One student in so many without a school is worth a warning.
MANY = 10


class _Known(dict[tuple[str, str | None], Mapping[str, str | None]]):
    """What was looked up of people: a repr of the provider shows none of it."""

    def __repr__(self) -> str:
        return f"<{len(self)} lists looked up>"


class QmlativProvider(RestProvider):
    """Reads a district's Qmlativ."""

    endpoints = ENDPOINTS
    mapping_version = "1"

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._own: QmlativSettings = self.settings  # type: ignore[assignment]
        self._looking = asyncio.Lock()
        self._scope = Scope(school_year=self.config.school_year)
        self._known: dict[tuple[str, str | None], Mapping[str, str | None]] = _Known()
        self._renamed = {self._own.state_id_field.lower(): "StateID"} if self._own.state_id_field else {}
        self._demand_essentials()

    def _demand_essentials(self) -> None:
        """Whoever leaves out a field must name one that is read, and that something can be read without."""
        every = [*ENDPOINTS, *(lookup.among for lookup in LOOKUPS.values())]
        named = {f"{object_of(each).rpartition('/')[2]}.{field}" for each in every for field in names_of(each.row)}
        spare = {name for name in named if "ID" not in name and name.partition(".")[2] not in mapping.ESSENTIAL}
        if wrong := sorted(set(self._own.without_fields) - spare):
            raise ConfigurationError(
                f"without_fields names {', '.join(wrong)}: nobody asks for that, or it cannot be left out.",
                remedy="Name fields as the documentation lists them, such as Student.GradeNumeric; have the others approved.",
            )

    @property
    def prefix(self) -> str:
        """The interface that the district has approved."""
        return f"/{self._own.api}"

    def pages(
        self,
        kinds: Collection[Kind],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        """As the base class has it. What is looked up in other lists is asked for anew in each read."""
        self._known, self._scope = _Known(), self.narrowed(scope)
        return super().pages(kinds, scope=scope, since=since, cursor=cursor)

    def asked(self, context: Mapping[str, str]) -> Asked:
        """The entity that stands for the district takes the place of a school in paths."""
        return super().asked(context if "school" in context else {"entity": str(self._own.entity), **context})

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Mapping[str, str]) -> Response:
        """One page, its rows completed by what other lists say."""
        return await self._page(endpoint, asked, params, complete=True)

    async def _page(self, endpoint: Endpoint[Any], asked: Asked, params: Mapping[str, str], *, complete: bool) -> Response:
        """One page, of the school year where it is of one, in the spelling of the documentation."""
        if endpoint.yearly and (year := await self._year_id(asked.context.get("school_year"))) is not None:
            params = {**params, "SchoolYearID": year}
        if endpoint.rows:
            params = {"page": "1", "size": "1", **params}  # where somebody tries whether anything is let in
        try:
            response = await super().ask(endpoint, asked, params)
        except NotApproved as error:
            name = object_of(endpoint)
            error.about(name, fields_of(name, endpoint.row, asked))
            raise
        known = {field.lower(): field for field in names_of(endpoint.row)} | self._renamed
        rows, paging = listed(response.body, object_of(endpoint), known, single=not endpoint.rows)
        if complete:
            await self._complete(endpoint, asked, rows)
        found = {"Objects": rows, "Paging": paging} if endpoint.rows else rows[0]
        return replace(response, body=msgspec.json.encode(found))

    # What depends on several rows of another list

    async def _complete(self, endpoint: Endpoint[Any], asked: Asked, rows: Sequence[dict[str, Any]]) -> None:
        takes = set(endpoint.row.__struct_fields__) & LOOKUPS.keys()
        takes -= {"owner"} if endpoint.kinds == ("guardians",) else set()
        for name in sorted(takes if self._own.staff_emails else takes - {"email"}):
            known, by = await self._looked_up(name, asked.context.get("student")), mapping.wire(LOOKUPS[name].by)
            for row in rows:
                row[mapping.wire(name)] = known.get(str(row.get(by)))

    async def _looked_up(self, name: str, student: str | None = None) -> Mapping[str, str | None]:
        """What is looked up under a name, by number; for one student only where only that one is read."""
        year = await self.school_year(self._scope)
        asked = self.asked(given(student=student, school_year=str(year) if year else None))
        async with self._looking:
            if (name, student) not in self._known:
                lookup = LOOKUPS[name]
                among = lookup.among if student is None else of_student(lookup.among)
                groups: defaultdict[str, list[Any]] = defaultdict(list)
                async for row in self._all(among, asked):
                    key = text(getattr(row, lookup.by))
                    if key is None and not lookup.sparse:
                        raise UnexpectedResponse(f"A row of {object_of(among)} has no {mapping.wire(lookup.by)}.")
                    groups[key or ""].append(row)
                self._known[name, student] = {key: lookup.comes_to(rows, asked) for key, rows in groups.items() if key}
            return self._known[name, student]

    async def _all(self, endpoint: Endpoint[Any], asked: Asked) -> AsyncIterator[Any]:
        """All rows of a list, read with the same care as those that become records."""

        async def no_total() -> int | None:
            return None

        reader = StreamReader(
            endpoint,
            Page(endpoint=endpoint.name, kinds=(), read=endpoint.reader(asked)),
            PageSize(asked=self.config.page_size or self.info.default_page_size),
            ask=lambda params: self._page(endpoint, asked, params, complete=False),
            count=no_total,
            base_url=self.config.base_url,
            ahead=1,
        )
        async for page in reader.pages(None):
            for raw in page.rows:
                yield endpoint.decode(raw)

    # The school year

    async def school_year(self, scope: Scope) -> int | None:
        """The year asked for, else the current one as the SIS has it."""
        return scope.school_year or self._ends(await self._current())

    async def _year_id(self, year: str | None) -> str | None:
        """The number under which the SIS keeps a school year; without one it takes the current year."""
        if self._own.school_year_id is not None and year == str(self.config.school_year):
            return str(self._own.school_year_id)
        current = await self._current()
        if year is not None and self._ends(current) != int(year):
            raise ConfigurationError(
                f"Under which number Qmlativ keeps the school year {year} is not known.",
                remedy="Set school_year and, as its SchoolYearID, school_year_id; or leave both out.",
            )
        return text(current.get("schoolyearid"))

    def _ends(self, current: Mapping[str, Any]) -> int | None:
        """The year in which a school year ends."""
        year = number(current.get("numericyear"), "NumericYear")
        return None if year is None else year + (self._own.numeric_year == "start")

    @once
    async def _current(self) -> Mapping[str, Any]:
        """The current school year, where the interface tells."""
        path = f"{self.prefix}/GetSystemMetadata"
        try:
            response = await self.transport.get_json(path, template=path)
        except (NotOffered, AuthorizationError):
            return {}  # not among what the district has approved
        return current_year(msgspec.json.decode(response.body), self._own.entity)

    # Doctor

    async def check(self) -> Sequence[Finding]:
        """As the base class has it. What is not let in is named before all else is given up."""
        found = await super().check()
        return [*found, *await self._approvals()] if any(one.topic == "access" for one in found) else found

    async def findings(self) -> Sequence[Finding]:
        """What must be approved, which school year is read, and whether students have schools."""
        refused = await self._approvals()
        return [*refused, await self._about_year(), *([] if refused else await self._about_schools())]

    async def _about_year(self) -> Finding:
        try:
            year = await self.school_year(self.narrowed(Scope()))
        except SISError as error:
            return broken("school year", error)
        if year:
            return Finding(topic="school year", level="ok", message=f"The school year {year} is read.")
        message = "Qmlativ does not tell the current school year, so what each entity takes for it is read."
        remedy = "Have GetSystemMetadata approved, or set school_year and school_year_id."
        return Finding(topic="school year", level="warning", message=message, remedy=remedy)

    async def _approvals(self) -> list[Finding]:
        """One row of each object that is read, and what is not let in of it."""
        asked, wanted = self.asked({}), defaultdict[str, set[str]](set)
        lookups = [
            lookup.among for name, lookup in LOOKUPS.items() if name == "school" or (name == "email" and self._own.staff_emails)
        ]
        for each in [*(each for each in ENDPOINTS if each.serves("district") and each.needs(asked)), *lookups]:
            if each.kinds != ("guardians",) or "guardians" in self.config.fields:
                wanted[object_of(each)].update(fields_of(object_of(each), each.row, asked))
        found = []
        for name, asked_for in wanted.items():
            try:
                refused = await self._refused(name, sorted(asked_for))
            except SISError as error:
                found.append(broken("approval", error))
                continue
            if refused is not None:
                told = [f"{name.rpartition('/')[2]}.{field}" for field in refused if len(refused) < len(asked_for)]
                message = f"Qmlativ refuses {', '.join(told) or f'all of {name}'} to this integration."
                found.append(Finding(topic="approval", level="error", message=message, remedy=approval(name, told)))
        return found

    async def _refused(self, name: str, asked_for: Sequence[str]) -> list[str] | None:
        """Which of these fields are not let in, found by halving; None where all are."""
        path = f"{self.prefix}/{self._own.entity}/{name}/1/1"
        try:
            await self.transport.get_json(path, params=search_fields(asked_for), template=path)
        except (NotApproved, NotOffered):
            if len(asked_for) == 1:
                return [*asked_for]
            half = len(asked_for) // 2
            parts = [await self._refused(name, asked_for[:half]), await self._refused(name, asked_for[half:])]
            return [field for part in parts for field in part or ()]
        return None

    async def _about_schools(self) -> list[Finding]:
        """Whether many of the students are in no entity that is a school."""
        try:
            places = (await self._looked_up("school")).values()
        except SISError as error:
            return [broken("schools of students", error)]
        nowhere = sum(place is None for place in places)
        if nowhere * MANY <= len(places):
            return []
        message = f"{nowhere} of {len(places)} students of this year are in no entity that is a school."
        remedy = "Look at excluded_entities, and whether all entities that are schools are approved."
        return [Finding(topic="schools of students", level="warning", message=message, remedy=remedy)]
