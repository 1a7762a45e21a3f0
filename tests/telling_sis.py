"""A small SIS on a real socket whose students can be read one by one, and the office that hears of changes in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import httpx
from pydantic import SecretStr

from raw_server import Answer, RawServer, json_answer, serving
from sis_connect.capabilities import Capabilities, KindCapabilities
from sis_connect.clock import Clock, SystemClock
from sis_connect.discovery import Installed, Registry
from sis_connect.provider import CONTRACT, ProviderInfo
from sis_connect.rest_provider import Endpoint, RestProvider
from sis_connect.service import SISService
from sis_connect.settings import SISProviderConfig
from sis_connect.store.hints import number_of
from sis_connect.transport.paging import SinglePage
from sis_connect.web.server import serve
from small_sis import ItemRow, SmallSIS, items, school, student

DOWN = json_answer({}, status=503)
SECRET = "a-secret-that-nobody-can-guess"


class TellingProvider(RestProvider):
    """Schools and students, and each student alone."""

    endpoints: ClassVar[tuple[Endpoint[Any], ...]] = (
        Endpoint(
            name="schools", path="/schools", rows="data.item", kinds=("schools",), row=ItemRow, read=school,
            count="/schools/count", total_at="count",
        ),
        Endpoint(
            name="students", path="/students", rows="data.item", kinds=("students",), row=ItemRow, read=student, only="district",
            count="/students/count", total_at="count",
        ),
        Endpoint(
            name="student", path="/students/{student}", rows="data.item", kinds=("students",), row=ItemRow, read=student,
            only="students", paging=SinglePage(),
        ),
    )  # fmt: skip


INFO = ProviderInfo(
    name="telling",
    label="Telling SIS",
    provider=f"{__name__}:TellingProvider",
    contract=CONTRACT,
    capabilities=Capabilities(
        {"schools": KindCapabilities(offered=True), "students": KindCapabilities(offered=True, single_read=True)}
    ),
    default_page_size=100,
    auth_grants=("none",),
)


class TellingSIS(SmallSIS):
    """`students` may be renamed; what it is asked for is in `asked`."""

    def rename(self, sis_id: int, name: str) -> None:
        for row in self.lists["/students"]:
            if row["id"] == sis_id:
                row["name"] = name

    def go_down(self) -> None:
        self.broken |= dict.fromkeys(("/schools", "/schools/count", "/students", "/students/count", "/students/3"), DOWN)

    def come_up(self) -> None:
        self.broken.clear()

    def remove(self, sis_id: int) -> None:
        self.lists["/students"] = [row for row in self.lists["/students"] if row["id"] != sis_id]

    def respond(self, target: str) -> Answer:
        path = target.partition("?")[0]
        single = path.removeprefix("/students/")
        if path.startswith("/students/") and single != "count" and target not in self.broken and path not in self.broken:
            self.asked.append(target)
            found = [row for row in self.lists["/students"] if str(row["id"]) == single]
            return json_answer({"data": {"item": found[0]}}) if found else json_answer({}, status=404)
        return super().respond(target)


def telling_sis(students: int = 5) -> TellingSIS:
    return TellingSIS({"/schools": items(1, 1), "/students": items(1, students)})


@dataclass
class HearingOffice:
    """An open service that is connected to the SIS as `lincoln`."""

    service: SISService
    sis: TellingSIS
    server: RawServer
    database: Path
    client: httpx.AsyncClient
    address: str = ""

    async def connect(self, name: str = "lincoln", **settings: Any) -> None:
        given = {"base_url": self.server.url, "rate_limit": "off", "max_attempts": 1, "webhook_secret": SecretStr(SECRET)}
        await self.service.create_integration(
            name, SISProviderConfig.model_validate({"provider": "telling", **given, **settings})
        )

    async def names(self, name: str = "lincoln") -> dict[str, str]:
        return {row["sis_id"]: f"{row['given_name']} {row['family_name']}" async for row in self.service.export(name, "students")}

    async def post(self, path: str, json: Any = None, **options: Any) -> int:
        """The status that a delivery is answered with."""
        answer = await self.client.post(f"{self.address}{path}", **({"json": json} if json is not None else {}), **options)
        assert not answer.content
        return answer.status_code

    async def until_named(self, sis_id: str, name: str, *, integration: str = "lincoln") -> None:
        """Wait until the change has arrived in the store."""
        async with asyncio.timeout(10):
            while True:
                if (await self.names(integration)).get(sis_id) == name:
                    return
                await asyncio.sleep(0.01)

    async def waiting(self) -> int:
        """How many hints wait."""
        async with self.service._store.read() as connection:
            return await number_of(connection, 1)

    async def until_followed(self) -> None:
        """Wait until no hint is left."""
        async with asyncio.timeout(10):
            while True:
                if not await self.waiting():
                    return
                await asyncio.sleep(0.01)

    def single_reads(self) -> list[str]:
        return [
            target for target in self.sis.asked if target.startswith("/students/") and not target.startswith("/students/count")
        ]


#: Databases after a first sync, by the number of students: what takes longest is done once.
_synced: dict[int, dict[str, bytes]] = {}


@asynccontextmanager
async def hearing_office(folder: Path, *, students: int = 5, clock: Clock | None = None) -> AsyncIterator[HearingOffice]:
    """An office after its first sync; nothing is served yet."""
    sis = telling_sis(students)
    async with serving(sis) as server:
        if students not in _synced:
            (folder / "first").mkdir()
            async with opened_office(sis, server, folder / "first" / "roster.db", SystemClock()) as office:
                await office.connect()
                assert (await office.service.sync("lincoln")).status == "succeeded"
            _synced[students] = {path.name: path.read_bytes() for path in (folder / "first").iterdir()}
        for name, content in _synced[students].items():
            (folder / name).write_bytes(content)
        (folder / "sis-connect.key").chmod(0o600)
        async with opened_office(sis, server, folder / "roster.db", clock or SystemClock()) as office:
            await office.connect()
            sis.asked.clear()
            yield office


@asynccontextmanager
async def opened_office(sis: TellingSIS, server: RawServer, database: Path, clock: Clock) -> AsyncIterator[HearingOffice]:
    registry = Registry(installed={"telling": Installed(INFO, "telling", "1")})
    async with (
        SISService.open(f"sqlite:///{database}", registry=registry, clock=clock) as service,
        httpx.AsyncClient() as client,
    ):
        yield HearingOffice(service, sis, server, database, client)


@asynccontextmanager
async def served(office: HearingOffice) -> AsyncIterator[HearingOffice]:
    """The office, with `serve` on a free port."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(office.service, host="127.0.0.1", port=0, on_ready=ready.set_result))
    office.address = await ready
    try:
        yield office
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
