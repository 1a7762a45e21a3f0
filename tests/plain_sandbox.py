"""The plainest of sandboxes, for tests of what all sandboxes share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sis_connect.capabilities import Capabilities, Kind
from sis_connect.provider import CONTRACT, ProviderInfo
from sis_connect.records import EmailAddress, Record, School, Student
from sis_connect.testing.district import District
from sis_connect.testing.sandbox_app import Sandbox, other_origin


class PlainSandbox(Sandbox):
    """Serves the numbers below 95 as pages of ten, with a total and a link to the next; whoever asks is let in."""

    token_path = "/token"
    known_settings: ClassVar[Mapping[str, str]] = {"version": "1", "colour": "blue"}
    client_settings = frozenset({"version"})

    @property
    def app(self) -> ASGIApp:
        return self._answer

    def moved(self) -> None:
        """Nothing is kept from one day to the next."""

    def truth(self, kind: Kind, *, history: bool) -> Iterator[tuple[str, Record]]:
        if kind == "schools":
            yield "school-0", School(sis_id="7", name="History" if history else "Lincoln")
        if kind == "students":
            emails = (EmailAddress(address="a@example.org"),)
            yield "student-0", Student(sis_id="8", given_name="Ada", family_name="Vale", emails=emails)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._page(Request(scope, receive))(scope, receive, send)

    def _page(self, request: Request) -> Response:
        target = f"{request.url.path}?{request.url.query}"
        if self.faults.take("token_expiry", target):
            return Response(status_code=401)
        number = int(request.query_params.get("page", 1))
        rows = list(range(95))
        page = self.faults.page(target, rows, number, 10)
        total = self.faults.total(target, len(self.faults.rows(target, rows, size=10, later_page=False)))
        following = f"{request.url.path}?page={number + 1}"
        if self.faults.take("next_elsewhere", target):
            following = other_origin(request.scope)
        return JSONResponse({"rows": page, "total": total, "next": following})


def create(district: District, settings: Mapping[str, str]) -> PlainSandbox:
    return PlainSandbox(district, settings)


INFO = ProviderInfo(
    name="plain",
    label="Plain",
    provider="nowhere:nobody",
    contract=CONTRACT,
    capabilities=Capabilities(),
    sandbox="plain_sandbox:create",
)


class PrefixedSandbox(PlainSandbox):
    """One whose addresses depend on its settings."""

    @property
    def base_path(self) -> str:
        return f"/district/v{self.settings['version']}"

    @property
    def token_url_query(self) -> str:
        return "?appName=lincoln"

    def told_settings(self) -> dict[str, str]:
        return {**super().told_settings(), "grant": "basic"}


def create_prefixed(district: District, settings: Mapping[str, str]) -> PrefixedSandbox:
    return PrefixedSandbox(district, settings)
