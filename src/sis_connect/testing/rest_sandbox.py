"""A sandbox made of data: lists with their paths, how they are paged, and functions that write a record as the vendor's row.

    class HarborSandbox(RestSandbox):
        base_path = "/api"
        paging = Pages(page="page", size="per_page", rows="data", total="total")
        listings = (
            Listing("schools", path="/schools", row=school_row),
            Listing("students", path="/schools/{school}/students", row=student_row, since="updated_since"),
        )
        delivers = {"schools": {"name"}, "students": {"given_name", "family_name", "school", "status"}}

Tokens, limits, faults, days and the truth are looked after. A row function is the reverse of a plugin's mapping, written from the
API's notes and not from the plugin: the two meet on a socket only.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from hmac import compare_digest
from typing import Any, ClassVar, Literal, get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sis_connect.capabilities import KINDS, Kind, Leaving
from sis_connect.errors import ConfigurationError
from sis_connect.records import RECORDS, Record, required
from sis_connect.testing import district_roster
from sis_connect.testing.district import District
from sis_connect.testing.district_roster import DistrictRoster, Entry, belongs
from sis_connect.testing.district_truth import limited
from sis_connect.testing.listings import PARENTS, Listing, Pages, Place, parsed
from sis_connect.testing.refused import Refused
from sis_connect.testing.sandbox_app import Sandbox, other_origin
from sis_connect.testing.token_grants import Credentials, TokenGrants
from sis_connect.transport.redact import path_template

__all__ = ["Listing", "Pages", "RestSandbox"]

Row = Mapping[str, object]


class RestSandbox(Sandbox):
    """A REST interface over the synthetic district.

    `listings` are its paths below `base_path`, `paging` how their answers look. `delivers` names, by kind, the canonical fields
    that the API carries (`ids.NAME` and `custom.NAME` single members): the truth holds these and `sis_id`, and, where those who
    leave stay in the lists, `status`; a kind that is not named holds all. `leaving` says by kind what becomes of those who leave:
    `status`, `absence` or `tobedeleted`. With `stint_history` former stays are listed too. `grades` is how the vendor writes a
    grade, by its CEDS code (`{"KG": "K", "01": "1"}`); it is told as `grade_text`.
    `open_paths` answer anybody with what they name. `grants`, `token_life` (seconds) and `same_token` are about tokens.
    `client_authentication` is the only way in which a client may say who it is there: `basic`, `body` or `query`; "": any.
    With an `api_key_header` there are no tokens: each request shows the client secret there, behind `api_key_prefix`.
    """

    base_path: str = ""
    token_path: str = "/oauth/token"  # noqa: S105 - a path, no secret
    listings: ClassVar[tuple[Listing, ...]] = ()
    paging: ClassVar[Pages] = Pages()
    leaving: ClassVar[Mapping[Kind, Leaving]] = {}
    delivers: ClassVar[Mapping[Kind, Collection[str]]] = {}
    grades: ClassVar[Mapping[str, str]] = {}
    stint_history: ClassVar[bool] = False
    open_paths: ClassVar[Mapping[str, object]] = {}
    grants: ClassVar[tuple[str, ...]] = ("client_credentials",)
    token_life: ClassVar[float] = 3600.0
    same_token: ClassVar[bool] = False
    client_authentication: ClassVar[Credentials | Literal[""]] = ""
    api_key_header: ClassVar[str] = ""
    api_key_prefix: ClassVar[str] = ""

    def __init__(self, district: District, settings: Mapping[str, str]) -> None:
        super().__init__(district, settings)
        if mistakes := list(_mistakes(self)):
            raise ConfigurationError(f"The sandbox {type(self).__name__} is not as it should be: {'; '.join(mistakes)}.")
        self.tokens = self.make_tokens()
        self._whole: dict[Listing, list[Entry]] = {}
        self._changes: dict[tuple[Kind, str], dict[str, object]] = {}
        self._mislaid = False
        self._changed_at: tuple[date, int] = (district.today, 0)
        self.moved()

    # For vendors to override

    def make_tokens(self) -> TokenGrants:
        """The token endpoint."""
        tokens = TokenGrants(self.client_id, self.client_secret, grants=self.grants)
        tokens.life, tokens.same_again = self.token_life, self.same_token
        if self.client_authentication:
            tokens.credentials = frozenset((self.client_authentication,))
        return tokens

    def identify(self, kind: Kind, serial: int) -> str:
        """The id of a record in the vendor's tables: one of its kind, and the same on every day."""
        return district_roster.identify(kind, serial)

    def row(self, listing: Listing, record: Any) -> Row:
        """A row of a list; for what needs more than the record and what it brings. `self.roster` holds the others."""
        if not listing.brings:
            return listing.row(record)
        near = {kind: (entry.record for entry in self.roster.near(kind, record)) for kind in listing.brings}
        return listing.row(record, **{kind: [each for each in found if listing.tells(each)] for kind, found in near.items()})

    def told(self, kind: Kind, record: Any) -> Record:
        """The last word on what a perfect client has of a record, such as an identifier under the vendor's name."""
        found: Record = record
        return found

    def authorized(self, request: Request) -> bool:
        """Whether a request may be answered; by default, whether it shows a token that lives, or the key."""
        if self.api_key_header:
            shown = request.headers.get(self.api_key_header, "").encode()
            return compare_digest(shown, f"{self.api_key_prefix}{self.client_secret}".encode())
        token = self.tokens.token(request.headers.get("authorization", ""))
        if token is not None and self.faults.take("token_expiry", request.scope["path"]):
            self.tokens.end(token)
            return False
        return token is not None

    def other(self, request: Request, path: str) -> Response | None:
        """An answer to a path (below `base_path`) that is no list; None where it is not known either."""
        return None

    # What every sandbox answers

    def moved(self) -> None:
        self.roster = DistrictRoster(
            self.district,
            leaving=self.leaving,
            grades=self.grades,
            identify=self.identify,
            history=self.stint_history,
            changes=self._changes,
        )
        self._whole.clear()

    @property
    def clock(self) -> datetime:
        """An evening of the story's day, so that nothing was changed after it."""
        day, changes = self._changed_at
        minutes = changes if day == self.district.today else 0
        return self.evening + timedelta(minutes=minutes)

    def change(self, kind: Kind, sis_id: str, fields: Mapping[str, str]) -> None:
        if self.roster.find(kind, sis_id) is None:
            raise ConfigurationError(f"There is no record of {kind} with this id today.", remedy="Take one from the truth.")
        day, changes = self._changed_at
        self._changed_at = (self.district.today, changes + 1 if day == self.district.today else 1)
        changed = district_roster.changed(kind, sis_id, fields, self.clock)
        self._changes[kind, sis_id] = {**self._changes.get((kind, sis_id), {}), **changed}

    def truth(self, kind: Kind, *, history: bool) -> Iterator[tuple[str, Record]]:
        fields = self._fields(kind)
        if not any(kind in (listing.kind, *listing.brings) for listing in self.listings) and kind not in self.delivers:
            return
        for entry in self.roster.entries(kind, history=history or self.stint_history):
            if not entry.orphan and self._is_reached(kind, entry.record):
                yield entry.key, self.told(kind, limited(entry.record, fields))

    def _fields(self, kind: Kind) -> frozenset[str] | None:
        named = self.delivers.get(kind)
        if named is None:
            return None
        marked = self.leaving.get(kind, "status") != "absence"
        return frozenset(named) | frozenset(("status",) if marked else ())

    def _is_reached(self, kind: Kind, record: Record) -> bool:
        """Whether a list leads to a record, or to one whose row brings it. What is in no list comes with the rows of others."""
        lists = [listing for listing in self.listings if kind in (listing.kind, *listing.brings) and not listing.single]
        return not lists or any(
            self._leads_to(listing, record) if listing.kind == kind else self._brings(listing, record) for listing in lists
        )

    def _brings(self, listing: Listing, record: Record) -> bool:
        return listing.tells(record) and any(
            self._leads_to(listing, entry.record) for entry in self.roster.near(listing.kind, record)
        )

    def _leads_to(self, listing: Listing, record: Record) -> bool:
        if not listing.where(record):
            return False
        parents = {name: belongs(record, name) for name in listing.parents}
        return all(any(self._parent(name, each) for each in ids) for name, ids in parents.items())

    def _parent(self, name: str, sis_id: str) -> Entry | None:
        return self.roster.find(PARENTS[name], sis_id)

    # Answering

    @property
    def app(self) -> ASGIApp:
        return self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if scope["path"] == self.token_path:
            response = await self.tokens.answer(request)
        else:
            try:
                response = self._resource(request, await _parameters(request))
            except Refused as refused:
                response = self.error(refused.status, refused.message)
                response.headers.update(refused.headers)
            except Exception as error:  # noqa: BLE001 - a mistake in a row function or the like: its author is told
                self.notes.append("".join(traceback.format_exception(error)))
                sys.stderr.write(self.notes[-1])
                response = self.error(500, f"The sandbox itself failed ({type(error).__name__}: {error}).")
        await response(scope, receive, send)

    def _resource(self, request: Request, asked: Mapping[str, str]) -> Response:
        whole: str = request.scope["path"]
        path = whole.removeprefix(self.base_path)
        if path in self.open_paths and whole.startswith(self.base_path):
            return JSONResponse(self.open_paths[path])
        is_below = whole.startswith(self.base_path)
        places = [place for listing in self.listings for place in listing.find(path) if is_below]
        if not self.authorized(request):
            if request.method == "POST" and not places:
                self.notes.append(
                    f"POST {path_template(whole)} is no list. Tokens come from {self.token_path} here (token_path)."
                )
            raise Refused(401, "The token is missing or has expired.", {"WWW-Authenticate": "Bearer"})
        if not places:
            response = self.other(request, path) if is_below else None
            if response is None:
                self._note_mislaid(request.method, whole)
                raise Refused(404, "There is no such path.")
            return response
        here = [place for place in places if place.listing.method == request.method]
        if not here:
            raise Refused(405, "The method is not allowed.", {"Allow": ", ".join({p.listing.method for p in places})})
        found = [(place.listing, entry) for place in here for entry in self._entries(place, asked)]
        return self._said(request, here[0], found, asked)

    def _note_mislaid(self, method: str, path: str) -> None:
        """Say so, once, where a list is here but for what stands before it."""
        near = next((listing for listing in self.listings if listing.nearly(path)), None)
        if near is not None and not self._mislaid:
            self._mislaid = True
            self.notes.append(
                f"{method} {path_template(path)} is {self.base_path}{near.path} here. The paths of endpoints follow the base "
                f"URL, and that ends with the sandbox's base_path ({self.base_path or 'it has none'}): write what stands before "
                "all paths once, there or here."
            )

    def _said(self, request: Request, place: Place, found: Sequence[tuple[Listing, Entry]], asked: Mapping[str, str]) -> Response:
        listing = place.listing
        pages = listing.paging or self.paging
        target = f"{request.scope['path']}?{request.scope['query_string'].decode('latin-1')}"
        if listing.single:
            if not found:
                raise Refused(404, "There is no such record.")
            row = found[0][0].shown(self.row(found[0][0], found[0][1].record), asked)
            return _json(pages.one(row, listing.rows or ""))
        if place.is_count:
            return _json(*pages.counted(self.faults.total(target, len(found))))
        wanted = pages.wanted(asked)
        shown = self.faults.show(target, found, wanted.size, number=wanted.number, offset=wanted.offset)
        own = str(request.url.replace(query=""))
        elsewhere = other_origin(request.scope) if self.faults.take("next_elsewhere", target) else None
        rows = [each.shown(self.row(each, entry.record), asked) for each, entry in shown.rows]
        body, headers = pages.answer(rows, shown, wanted, asked, own=own, elsewhere=elsewhere, place=listing.rows)
        return _json(body, headers)

    def _entries(self, place: Place, asked: Mapping[str, str]) -> Iterable[Entry]:
        """The entries of one listing that a request is for. Lists that are asked for whole are kept, page after page."""
        listing = place.listing
        if place.context or any(name in asked for name in (*listing.filters, listing.since)):
            return self._chosen(place, asked)
        if listing not in self._whole:
            self._whole[listing] = list(self._chosen(place, asked))
        return self._whole[listing]

    def _chosen(self, place: Place, asked: Mapping[str, str]) -> Iterator[Entry]:
        listing, wanted = place.listing, dict(place.context)
        own = wanted.pop("id", None)
        for name, sis_id in wanted.items():
            if self._parent(name, sis_id) is None:
                raise Refused(404, f"There is no such {name}.")
        wanted |= {name: asked[parameter] for parameter, name in listing.filters.items() if parameter in asked}
        since = parsed(asked[listing.since]) if listing.since and asked.get(listing.since) else None
        for entry in self._candidates(listing.kind, own, wanted):
            record = entry.record
            if since and (record.updated_at is None or record.updated_at < since):
                continue
            if listing.where(record) and all(value in belongs(record, name) for name, value in wanted.items()):
                yield entry

    def _candidates(self, kind: Kind, own: str | None, wanted: Mapping[str, str]) -> Iterable[Entry]:
        """The entries to look through: one, those that belong to something, or all."""
        if own is not None:
            found = self.roster.find(kind, own)
            return () if found is None else (found,)
        name = next(iter(wanted), None)
        return self.roster.entries(kind) if name is None else self.roster.belonging(kind, name).get(wanted[name], ())


def _mistakes(sandbox: RestSandbox) -> Iterator[str]:
    """What a sandbox says about itself that cannot be meant."""
    listed = [kind for listing in sandbox.listings for kind in (listing.kind, *listing.brings)]
    for kind in dict.fromkeys((*sandbox.delivers, *sandbox.leaving, *listed)):
        if kind not in KINDS:
            yield f"there is no kind {kind!r}"
    for kind, named in sandbox.delivers.items():
        names = {name.partition(".")[0] for name in named}
        if kind in KINDS and (unknown := names - RECORDS[kind].model_fields.keys()):
            yield f"no record of {kind} has {', '.join(sorted(unknown))}, as in delivers"
        if kind in KINDS and (missing := required(kind) - names):
            yield f"delivers has {kind} without {', '.join(sorted(missing))}, which every record needs"
    for kind, leaving in sandbox.leaving.items():
        if leaving not in get_args(Leaving):
            yield f"leaving of {kind} is {leaving!r} and not one of {', '.join(get_args(Leaving))}"


async def _parameters(request: Request) -> dict[str, str]:
    """The parameters of the query, and of a body of JSON."""
    asked = dict(request.query_params)
    if request.method == "POST" and (body := await request.body()):
        try:
            told = json.loads(body)
        except ValueError:
            raise Refused(400, "The body is not JSON.") from None
        asked |= {name: str(value) for name, value in told.items()} if isinstance(told, dict) else {}
    return asked


def _json(body: object, headers: Mapping[str, str] | None = None) -> Response:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=_written)
    return Response(text.encode(), media_type="application/json", headers=dict(headers or {}))


def _written(value: object) -> str:
    """Dates as ISO 8601 writes them, times in UTC with a Z; what is written otherwise is for the row function to write."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"A row function wrote a {type(value).__name__}, which JSON has no word for.")
