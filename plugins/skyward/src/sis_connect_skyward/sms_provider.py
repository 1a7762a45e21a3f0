"""SMS 2.0 over its REST interface `/v1`: endpoints, and what is particular about its lists."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from sis_connect.capabilities import Capabilities, Kind, KindCapabilities
from sis_connect.endpoint import Params
from sis_connect.errors import NotOffered, SISError, UnexpectedResponse
from sis_connect.places import raw_rows
from sis_connect.provider import Finding, Page, Scope, Since, Stream
from sis_connect.rest_provider import Asked, Endpoint, RestProvider
from sis_connect.transport.answers import Response
from sis_connect.transport.paging import CursorPaging, SinglePage, next_link
from sis_connect_skyward import sms_mapping as mapping
from sis_connect_skyward.reading import excluded as is_excluded
from sis_connect_skyward.settings import SmsSettings

_BY_ABSENCE = KindCapabilities(offered=True, leaving="absence", omission_means_blank=True)
_STUDENTS_TOO = replace(_BY_ABSENCE, single_read=True, strong_ids=("state_id", "student_number"))
_KINDS: tuple[Kind, ...] = ("schools", "sections", "enrollments", "guardians")
CAPABILITIES = Capabilities({**dict.fromkeys(_KINDS, _BY_ABSENCE), "students": _STUDENTS_TOO})

#: Rows a page, as other clients of this interface ask for them.
_PAGE, _SCHOOLS_PAGE = 1000, 10_000
# The link to the next page calls the cursor by another name than the one it must be sent by.
_PAGING = CursorPaging(cursor_param="paging.cursor", size_param="paging.limit", link_param="cursor")


def _list(name: str, path: str, kinds: tuple[Kind, ...], row: Any, read: Any, **more: Any) -> Endpoint[Any]:
    """A bare list. The first attribute of a row is its key."""
    values = {"paging": _PAGING, "page_size": "list", "only": "district", "key": row.__struct_fields__[0], **more}
    return Endpoint(name=name, path=path, rows="", kinds=kinds, row=row, read=read, **values)


def _guardians(name: str, path: str, way: str, **more: Any) -> tuple[Endpoint[Any], Endpoint[Any]]:
    """A list of guardians: for themselves, and as the contacts of students where those are asked for."""

    def read_so(asked: Asked) -> bool:
        return bool(asked.settings.guardians == way) or more.get("only") is not None

    own = _list(f"{name}guardians", path, ("guardians",), mapping.GUARDIAN, mapping.guardian, needs=read_so, **more)
    return own, replace(
        own,
        name=f"{name}contacts",
        kinds=("students",),
        read=mapping.contact,
        partial=True,
        needs=lambda asked: read_so(asked) and "contacts" in asked.fields["students"],
    )


_CLASSES = "enrollments"


def _of_students(name: str, **more: Any) -> tuple[Endpoint[Any], ...]:
    """What is read of each student apart."""
    classes, theirs = "/v1/students/{student}/enrollments", "/v1/guardians?studentNameId={student}"
    return (
        _list(f"{name}{_CLASSES}", classes, ("sections", "enrollments"), mapping.ENROLLMENT, mapping.enrollment, **more),
        *_guardians(f"{name}student_", theirs, "by_student", **more),
    )


_SCHOOLS = _list("schools", "/v1/schools", ("schools",), mapping.SCHOOL, mapping.school, page_size="schools")
_STUDENTS = _list("students", "/v1/students", ("students",), mapping.STUDENT, mapping.student, gives="student")
ENDPOINTS: tuple[Endpoint[Any], ...] = (
    _SCHOOLS,
    replace(_SCHOOLS, name="school", path="/v1/schools/{school}", only="schools", paging=SinglePage()),
    _STUDENTS,
    replace(_STUDENTS, name="school_students", path="/v1/schools/{school}/students", only="schools"),
    replace(_STUDENTS, name="student", path="/v1/students/{student}", only="students", paging=SinglePage()),
    *_guardians("", "/v1/guardians", "list"),
    *_of_students("", parent="students"),
    *_of_students("schools_", parent="school_students", only="schools"),
    *_of_students("students_", parent="student", only="students"),
)


class SmsProvider(RestProvider):
    """Reads a district's SMS 2.0."""

    endpoints = ENDPOINTS
    mapping_version = "1"

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._own: SmsSettings = self.settings  # type: ignore[assignment]
        if self._own.paging == "none":
            self.endpoints = tuple(replace(each, paging=SinglePage()) for each in ENDPOINTS)  # type: ignore[misc]
        #: Students listed before the page of each cursor.
        self._students_before: dict[str, int] = {"": 0}

    async def page_sizes(self) -> Mapping[str, int]:
        """What is asked for. The last page of a list has no link to a next one, and is shorter where it is the only one."""
        asked = self.config.page_size
        return {"list": asked or _PAGE, "schools": asked or _SCHOOLS_PAGE}

    def pages(
        self,
        kinds: Collection[Kind],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        """As the base class has it, with the classes of all students as one list."""
        return _classes_as_one(super().pages(kinds, scope=scope, since=since, cursor=cursor))

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Mapping[str, str]) -> Response:
        """One page, its members in lower case."""
        try:
            response = await super().ask(endpoint, asked, params)
        except NotOffered as error:
            if endpoint.path == "/v1/guardians":
                error.remedy = "Set guardians=by_student: some servers list guardians for each student only."
            raise
        response = replace(response, body=lower_case(response.body))
        if endpoint.name == _STUDENTS.name:
            self._demand_students(params, response)
        if endpoint.name != _STUDENTS.name or not self._own.fewest_students:
            demand_no_cut(endpoint, params, response)
        return response

    def _demand_students(self, params: Params, response: Response) -> None:
        """Refuse a list of fewer students than the district has at the very least: it was cut short, or is another one."""
        before = self._students_before.get(params.get("paging.cursor", ""))
        if before is None:
            return  # a read that goes on in the middle, whose beginning nobody counted
        known, following = before + len(raw_rows(response.body, "")), next_cursor(response)
        if following is not None:
            self._students_before[following] = known
        elif known < (fewest := self._own.fewest_students):
            raise UnexpectedResponse(
                f"SMS 2.0 listed {known} students, and fewest_students says that there are at least {fewest}.",
                remedy="Try again later; if the district has become that small, lower fewest_students.",
            )

    async def findings(self) -> Sequence[Finding]:
        """Which entities there are, for some are no schools; and whether a list that is cut short would be noticed."""
        codes = sorted(str(_SCHOOLS.key_of(row)) for row in await self.first_rows(_SCHOOLS))
        excluded = [code for code in codes if is_excluded(code, self._own)]
        entities = Finding(
            topic="entities",
            level="ok",
            message=f"The district has the entities {', '.join(codes)}; excluded: {', '.join(excluded) or 'none'}.",
            remedy="" if excluded else "Name those that are no schools, such as the census, in excluded_entities.",
            facts={"entities": len(codes), "excluded": len(excluded)},
        )
        return [entities] if self._own.fewest_students else [entities, _NO_FLOOR]


_NO_FLOOR = Finding(
    topic="fewest students",
    level="warning",
    message="SMS 2.0 tells no totals, so a list of students that is cut short looks like a whole one.",
    remedy="Set fewest_students to a number that the district never falls below, such as nine tenths of its students.",
)


async def _classes_as_one(pages: AsyncIterator[Page]) -> AsyncIterator[Page]:
    """The classes of the whole district are one list, so that those of a student who is not listed any more are missed.

    It ends with an empty page where those of all students came, and breaks off where those of one did.
    """
    latest: Page | None = None
    broken: SISError | None = None
    try:
        async for page in pages:
            if page.endpoint != _CLASSES:
                yield page
                continue
            latest, broken = replace(page, context="", cursor=None, more=True, error=None), broken or page.error
            yield latest
    finally:
        if isinstance(pages, AsyncGenerator):
            await pages.aclose()
    if latest is not None:
        yield replace(latest, rows=(), had_next=False, more=broken is not None, error=broken)


def demand_no_cut(endpoint: Endpoint[Any], params: Params, response: Response) -> None:
    """Refuse a first page that is as long as was asked for, and points to no second one: it may be all, or all that fits."""
    asked = params.get("paging.limit")
    if asked is None or params.get("paging.cursor") or next_cursor(response) is not None:
        return
    if len(raw_rows(response.body, "")) >= int(asked):
        raise UnexpectedResponse(
            f"SMS 2.0 listed {asked} {endpoint.kinds[-1]}, as many as were asked for, and does not say whether there are more.",
            remedy="Set fewest_students to how many there are at least, and another page_size if these are all.",
        )


def next_cursor(response: Response) -> str | None:
    """The cursor in the link to the next page."""
    link = next_link(response.headers.get("link"))
    return dict(parse_qsl(urlsplit(link).query)).get("cursor") if link else None


def lower_case(body: bytes) -> bytes:
    """The same JSON with the names of all members in lower case, and without empty entries in lists."""
    return msgspec.json.encode(_lower(msgspec.json.decode(body)))


def _lower(value: Any) -> Any:
    if isinstance(value, dict):
        return {name.lower(): _lower(member) for name, member in value.items()}
    return [_lower(item) for item in value if item is not None] if isinstance(value, list) else value
