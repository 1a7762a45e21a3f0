"""A local server that behaves like Qmlativ's Custom and Generic interfaces, over the synthetic district.

It knows nothing of this plugin's provider and mapping: both follow the notes on the API, and meet on a socket only.
What could not be established is a setting. A client is told `api` (`Custom` or `Generic`), `end_dates` (`inclusive` or
`exclusive`), `numeric_year` (`end` or `start` of a school year), `excluded_entities` and `dropped_statuses`. The others:
`relations` (fields over relations come `flat` under dotted names, or `nested`), `next_at_end` (`absent`, `empty`, or `repeat`),
`expired` (the status of a refusal), `created` (the status of a creation), `metadata` (`on`, or `off`: not approved),
`stays` (`all` years, or those of the `year`), `unapproved` (fields and objects that are refused), `token_life` (seconds).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sis_connect.capabilities import Kind
from sis_connect.records import Record
from sis_connect.testing.district import District
from sis_connect.testing.refused import Refused
from sis_connect.testing.sandbox_app import WHOLE, Sandbox
from sis_connect.testing.token_grants import TokenGrants, basic
from sis_connect_skyward import sandbox_qmlativ_truth
from sis_connect_skyward.sandbox_qmlativ_rows import MAKERS
from sis_connect_skyward.sandbox_qmlativ_schema import FIELDS, RELATIONS, REQUIRED, WRITABLE, answer, leads, value_at
from sis_connect_skyward.sandbox_qmlativ_search import SearchError, condition, order
from sis_connect_skyward.sandbox_qmlativ_tables import DISTRICT, SYSTEM, Row, Tables

BASE = "/LincolnStuAPI"
_CHOICES = {
    "product": ("qmlativ",),
    "api": ("Custom", "Generic"),
    "end_dates": ("inclusive", "exclusive"),
    "numeric_year": ("end", "start"),
    "relations": ("flat", "nested"),
    "next_at_end": ("absent", "empty", "repeat"),
    "expired": ("403", "401"),
    "created": ("201", "200"),
    "metadata": ("on", "off"),
    "stays": ("all", "year"),
}


class QmlativSandbox(Sandbox):
    client_settings: ClassVar[frozenset[str]] = frozenset(
        ("product", "api", "end_dates", "numeric_year", "excluded_entities", "dropped_statuses")
    )
    choices = _CHOICES
    numbers: ClassVar[Mapping[str, str]] = {"token_life": WHOLE}
    known_settings: ClassVar[Mapping[str, str]] = {
        **{name: choices[0] for name, choices in _CHOICES.items()},
        "excluded_entities": "800",
        "dropped_statuses": "D",
        "unapproved": "",
        "token_life": "3600",
    }

    def __init__(self, district: District, settings: Mapping[str, str]) -> None:
        super().__init__(district, settings)
        self._tokens = TokenGrants(self.client_id, self.client_secret, methods=("POST", "GET"), parameters_in_query=False)
        self.moved()

    def moved(self) -> None:
        self._tables = Tables(self.district, self.settings, MAKERS)
        self._lists: dict[tuple[Any, ...], list[bytes]] = {}
        self._tokens.life = float(self.settings["token_life"])
        self._unapproved = {name.strip() for name in self.settings["unapproved"].split(",") if name.strip()}

    def secret_is(self, secret: str) -> None:
        """Give the integration another secret."""
        self.client_secret = self._tokens.client_secret = secret

    @property
    def base_path(self) -> str:
        return BASE

    @property
    def token_path(self) -> str:
        return f"{BASE}/oauth/token"

    @property
    def app(self) -> ASGIApp:
        return self._answer

    def truth(self, kind: Kind, *, history: bool) -> Iterator[tuple[str, Record]]:
        return sandbox_qmlativ_truth.truth(self._tables, kind)

    def error(self, status: int, message: str) -> Response:
        return JSONResponse({"error": message}, status)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            if scope["path"].rstrip("/") == self.token_path:
                self._demand_form_encoding(request)
                response = await self._tokens.answer(request)
            else:
                response = await self._resource(request)
        except Refused as refused:
            response = self.error(refused.status, refused.message)
        except SearchError as error:
            response = self.error(400, str(error))
        await response(scope, receive, send)

    def _demand_form_encoding(self, request: Request) -> None:
        """Who asks by GET says who it is by Basic, both parts form-encoded before they are joined."""
        if request.method == "GET":
            scheme, _, code = request.headers.get("authorization", "").partition(" ")
            pair = tuple(map(unquote_plus, basic(code)))
            if scheme.lower() != "basic" or pair != (self.client_id, self.client_secret):
                raise Refused(401, "invalid_client")

    async def _resource(self, request: Request) -> Response:
        path = request.scope["path"].rstrip("/")
        self._demand_token(request.headers.get("authorization", ""), path)
        parts = path.removeprefix(f"{BASE}/").split("/")
        if not path.startswith(f"{BASE}/") or parts[0] != self.settings["api"]:
            raise Refused(404, "There is nothing here.")
        if parts[1:] == ["GetSystemMetadata"]:
            return self._metadata()
        entity = self._entity(parts[1] if len(parts) > 1 else "")
        if len(parts) == 3:
            return self._module(parts[2])
        name = "/".join(parts[2:4])
        if name not in FIELDS or len(parts) > 6:
            raise Refused(404, "There is no such object.")
        if name in self._unapproved:
            raise Refused(403, f"The object {name} is not approved for this integration.")
        body = msgspec.json.decode(await request.body() or b"null") if request.method in ("POST", "PUT") else None
        rest, query = parts[4:], parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        match request.method, rest:
            case "GET", []:
                return self._schema(name)
            case "GET", [key]:
                return self._json(self._one(name, key, self._paths(name, query)))
            case (("GET" | "POST"), [page, size]):
                return self._list(request, name, entity, (_positive(page), _positive(size)), query, body)
            case "PUT", []:
                return self._create(name, body, query)
            case "POST", [key]:
                return self._update(name, key, body, query)
            case "DELETE", [key]:
                raise Refused(403, f"{name} {key} may not be deleted by this integration.")
        raise Refused(405, "The method is not allowed here.")

    def _demand_token(self, authorization: str, path: str) -> None:
        known = self._tokens.known(authorization)
        if known is None:
            raise Refused(401, "Authorization has been denied for this request.")
        if self.faults.take("token_expiry", path):
            self._tokens.end(known)
        if self._tokens.token(authorization) is None:
            raise Refused(int(self.settings["expired"]), "Token has expired")

    def _entity(self, text: str) -> int:
        key = int(text) if text.isdecimal() else 0
        if key not in self._tables.rows("District/Entity") or f"entity {key}" in self._unapproved:
            raise Refused(403, "The entity is not approved for this integration.")
        return key

    # What there is

    def _metadata(self) -> Response:
        if self.settings["metadata"] == "off":
            raise Refused(403, "GetSystemMetadata is not approved for this integration.")
        tables = self._tables
        year = tables.rows("District/SchoolYear")[tables.year_id()]
        current = {name: year[name] for name in ("SchoolYearID", "NumericYear", "Description")}
        district = {
            "DistrictID": 1,
            "EntityID": DISTRICT,
            "Name": "Example District",
            "Code": "DIST",
            "SchoolYearCurrent": current,
        }
        return self._json({"System": {"EntityID": SYSTEM, "Code": "SYS", "Name": "System", "Districts": [district]}})

    def _module(self, module: str) -> Response:
        names = [name.partition("/")[2] for name in FIELDS if name.startswith(f"{module}/")]
        if not names:
            raise Refused(404, "There is no such module.")
        return self._json({name: f"/{self.settings['api']}/{SYSTEM}/{module}/{name}" for name in names})

    def _schema(self, name: str) -> Response:
        return self._json(dict.fromkeys(FIELDS[name]) | {"Relationships": list(RELATIONS[name]), "ValidationRules": []})

    def _paths(self, name: str, query: Sequence[tuple[str, str]]) -> tuple[str, ...]:
        """The fields asked for, in either spelling. Those that are unknown or not approved are refused."""
        paths = tuple(value for key, value in query if re.fullmatch(r"searchFields(\[\d+\])?", key)) or FIELDS[name][:1]
        self._demand_fields(name, paths)
        return paths

    def _demand_fields(self, name: str, paths: Sequence[str]) -> None:
        for path in paths:
            if not leads(name, path):
                raise Refused(400, f"There is no field {path}.")
            if f"{name.partition('/')[2]}.{path}" in self._unapproved:
                raise Refused(403, f"The field {path} is not approved for this integration.")

    def _found(self, name: str, key: str) -> Row:
        row = self._tables.rows(name).get(int(key) if key.isdecimal() else 0)
        if row is None:
            raise Refused(404, "There is no such row.")
        return row

    def _one(self, name: str, key: str, paths: Sequence[str]) -> Row:
        return self._told(name, self._found(name, key), paths)

    def _told(self, name: str, row: Row, paths: Sequence[str]) -> Row:
        return answer(self._tables, name, row, paths, nested=self.settings["relations"] == "nested")

    # Lists

    def _list(
        self,
        request: Request,
        name: str,
        entity: int,
        place: tuple[int, int],
        query: Sequence[tuple[str, str]],
        body: Any,
    ) -> Response:
        page, size = place
        rows = self._searched(name, entity, query, body)
        target = f"{request.scope['path']}?{request.scope['query_string'].decode('latin-1')}"
        shown = self.faults.show(target, rows, size, number=page)
        next_page = page + 1 if shown.more else None
        if next_page is None and self.settings["next_at_end"] == "repeat":
            next_page = page
        following: dict[str, str] = {}
        if next_page is not None:
            following["Next"] = f"/{self.settings['api']}/{entity}/{name}/{next_page}/{size}"
        elif self.settings["next_at_end"] == "empty":
            following["Next"] = ""
        encoded = b'{"Objects":[%s],"Paging":%s}' % (b",".join(shown.rows), msgspec.json.encode(following))
        return Response(encoded, media_type="application/json")

    def _searched(self, name: str, entity: int, query: Sequence[tuple[str, str]], body: Any) -> list[bytes]:
        paths, asked = self._paths(name, query), dict(query)
        year = int(asked.get("SchoolYearID") or self._tables.year_id())
        place = (name, entity, year, paths)
        if body is None and place in self._lists:
            return self._lists[place]
        named, test = condition(body)
        self._demand_fields(name, sorted(named))
        tables = self._tables

        def matches(row: Row) -> bool:
            return self._in_context(name, row, entity, year) and test(lambda path: value_at(tables, name, row, path))

        rows = [row for row in tables.rows(name).values() if matches(row)]
        for field, descending in reversed(order(body)):
            self._demand_fields(name, [field])
            rows.sort(key=_sortable(tables, name, field), reverse=descending)
        encoded = [msgspec.json.encode(self._told(name, row, paths)) for row in rows]
        if body is None:
            self._lists[place] = encoded
        return encoded

    def _in_context(self, name: str, row: Row, entity: int, year: int) -> bool:
        if entity not in (SYSTEM, DISTRICT) and "_entities" in row and entity not in row["_entities"]:
            return False
        bound = row.get("_year", row.get("SchoolYearID"))
        everything = name == "District/SchoolYear" or (name == "Enrollment/EntryWithdrawal" and self.settings["stays"] == "all")
        return bound is None or everything or bool(bound == year)

    # Writing

    def _create(self, name: str, body: Any, query: Sequence[tuple[str, str]]) -> Response:
        values = self._values(name, body)
        if missing := REQUIRED[name] - values.keys():
            raise Refused(400, f"{sorted(missing)[0]} is required.")
        rows = self._tables.rows(name)
        key = max(rows, default=0) + 1
        rows[key] = {**dict.fromkeys(FIELDS[name]), FIELDS[name][0]: key, **values}
        self._lists.clear()
        return self._json(self._told(name, rows[key], self._paths(name, query)), int(self.settings["created"]))

    def _update(self, name: str, key: str, body: Any, query: Sequence[tuple[str, str]]) -> Response:
        row = self._found(name, key)
        row.update(self._values(name, body))
        self._lists.clear()
        return self._json(self._told(name, row, self._paths(name, query)))

    def _values(self, name: str, body: Any) -> Row:
        values = body.get("DataObject") if isinstance(body, dict) else None
        if not isinstance(values, dict):
            raise Refused(400, "The body has no DataObject.")
        if name not in WRITABLE:
            raise Refused(403, f"{name} may not be written by this integration.")
        for field in values.keys() - WRITABLE[name]:
            known = field in FIELDS[name]
            raise Refused(403 if known else 400, f"{field} may not be written." if known else f"There is no field {field}.")
        return values

    def _json(self, found: object, status: int = 200) -> Response:
        return Response(msgspec.json.encode(found), status, media_type="application/json")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise Refused(400, "Pages and their sizes are counted from 1.")
    return int(text)


def _sortable(tables: Tables, name: str, field: str) -> Callable[[Row], tuple[bool, Any]]:
    def key(row: Row) -> tuple[bool, Any]:
        value = value_at(tables, name, row, field)
        return (value is not None, value if value is not None else 0)

    return key
