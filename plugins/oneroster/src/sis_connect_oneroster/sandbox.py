"""A local server that behaves like OneRoster, 1.1 and 1.2 at once, over the synthetic district.

It knows nothing of this plugin's provider and mapping: both follow the notes on the standard, and meet on a socket only. What the
settings mean is told in `sandbox_settings`. A vendor's sandbox derives from `OneRosterSandbox` and overrides `bases`,
`make_roster`, `collections`, `extra`, `known_members`, `refuse`, `refuse_token` and the addresses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sis_connect.capabilities import Kind
from sis_connect.errors import ConfigurationError
from sis_connect.records import Record
from sis_connect.testing.collector import without_collector
from sis_connect.testing.district import District
from sis_connect.testing.sandbox_app import Sandbox, other_origin
from sis_connect_oneroster import sandbox_answers as answers
from sis_connect_oneroster import sandbox_collections, sandbox_query, sandbox_settings, sandbox_truth
from sis_connect_oneroster.sandbox_access import Access, Refused
from sis_connect_oneroster.sandbox_collections import KEYS, Found, Places
from sis_connect_oneroster.sandbox_query import Asked, QueryError, Reader
from sis_connect_oneroster.sandbox_rendering import Manner, Rendering
from sis_connect_oneroster.sandbox_roster import Entry, Roster
from sis_connect_oneroster.sandbox_rows import Row

_DISCOVERY = re.compile(r"(onerosterv1p2rostersservice|imsorv1p2_rostering)_openapi3_v1p0\.json")


class Asking(NamedTuple):
    """A request below one of the bases."""

    request: Request
    version: str
    base_url: str
    parts: list[str]
    query: str
    #: The address without its query, to the letter.
    sent: str
    #: Path and query, as faults are told apart by.
    target: str

    def manner(self, fields: frozenset[str] | None) -> Manner:
        return Manner(self.version, self.base_url, fields)


class OneRosterSandbox(Sandbox):
    known_settings: ClassVar[Mapping[str, str]] = sandbox_settings.SETTINGS
    choices = sandbox_settings.CHOICES
    numbers = sandbox_settings.NUMBERS
    client_settings = frozenset({"version", "end_dates"})

    def __init__(self, district: District, settings: Mapping[str, str]) -> None:
        super().__init__(district, settings)
        self.access = Access(self.client_id, self.client_secret, self.faults)
        self._places: dict[str, Places] = {}
        #: The rosters of the day before.
        self._former: dict[str, Roster] = {}
        self._chosen: dict[tuple[object, ...], list[Entry]] = {}
        self._settled: dict[str, str] = {}
        self._rendering = Rendering(self.settings)
        self.moved()

    # For vendors to override

    @property
    def bases(self) -> Mapping[str, str]:
        """Base path → version."""
        return {"/ims/oneroster/v1p1": "1.1", "/ims/oneroster/rostering/v1p2": "1.2"}

    @property
    def base_path(self) -> str:
        return next(base for base, version in self.bases.items() if version == self.settings["version"])

    @property
    def token_path(self) -> str:
        return "/token"

    @property
    def token_paths(self) -> frozenset[str]:
        """Tokens are also below each base, where a client looks that was not told; unless a vendor has a path of its own."""
        usual = self.token_path == "/token"  # noqa: S105 - a path, no secret
        return frozenset((self.token_path, *(f"{base}/token" for base in self.bases if usual)))

    def make_roster(self, version: str) -> Roster:
        return Roster(self.district, version, self.settings)

    def collections(self, version: str) -> Mapping[str, sandbox_collections.Collection]:
        """What can be listed, by name."""
        return sandbox_collections.COLLECTIONS

    def known_members(self, table: str, version: str) -> Collection[str]:
        """What can be filtered and sorted by, and selected."""
        return sandbox_query.members(table, version)

    def extra(self, version: str, parts: Sequence[str]) -> tuple[str, list[Row] | None] | None:
        """A list of the vendor's own: its key and its rows, None below an object that is not known."""
        return None

    def refuse(self, request: Request, version: str, parts: Sequence[str]) -> Response | None:
        """Why a request by a known client is not answered."""
        return None

    def refuse_token(self, request: Request) -> Response | None:
        """Why no token is given, whoever asks."""
        return None

    # The kit

    def set(self, key: str, value: str) -> None:
        sandbox_settings.check(key, value)
        super().set(key, value)

    def told_settings(self) -> dict[str, str]:
        if self.settings["auth"] != "oauth1":
            return super().told_settings()
        return {**super().told_settings(), "grant": "oauth1", "signature_method": self.settings["signature_method"]}

    def moved(self) -> None:
        if self.settings["auth"] == "oauth1" and self.settings["version"] != "1.1":
            raise ConfigurationError("Signed requests belong to version 1.1.", remedy="Choose version=1.1 beside auth=oauth1.")
        self._former |= {version: places.roster for version, places in self._places.items()}
        self._places.clear()
        self._chosen.clear()
        if self._settled == self.settings:
            return
        self._former.clear()
        self._settled = dict(self.settings)
        self._rendering = Rendering(self._settled)
        self.access.settle(self._settled)

    @property
    def clock(self) -> datetime:
        """An evening of the story's day, so that nothing was changed after it."""
        return self.evening

    @property
    def app(self) -> ASGIApp:
        return self._answer

    def truth(self, kind: Kind, *, history: bool) -> Iterator[tuple[str, Record]]:
        version = self.settings["version"]
        return sandbox_truth.truth(self.places(version).roster, kind)

    def error(self, status: int, message: str) -> Response:
        return answers.error(self.settings["version"], status, message, shape=self.settings["errors"])

    def places(self, version: str) -> Places:
        """What is where on this day."""
        if version not in self._places:
            collections = dict(self.collections(version))
            if self.settings["semesters"] == "in_terms":
                collections["terms"] = sandbox_collections.Collection("session", {"type": ("term", "semester")})
            roster = self.make_roster(version)
            if version in self._former:
                roster.follow(self._former.pop(version))
            self._places[version] = Places(roster, collections)
        return self._places[version]

    # Requests

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, version = Request(scope, receive), self.settings["version"]
        sent = scope.get("raw_path", scope["path"].encode()).partition(b"?")[0].decode("latin-1")
        path = re.sub("/{2,}", "/", sent)
        query = scope["query_string"].decode("latin-1")
        try:
            if path.rstrip("/") in self.token_paths:
                response = self.refuse_token(request) or await self.access.grants.answer(request)
            else:
                base, version = self._base(path)
                origin = f"{request.url.scheme}://{request.url.netloc}"
                parts = [unquote(part) for part in path.removeprefix(base).split("/") if part]
                target = f"{scope['path']}?{query}" if query else scope["path"]
                with without_collector():
                    response = self._read(
                        Asking(request, version, origin + base, parts, query, origin + sent, target), origin + path
                    )
        except Refused as refused:
            signed = self.settings["auth"] == "oauth1" and version == "1.1"
            scheme, shape = "OAuth" if signed else "Bearer", self.settings["errors"]
            response = answers.error(version, refused.status, refused.message, refused.minor, shape, scheme)
        except QueryError as error:
            response = answers.error(version, 400, str(error), error.minor, self.settings["errors"])
        await response(scope, receive, send)

    def _base(self, path: str) -> tuple[str, str]:
        for base, version in sorted(self.bases.items(), key=lambda item: -len(item[0])):
            if path == base or path.startswith(f"{base}/"):
                return base, version
        raise Refused(404, "There is nothing here.")

    def _read(self, asking: Asking, url: str) -> Response:
        request, version, parts = asking.request, asking.version, asking.parts
        if parts[:1] == ["discovery"] and len(parts) == 2 and version == "1.2" and _DISCOVERY.fullmatch(parts[1]):
            return self._discovery(asking)
        places = self.places(version)
        extra = self.extra(version, parts)  # noqa: S610 - no database is near
        if (extra is None and not places.offers(parts)) or self._not_offered(parts):
            raise Refused(404, "There is no such endpoint.")
        if request.method not in ("GET", "HEAD"):
            response = answers.error(version, 405, "This sandbox only reads.", shape=self.settings["errors"])
            response.headers["Allow"] = "GET, HEAD"
            return response
        self.access.check(request, asking.sent, version, parts, asking.target)
        refusal = self.refuse(request, version, parts)
        if refusal is not None:
            return refusal
        if extra is not None:
            return self._own_list(asking, url, *extra)
        found = places.find(parts)
        if found is None:
            raise Refused(404, "No such object is known.")
        return self._single(asking, found) if found.single else self._list(asking, url, found)

    def _not_offered(self, parts: Sequence[str]) -> bool:
        names = sandbox_settings.listed(self.settings["not_offered"])
        return sandbox_collections.pattern(parts) in names or bool(names & set(parts[::2]))

    # Lists and single objects

    def _asked(self, asking: Asking, table: str) -> Asked:
        settings = self.settings
        ignored = sandbox_settings.listed(settings["ignored"])
        query = asking.query
        if ignored:
            query = "&".join(part for part in query.split("&") if unquote(part.partition("=")[0]) not in ignored)
        reader = Reader(asking.version, int(settings["page_size"]), settings["unknown_sort"], settings["empty_filter"])
        asked = reader.read(query, table, self.known_members(table, asking.version))
        most = int(settings["cap"])
        if asked.limit > most and settings["over_cap"] == "reject":
            raise Refused(400, f"limit is at most {most}.")
        return asked

    def _list(self, asking: Asking, url: str, found: Found) -> Response:
        asked = self._asked(asking, found.table)
        key = (asking.version, tuple(asking.parts), asked.filter, asked.sort, asked.descending)
        if key not in self._chosen:
            roster = self.places(asking.version).roster
            self._chosen[key] = self._arranged(found.entries, asked, lambda entry, path: self._values(roster, entry, path))
        render = self._rendering.entries(asking.manner(asked.fields), self.places(asking.version).roster)
        return self._page(asking, url, asked, self._list_key(found), self._chosen[key], render)

    def _own_list(self, asking: Asking, url: str, key: str, rows: list[Row] | None) -> Response:
        if rows is None:
            raise Refused(404, "No such object is known.")
        known = frozenset(name for row in rows for name in row)
        reader = Reader(asking.version, int(self.settings["page_size"]), "ignore", self.settings["empty_filter"])
        asked = reader.read(asking.query, "", known)
        chosen = self._arranged(rows, asked, sandbox_query.at)
        return self._page(asking, url, asked, key, chosen, self._rendering.own(asking.manner(asked.fields)))

    def _arranged(self, rows: list[Any], asked: Asked, at: Callable[[Any, tuple[str, ...]], list[Any]]) -> list[Any]:
        """Those that the filter lets through, in the order asked for."""
        ignore_case = self.settings["contains"] == "ignore_case"
        chosen = rows
        if asked.filter.clauses:
            chosen = [row for row in rows if asked.filter.holds(lambda path, row=row: at(row, path), ignore_case=ignore_case)]  # type: ignore[misc]
        if asked.sort is not None:
            path = asked.sort
            chosen = sorted(
                chosen, key=lambda row: [sandbox_query.as_text(value) for value in at(row, path)], reverse=asked.descending
            )
        if self.settings["duplicates"] == "on":
            chosen = [again for place, row in enumerate(chosen) for again in ([row, row] if place % 7 == 6 else [row])]
        return chosen

    def _values(self, roster: Roster, entry: Entry, path: tuple[str, ...]) -> list[Any]:
        match path:
            case ("sourcedId",):
                return [entry.sourced_id]
            case ("status",):
                return [entry.listed]
            case ("dateLastModified",):
                now = datetime.now(UTC).replace(tzinfo=None)
                return [now.isoformat(timespec="milliseconds") + "Z" if self.settings["modified"] == "now" else entry.modified]
        return sandbox_query.at(roster.row(entry), path)

    def _page(
        self, asking: Asking, url: str, asked: Asked, key: str, rows: Sequence[Any], render: Callable[[Any], bytes]
    ) -> Response:
        settings, faults = self.settings, self.faults
        limit, endless = min(asked.limit, int(settings["cap"])), settings["endless"] == "on"
        offset = asked.offset % len(rows) if endless and rows else asked.offset
        page = faults.slice(asking.target, rows, offset, limit)
        total = len(faults.rows(asking.target, rows, size=limit, later_page=offset > 0))
        if not page and settings["empty_page"] == "404":
            raise Refused(404, "There is nothing on this page.")
        told = faults.total(asking.target, total)
        shown = answers.Page(url, asking.query, limit=limit, offset=asked.offset, received=len(page), total=total, told=told)
        headers, members = shown.totals("none" if endless else settings["totals"])
        elsewhere = other_origin(asking.request.scope) if faults.take("next_elsewhere", asking.target) else None
        headers |= shown.link(settings["links"], settings["last_link"], elsewhere, endless=endless)
        if settings["perm_rev"] == "on":
            headers["X-Perm-Rev"] = str(self.district.day)
        warnings = [answers.status_info("success", "warning", minor, text) for minor, text in asked.warnings]
        if settings["warnings"] == "on":
            warnings.append(answers.status_info("success", "warning", "full success", "Some members are not supported."))
        if warnings and asking.version == "1.1":
            members = {**members, "statusInfoSet": warnings}  # type: ignore[dict-item]
        alone = settings["one_item"] == "object"
        return _json(answers.body(key, [render(row) for row in page], members, alone=alone), headers)

    def _list_key(self, found: Found) -> str:
        return found.name if self.settings["keys"] == "subtype" else KEYS[found.table][0]

    def _single(self, asking: Asking, found: Found) -> Response:
        pairs = parse_qsl(asking.query, keep_blank_values=True)
        if self.settings["single_query"] == "reject" and any(name != "fields" for name, _ in pairs):
            raise Refused(400, "A single object has no parameters but fields.")
        known = self.known_members(found.table, asking.version)
        fields = Reader(asking.version).selection(pairs, known, [])
        key = KEYS[found.table][1]
        if self.settings["keys"] == "subtype" and found.name not in ("demographics", "classes"):
            key = found.name[:-1]
        row = self._rendering.entries(asking.manner(fields), self.places(asking.version).roster)(found.entries[0])
        return _json(b'{"%s":%s}' % (key.encode(), row), {})

    def _discovery(self, asking: Asking) -> Response:
        """The service's description, as far as it concerns paths."""
        return JSONResponse(
            {
                "openapi": "3.0.0",
                "info": {"title": "OneRoster rostering of a synthetic district", "version": "1.2"},
                "servers": [{"url": asking.base_url}],
                "paths": {
                    f"/{name}": {"get": {"responses": {"200": {"description": "A list"}}}} for name in self.collections("1.2")
                },
            }
        )


def _json(content: bytes, headers: Mapping[str, str]) -> Response:
    return Response(content, media_type="application/json", headers=dict(headers))


def create(district: District, settings: Mapping[str, str]) -> OneRosterSandbox:
    """The sandbox's factory."""
    return OneRosterSandbox(district, settings)


def create_csv(district: District, settings: Mapping[str, str]) -> Sandbox:
    """The factory of the packages' sandbox, which is a module of its own."""
    from sis_connect_oneroster.sandbox_csv import create as create_packages

    return create_packages(district, settings)
