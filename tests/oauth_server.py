"""An OAuth server on a real loopback socket, in a thread of its own; its protocol is Authlib's (see `oauth_authority`).

with oauth_server(lifetime=60) as server:
    token = server.consented("roster")          # what a consent brings, without a browser
    server.answer_next(Answer(429, headers={"retry-after": "7"}))
    ...
    assert server.count("refresh_token") == 1 and server.reuses == 0
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any, cast
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from authlib.oauth2 import OAuth2Error  # type: ignore[import-untyped]
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from oauth_authority import Authority
from oauth_records import Asked, Client, Reply
from sis_connect.testing.sandbox_server import ServerThread

CLIENT_ID = "district-client"
CLIENT_SECRET = "a-client-secret-of-the-district"
PUBLIC_CLIENT_ID = "desktop-client"
#: Any loopback port, and a web app.
REDIRECT_URIS = ["http://127.0.0.1/callback", "https://app.example.org/sis/callback"]


@dataclass(frozen=True)
class Answer:
    """What the token URL answers instead of its own: `body` is sent as JSON unless it is bytes."""

    status: int = 200
    body: object = b""
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        if isinstance(self.body, bytes):
            return Response(self.body, self.status, {"content-type": "text/html", **self.headers})
        return Response(json.dumps(self.body), self.status, {"content-type": "application/json", **self.headers})


@dataclass(frozen=True)
class TokenCall:
    """One request to the token or revocation URL, and what it was answered with (`None`: nothing, the connection broke off)."""

    path: str
    grant_type: str
    status: int | None
    form: dict[str, str]
    headers: dict[str, str]


class OAuthServer:
    """The server. Everything that is public may be set while it runs.

    `alter_token` changes a good answer of the token URL, `alter_redirect` the parameters of a redirect, `metadata` what the
    server says of itself (`None` takes a key out), `authority.id_token_claims` what an ID token says. `denies` refuses consent.
    `lose_answers` is how many answers of the token URL are lost on the way: the server has done what was asked, and nobody hears.
    """

    def __init__(self, *, lifetime: int | None = 3600, rotates: bool = True, port: int = 0, path: str = "") -> None:
        self.calls: list[TokenCall] = []
        self.visits: list[str] = []
        self.alter_token: Callable[[dict[str, Any]], dict[str, Any]] = lambda token: token
        self.alter_redirect: Callable[[dict[str, str]], dict[str, str]] = lambda parameters: parameters
        self.metadata: dict[str, object] = {}
        self.denies = False
        self.lose_answers = 0
        self.break_off: Callable[..., None] = lambda scope, reset: None
        self._answers: deque[Answer] = deque()
        self._arrived = threading.Condition()
        self._begun = 0
        self._open_before, self._open_after = threading.Event(), threading.Event()
        self.resume()
        self._thread = ServerThread(cast("Any", self), port)
        self.origin = self._thread.server.base_url
        self._path = path
        self.issuer = self.origin + path
        self.authority = Authority(self.issuer)
        self.authority.lifetime, self.authority.rotates = lifetime, rotates
        self.client = self.add_client(CLIENT_ID, CLIENT_SECRET)
        self.add_client(PUBLIC_CLIENT_ID)
        self.client_id, self.client_secret = CLIENT_ID, CLIENT_SECRET

    @property
    def token_url(self) -> str:
        return f"{self.issuer}/token"

    @property
    def authorize_url(self) -> str:
        return f"{self.issuer}/authorize"

    @property
    def revocation_url(self) -> str:
        return f"{self.issuer}/revoke"

    @property
    def resource_url(self) -> str:
        """Answers 200 to a valid access token and 401 to any other."""
        return f"{self.origin}/resource"

    @property
    def reuses(self) -> int:
        """How often a refresh token or a code came a second time: each time all that came of that consent was revoked."""
        return self.authority.reuses

    def add_client(self, client_id: str, *secrets: str, redirect_uris: list[str] | None = None) -> Client:
        """Register a client; without secrets it is a public one."""
        client = Client(client_id, list(secrets), redirect_uris or list(REDIRECT_URIS))
        self.authority.clients[client_id] = client
        return client

    def count(self, grant_type: str) -> int:
        """How many requests came for this grant."""
        return sum(call.grant_type == grant_type for call in list(self.calls))

    def answer_next(self, *answers: Answer) -> None:
        """Answer the next requests to the token URL with these, in order, and do nothing of what they ask."""
        self._answers.extend(answers)

    def hold_requests(self) -> None:
        """Let requests to the token URL wait before anything is done, until `resume`."""
        self._open_before.clear()

    def hold_answers(self) -> None:
        """Do what the token URL is asked, rotate and all, and keep the answer back until `resume`."""
        self._open_after.clear()

    def resume(self) -> None:
        """Let everything through that was held."""
        self._open_before.set()
        self._open_after.set()

    def wait_for(self, requests: int, timeout: float = 30) -> None:
        """Wait until so many requests have come to the token URL in all. Blocks: from a coroutine, use a thread."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: self._begun >= requests, timeout):
                raise TimeoutError(f"{self._begun} of {requests} requests have come.")

    def consented(self, scope: str = "roster", client_id: str = CLIENT_ID) -> dict[str, Any]:
        """The answer of the token URL after somebody consented, without the way there."""

        def issue() -> dict[str, Any]:
            client = self.authority.clients[client_id]
            token = self.authority.generate_token("authorization_code", client, user="an administrator", scope=scope)
            request = Asked("POST", self.token_url, {}, {}, {})
            request.client = client
            self.authority.save_token(token, request)
            return dict(token)

        return cast("dict[str, Any]", self._thread.call(issue))

    def withdraw(self) -> None:
        """The district takes every consent back."""
        for token in self.authority.tokens:
            token.revoked = True

    def accepts(self, access_token: str) -> bool:
        """Whether this access token is valid now."""
        return self.authority.accepts(access_token)

    def visit(self, url: str) -> str:
        """Open an authorize URL as a browser would, consent at once, and return where it redirects to."""
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}" == self.origin, f"{url} is not of this server"
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        try:
            connection.request("GET", f"{parts.path}?{parts.query}")
            answer = connection.getresponse()
            location = answer.getheader("location")
            assert location, f"no redirect: {answer.status} {answer.read().decode()}"
            return location
        finally:
            connection.close()

    def stop(self) -> None:
        self.resume()
        self._thread.stop()

    # -- the wire ------------------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        answer = await self._respond(request)
        if answer is None:
            self.break_off(scope, reset=True)
        else:
            await answer(scope, receive, send)

    async def _respond(self, request: Request) -> ASGIApp | None:
        path = request.url.path.removeprefix(self._path)
        well_known = (f"/.well-known/oauth-authorization-server{self._path}", f"{self._path}/.well-known/openid-configuration")
        if request.url.path in well_known:
            return Answer(body=self._described()).response()
        match path:
            case "/authorize":
                return self._authorize(request)
            case "/token" | "/revoke":
                return await self._token(request, path)
            case "/resource":
                valid = self.accepts(request.headers.get("authorization", "").removeprefix("Bearer "))
                return Answer(body={}).response() if valid else Answer(401, headers={"www-authenticate": "Bearer"}).response()
        return Answer(404).response()

    def _described(self) -> dict[str, object]:
        document: dict[str, object] = {
            "issuer": self.issuer,
            "authorization_endpoint": self.authorize_url,
            "token_endpoint": self.token_url,
            "revocation_endpoint": self.revocation_url,
            "response_types_supported": ["code"],
            "scopes_supported": ["openid", "roster"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }
        return {key: value for key, value in document.items() if value is not None}

    def _authorize(self, request: Request) -> Response:
        self.visits.append(str(request.url))
        asked = Asked("GET", str(request.url), dict(request.headers), parse_qs(request.url.query), {})
        try:
            grant = self.authority.get_consent_grant(asked, end_user="an administrator")
        except OAuth2Error as error:
            return _as_response(self.authority.handle_error_response(asked, error))
        user = None if self.denies else "an administrator"
        reply: Reply = self.authority.create_authorization_response(asked, grant_user=user, grant=grant)
        if reply.location:
            base, _, query = reply.location.partition("?")
            reply.location = f"{base}?{urlencode(self.alter_redirect(dict(parse_qsl(query))))}"
        return _as_response(reply)

    async def _token(self, request: Request, path: str) -> Response | None:
        headers = {name.title(): value for name, value in request.headers.items()}
        fields = parse_qs((await request.body()).decode(), keep_blank_values=True)
        asked = Asked(request.method, str(request.url), headers, parse_qs(request.url.query), fields)
        with self._arrived:
            self._begun += path == "/token"
            self._arrived.notify_all()
        await _opened(self._open_before)
        answer: Response | None
        if path == "/token" and self._answers:
            answer = self._answers.popleft().response()
        elif path == "/token":
            reply: Reply = self.authority.create_token_response(asked)
            if reply.status == 200:
                reply.body = self.alter_token(dict(reply.body))
            answer = _as_response(reply)
        else:
            answer = _as_response(self.authority.create_endpoint_response("revocation", asked))
        await _opened(self._open_after)
        if path == "/token" and self.lose_answers > 0:
            self.lose_answers -= 1
            answer = None
        grant_type = asked.form.get("grant_type", "")
        self.calls.append(TokenCall(path, grant_type, answer.status_code if answer else None, asked.form, headers))
        return answer


async def _opened(gate: threading.Event) -> None:
    if not gate.is_set():
        await asyncio.to_thread(gate.wait)


def _as_response(reply: Reply) -> Response:
    if isinstance(reply.body, dict):
        named = {name.lower(): value for name, value in reply.headers.items()}
        return Response(json.dumps(reply.body), reply.status, {**named, "content-type": "application/json"})
    return Response(reply.body, reply.status, reply.headers)


@contextmanager
def oauth_server(**options: Any) -> Iterator[OAuthServer]:
    """Serve while the `with` lasts; options are those of `OAuthServer`."""
    server = OAuthServer(**options)
    try:
        yield server
    finally:
        server.stop()
