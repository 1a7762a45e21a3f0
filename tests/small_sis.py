"""A small SIS on a real socket, and the provider that reads it: schools, their sections, and the students of each section."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import msgspec
from pydantic import SecretStr

from manual_clock import ManualClock
from raw_server import Answer, Handler, Heard, json_answer, serving
from sis_connect.capabilities import Capabilities, Kind, KindCapabilities
from sis_connect.connection import open_provider
from sis_connect.errors import AuthenticationError
from sis_connect.provider import CONTRACT, Page, ProviderInfo, Scope, Stream
from sis_connect.records import Record, School, Section, Student
from sis_connect.rest_provider import Asked, Endpoint, RestProvider, build
from sis_connect.settings import SISProviderConfig

Row = dict[str, Any]


class ItemRow(msgspec.Struct):
    id: int | None = None
    name: str = ""


def school(row: ItemRow, asked: Asked) -> Iterator[Record]:
    yield build(School, sis_id=str(row.id), name=row.name)


def section(row: ItemRow, asked: Asked) -> Iterator[Record]:
    yield build(Section, sis_id=str(row.id), school=asked.context["school"])


def student(row: ItemRow, asked: Asked) -> Iterator[Record]:
    given, _, family = row.name.partition(" ")
    gender = {"gender": "X"} if "gender" in asked.fields["students"] else {}
    yield build(Student, sis_id=str(row.id), given_name=given, family_name=family, **gender)


class SmallProvider(RestProvider):
    """Schools, their sections, and the students of each section; every list has a count, but that of the students."""

    endpoints: ClassVar[tuple[Endpoint[Any], ...]] = (
        Endpoint(
            name="schools",
            path="/schools",
            rows="data.item",
            kinds=("schools",),
            row=ItemRow,
            read=school,
            gives="school",
            opens=lambda row: row.name != "closed",
            count="/schools/count",
            total_at="count",
        ),
        Endpoint(
            name="sections",
            path="/schools/{school}/sections",
            rows="data.item",
            kinds=("sections",),
            row=ItemRow,
            read=section,
            parent="schools",
            gives="section",
            count="/schools/{school}/sections/count",
            total_at="count",
        ),
        Endpoint(
            name="students",
            path="/sections/{section}/students",
            rows="data.item",
            kinds=("students",),
            row=ItemRow,
            read=student,
            parent="sections",
            page_size="students",
        ),
    )
    probe = "/ping"

    async def page_sizes(self) -> Mapping[str, int]:
        return {"students": 3}


INFO = ProviderInfo(
    name="small",
    label="Small SIS",
    provider=f"{__name__}:SmallProvider",
    contract=CONTRACT,
    capabilities=Capabilities({kind: KindCapabilities(offered=True) for kind in ("schools", "sections", "students")}),
    default_page_size=3,
)


@dataclass
class SmallSIS:
    """Its lists by path. `cap` makes pages smaller than asked; `broken` gives other answers for paths; `asked` is what came."""

    lists: dict[str, list[Row]]
    cap: int | None = None
    counted: dict[str, int] = field(default_factory=dict)
    broken: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def __call__(self, heard: Heard) -> Answer:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.002)
        self.at_once -= 1
        return self.respond(heard.target)

    def respond(self, target: str) -> Answer:
        self.asked.append(target)
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        for known in (target, path):
            if known in self.broken:
                return self.broken[known]
        if path == "/ping":
            return json_answer({})
        rows = self.lists[path.removesuffix("/count")]
        if path.endswith("/count"):
            return json_answer({"count": self.counted.get(path, len(rows))})
        page, size = int(query["page"][0]), int(query["pagesize"][0])
        size = min(size, self.cap or size)
        found = rows[(page - 1) * size : page * size]
        items = {} if not found else {"item": found[0] if len(found) == 1 else found}
        return json_answer({"data": items})

    def times(self, path: str) -> int:
        return sum(urlsplit(target).path == path for target in self.asked)


def items(first: int, count: int) -> list[Row]:
    return [{"id": number, "name": f"Ada No{number}"} for number in range(first, first + count)]


def small_district() -> SmallSIS:
    """2 schools with 2 and 4 sections, each with 2 students, but one with 7."""
    lists = {"/schools": items(1, 2), "/schools/1/sections": items(10, 2), "/schools/2/sections": items(20, 4)}
    lists |= {f"/sections/{number}/students": items(number * 100, 2) for number in (10, 11, 20, 21, 22)}
    lists["/sections/23/students"] = items(2300, 7)
    return SmallSIS(lists)


class NoToken:
    async def token(self, rejected: SecretStr | None = None) -> SecretStr:
        if rejected is not None:
            raise AuthenticationError("The SIS takes our token no more.")
        return SecretStr("token")


@asynccontextmanager
async def opened(sis: Handler, provider: type[RestProvider] = SmallProvider, **settings: Any) -> AsyncIterator[RestProvider]:
    async with serving(sis) as server:
        values = {"rate_limit": "off", "max_attempts": 1, "base_url": server.url, "provider": "small", **settings}
        config = SISProviderConfig.model_validate(values)
        async with open_provider(INFO, config, tokens=NoToken(), clock=ManualClock()) as it:
            assert it.transport is not None
            yield provider(INFO, config, transport=it.transport, clock=ManualClock())


async def read(
    provider: RestProvider, kinds: Collection[Kind], scope: Scope | None = None, cursor: Mapping[Stream, str] | None = None
) -> dict[Stream, list[Page]]:
    streams: dict[Stream, list[Page]] = {}
    async for page in provider.pages(kinds, scope=scope or Scope(), cursor=cursor):
        streams.setdefault(page.stream, []).append(page)
    return streams


def ids(pages: list[Page]) -> list[str]:
    return [record.sis_id for page in pages for record in page.records()]
