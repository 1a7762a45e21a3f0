"""PowerSchool: the endpoints of `/ws/v1`, the choice between them and our package's queries, and what to tell an operator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import replace
from datetime import date
from typing import Any, TypeVar, cast

import msgspec

from sis_connect.capabilities import Kind
from sis_connect.diagnosis import broken, cost
from sis_connect.endpoint import Params, reach_of
from sis_connect.errors import AuthenticationError, ConfigurationError, SISError
from sis_connect.once import once
from sis_connect.places import at
from sis_connect.provider import Finding, Page, Scope, Since, Stream
from sis_connect.rest_provider import Asked, Endpoint, RestProvider, Selection
from sis_connect.transport.paging import SinglePage
from sis_connect_powerschool import bulk, events, findings, mapping, students
from sis_connect_powerschool.errors import GRANT_COLUMNS
from sis_connect_powerschool.settings import PowerSchoolSettings

Row = TypeVar("Row")

#: Every enrolment status there may be: without it, a school lists its active students only.
_EVERY_STATUS = "school_enrollment.enroll_status_code=gt=-2147483648"
#: So many schools are looked at for the current school year.
_LOOK_AT = 10


def _by_section(asked: Asked) -> bool:
    """Whether the roster is read without our package's queries."""
    return bool(asked.settings.road != "bulk")


def _of_year(field: str) -> Any:
    """A filter on the year that a school year starts in. Without a year the server lists what it takes for the current one."""

    def filters(asked: Asked) -> Params:
        year = asked.context.get("school_year")
        return {"q": f"{field}=={int(year) - 1}"} if year else {}

    return filters


_COUNT = "resource.count"
_SCHOOLS = Endpoint(
    name="schools",
    path="/ws/v1/district/school",
    rows="schools.school",
    kinds=("schools",),
    row=mapping.SchoolRow,
    read=mapping.school,
    gives="school",
    opens=mapping.is_school,
    only="district",
    page_size="school_max_page_size",
    count="/ws/v1/district/school/count",
    total_at=_COUNT,
)
_TERMS = Endpoint(
    name="terms",
    path="/ws/v1/school/{school}/term",
    rows="terms.term",
    kinds=("terms",),
    row=mapping.TermRow,
    read=mapping.term,
    parent="schools",
    yearly=True,
    filters=_of_year("start_year"),
    page_size="term_max_page_size",
    needs=_by_section,
)
_STUDENTS = Endpoint(
    name="students",
    path="/ws/v1/district/student",
    rows="students.student",
    kinds=("students", "school_enrollments"),
    row=students.StudentRow,
    read=students.student,
    only="district",
    params=students.extensions,
    selects=Selection(param="expansions", always=("school_enrollment",), by_field=students.EXPANSIONS),
    custom=students.extended,
    page_size="student_max_page_size",
    needs=_by_section,
    count="/ws/v1/district/student/count",
    total_at=_COUNT,
)
_ACTIVE = replace(_STUDENTS, filters=lambda asked: {"q": "school_enrollment.enroll_status==A"})
# No count for terms and rosters: it would double the requests for what fits on one page, and a page not full proves its end.
ENDPOINTS: tuple[Endpoint[Any], ...] = (
    _SCHOOLS,
    replace(
        _SCHOOLS,
        name="school",
        path="/ws/v1/school/{school}",
        rows="school",
        only="schools",
        paging=SinglePage(),
        count=None,
        total_at=None,
    ),
    _TERMS,
    Endpoint(
        name="courses",
        path="/ws/v1/school/{school}/course",
        rows="courses.course",
        kinds=("courses",),
        row=mapping.CourseRow,
        read=mapping.course,
        parent="schools",
        page_size="course_max_page_size",
        needs=_by_section,
        count="/ws/v1/school/{school}/course/count",
        total_at=_COUNT,
    ),
    Endpoint(
        name="staff",
        path="/ws/v1/school/{school}/staff",
        rows="staffs.staff",
        kinds=("staff",),
        row=mapping.StaffRow,
        read=mapping.staff,
        parent="schools",
        params=lambda asked: {"expansions": "emails,school_affiliations"},
        page_size="staff_max_page_size",
        needs=_by_section,
        count="/ws/v1/school/{school}/staff/count",
        total_at=_COUNT,
    ),
    _STUDENTS,
    replace(
        _STUDENTS,
        name="school_students",
        path="/ws/v1/school/{school}/student",
        only="schools",
        filters=lambda asked: {"q": _EVERY_STATUS},
        count="/ws/v1/school/{school}/student/count",
    ),
    replace(
        _STUDENTS,
        name="student",
        path="/ws/v1/student/{student}",
        rows="student",
        only="students",
        paging=SinglePage(),
        page_size=None,
        count=None,
        total_at=None,
    ),
    Endpoint(
        name="sections",
        path="/ws/v1/school/{school}/section",
        rows="sections.section",
        kinds=("sections", "enrollments"),
        row=mapping.SectionRow,
        read=mapping.section,
        parent="schools",
        gives="section",
        yearly=True,
        filters=_of_year("term.start_year"),
        page_size="section_max_page_size",
        needs=_by_section,
        count="/ws/v1/school/{school}/section/count",
        total_at=_COUNT,
    ),
    Endpoint(
        name="section_enrollments",
        path="/ws/v1/section/{section}/section_enrollment",
        rows="section_enrollments.section_enrollment",
        kinds=("enrollments",),
        row=mapping.RosterRow,
        read=mapping.roster_entry,
        parent="sections",
        page_size="section_enrollment_max_page_size",
        needs=_by_section,
    ),
    *bulk.ENDPOINTS,
)


class PowerSchoolProvider(RestProvider):
    """Reads a district's PowerSchool."""

    endpoints = ENDPOINTS
    mapping_version = "1"
    probe = "/ws/v1/metadata"

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._own = cast(PowerSchoolSettings, self.settings)  # as they were set, whatever road is taken
        self._year_once = asyncio.Lock()
        self._year: list[int | None] = []

    async def pages(
        self,
        kinds: Collection[Kind],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        """By the road that the settings, and what is installed, leave open. Schools and students alone are read by `/ws/v1`."""
        reader = await self._chosen(scope) if set(kinds) - {"schools"} else self._on("sections")
        pages = RestProvider.pages(reader, kinds, scope=scope, since=since, cursor=cursor)
        async with aclosing(cast("AsyncGenerator[Page, None]", pages)):
            async for page in pages:
                yield page

    async def check(self) -> Sequence[Finding]:
        """Try the connection step by step, on the road that a sync would take."""
        try:
            reader = await self._chosen(Scope())
        except SISError:
            reader = self  # whatever is wrong is found again, at its step
        return await RestProvider.check(reader)

    async def subscribe(self, callback_url: str, *, ours: Callable[[str], bool], replace: bool = False) -> None:
        """Have PowerSchool send word of changes to an address."""
        await events.subscribe(self.transport, callback_url, ours=ours, replace=replace)

    async def unsubscribe(self, *, ours: Callable[[str], bool], replace: bool = False) -> bool:
        """Have it send no more."""
        return await events.unsubscribe(self.transport, ours=ours, replace=replace)

    async def _chosen(self, scope: Scope) -> PowerSchoolProvider:
        """This provider, on the road that it takes through so much of a district."""
        found = await self._found() if reach_of(self.narrowed(scope)) == "district" else None
        return self._on("sections") if found is None else self._on("bulk", version=found.version)

    def _on(self, road: str, *, version: str | None = None) -> PowerSchoolProvider:
        """This provider on a road. What `auto` does not promise, it does not read: former stays, and changes only."""
        reader, promised = copy(self), road == "bulk" and self._own.road == "bulk"
        years = self._own.history_years if promised else 0
        chosen = {"road": road, "history_years": years, "data_versions": version is not None}
        reader.settings = self._own.model_copy(update=chosen)
        if version is not None:
            reader.endpoints = bulk.marked(ENDPOINTS, version)  # type: ignore[misc]
        if road == "bulk":
            reader._info = replace(self._info, default_page_size=bulk.PAGE_SIZE)
        return reader

    @property
    def _reads_changes(self) -> bool:
        """Whether changes only are promised; see `settings.refine`."""
        return self._own.road == "bulk" and self._own.data_versions

    async def _found(self) -> bulk.Installed | None:
        """Whether our package is installed, see `bulk.find`. Asked once, before anything is read.

        It has no fields of a district's own.
        """
        if self._own.road == "sections" or (self._own.road == "auto" and self.config.custom):
            return None
        try:
            found = await self._installed()
        except (ConfigurationError, AuthenticationError):
            raise
        except SISError as error:
            if self._own.road == "bulk" or error.remedy == GRANT_COLUMNS:
                raise
            return None  # the other road will show what is the matter, or manage in spite of it
        if found is None and self._own.road == "bulk":
            raise bulk.not_installed()
        return found

    @once
    async def _installed(self) -> bulk.Installed | None:
        return await bulk.find(self.transport, self.asked({}), versions=self._reads_changes)

    async def page_sizes(self) -> Mapping[str, int]:
        """The plugin's page sizes, which the district's administrator sets."""
        found = {name: value for name, value in (await self._about()).items() if name.endswith("_max_page_size")}
        return {name: int(value) for name, value in found.items() if str(value).isdigit() and int(value) > 0}

    async def school_year(self, scope: Scope) -> int | None:
        """The year asked for, else the one that the terms of the schools are in now."""
        if scope.school_year:
            return scope.school_year
        async with self._year_once:
            if not self._year:
                self._year = [findings.current_year(await self._current_terms(scope), await self.today())]
        return self._year[0]

    async def time_zone(self) -> str | None:
        """The district's time zone: the setting, else what the server says."""
        return self.config.time_zone or str((await self._about()).get("district_timezone") or "") or None

    async def findings(self) -> Sequence[Finding]:
        """What an administrator of PowerSchool can set right."""
        about, sizes = await self._about(), await self.page_sizes()
        terms, today = await self._current_terms(self.narrowed(Scope())), await self.today()
        return [
            findings.server(about),
            findings.page_size({endpoint.page_size: sizes.get(endpoint.page_size or "") for endpoint in self.endpoints}),
            findings.school_year(self.config.school_year, terms, today),
            findings.time_zone(await self.time_zone()),
            await self._road(),
            *await self._about_changes(),
        ]

    async def _about_changes(self) -> Sequence[Finding]:
        try:
            package = await self._found() if self._reads_changes else None
        except SISError:
            return []  # what is wrong is said of the road
        return [findings.changes(package)] if package else []

    async def today(self) -> date:
        """The school date, in UTC where the server names a time zone that nobody knows."""
        known = findings.is_zone(await self.time_zone() or "UTC")
        return await super().today() if known else self.clock.now().date()

    async def _road(self) -> Finding:
        """Which road is taken, and what the other one would cost."""
        try:
            await self._found()
        except SISError as error:
            return broken("road", error)
        if not _by_section(self.asked({})):
            return findings.bulk_road(await cost(self._on("sections")))
        everybody, active = [await self.total(endpoint, self.asked({})) or 0 for endpoint in (_STUDENTS, _ACTIVE)]
        return findings.section_road(asked_for=self._own.road == "sections", students=everybody, active=active)

    @once
    async def _about(self) -> dict[str, Any]:
        """What the server says about itself, and about the plugin whose token asks."""
        response = await self.transport.get_json(self.probe, template=self.probe)
        found = at(response.body, "metadata")
        return msgspec.json.decode(found) if found.startswith(b"{") else {}

    async def _current_terms(self, scope: Scope) -> list[mapping.TermRow]:
        """The terms that the server takes for the current ones, at the first school that has any."""
        schools = sorted(scope.schools or ())
        if not schools:
            schools = [str(row.id) for row in await self.first_rows(_SCHOOLS) if row.id and mapping.is_school(row)]
        for school in schools[:_LOOK_AT]:
            if terms := await self.first_rows(_TERMS, {"school": school}):
                return terms
        return []
