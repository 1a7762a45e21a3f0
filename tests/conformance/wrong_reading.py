"""Providers for Harbor that go wrong on a later page, with a value that is missing, or by what they remember: each in one way."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from conformance.right_provider import MEMBERS, OF_SCHOOL, SCHOOLS, SECTIONS, STUDENTS, HarborProvider, StudentRow, student
from sis_connect.capabilities import Kind
from sis_connect.errors import SISError
from sis_connect.provider import Page, Scope, Since, Stream
from sis_connect.records import Record
from sis_connect.rest_provider import Asked, Endpoint
from sis_connect.transport.answers import Response

_THE_END = Response(200, {}, b'{"data": [], "next": null}')


class WithoutTotals(HarborProvider):
    """Would be right if Harbor told no totals; they would show who is missing."""

    endpoints: ClassVar[tuple[Endpoint[Any], ...]] = tuple(
        replace(each, total_at=None) for each in (SCHOOLS, STUDENTS, OF_SCHOOL, SECTIONS, MEMBERS)
    )


class EndsWhereItIsRefused(WithoutTotals):
    """Whatever goes wrong after the first page is the end of the list."""

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Mapping[str, str]) -> Response:
        try:
            return await super().ask(endpoint, asked, params)
        except SISError:
            if params.get("page") != "1":
                return _THE_END
            raise


class LosesAFullLastPage(WithoutTotals):
    """Takes a page that is full and points to no other for a mistake."""

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Mapping[str, str]) -> Response:
        answer = await super().ask(endpoint, asked, params)
        told = json.loads(answer.body)
        full = len(told["data"]) == int(params.get("per_page", "25"))
        return _THE_END if full and told["next"] is None and params.get("page") != "1" else answer


def _students_where(wanted: Any) -> tuple[Endpoint[Any], ...]:
    def read(row: StudentRow, asked: Asked) -> Iterator[Record]:
        if wanted(row):
            yield from student(row, asked)

    return (SCHOOLS, replace(STUDENTS, read=read), replace(OF_SCHOOL, read=read), SECTIONS, MEMBERS)


class DropsWhoHasNoName(HarborProvider):
    endpoints: ClassVar[tuple[Endpoint[Any], ...]] = _students_where(lambda row: row.last)


class DropsWhoHasNoSchool(HarborProvider):
    endpoints: ClassVar[tuple[Endpoint[Any], ...]] = _students_where(lambda row: row.school_id)


class _Rewrites(HarborProvider):
    def told(self, endpoint: Endpoint[Any], row: dict[str, Any]) -> None:
        """Change a row of an answer."""

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Mapping[str, str]) -> Response:
        answer = await super().ask(endpoint, asked, params)
        body = json.loads(answer.body)
        for row in body["data"]:
            self.told(endpoint, row)
        return replace(answer, body=json.dumps(body).encode())


class RemembersTheFirst(_Rewrites):
    """What a school was called first, in whatever district."""

    names: ClassVar[dict[int, str]] = {}

    def told(self, endpoint: Endpoint[Any], row: dict[str, Any]) -> None:
        if endpoint is SCHOOLS:
            row["name"] = self.names.setdefault(row["id"], row["name"])


class RemembersTheOthers(_Rewrites):
    """Once two servers have told a student's number, it is that of the second."""

    numbers: ClassVar[dict[int, dict[str, str]]] = {}

    def told(self, endpoint: Endpoint[Any], row: dict[str, Any]) -> None:
        if endpoint is STUDENTS:
            known = self.numbers.setdefault(row["id"], {})
            known[self.config.base_url] = row["number"]
            row["number"] = list(known.values())[-1]


class KeepsAnswers(HarborProvider):
    """Does not ask for classes again within ten minutes."""

    kept: ClassVar[dict[str, tuple[datetime, Response]]] = {}

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Mapping[str, str]) -> Response:
        name, now = f"{self.config.base_url} {endpoint.name} {asked.context} {params}", self.clock.now()
        if endpoint is not SECTIONS or name not in self.kept or now - self.kept[name][0] > timedelta(minutes=10):
            self.kept[name] = now, await super().ask(endpoint, asked, params)
        return self.kept[name][1]


class ReadsOneSchoolOfMany(HarborProvider):
    def pages(
        self,
        kinds: Collection[Kind],
        *,
        scope: Scope,
        since: Since | None = None,
        cursor: Mapping[Stream, str] | None = None,
    ) -> AsyncIterator[Page]:
        schools = scope.schools and frozenset(sorted(scope.schools)[:1])
        return super().pages(kinds, scope=replace(scope, schools=schools), since=since, cursor=cursor)


class LogsWhenItGoes(HarborProvider):
    last = b""

    async def ask(self, endpoint: Endpoint[Any], asked: Asked, params: Mapping[str, str]) -> Response:
        answer = await super().ask(endpoint, asked, params)
        self.last = answer.body
        return answer

    def __del__(self) -> None:
        logging.getLogger("harbor").warning("The last answer was %s", self.last)


class LogsWhenItIsLeft(HarborProvider):
    async def pages(self, kinds: Collection[Kind], **rest: Any) -> AsyncIterator[Page]:
        page = None
        try:
            async for page in super().pages(kinds, **rest):
                yield page
        except GeneratorExit:
            logging.getLogger("harbor").warning("Left at %s", [bytes(row) for row in page.rows] if page else "once")
            raise
