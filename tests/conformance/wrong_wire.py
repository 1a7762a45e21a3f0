"""Providers for Harbor that ask in a wrong way, each in one."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

import httpx

from conformance.right_provider import CHANGES, MEMBERS, SCHOOLS, SECTIONS, STUDENTS, HarborProvider
from conformance.wrong_mapping import with_students
from sis_connect.endpoint import concrete
from sis_connect.errors import (
    AuthenticationError,
    AuthorizationError,
    NetworkError,
    NotOffered,
    ProviderError,
    RateLimited,
    SISError,
    UnexpectedResponse,
)
from sis_connect.provider import Page
from sis_connect.records import Record
from sis_connect.rest_provider import Asked, Endpoint
from sis_connect.transport.answers import Response
from sis_connect.transport.paging import SinglePage

NOTHING = Response(200, {}, b'{"data": [], "total": 0, "next": null}')
JSON = {"content-type": "application/json"}


class Swallows(HarborProvider):
    """Takes an error for an empty list."""

    swallowed: ClassVar[tuple[type[SISError], ...]] = ()

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Any) -> Response:
        try:
            return await super().ask(endpoint, asked, params)
        except self.swallowed:
            return NOTHING


class ForbiddenIsEmpty(Swallows):
    swallowed = (AuthorizationError,)


class UnknownIsEmpty(Swallows):
    swallowed = (NotOffered,)


class WebPageIsEmpty(Swallows):
    swallowed = (UnexpectedResponse,)


class DeadTokenIsEmpty(Swallows):
    swallowed = (AuthenticationError,)


class RefusalIsEmpty(Swallows):
    swallowed = (RateLimited,)


class FailureIsEmpty(Swallows):
    swallowed = (NetworkError,)


class AsksByItself(HarborProvider):
    """Has an HTTP client of its own."""

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Any) -> Response:
        return await self.get(self.address(endpoint, asked, params))

    def address(self, endpoint: Endpoint[Any], asked: Asked, params: Any) -> str:
        query = {**endpoint.params_for(asked), **params}
        return f"{self.config.base_url}{concrete(endpoint.path, asked.context)}?{urlencode(query)}"

    async def headers(self) -> dict[str, str]:
        assert self.transport._signer is not None
        return dict((await self.transport._signer.signature()).headers("GET", self.config.base_url))

    async def get(self, address: str) -> Response:
        async with httpx.AsyncClient(timeout=self.config.timeout, verify=False) as client:  # noqa: S501 - loopback
            answer = await client.get(address, headers=await self.headers())
            while answer.is_redirect:
                answer = await client.get(answer.headers["location"], headers=await self.headers())
        if answer.status_code != 200:
            raise NetworkError(f"The answer was {answer.status_code}.")
        if "json" not in answer.headers["content-type"]:
            raise UnexpectedResponse("This is no JSON.")
        return Response(200, {name.lower(): value for name, value in answer.headers.items()}, answer.content)


class ShrugsItOff(AsksByItself):
    """Takes for an empty list whatever its own client cannot bring."""

    async def get(self, address: str) -> Response:
        try:
            return await super().get(address)
        except (httpx.HTTPError, SISError):
            return NOTHING


class FollowsLinks(AsksByItself):
    """Goes where the link to the next page leads."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._links: dict[str, str] = {}

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Any) -> Response:
        where = f"{endpoint.path} {dict(asked.context)}"
        address = self._links.pop(where, None) if params.get("page") != "1" else None
        answer = await self.get(address or self.address(endpoint, asked, params))
        if link := json.loads(answer.body).get("next"):
            self._links[where] = link
        return answer


class BlocksTheLoop(AsksByItself):
    """Asks with a client that blocks."""

    async def get(self, address: str) -> Response:
        request = urllib.request.Request(address, headers=await self.headers())  # noqa: S310 - a loopback address
        with urllib.request.urlopen(request) as answer:  # noqa: ASYNC210, S310 - the mistake
            return Response(200, {name.lower(): value for name, value in answer.headers.items()}, answer.read())


class Sleeps(HarborProvider):
    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Any) -> Response:
        time.sleep(0.01)  # noqa: ASYNC251 - this is the mistake
        return await super().ask(endpoint, asked, params)


class NeverGivesUp(HarborProvider):
    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Any) -> Response:
        for _ in range(9):
            try:
                return await super().ask(endpoint, asked, params)
            except RateLimited:
                await self.clock.sleep(1)
        return await super().ask(endpoint, asked, params)


class AllAtOnce(HarborProvider):
    """Asks for each page five times at once, and takes the first."""

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Any) -> Response:
        answers = await asyncio.gather(*(super(AllAtOnce, self).ask(endpoint, asked, params) for _ in range(5)))
        return answers[0]


class TakesWhatIsThere(HarborProvider):
    """Makes do with what there is of an answer that was cut off."""

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Any) -> Response:
        try:
            return await super().ask(endpoint, asked, params)
        except UnexpectedResponse as error:
            if "cut off" in error.message:
                return NOTHING
            raise


class QuotesAnswers(HarborProvider):
    """Puts what it cannot read into its error."""

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Any) -> Response:
        path = concrete(endpoint.path, asked.context)
        answer = await self.transport.request("GET", path, params=dict(params), template=endpoint.path)
        try:
            json.loads(answer.body)
        except ValueError:
            raise ProviderError(f"This cannot be read: {answer.body.decode()}") from None
        return answer


class OnePage(HarborProvider):
    endpoints: ClassVar = with_students(paging=SinglePage())


class TotalIsWhatCame(HarborProvider):
    """Says that there is what came, and no more."""

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Any) -> Response:
        answer = await super().ask(endpoint, asked, params)
        told = json.loads(answer.body)
        return replace(answer, body=json.dumps({**told, "total": len(told["data"])}).encode())


class TrustsShortPages(HarborProvider):
    """Takes a page that is shorter than asked for the last one."""

    async def pages(self, kinds: Any, *, scope: Any, since: Any = None, cursor: Any = None) -> Any:
        async for page in super().pages(set(kinds) - {"students"}, scope=scope, since=since, cursor=cursor):
            yield page
        if "students" in kinds:
            async for page in self._listed():
                yield page

    async def _listed(self) -> AsyncIterator[Page]:
        asked, size, number, more = self.asked({}), self.config.page_size or 50, 0, True
        while more:
            number += 1
            answer = await self.ask(STUDENTS, asked, {"page": str(number), "per_page": str(size)})
            rows = STUDENTS.rows_in(answer.body)
            more = len(rows) >= size
            read = STUDENTS.reader(asked)
            yield Page(endpoint="students", kinds=("students",), read=read, rows=rows, asked=size, declared_size=size, more=more)


class GoesThroughPages(HarborProvider):
    """Hands on the pages of the right one in a wrong way."""

    def pages(self, kinds: Any, *, scope: Any, since: Any = None, cursor: Any = None) -> AsyncIterator[Page]:
        return self.through(super().pages(kinds, scope=scope, since=since, cursor=cursor))

    def through(self, pages: AsyncIterator[Page]) -> AsyncIterator[Page]:
        return pages


class WaitsForAll(GoesThroughPages):
    async def through(self, pages: AsyncIterator[Page]) -> AsyncIterator[Page]:
        for page in [page async for page in pages]:
            yield page


class KeepsRows(GoesThroughPages):
    async def through(self, pages: AsyncIterator[Page]) -> AsyncIterator[Page]:
        kept: list[bytes] = []
        async for page in pages:
            kept.extend(page.rows)
            yield page


class KeepsRecords(GoesThroughPages):
    async def through(self, pages: AsyncIterator[Page]) -> AsyncIterator[Page]:
        kept: list[Record] = []
        async for page in pages:
            kept.extend(page.records())
            yield page


class SwallowsCancellation(GoesThroughPages):
    async def through(self, pages: AsyncIterator[Page]) -> AsyncIterator[Page]:
        try:
            async for page in pages:
                yield page
        except asyncio.CancelledError:
            return


class LeavesTasks(GoesThroughPages):
    async def through(self, pages: AsyncIterator[Page]) -> AsyncIterator[Page]:
        queue: asyncio.Queue[Page | None] = asyncio.Queue()

        async def fill() -> None:
            async for page in pages:
                await queue.put(page)
                await self.clock.sleep(0.1)
            await queue.put(None)

        self._filling = asyncio.create_task(fill())
        while (page := await queue.get()) is not None:
            yield page


class BeginsAnew(HarborProvider):
    """Reads from the beginning whatever the cursor says."""

    def pages(self, kinds: Any, *, scope: Any, since: Any = None, cursor: Any = None) -> AsyncIterator[Page]:
        return super().pages(kinds, scope=scope, since=since)


class IgnoresSince(HarborProvider):
    """Reads everything, and calls it changes."""

    async def pages(self, kinds: Any, *, scope: Any, since: Any = None, cursor: Any = None) -> Any:
        async for page in super().pages(kinds, scope=scope, cursor=cursor):
            yield replace(page, changes_only=since is not None and page.endpoint == "students")


class AfterTheMark(HarborProvider):
    """Asks for what was changed later than the mark."""

    endpoints: ClassVar = (
        SCHOOLS,
        replace(STUDENTS, changes=replace(CHANGES, overlap=timedelta(seconds=-1))),
        SECTIONS,
        MEMBERS,
    )


class MarksTheFuture(HarborProvider):
    """Begins the next read of changes a quarter after this one."""

    endpoints: ClassVar = (SCHOOLS, replace(STUDENTS, changes=replace(CHANGES, overlap=timedelta(days=-90))), SECTIONS, MEMBERS)


class ShowsItsSecret(HarborProvider):
    def __repr__(self) -> str:
        secret = self.config.client_secret
        return f"HarborProvider(secret={secret.get_secret_value() if secret else None!r})"


class LeavesTheProgram(HarborProvider):
    """Gives up as a script does."""

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Any) -> Response:
        sys.exit(0)


def leave() -> None:
    sys.exit(0)


class LeavesTheLoop(HarborProvider):
    """The same where nobody waits for it, so that it takes the loop down."""

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Any) -> Response:
        asyncio.get_running_loop().call_soon(leave)
        return await super().ask(endpoint, asked, params)


class TripsOverItsOwnTask(HarborProvider):
    """Waits for a task that it has cancelled itself."""

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Any) -> Response:
        task = asyncio.create_task(super().ask(endpoint, asked, params))
        task.cancel()
        return await task


class Panic(BaseException):
    """Nothing that anybody would catch."""


class Panics(HarborProvider):
    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Any) -> Response:
        raise Panic
