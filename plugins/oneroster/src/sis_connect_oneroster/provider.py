"""OneRoster over REST, versions 1.1 and 1.2: endpoints, what to ask them for, and what to tell an operator."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from sis_connect.diagnosis import broken
from sis_connect.endpoint import Params
from sis_connect.errors import AuthorizationError, NotOffered, SISError
from sis_connect.findings import time_zone, untold_fields
from sis_connect.once import once
from sis_connect.places import total_in
from sis_connect.provider import Finding, InvalidRow
from sis_connect.rest_provider import Asked, ChangesSince, Endpoint, RestProvider
from sis_connect.transport.http import Response
from sis_connect.transport.paging import OffsetPaging, SinglePage
from sis_connect_oneroster import findings, mapping, reading
from sis_connect_oneroster.address import TAILS, missing
from sis_connect_oneroster.errors import UnknownObject, UnknownSchool
from sis_connect_oneroster.settings import OneRosterSettings

_TOTALS = ("header:x-total-count", "header:x-count", "totalCount")
# The key says the class of the objects; some servers have the word of the path there, or that of a single object.
_ORGS = ("orgs", "schools", "org", "school")
_SESSIONS = ("academicSessions", "terms", "academicSession", "term")
_USERS = ("users", "students", "teachers", "user", "student", "teacher")
_DEMOGRAPHIC_FIELDS = frozenset(("birth_date", "gender", "demographics"))
#: The fields that OneRoster fills of those that are read only where they are asked for.
TOLD_FIELDS = _DEMOGRAPHIC_FIELDS | {"emails", "phones", "guardians", "custom"}


def _nothing(asked: Asked) -> Params:
    return {}


def _always(asked: Asked) -> bool:
    return True


def in_order(asked: Asked) -> Params:
    """Rows in a fixed order, so that none is missed or comes twice where others are added meanwhile."""
    return {"sort": "sourcedId", "orderBy": "asc"} if asked.settings.sort else {}


def _overlap(asked: Asked) -> timedelta:
    return timedelta(minutes=asked.settings.overlap)


CHANGES = ChangesSince(param="filter", written="dateLastModified>'{time}'", stamp="dateLastModified", overlap=_overlap)


def narrow(asked: Asked) -> bool:
    """Whether students and teachers are read from their own lists."""
    return bool(asked.settings.people == "narrow")


def everybody(asked: Asked) -> bool:
    """Whether all users are read instead."""
    return not narrow(asked)


def wants_demographics(asked: Asked) -> bool:
    """Whether anything is asked for that only demographics hold."""
    return bool(_DEMOGRAPHIC_FIELDS & asked.fields["students"])


def guardians_changed(asked: Asked) -> Params:
    """Version 1.1 can leave out the many who are no guardians; how 1.2 filters by roles, its servers do not agree upon."""
    clauses = ["role!='student'"] * (asked.settings.version == "1.1") + list(CHANGES.params(asked).values())
    return {"filter": " AND ".join(clauses)} if clauses else {}


_LIST: dict[str, Any] = {"key": "sourcedId", "paging": OffsetPaging(), "total_at": _TOTALS, "params": in_order}
_CHANGING: dict[str, Any] = {**_LIST, "changes": CHANGES}
_PEOPLE: dict[str, Any] = {**_CHANGING, "rows": _USERS, "row": mapping.UserRow}

_SCHOOLS = Endpoint(
    name="schools", path="/schools", rows=_ORGS, kinds=("schools",), row=mapping.OrgRow, read=mapping.school, **_LIST
)
_TERMS = Endpoint(
    name="terms", path="/academicSessions", rows=_SESSIONS, kinds=("terms",), row=mapping.SessionRow, read=mapping.term, **_LIST
)
_COURSES = Endpoint(
    name="courses",
    path="/courses",
    rows=("courses", "course"),
    kinds=("courses",),
    row=mapping.CourseRow,
    read=mapping.course,
    **_CHANGING,
)
_SECTIONS = Endpoint(
    name="sections",
    path="/classes",
    rows=("classes", "class"),
    kinds=("sections",),
    row=mapping.ClassRow,
    read=mapping.section,
    **_CHANGING,
)
_STUDENTS = Endpoint(
    name="students",
    path="/students",
    kinds=("students",),
    completes=("guardians",),
    read=mapping.student,
    needs=narrow,
    **_PEOPLE,
)
_TEACHERS = Endpoint(name="teachers", path="/teachers", kinds=("staff",), read=mapping.staff, needs=narrow, **_PEOPLE)
_EVERYBODY = Endpoint(
    name="users", path="/users", kinds=("students", "staff"), completes=("guardians",), read=mapping.user, **_PEOPLE
)
_GUARDIANS = Endpoint(
    name="guardians",
    path="/users",
    kinds=("guardians",),
    read=mapping.guardian,
    **{**_PEOPLE, "changes": None, "filters": guardians_changed, "delta": "updated_at", "mark": CHANGES.mark},
)
_ENROLLMENTS = Endpoint(
    name="enrollments",
    path="/enrollments",
    rows=("enrollments", "enrollment"),
    kinds=("enrollments",),
    row=mapping.EnrollmentRow,
    read=mapping.enrollment,
    **_CHANGING,
)
_DEMOGRAPHICS = Endpoint(
    name="demographics",
    path="/demographics",
    rows="demographics",
    kinds=("students",),
    row=mapping.DemographicsRow,
    read=mapping.demographics,
    partial=True,
    needs=wants_demographics,
    **_CHANGING,
)


def _at_school(endpoint: Endpoint[Any], alternative: str) -> Endpoint[Any]:
    """The same of one school."""
    return replace(
        endpoint,
        name=f"school_{endpoint.name}",
        path=f"/schools/{{school}}{endpoint.path}",
        only="schools",
        alternative=alternative,
        changes=None,
        needs=_always,
    )


def _single(endpoint: Endpoint[Any], name: str, path: str, **more: Any) -> Endpoint[Any]:
    """One object by its id."""
    plain: dict[str, Any] = {"params": _nothing, "changes": None, "total_at": None}
    return replace(endpoint, **{"name": name, "path": path, "paging": SinglePage(), **plain, **more})


def _standing_by(endpoint: Endpoint[Any], path: str | None = None) -> Endpoint[Any]:
    """What is read where a list is not offered: a longer one, of which rows of other schools are left out."""
    return replace(
        endpoint,
        name=f"all_{endpoint.name}",
        path=path or endpoint.path,
        read=reading.within_school(endpoint.read),
        standby=True,
        needs=_always,
    )


_ONE_SCHOOL = (
    _single(_SCHOOLS, "school", "/schools/{school}", only="schools", alternative="org"),
    _single(_SCHOOLS, "org", "/orgs/{school}", standby=True),
)
ENDPOINTS: tuple[Endpoint[Any], ...] = (
    replace(_SCHOOLS, only="district", alternative="all_schools"),
    _standing_by(_SCHOOLS, "/orgs"),
    *_ONE_SCHOOL,
    replace(_TERMS, alternative="all_terms"),
    _standing_by(_TERMS, "/terms"),
    replace(_STUDENTS, only="district", alternative="all_users"),
    replace(_TEACHERS, only="district", alternative="all_users"),
    replace(_EVERYBODY, only="district", needs=everybody),
    replace(_GUARDIANS, only="district"),
    _at_school(_STUDENTS, "all_users"),
    _at_school(_TEACHERS, "all_users"),
    _standing_by(_EVERYBODY),
    _single(_STUDENTS, "student", "/students/{student}", only="students", alternative="user", needs=_always),
    _single(_EVERYBODY, "user", "/users/{student}", standby=True, kinds=("students",)),
    *(
        form
        for each in (_COURSES, _SECTIONS, _ENROLLMENTS)
        for form in (replace(each, only="district"), _at_school(each, f"all_{each.name}"), _standing_by(each))
    ),
    _DEMOGRAPHICS,
    _single(_DEMOGRAPHICS, "student_demographics", "/demographics/{student}", only="students", optional=True),
)


class OneRosterProvider(RestProvider):
    """Reads a district's OneRoster server."""

    endpoints = ENDPOINTS
    mapping_version = "1"
    probe = "/orgs"
    told_fields: ClassVar[frozenset[str]] = TOLD_FIELDS
    demographic_fields: ClassVar[frozenset[str]] = _DEMOGRAPHIC_FIELDS
    grant_demographics: ClassVar[str] = "Have the scope roster-demographics.readonly granted"
    settings: OneRosterSettings

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if "guardians" in self.config.fields:
            self._fields["students"] |= {"guardians"}  # students then say whose child they are
        self._schools_once = asyncio.Lock()
        self._unknown: set[str] = set()

    @property
    def prefix(self) -> str:
        """What the base URL lacks of the address of the rosters."""
        if self.settings.service_path is not None:
            return self.settings.service_path.rstrip("/")
        return missing(self.config.base_url, TAILS[self.settings.version])

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Mapping[str, str]) -> Response:
        """One page. An id that nobody knows, facts that are not granted, and an address with nothing there are told apart."""
        school = asked.context.get("school")
        if school in self._unknown:
            raise UnknownSchool
        try:
            return await super().ask(endpoint, asked, params)
        except UnknownObject:
            if school and endpoint.name.startswith("school_") and await self._is_unknown(school):
                raise UnknownSchool from None
            raise UnknownObject("school" if school else "student") from None
        except NotOffered as error:
            address = f"{self.config.base_url.rstrip('/')}{self.prefix}{endpoint.path}"
            raise NotOffered(f"{error.message} Tried: {address}", remedy=error.remedy) from None
        except AuthorizationError as error:
            refused = findings.demographics(self._of_demographics, error, self.grant_demographics)
            if endpoint.row is not _DEMOGRAPHICS.row or refused.remedy is None:
                raise
            raise AuthorizationError(f"{refused.message} {refused.remedy}", remedy=refused.remedy) from None

    async def _is_unknown(self, school: str) -> bool:
        """Whether the server denies that there is such a school, among schools and among all organisations."""
        async with self._schools_once:
            if school not in self._unknown:
                asked = self.asked({"school": school})
                if all([await self._denies(endpoint, asked) for endpoint in _ONE_SCHOOL]):
                    self._unknown.add(school)
            return school in self._unknown

    async def _denies(self, endpoint: Endpoint[Any], asked: Asked) -> bool:
        try:
            await super().ask(endpoint, asked, {})
        except NotOffered as error:
            return isinstance(error, UnknownObject)
        return False

    async def edition(self) -> str:
        """The school years that are under way: when the year rolls over, lists show others than before, without saying so."""
        return ",".join(sorted(str(row.sourcedId) for row in findings.under_way(await self._all_sessions(), await self.today())))

    async def findings(self) -> Sequence[Finding]:
        """What an administrator of the server can set right."""
        found = [findings.version(self.config.base_url, self.settings.version), time_zone(self.config.time_zone, self.info.label)]
        found += untold_fields(self.config.fields, self.told_fields, self.info.label)
        looks = {"page_size": self._look_at_list, "school_year": self._look_at_year, "demographics": self._look_at_demographics}
        for topic, look in looks.items():
            try:
                found += await look()
            except SISError as error:
                found.append(broken(topic, error))
        return found

    async def _look_at_list(self) -> Sequence[Finding]:
        people = _STUDENTS if narrow(self.asked({})) else _EVERYBODY
        try:
            answer = await self.ask(people, self.asked({}), self._first_page)
        except NotOffered:
            answer = await self.ask(_EVERYBODY, self.asked({}), self._first_page)
        rows, total, wanted = people.rows_in(answer.body), total_in(answer, _TOTALS), int(self._first_page["limit"])
        return [
            findings.pages(wanted, len(rows), total),
            findings.totals(total),
            findings.stamps(CHANGES.mark(None, answer, rows), rows),
        ]

    async def _look_at_year(self) -> Sequence[Finding]:
        return [findings.school_year(await self._all_sessions(), await self.today())]

    async def _look_at_demographics(self) -> Sequence[Finding]:
        refusal: SISError | None = None
        try:
            await self.ask(_DEMOGRAPHICS, self.asked({}), {"limit": "1"})
        except (AuthorizationError, NotOffered) as error:
            refusal = error
        return [findings.demographics(self._of_demographics, refusal, self.grant_demographics)]

    @property
    def _of_demographics(self) -> frozenset[str]:
        """What is asked for that only demographics hold."""
        return self.demographic_fields & self.asked({}).fields["students"]

    @property
    def _first_page(self) -> dict[str, str]:
        return {"limit": str(self.config.page_size or self.info.default_page_size or 100), "offset": "0"}

    @once
    async def _all_sessions(self) -> list[mapping.SessionRow]:
        """The first page of sessions, which holds them all but in the largest districts."""
        try:
            return await self.first_rows(_TERMS, params=self._first_page)
        except (NotOffered, InvalidRow):
            return []  # the list itself will be reported where it is read
