"""A local server that behaves like SMS 2.0's `{base}/token` and `{base}/v1`, over the synthetic district.

It knows nothing of this plugin's provider and mapping: both follow the notes on the API, and meet on a socket only.
What could not be established is a setting: `end_dates` (`inclusive` or `exclusive`), `dropped_statuses` and `excluded_entities`
(which a client is told), `code_width` (zeros that lead entity codes), `spelling` (`Id` or `ID`), `nulls` (null entries in lists),
`guardians` (`list`, or `by_student` only), `unprefixed` (`limit` and `cursor` without `paging.` are `ignored` or `accepted`),
`paging` (`none` sends whole lists), `token_life` (seconds), and `grants` (those that are known).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sis_connect.capabilities import Kind
from sis_connect.records import Record
from sis_connect.testing.district import District
from sis_connect.testing.listings import cursor_after, rows_before
from sis_connect.testing.sandbox_app import WHOLE, Sandbox, other_origin
from sis_connect.testing.token_grants import TokenGrants
from sis_connect_skyward import sandbox_sms_truth
from sis_connect_skyward.sandbox_sms_rows import Population, Row

BASE = "/API"
_CHOICES = {
    "product": ("sms",),
    "end_dates": ("inclusive", "exclusive"),
    "spelling": ("Id", "ID"),
    "nulls": ("off", "on"),
    "guardians": ("list", "by_student"),
    "unprefixed": ("ignored", "accepted"),
    "paging": ("cursor", "none"),
}
_EVERYTHING = 2**62
Rows = Callable[[], Sequence[bytes] | None]


class SmsSandbox(Sandbox):
    client_settings: ClassVar[frozenset[str]] = frozenset(
        ("product", "end_dates", "excluded_entities", "dropped_statuses", "guardians", "paging")
    )
    choices = _CHOICES
    numbers: ClassVar[Mapping[str, str]] = {"code_width": WHOLE, "token_life": WHOLE}
    known_settings: ClassVar[Mapping[str, str]] = {
        **{name: values[0] for name, values in _CHOICES.items()},
        "excluded_entities": "800",
        "dropped_statuses": "D",
        "code_width": "1",
        "token_life": "1199",
        "grants": "password,client_credentials",
    }

    def __init__(self, district: District, settings: Mapping[str, str]) -> None:
        super().__init__(district, settings)
        self._tokens = TokenGrants(self.client_id, self.client_secret, client_needed=False, parameters_in_query=False)
        self._tokens.token_type = "bearer"  # noqa: S105 - a word, no secret
        self.moved()

    def moved(self) -> None:
        self._population = Population(self.district, self.settings)
        self._lists: dict[str, list[bytes]] = {}
        self._tokens.life = float(self.settings["token_life"])
        self._tokens.grants = [name.strip() for name in self.settings["grants"].split(",")]

    @property
    def base_path(self) -> str:
        return BASE

    @property
    def token_path(self) -> str:
        return f"{BASE}/token"

    @property
    def app(self) -> ASGIApp:
        return self._answer

    def truth(self, kind: Kind, *, history: bool) -> Iterator[tuple[str, Record]]:
        return sandbox_sms_truth.truth(self._population, kind)

    def error(self, status: int, message: str) -> Response:
        return JSONResponse({"Message": message}, status)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        path = scope["path"].rstrip("/").lower()
        if path == self.token_path.lower():
            response = await self._tokens.answer(request)
        else:
            response = self._resource(request, path)
        await response(scope, receive, send)

    def _resource(self, request: Request, path: str) -> Response:
        root = f"{BASE}/v1/".lower()
        if not path.startswith(root):
            return self.error(404, "No HTTP resource was found that matches the request.")
        token = self._tokens.token(request.headers.get("authorization", ""))
        if token is None or self.faults.take("token_expiry", request.url.path):
            if token is not None:
                self._tokens.end(token)
            refused = self.error(401, "Authorization has been denied for this request.")
            refused.headers["WWW-Authenticate"] = "Bearer"
            return refused
        if request.method != "GET":
            return self.error(405, f"The requested resource does not support http method '{request.method}'.")
        asked = {name.lower(): value for name, value in parse_qsl(request.scope["query_string"].decode("latin-1"))}
        parts = path.removeprefix(root).split("/")
        found = self._single(parts)
        if found is not None:
            return Response(self._encode(found), media_type="application/json; charset=utf-8")
        rows = self._list(parts, asked)
        return self.error(404, "Not found.") if rows is None else self._page(request, rows, asked)

    # What there is

    def _single(self, parts: Sequence[str]) -> Row | None:
        """One object, for the paths that lead to one."""
        match parts:
            case ["students", sis_id] if student := self._population.students.get(_whole(sis_id)):
                return self._population.student(student)
            case ["schools", code]:
                return next((row for row in self._population.schools() if row["SchoolId"] == code), None)
            case ["names", sis_id]:
                return self._name(_whole(sis_id))
        return None

    def _name(self, sis_id: int) -> Row | None:
        population, wanted = self._population, ("FirstName", "MiddleName", "LastName", "PhoneNumber", "PhoneNumberType")
        if student := population.students.get(sis_id):
            row = population.student(student)
            return {"NameId": sis_id, **{name: row[name] for name in wanted}, "Email": student.email}
        if guardian := population.guardians.get(sis_id):
            row = population.guardian(guardian)
            return {"NameId": sis_id, **{name: row[name] for name in wanted}, "Email": guardian.email}
        return None

    def _list(self, parts: Sequence[str], asked: Mapping[str, str]) -> Sequence[bytes] | None:
        """The rows of a list, or None where there is no such list."""
        population = self._population
        match parts:
            case ["schools"]:
                return self._kept("schools", population.schools)
            case ["students"]:
                return self._kept("students", lambda: map(population.student, population.students.values()))
            case ["schools", code, "students"] if any(row["SchoolId"] == code for row in population.schools()):
                here = (student for student in population.students.values() if code in population.entities(student))
                return self._kept(f"students of {code}", lambda: map(population.student, here))
            case ["students", sis_id, "enrollments"] if student := population.students.get(_whole(sis_id)):
                return [self._encode(population.enrollment(student, row)) for row in population.enrollments(student)]
            case ["guardians"] if "studentnameid" in asked:
                student = population.students.get(_whole(asked["studentnameid"]))
                theirs = population.guardians_of[student.serial] if student else []
                return [self._encode(population.guardian(guardian)) for guardian in theirs]
            case ["guardians"] if self.settings["guardians"] == "list":
                return self._kept("guardians", lambda: map(population.guardian, population.guardians.values()))
        return None

    def _kept(self, name: str, rows: Callable[[], Any]) -> list[bytes]:
        if name not in self._lists:
            self._lists[name] = [self._encode(row) for row in rows()]
        return self._lists[name]

    def _encode(self, row: Row) -> bytes:
        encoded = msgspec.json.encode(row)
        return encoded.replace(b'Id":', b'ID":') if self.settings["spelling"] == "ID" else encoded

    # Pages

    def _page(self, request: Request, rows: Sequence[bytes], asked: Mapping[str, str]) -> Response:
        """A bare array, and a link to the next page, whose cursor goes by another name there."""
        prefix = "paging."
        if self.settings["unprefixed"] == "accepted" and not any(name.startswith(prefix) for name in asked):
            prefix = ""
        limit = _whole(asked.get(f"{prefix}limit", ""))
        size = _EVERYTHING if limit <= 0 or self.settings["paging"] == "none" else limit
        offset = rows_before(asked.get(f"{prefix}cursor", ""))
        if offset is None:
            return self.error(400, "The cursor is not valid.")
        target = f"{request.scope['path']}?{request.scope['query_string'].decode('latin-1')}"
        shown = self.faults.show(target, rows, size, offset=offset)
        body = b"[%s]" % b",".join([*shown.rows, b"null"] if self.settings["nulls"] == "on" else shown.rows)
        response = Response(body, media_type="application/json; charset=utf-8")
        if shown.more:
            own = str(request.url.replace(query=""))
            there = other_origin(request.scope) if self.faults.take("next_elsewhere", target) else f"{own}?"
            kept = {name: value for name, value in asked.items() if name == "studentnameid"}
            following = urlencode({**kept, "paging.limit": size, "cursor": cursor_after(shown.end)})
            response.headers["Link"] = f'<{own}>; rel="first", <{there}&{following}>; rel="next"'.replace("?&", "?")
        return response


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() else 0
