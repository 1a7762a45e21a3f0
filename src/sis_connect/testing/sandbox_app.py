"""What all sandboxes are built of: a vendor's routes behind counting, limits, faults and the control endpoints."""

from __future__ import annotations

import asyncio
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from email.utils import format_datetime
from time import monotonic
from typing import Any, ClassVar
from uuid import NAMESPACE_URL, uuid5

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sis_connect.capabilities import KINDS, Kind
from sis_connect.errors import ConfigurationError, SISError
from sis_connect.records import Record, on_request
from sis_connect.testing.district import District
from sis_connect.testing.district_renaming import rename
from sis_connect.testing.faults import Fault, Faults
from sis_connect.testing.traffic import Traffic

CONTROL = "/_sandbox"
#: Where redirects and links to another origin lead: a page that writes down who came with credentials.
ELSEWHERE = f"{CONTROL}/elsewhere"
#: What settings that are numbers look like.
WHOLE, POSITIVE, DECIMAL = r"\d+", r"[1-9]\d*", r"\d+(\.\d+)?"
#: The control endpoints answer below any path, so that they are also found below a base URL.
_BELOW = re.compile(f"{CONTROL}(/.*|$)")


class Sandbox(ABC):
    """A vendor's API over the synthetic district. A subclass answers requests (`app`) and tells the truth.

    `settings` are the `--set` values; a subclass names those it knows in `known_settings`, with their defaults, what they may be
    in `choices` and `numbers` (patterns such as `WHOLE`), and in `client_settings` those that a client must be told. `faults` are
    asked wherever a list, a total, a next link or a token is made. `token_path` and `base_path` are below the server's address,
    `token_url_query` (with its `?`) behind the token's; a subclass in which they depend on settings makes them properties.
    """

    known_settings: ClassVar[Mapping[str, str]] = {}
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    numbers: ClassVar[Mapping[str, str]] = {}
    client_settings: ClassVar[frozenset[str]] = frozenset()
    #: Fields that only an option of the provider brings; like on-request fields, they belong to the truth where they are named.
    optional_fields: ClassVar[frozenset[str]] = frozenset()
    #: What the vendor calls custom fields, where that is not their name in the truth.
    custom_names: ClassVar[Mapping[str, str]] = {}

    def __init__(self, district: District, settings: Mapping[str, str]) -> None:
        self.district = district
        self.faults = Faults()
        #: What the sandbox has to say to whoever runs it, such as a request that it has no answer to.
        self.notes: list[str] = []
        self.settings: dict[str, str] = dict(self.known_settings)
        for key, value in settings.items():
            self.set(key, value)
        self.client_id = str(uuid5(NAMESPACE_URL, f"https://example.org/{district.seed}/id"))
        self.client_secret = str(uuid5(NAMESPACE_URL, f"https://example.org/{district.seed}/secret"))

    @property
    def token_path(self) -> str:
        """Where tokens come from."""
        return "/oauth/token"

    @property
    def token_url_query(self) -> str:
        """What an administrator copies behind the token's address."""
        return ""

    @property
    def base_path(self) -> str:
        """What stands between the server's address and the API's paths."""
        return ""

    def told_settings(self) -> dict[str, str]:
        """What a client must know of the settings."""
        return {key: value for key, value in self.settings.items() if key in self.client_settings}

    @property
    @abstractmethod
    def app(self) -> ASGIApp:
        """The vendor's API."""

    @abstractmethod
    def truth(self, kind: Kind, *, history: bool) -> Iterator[tuple[str, Record]]:
        """What the API delivers of a kind today, as (neutral key, record); with `history` all stints so far."""

    def set(self, key: str, value: str) -> None:
        """Change a setting, also while the sandbox runs."""
        allowed = self.choices.get(key)
        if allowed and value not in allowed:
            raise ConfigurationError(f"The setting {key!r} cannot be {value!r}.", remedy=f"Choose one of {', '.join(allowed)}.")
        if key in self.numbers and not re.fullmatch(self.numbers[key], value):
            raise ConfigurationError(f"The setting {key!r} must be a number, not {value!r}.")
        if key not in self.known_settings:
            known = ", ".join(sorted(self.known_settings)) or "none"
            raise ConfigurationError(f"This sandbox has no setting {key!r}.", remedy=f"Known: {known}.")
        self.settings[key] = value

    @abstractmethod
    def moved(self) -> None:
        """The day or a setting has changed: forget what was made for the one before."""

    def change(self, kind: Kind, sis_id: str, fields: Mapping[str, str]) -> None:
        """Change a record, as somebody in the office would; `moved` is called afterwards. Names of fields are canonical."""
        raise ConfigurationError("This sandbox changes no record on demand.", remedy="Move the day.")

    @property
    def clock(self) -> datetime:
        """The time in the `Date` header of answers."""
        return datetime.now(UTC)

    @property
    def evening(self) -> datetime:
        """An evening of the story's day: a clock for servers that tell when records changed, since nothing changes after it."""
        return datetime.combine(self.district.today, time(22, tzinfo=UTC))

    def error(self, status: int, message: str) -> Response:
        """An error in the vendor's words."""
        return JSONResponse({"error": message}, status)

    @property
    def unavailable_page(self) -> str:
        """What the vendor shows while it is down."""
        return "<!DOCTYPE html><html><head><title>Page unavailable</title></head><body>Please come back later.</body></html>"


class SandboxApp:
    """The ASGI application around a vendor's sandbox. `break_off` ends the connection that a request came by."""

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        limit: tuple[int, float] | None = None,
        latency: float = 0.0,
        faults: Sequence[Fault] = (),
        tell_retry_after: bool = True,
    ) -> None:
        self.sandbox = sandbox
        self.traffic = Traffic(limit[0], limit[1]) if limit else Traffic()
        self.latency = latency
        self.tell_retry_after = tell_retry_after
        self.break_off: Callable[[Scope, bool], None] = lambda scope, reset: None
        #: Paths at the other origin that were reached with credentials.
        self.leaks: list[str] = []
        for fault in faults:
            sandbox.faults.add(fault)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = format_datetime(self.sandbox.clock, usegmt=True).encode()
                message = {**message, "headers": [*message["headers"], (b"date", date)]}
            await send(message)

        await self._serve(scope, receive, dated)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = re.sub("/{2,}", "/", scope["path"])
        scope = {**scope, "path": path}
        if control := _BELOW.search(path):
            response = await self._control(control[1].strip("/"), Request(scope, receive))
            await response(scope, receive, send)
            return
        wait = self.traffic.arrive(path, monotonic())
        if self.latency:
            await asyncio.sleep(self.latency)
        if wait is not None:
            await self._refusal(wait)(scope, receive, send)
        elif len(self.sandbox.faults):
            await self._faulty(scope, receive, send)
        else:
            await self.sandbox.app(scope, receive, send)

    def _refusal(self, wait: float) -> Response:
        response = self.sandbox.error(429, "Too many requests.")
        if self.tell_retry_after:
            response.headers["Retry-After"] = str(max(1, math.ceil(wait)))
        return response

    async def _faulty(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode("latin-1")
        take = self.sandbox.faults.arrive(f"{scope['path']}?{query}" if query else scope["path"])
        if slow := take("slow"):
            await self.sandbox.faults.hold(slow.number)
        if take("reset"):
            await self._break_off(scope, receive, reset=True)
        elif response := self._answer_instead(scope, take):
            await response(scope, receive, send)
        elif truncate := take("truncate"):
            await self._truncated(scope, receive, send, break_off=truncate.value == "connection")
        else:
            await self.sandbox.app(scope, receive, send)

    def _answer_instead(self, scope: Scope, take: Callable[[str], Fault | None]) -> Response | None:
        if fault := take("retry_after"):
            response = self.sandbox.error(429, "Too many requests.")
            response.headers["Retry-After"] = _retry_after(fault.value, self.sandbox.clock)
            return response
        if fault := take("status"):
            return self.sandbox.error(int(fault.number), "This fault was asked for.")
        if fault := take("html"):
            return HTMLResponse(self.sandbox.unavailable_page, int(fault.number))
        if fault := take("redirect"):
            return RedirectResponse(fault.value or other_origin(scope), 302)
        return None

    async def _truncated(self, scope: Scope, receive: Receive, send: Send, *, break_off: bool) -> None:
        start: dict[str, Any] = {}
        body = b""

        async def collect(message: Message) -> None:
            nonlocal body
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body += message.get("body", b"")

        await self.sandbox.app(scope, receive, collect)
        half = body[: len(body) // 2]
        promised = len(body) if break_off else len(half)
        headers = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
        await send({**start, "headers": [*headers, (b"content-length", str(promised).encode())]})
        await send({"type": "http.response.body", "body": half, "more_body": break_off})
        if break_off:
            await self._break_off(scope, receive, reset=False)

    async def _break_off(self, scope: Scope, receive: Receive, *, reset: bool) -> None:
        self.break_off(scope, reset)
        while (await receive())["type"] != "http.disconnect":
            pass

    # Control

    async def _control(self, name: str, request: Request) -> Response:
        if name.startswith("elsewhere"):
            return self._elsewhere(request)
        actions: dict[tuple[str, str], Callable[[Request], Awaitable[Response]]] = {
            ("POST", "day"): self._post_day,
            ("GET", "stats"): self._get_stats,
            ("POST", "fault"): self._post_fault,
            ("DELETE", "fault"): self._delete_fault,
            ("GET", "truth"): self._get_truth,
            ("POST", "set"): self._post_set,
            ("POST", "change"): self._post_change,
            ("GET", "leaks"): self._get_leaks,
        }
        action = actions.get((request.method, name))
        if action is None:
            known = any(path_name == name for _, path_name in actions)
            return JSONResponse({"error": f"There is no {request.method} {CONTROL}/{name}."}, 405 if known else 404)
        try:
            return await action(request)
        except SISError as error:
            return JSONResponse({"error": str(error)}, 400)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return JSONResponse({"error": f"The request cannot be understood ({type(error).__name__}: {error})."}, 400)

    async def _post_day(self, request: Request) -> Response:
        return JSONResponse({"date": self.set_day(int((await request.json())["day"]))})

    async def _get_stats(self, request: Request) -> Response:
        return JSONResponse(self.traffic.stats())

    async def _post_fault(self, request: Request) -> Response:
        self.sandbox.faults.add(Fault.from_json(await request.json()))
        return JSONResponse({"faults": len(self.sandbox.faults)})

    async def _delete_fault(self, request: Request) -> Response:
        self.sandbox.faults.clear()
        return JSONResponse({"faults": 0})

    async def _post_set(self, request: Request) -> Response:
        self.change_settings({str(key): str(value) for key, value in (await request.json()).items()})
        return JSONResponse(self.sandbox.settings)

    async def _post_change(self, request: Request) -> Response:
        asked = await request.json()
        self.change(str(asked["kind"]), str(asked["sis_id"]), asked["fields"])
        return JSONResponse({"changed": 1})

    async def _get_leaks(self, request: Request) -> Response:
        return JSONResponse(self.leaks)

    async def _get_truth(self, request: Request) -> Response:
        query = request.query_params
        fields = query["fields"].split(",") if "fields" in query else None
        lines = self.truth(query.get("kind", ""), history=query.get("history") == "1", fields=fields)
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        return PlainTextResponse(text, media_type="application/x-ndjson")

    def _elsewhere(self, request: Request) -> Response:
        if "authorization" in request.headers or request.method != "GET":
            self.leaks.append(request.url.path)
        return HTMLResponse(self.sandbox.unavailable_page)

    def set_day(self, day: int) -> str:
        """Move the district to a day; its date."""
        self.sandbox.district.move_to(day)
        self.sandbox.moved()
        return self.sandbox.district.today.isoformat()

    def change_settings(self, values: Mapping[str, str]) -> None:
        for key, value in values.items():
            self.sandbox.set(key, value)
        self.sandbox.moved()

    def change(self, kind: str, sis_id: str, fields: Mapping[str, object]) -> None:
        """Change a record on the day that it is."""
        self.sandbox.change(_kind(kind), sis_id, {str(name): str(value) for name, value in fields.items()})
        self.sandbox.moved()

    def rename(self) -> None:
        """Give everybody and everything in the district another name, under the same ids."""
        rename(self.sandbox.district)
        self.sandbox.moved()

    def truth(self, kind: str, *, history: bool = False, fields: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
        """What a perfect client would have, as plain JSON. `fields`: of the on-request fields only these; None: all of them."""
        chosen = _kind(kind)
        hidden = set() if fields is None else {*on_request(chosen), *self.sandbox.optional_fields} - set(fields)
        for key, record in self.sandbox.truth(chosen, history=history):
            yield {"key": key, **record.model_dump(mode="json", exclude_unset=True, exclude=hidden)}


def _kind(name: str) -> Kind:
    found = next((known for known in KINDS if known == name), None)
    if found is None:
        raise ConfigurationError(f"There is no kind {name!r}.", remedy=f"Known: {', '.join(KINDS)}.")
    return found


def other_origin(scope: Scope) -> str:
    """The same server under another name: another origin to every client."""
    host, port = scope.get("server") or ("127.0.0.1", 80)
    return f"http://localhost:{port}{ELSEWHERE}?server={host}"


def _retry_after(value: str, now: datetime) -> str:
    if value.startswith("date"):
        seconds = float(value.removeprefix("date").strip("+") or 1)
        return format_datetime(now + timedelta(seconds=seconds), usegmt=True)
    return value or "1"
