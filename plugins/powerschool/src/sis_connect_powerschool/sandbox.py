"""A local server that behaves like PowerSchool's `/ws/v1`, over the synthetic district.

It knows nothing of this plugin's provider and mapping: both follow the notes on the API, and meet on a socket only. Settings:
`access` (NONE, READ, FULL: what the plugin was granted), `page_size` and `<resource>_page_size` (the maximum), `over_page_size`
(`clamp` or `reject` what asks for more), `unknown_field` (`reject` or `ignore` one in `q`), `graduated_school` (`hidden` from
the list of schools, or `listed`), `token_life` (seconds), `invalid` (share of students without a family name, such as 0.5),
`former_students` and `past_years` (a longer past: so many more who have left, and stays in so many years before this one),
`returned_no_shows` (so many who never came, it was said first, and came on the same day); and
those of `sandbox_sign_in`, for tokens that a person brings; those of `sandbox_queries`, for a package that is installed; and
those of `sandbox_events`, for event subscriptions.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl
from uuid import NAMESPACE_URL, uuid4, uuid5

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sis_connect.capabilities import Kind
from sis_connect.errors import ConfigurationError
from sis_connect.records import Record
from sis_connect.testing.district import District
from sis_connect.testing.refused import Refused
from sis_connect.testing.sandbox_app import DECIMAL, POSITIVE, WHOLE, Sandbox
from sis_connect_powerschool import sandbox_events, sandbox_past, sandbox_queries, sandbox_sign_in, sandbox_truth
from sis_connect_powerschool.sandbox_query import QueryError, parse
from sis_connect_powerschool.sandbox_resources import RESOURCES, Resource, Resources
from sis_connect_powerschool.sandbox_wire import Tree, list_json, to_json, to_xml

TOKEN_PATH = "/oauth/access_token"  # noqa: S105 - a path, no secret
THIRTY_DAYS = 2_592_000
_CHOICES = {
    "access": ("NONE", "READ", "FULL"),
    "over_page_size": ("clamp", "reject"),
    "unknown_field": ("reject", "ignore"),
    "graduated_school": ("hidden", "listed"),
    **sandbox_events.CHOICES,
    **sandbox_queries.CHOICES,
    **sandbox_sign_in.CHOICES,
}
_NAMES = {"given_name": "given", "middle_name": "middle", "family_name": "family"}


class PowerSchoolSandbox(Sandbox):
    optional_fields = frozenset({"preferred_given_name"})
    choices = _CHOICES
    numbers: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("former_students", "past_years", "returned_no_shows"), WHOLE),
        **dict.fromkeys(("token_life", "sign_in_life", "invalid"), DECIMAL),
        **dict.fromkeys(("page_size", *(f"{name}_page_size" for name in RESOURCES)), f"({POSITIVE})?"),
    }
    known_settings: ClassVar[Mapping[str, str]] = {
        "access": "FULL",
        "page_size": "100",
        **{f"{name}_page_size": "" for name in RESOURCES},
        "over_page_size": "clamp",
        "unknown_field": "reject",
        "graduated_school": "hidden",
        "token_life": str(THIRTY_DAYS),
        "invalid": "0",
        "former_students": "0",
        "past_years": "0",
        "returned_no_shows": "0",
        **sandbox_events.SETTINGS,
        **sandbox_queries.SETTINGS,
        **sandbox_sign_in.SETTINGS,
    }

    @property
    def token_path(self) -> str:
        return TOKEN_PATH

    def told_settings(self) -> dict[str, str]:
        """With the package installed, a client may count on it."""
        return {**super().told_settings(), **({"road": "bulk"} if self.settings["package"] == "installed" else {})}

    def __init__(self, district: District, settings: Mapping[str, str]) -> None:
        super().__init__(district, settings)
        self._token: str | None = None
        self._issued = 0.0
        self._sign_in = sandbox_sign_in.SignIn(self.settings, self.client_id, self.client_secret)
        self._resources = Resources(district)
        self._queries = sandbox_queries.Queries(self._resources, self.settings)
        self.events = sandbox_events.Events(district, self.settings)
        self.moved()

    def moved(self) -> None:
        former, years = int(self.settings["former_students"]), int(self.settings["past_years"])
        sandbox_past.plant(self._resources.district, former=former, years=years)
        sandbox_past.plant_no_shows(self._resources.district, int(self.settings["returned_no_shows"]))
        self._queries.moved()
        self._resources.tells_departments = self.settings["package"] == "installed"
        self._resources.refresh(
            list_graduated=self.settings["graduated_school"] == "listed", invalid_share=float(self.settings["invalid"])
        )
        self.events.moved()

    def change(self, kind: Kind, sis_id: str, fields: Mapping[str, str]) -> None:
        """Change the names of a student."""
        found = self._resources.find(["student", sis_id]) if kind == "students" else None
        if found is None or isinstance(found, tuple):
            raise ConfigurationError(f"There is none of {kind} with this id.", remedy="Students can be changed, by their DCID.")
        self.district.change_student(found.serial, **{_NAMES[name]: value for name, value in fields.items()})

    @property
    def app(self) -> ASGIApp:
        return self._answer

    def truth(self, kind: Kind, *, history: bool) -> Iterator[tuple[str, Record]]:
        return sandbox_truth.truth(self._resources, kind, history=history)

    def error(self, status: int, message: str) -> Response:
        return JSONResponse({"errorMessage": {"message": message}}, status)

    @property
    def unavailable_page(self) -> str:
        return "<!DOCTYPE html><html><head><title>PowerSchool page unavailable</title></head><body>Try again later.</body></html>"

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            if scope["path"].rstrip("/") == TOKEN_PATH:
                response = await self._grant(request)
            else:
                response = await self._sign_in.answer(request) or self._ws(request, await request.body())
        except Refused as refused:
            response = self.error(refused.status, refused.message)
        except sandbox_queries.Failed as failed:
            response = JSONResponse(failed.body, failed.status)
        except QueryError as error:
            response = self.error(400, str(error))
        await response(scope, receive, send)

    # The token

    async def _grant(self, request: Request) -> Response:
        if request.method != "POST":
            raise Refused(405, "Method not allowed.")
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        if not self._known_client(request.headers.get("authorization", "")):
            return JSONResponse({"error": "invalid_client"}, 401)
        if form.get("grant_type") != "client_credentials":
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        left = self._seconds_left()
        if self._token is None or left <= 0:
            self._token, self._issued, left = str(uuid4()), time.time(), int(float(self.settings["token_life"]))
        return JSONResponse({"access_token": self._token, "token_type": "Bearer", "expires_in": str(left)})

    def _known_client(self, authorization: str) -> bool:
        scheme, _, code = authorization.partition(" ")
        try:
            given = base64.b64decode(code.strip(), validate=True)
        except binascii.Error:
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(given, f"{self.client_id}:{self.client_secret}".encode())

    def _seconds_left(self) -> int:
        return int(self._issued + float(self.settings["token_life"]) - time.time())

    def _refusal(self, request: Request, target: str) -> Response | None:
        """Why a request that needs a token is not answered: 401 with an empty body, the reason in a header."""
        given = request.headers.get("authorization", "")
        scheme, _, token = given.partition(" ")
        token = token.strip()
        live = scheme.lower() == "bearer" and (self._is_live(token) or self._sign_in.opens(token))
        if live and self.faults.take("token_expiry", target):
            self._end(token)
        elif live:
            return None
        reason = ',error_description="The access token has expired"'
        header = f'Bearer error="invalid_token",realm="PowerSchool"{reason}' if given else 'Bearer realm="PowerSchool"'
        return Response(status_code=401, headers={"WWW-Authenticate": header})

    def _is_live(self, token: str) -> bool:
        """Whether this is the plugin's own token."""
        if self._token is None or self._seconds_left() <= 0:
            return False
        return hmac.compare_digest(token.encode(), self._token.encode())

    def _end(self, token: str) -> None:
        if self._is_live(token):
            self._token = None
        self._sign_in.forget(token)

    # Resources

    def _ws(self, request: Request, body: bytes) -> Response:
        path = request.scope["path"].rstrip("/")
        query = request.scope["query_string"].decode("latin-1")
        target = f"{path}?{query}" if query else path
        parts = path.split("/")[1:]
        is_open = path in ("/ws/v1/metadata", "/ws/v1/time")
        if not (is_open and "authorization" not in request.headers):
            refusal = self._refusal(request, target)
            if refusal is not None:
                return refusal
        match parts:
            case ["ws", "schema", "query", *name]:
                asked = dict(parse_qsl(query))
                rows = self._queries.answer(request.method, "/".join(name), body, asked, faults=self.faults, target=target)
                return _json(rows)
            case ["ws", "dataversion", application, version] if self.settings["data_versions"] != "refused":
                return _json(self._queries.changes(application, version))
            case ["ws", "powerqueryaccesslist", name]:
                return _json(self._queries.access_list(name))
        if parts[:2] != ["ws", "v1"]:
            raise Refused(404, "Not found.")
        if is_open:
            name, tree = ("metadata", self._metadata(request)) if path.endswith("metadata") else ("resource", _time())
            # Not typed by content: "false" stays text here.
            return _json(msgspec.json.encode({name: tree})) if _wants_json(request) else _xml(to_xml(name, tree))
        missing = self._missing_access(request, parts[2:])
        if missing:
            raise Refused(401, f"Plugin is missing required accessLevelV1Api {missing} permission")
        if path == sandbox_events.PATH:
            return self.events.answer(request, body)
        return self._resource(request, parts[2:], path, query)

    def _missing_access(self, request: Request, parts: list[str]) -> str | None:
        """Students are written with FULL access only."""
        access = self.settings["access"]
        if access == "NONE":
            return "READ"
        return "FULL" if request.method == "POST" and parts == ["student"] and access != "FULL" else None

    def _metadata(self, request: Request) -> Tree:
        """Who is connected, and how many rows a page may have."""
        sizes = {f"{name}_max_page_size": self._page_size(name) for name in RESOURCES}
        plugin = {"plugin_id": 9001} if "authorization" in request.headers else {}
        return {
            **plugin,
            "powerschool_version": "25.7.0.0.252050214",
            "state": "XX",
            "state_reporting_version": "25.7.1.0",
            "mobile_api_version": "3.2",
            "district_timezone": "America/Denver",
            "district_uuid": str(uuid5(NAMESPACE_URL, "https://example.org/district")),
            **sizes,
            "schema_table_query_max_page_size": self._page_size(""),
            **{f"sso_enabled_{who}": "false" for who in ("admin", "guardian", "student", "teacher")},
        }

    def _page_size(self, resource: str) -> int:
        return int(self.settings.get(f"{resource}_page_size") or self.settings["page_size"])

    def _resource(self, request: Request, parts: list[str], path: str, query: str) -> Response:
        counting = parts[-1:] == ["count"]
        found = self._resources.find(parts[:-1] if counting else parts)
        if parts == ["student"]:
            raise Refused(405, "This sandbox does not write.")
        if found is None or (counting and not isinstance(found, tuple)):
            raise Refused(404, "Resource not found.")
        if request.method not in ("GET", "HEAD"):
            raise Refused(405, "Method not allowed.")
        asked = dict(parse_qsl(query))
        if not isinstance(found, tuple):
            name, tree = self._resources.single(found, _names(asked, "expansions"), _names(asked, "extensions"))
            return self._respond(request, name, tree)
        resource, parent = found
        rows = self._resources.rows(
            resource, parent, parse(asked.get("q", "")), strict=self.settings["unknown_field"] == "reject"
        )
        tail = f"?{query}" if query else ""
        target = path.removesuffix("/count") + tail
        size = self._asked_size(resource, asked)
        if counting:
            total = self.faults.total(path + tail, len(self.faults.rows(target, rows, size=size, later_page=False)))
            if total is None:
                raise Refused(404, "Resource not found.")
            return self._respond(request, "resource", {"count": total})
        page = self.faults.page(target, rows, _positive(asked, "page", 1), size)
        return self._page(request, resource, page, asked)

    def _asked_size(self, resource: Resource, asked: Mapping[str, str]) -> int:
        most = self._page_size(resource.single)
        size = _positive(asked, "pagesize", most)
        if size > most and self.settings["over_page_size"] == "reject":
            raise Refused(400, f"The page size {size} exceeds the maximum of {most}.")
        return min(size, most)

    def _page(self, request: Request, resource: Resource, page: Any, asked: Mapping[str, str]) -> Response:
        expansions, extensions = _names(asked, "expansions"), _names(asked, "extensions")
        attributes = resource.attributes
        if _wants_json(request):
            rows = [self._resources.json(resource, serial, expansions, extensions) for serial in page]
            return _json(list_json(resource.plural, resource.single, attributes, rows))
        trees = [self._resources.tree(resource, serial, expansions, extensions) for serial in page]
        return _xml(to_xml(resource.plural, {**attributes, resource.single: trees}))

    def _respond(self, request: Request, name: str, tree: Tree) -> Response:
        return _json(to_json({name: tree})) if _wants_json(request) else _xml(to_xml(name, tree))


def create(district: District, settings: Mapping[str, str]) -> PowerSchoolSandbox:
    """The sandbox's factory."""
    return PowerSchoolSandbox(district, settings)


def _time() -> Tree:
    now = time.time()
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    return {"time": text, "timestamp": int(now * 1000)}


def _names(asked: Mapping[str, str], key: str) -> frozenset[str]:
    return frozenset(name.strip() for name in asked.get(key, "").split(",") if name.strip())


def _positive(asked: Mapping[str, str], key: str, default: int) -> int:
    text = asked.get(key) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise Refused(400, f"Invalid {key}.")
    return int(text)


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "").lower()


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json;charset=UTF-8")


def _xml(body: bytes) -> Response:
    return Response(body, media_type="application/xml;charset=UTF-8")
