"""PowerSchool over `/ws/v1`: endpoints, what to ask them for, and what to tell an operator."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, TypeVar

import msgspec

from sis_connect.clock import school_date
from sis_connect.endpoint import Params, at, raw_rows
from sis_connect.provider import Finding, Scope
from sis_connect.rest_provider import Asked, Endpoint, RestProvider
from sis_connect.transport.paging import SinglePage
from sis_connect_powerschool import findings, mapping, students

Row = TypeVar("Row")

#: Every enrolment status there may be: without it, a school lists its active students only.
_EVERY_STATUS = "school_enrollment.enroll_status_code=gt=-2147483648"
#: So many schools are looked at for the current school year.
_LOOK_AT = 10


def _of_year(field: str) -> Any:
    """A filter on the year that a school year starts in. Without a year the server lists what it takes for the current one."""

    def filters(asked: Asked) -> Params:
        year = asked.context.get("school_year")
        return {"q": f"{field}=={int(year) - 1}"} if year else {}

    return filters


def _student_params(asked: Asked) -> Params:
    """Only the expansions that the requested fields need."""
    wanted = {students.EXPANSIONS[name] for name in asked.fields["students"] if name in students.EXPANSIONS}
    expansions = {"school_enrollment", *wanted}
    params = {"expansions": ",".join(sorted(expansions))}
    if asked.settings.preferred_name:
        params["extensions"] = asked.settings.preferred_name.partition(".")[0]
    return params


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
)
_STUDENTS = Endpoint(
    name="students",
    path="/ws/v1/district/student",
    rows="students.student",
    kinds=("students", "school_enrollments"),
    row=students.StudentRow,
    read=students.student,
    only="district",
    params=_student_params,
    page_size="student_max_page_size",
    count="/ws/v1/district/student/count",
    total_at=_COUNT,
)
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
    ),
)


class PowerSchoolProvider(RestProvider):
    """Reads a district's PowerSchool."""

    endpoints = ENDPOINTS
    mapping_version = "1"
    probe = "/ws/v1/metadata"

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._about_once, self._year_once = asyncio.Lock(), asyncio.Lock()
        self._metadata: dict[str, Any] | None = None
        self._year: list[int | None] = []

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
                self._year = [findings.current_year(await self._current_terms(scope), await self._today())]
        return self._year[0]

    async def time_zone(self) -> str | None:
        """The district's time zone: the setting, else what the server says."""
        return self.config.time_zone or str((await self._about()).get("district_timezone") or "") or None

    async def findings(self) -> Sequence[Finding]:
        """What an administrator of PowerSchool can set right."""
        about, sizes = await self._about(), await self.page_sizes()
        terms, today = await self._current_terms(self.narrowed(Scope())), await self._today()
        return [
            findings.server(about),
            findings.page_size({endpoint.page_size: sizes.get(endpoint.page_size or "") for endpoint in self.endpoints}),
            findings.school_year(self.config.school_year, terms, today),
            findings.time_zone(await self.time_zone()),
        ]

    async def _about(self) -> dict[str, Any]:
        """What the server says about itself, and about the plugin whose token asks."""
        async with self._about_once:
            if self._metadata is None:
                response = await self.transport.get_json(self.probe, template=self.probe)
                found = at(response.body, "metadata")
                self._metadata = msgspec.json.decode(found) if found.startswith(b"{") else {}
            return self._metadata

    async def _today(self) -> date:
        zone = await self.time_zone()
        return school_date(self.clock.now(), zone if zone and findings.is_zone(zone) else "UTC")

    async def _current_terms(self, scope: Scope) -> list[mapping.TermRow]:
        """The terms that the server takes for the current ones, at the first school that has any."""
        schools = sorted(scope.schools or ())
        if not schools:
            schools = [str(row.id) for row in await self._first_page(_SCHOOLS, {}) if row.id and mapping.is_school(row)]
        for school in schools[:_LOOK_AT]:
            if terms := await self._first_page(_TERMS, {"school": school}):
                return terms
        return []

    async def _first_page(self, endpoint: Endpoint[Row], context: Mapping[str, str]) -> list[Row]:
        response = await self.ask(endpoint, self.asked(context), {})
        return [endpoint.decode(raw) for raw in raw_rows(response.body, endpoint.rows)]
