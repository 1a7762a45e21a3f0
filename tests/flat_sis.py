"""An SIS with lists of the whole district only, whose rows name their schools: a district of two schools."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar

import msgspec

from list_server import ListServer
from roster_fixture import Desk
from sis_connect.capabilities import Capabilities, Kind, KindCapabilities
from sis_connect.endpoint import Asked, Endpoint, build
from sis_connect.provider import Page, ProviderInfo, Scope, Stream
from sis_connect.records import Enrollment, Record, School, Section, Student
from sis_connect.rest_provider import RestProvider
from sis_connect.transport.paging import OffsetPaging
from small_sis import INFO, opened

Streams = dict[Stream, list[Page]]


class Named(msgspec.Struct):
    id: int
    name: str = "Ada Example"
    school: int | None = None


class Member(msgspec.Struct):
    id: int
    section: int
    person: int


def school(row: Named, asked: Asked) -> Iterator[Record]:
    yield build(School, sis_id=str(row.id), name=row.name)


def student(row: Named, asked: Asked) -> Iterator[Record]:
    yield build(Student, sis_id=str(row.id), given_name="Ada", family_name=row.name, school=str(row.school))


def section(row: Named, asked: Asked) -> Iterator[Record]:
    yield build(Section, sis_id=str(row.id), title=row.name, school=str(row.school))


def member(row: Member, asked: Asked) -> Iterator[Record]:
    yield build(Enrollment, sis_id=str(row.id), section=str(row.section), user=str(row.person), role="student")


def listed(kind: Kind, read: Callable[[Any, Asked], Iterator[Record]], row: type[Any], within: str | None) -> Endpoint[Any]:
    return Endpoint(
        name=kind, path=f"/{kind}", rows="items", kinds=(kind,), row=row, read=read, within=within,
        paging=OffsetPaging(), total_at="header:x-total-count",
    )  # fmt: skip


class FlatProvider(RestProvider):
    endpoints: ClassVar[tuple[Endpoint[Any], ...]] = (
        listed("schools", school, Named, "id"),
        listed("students", student, Named, "school"),
        listed("sections", section, Named, "school"),
        listed("enrollments", member, Member, None),
    )


KINDS: tuple[Kind, ...] = ("schools", "students", "sections", "enrollments")
FLAT = replace(INFO, capabilities=Capabilities(dict.fromkeys(KINDS, KindCapabilities(offered=True, leaving="absence"))))


def district() -> ListServer:
    """Two schools with ten students and a section each."""
    people: list[dict[str, Any]] = [{"id": n, "name": f"No{n}", "school": 1 if n < 110 else 2} for n in range(100, 120)]
    members = [{"id": 500 + each["id"], "section": 10 * each["school"], "person": each["id"]} for each in people]
    lists = {"/students": people, "/enrollments": members, "/schools": [{"id": n, "name": f"School {n}"} for n in (1, 2)]}
    return ListServer(lists | {"/sections": [{"id": 10 * n, "name": f"Section {n}", "school": n} for n in (1, 2)]})


SCHOOL_1 = Scope(schools=frozenset(("1",)))
BOTH = Scope(schools=frozenset(("1", "2")))


@asynccontextmanager
async def reading(
    server: ListServer, *endpoints: Endpoint[Any], info: ProviderInfo = FLAT, **settings: Any
) -> AsyncIterator[RestProvider]:
    provider = type("Flat", (FlatProvider,), {"endpoints": endpoints or FlatProvider.endpoints, "info": info})
    async with opened(server, provider, page_size=7, **settings) as it:
        yield it


async def pages_of(provider: RestProvider, kind: Kind = "students", scope: Scope = SCHOOL_1, **more: Any) -> Streams:
    streams: Streams = {}
    async for page in provider.pages({kind}, scope=scope, **more):
        streams.setdefault(page.stream, []).append(page)
    return streams


def ids(pages: Sequence[Page]) -> list[int]:
    return [int(record.sis_id) for page in pages for record in page.records()]


class Odd(Named):
    school: Any = None


def of_school(row: Odd) -> Any:
    return row.school["at"] if isinstance(row.school, dict) else row.school


ODD = replace(FlatProvider.endpoints[1], row=Odd, within=of_school)


@asynccontextmanager
async def district_at(
    desk: Desk, server: ListServer, *endpoints: Endpoint[Any], info: ProviderInfo = FLAT, **settings: Any
) -> AsyncIterator[None]:
    """Let the desk read the lists of a server."""
    desk.settings = {"absence_grace": 0, **settings}
    async with reading(server, *endpoints, info=info, **settings) as provider:
        desk.sis = provider  # type: ignore[assignment]
        yield


async def active(desk: Desk, kind: Kind = "students") -> set[int]:
    return {int(sis_id) for sis_id, status in (await desk.statuses(kind)).items() if status == "active"}


async def staged(desk: Desk, kind: Kind = "students") -> list[tuple[str, int]]:
    query = (
        "SELECT context, COUNT(*) FROM sis_staged m JOIN sis_stream s ON s.id = m.stream_id WHERE endpoint = :e GROUP BY context"
    )
    return [tuple(row) for row in await desk.ask(query, e=f"{kind}_of_school")]
