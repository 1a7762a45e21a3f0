"""OneRoster CSV: a provider that reads packages of files, from a web server or from a folder of this machine."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import replace
from datetime import date
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from msgspec.structs import fields

from sis_connect.capabilities import Kind
from sis_connect.clock import school_date
from sis_connect.diagnosis import broken
from sis_connect.endpoint import named, reach_of, scoped
from sis_connect.errors import ConfigurationError, SISError
from sis_connect.findings import age, rows, time_zone, untold_fields
from sis_connect.local_files import is_local, local_path
from sis_connect.provider import DONE, Finding, InvalidRow, Page, Scope, Since, Stream
from sis_connect.rest_provider import Asked, Endpoint, RestProvider
from sis_connect.table_files import day_written
from sis_connect.transport.http import Response
from sis_connect.transport.paging import SinglePage
from sis_connect_oneroster import findings, mapping
from sis_connect_oneroster.csv_package import FILES, Package, unpacked, zipped
from sis_connect_oneroster.csv_settings import OneRosterCsvSettings
from sis_connect_oneroster.csv_tables import Tables
from sis_connect_oneroster.provider import TOLD_FIELDS, wants_demographics
from sis_connect_oneroster.reading import Reader, Row, within_school

#: The name of a package, where none is given.
USUAL_NAME = "oneroster.zip"
_PAGE_ROWS = 1000


def _file(name: str, file: str, kinds: tuple[Kind, ...], row: type[Row], read: Reader, **more: Any) -> Endpoint[Any]:
    """A file as an endpoint: only its rows are read otherwise than those of a server."""
    return Endpoint(
        name=name,
        path=file,
        rows="",
        kinds=kinds,
        row=row,
        read=within_school(read),
        key="sourcedId",
        paging=SinglePage(),
        **more,
    )


FILE_ENDPOINTS: tuple[Endpoint[Any], ...] = (
    _file("schools", "orgs", ("schools",), mapping.OrgRow, mapping.school),
    _file("terms", "academicSessions", ("terms",), mapping.SessionRow, mapping.term),
    _file("courses", "courses", ("courses",), mapping.CourseRow, mapping.course),
    _file("users", "users", ("students", "staff"), mapping.UserRow, mapping.user, completes=("guardians",)),
    _file("sections", "classes", ("sections",), mapping.ClassRow, mapping.section),
    _file("enrollments", "enrollments", ("enrollments",), mapping.EnrollmentRow, mapping.enrollment),
    _file("guardians", "users", ("guardians",), mapping.UserRow, mapping.guardian),
    _file(
        "demographics",
        "demographics",
        ("students",),
        mapping.DemographicsRow,
        mapping.demographics,
        partial=True,
        needs=wants_demographics,
    ),
)
_SESSIONS = FILE_ENDPOINTS[1]
_OF_STUDENTS = ("users", "demographics")
_MEMBERS = {
    **{each.path: frozenset(member.encode_name for member in fields(each.row)) for each in FILE_ENDPOINTS},
    "roles": frozenset(("sourcedId", "status", "dateLastModified", "user", "roleType", "role", "org")),
}


class OneRosterCsvProvider(RestProvider):
    """Reads a district's OneRoster export."""

    endpoints = FILE_ENDPOINTS
    mapping_version = "1"
    settings: OneRosterCsvSettings

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        if "guardians" in self.config.fields:
            self._fields["students"] |= {"guardians"}  # students then say whose child they are

    async def pages(
        self,
        kinds: Collection[Kind],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncGenerator[Page, None]:
        """Read these kinds. Whether files hold everything or changes only is theirs to say, whatever was asked for."""
        scope = self.narrowed(scope)
        wanted = [each for each in self.endpoints if set(kinds) & set(each.kinds) and each.needs(self.asked({}))]
        if reach_of(scope) == "students":
            wanted = [each for each in wanted if each.name in _OF_STUDENTS and "students" in kinds]
        contexts = [{name: sis_id} for name, ids in scoped(scope).items() for sis_id in ids] or [{}]
        async with self._packages() as packages, self._taken_in(packages) as tables:
            for endpoint in wanted:
                for context in contexts if endpoint.path in tables.modes else ():
                    for page in self._pages(tables, endpoint, self.asked(context), frozenset(kinds), cursor or {}):
                        yield page

    def _pages(
        self, tables: Tables, endpoint: Endpoint[Any], asked: Asked, kinds: frozenset[Kind], cursor: Mapping[Stream, str]
    ) -> Iterator[Page]:
        """One stream. All rows are counted before the first is handed on: that is the evidence that they all came."""
        resume = cursor.get((endpoint.name, named(asked.context)))
        only, size = asked.context.get("student"), self.config.page_size or _PAGE_ROWS
        changes_only = tables.modes[endpoint.path] == "delta"
        page = Page(
            endpoint=endpoint.name,
            kinds=tuple(kind for kind in endpoint.kinds if kind in kinds),
            read=endpoint.reader(asked),
            context=named(asked.context),
            school=asked.context.get("school"),
            mapping_version=self.version(endpoint),
            total=tables.count(endpoint.path, only),
            partial=endpoint.partial,
            changes_only=changes_only,
            mark=tables.newest.get(endpoint.path) if changes_only else None,
        )
        at = None if resume == DONE else int(resume or 0)
        while at is not None:
            rows, following = tables.page(endpoint.path, at, size, only)
            yield replace(page, rows=rows, more=following is not None, cursor=str(at))
            at = following

    async def check(self) -> Sequence[Finding]:
        """Open the packages, take them in as a sync does, and say what is in them."""
        today = school_date(self.clock.now(), self.config.time_zone or "UTC")
        found = [time_zone(self.config.time_zone, self.info.label)]
        found += untold_fields(self.config.fields, TOLD_FIELDS, self.info.label)
        try:
            async with self._packages() as packages, self._taken_in(packages) as tables:
                sessions, _ = tables.page("academicSessions", 0, _PAGE_ROWS, None)
                counts = {name: tables.count(name, None) for name in tables.modes if name != "roles"}
            return [
                contents(packages, wants_demographics(self.asked({}))),
                rows(counts),
                age(packages[-1].made, today),
                findings.school_year(list(_readable(sessions)), today),
                *found,
            ]
        except SISError as error:
            return [broken("package", error)]

    @asynccontextmanager
    async def _taken_in(self, packages: Sequence[Package]) -> AsyncIterator[Tables]:
        """What the packages hold together."""
        with closing(Tables(_MEMBERS, tuple(each.asked_as for each in self.config.custom))) as tables:
            for _ in tables.load(packages):
                await asyncio.sleep(0)
            yield tables

    @asynccontextmanager
    async def _packages(self) -> AsyncIterator[list[Package]]:
        """The packages, the oldest first, as long as they are read."""
        with ExitStack() as stack:
            if is_local(self.config.base_url):
                yield self._on_this_machine(stack)
                return
            base, files = self.config.base_url, self.settings.file or (USUAL_NAME,)
            names = [base] if base.lower().endswith(".zip") else [quote(name) for name in files]
            packages = []
            for name in names:
                file = stack.enter_context(tempfile.TemporaryFile())
                answer = await self.transport.download(name, file, template="/{file}")
                file.seek(0)
                packages.append(zipped(file, _last_modified(answer)))
            yield packages

    def _on_this_machine(self, stack: ExitStack) -> list[Package]:
        place = local_path(self.config.base_url)
        try:
            if place.is_dir() and not self.settings.file and any((place / f"{name}.csv").exists() for name in FILES):
                return [unpacked(place)]
            zips = [place / name for name in self.settings.file] if place.is_dir() else [place]
            if place.is_dir() and not self.settings.file:
                # As they arrived: names need not tell their order.
                zips = sorted(place.glob("*.zip"), key=lambda path: (path.stat().st_mtime_ns, path.name))
            packages = [zipped(stack.enter_context(path.open("rb")), day_written(path)) for path in zips]
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"There is no file or folder {error.filename}.", remedy="Check base_url and the setting file."
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"The OneRoster package on this machine cannot be opened ({type(error).__name__}).",
                remedy="Check base_url, the setting file, and who may read there.",
            ) from None
        if not packages:
            raise ConfigurationError(
                f"There is no export in the folder {place}.",
                remedy="Have it put there: a zip, or its files orgs.csv, users.csv and so on, unpacked.",
            )
        return packages


def contents(packages: Sequence[Package], demographics: bool) -> Finding:
    """What `doctor` says of packages."""
    modes = {name: mode for package in packages for name, mode in package.modes.items()}
    whole = {name for package in packages for name, mode in package.modes.items() if mode == "bulk"}
    said = f"OneRoster {packages[-1].version}: {', '.join(f'{name} ({mode})' for name, mode in modes.items())}."
    spared = ("roles",) if demographics else ("roles", "demographics")
    lost = [name for name in FILES if name not in modes and name not in spared]
    if lost:
        remedy = "What is not in the export is not touched. Have it exported too if you need it."
        return Finding(topic="package", level="warning", message=f"{said} Not in it: {', '.join(lost)}.", remedy=remedy)
    if modes.keys() - whole:
        remedy = "Keep the last bulk package beside the deltas, so that it can be seen who has left."
        return Finding(topic="package", level="warning", message=f"{said} Some hold changes only.", remedy=remedy)
    return Finding(topic="package", level="ok", message=said)


def _last_modified(answer: Response) -> date | None:
    try:
        return parsedate_to_datetime(answer.headers.get("last-modified", "")).date()
    except ValueError:
        return None


def _readable(sessions: Sequence[bytes]) -> Iterator[mapping.SessionRow]:
    """The sessions that can be understood; the sync reports the others."""
    for raw in sessions:
        try:
            yield _SESSIONS.decode(raw)
        except InvalidRow:
            continue
