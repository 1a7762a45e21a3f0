"""A token endpoint for sandboxes: client credentials and passwords, given in any of the usual ways, and tokens that end.

    grants = TokenGrants(sandbox.client_id, sandbox.client_secret, scopes={"roster"})
    response = await grants.answer(request)          # the token endpoint
    token = grants.token(authorization_header)       # None unless it is one that lives

What differs between vendors is a field: set it when it is made, or while it runs. Errors are those of RFC 6749.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote_plus
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

Credentials = Literal["basic", "body", "query"]
EVERY_WAY: frozenset[Credentials] = frozenset(("basic", "body", "query"))
FORM = "application/x-www-form-urlencoded"


class TokenRefused(Exception):  # noqa: N818 - the server's answer, not our error
    """No token, for one of the reasons of RFC 6749."""

    def __init__(self, error: str, description: str = "", status: int = 400) -> None:
        super().__init__(error)
        self.error, self.description, self.status = error, description, status


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """`until` is monotonic; None of the scopes means that there are none to speak of."""

    text: str
    until: float
    scopes: frozenset[str]
    client: str

    @property
    def seconds_left(self) -> float:
        return self.until - time.monotonic()


@dataclass(slots=True)
class TokenGrants:
    """`grants`: those that are known. `passwords`: user → password, for the password grant; the client's own id and secret where
    it is empty. `credentials`: the ways in which the client may say who it is; `form_encoded` and raw Basic are both understood.
    `parameters_in_query`: whether parameters may also stand in the URL. `methods`: of the request.
    `scopes`: those there are; without any, what is asked for is given. `scope`: `optional` (all of them unless asked for some),
    `required` or `refused`. `granted`: of the scopes, those that this client may have; None: all.
    `life`: seconds. `same_again`: the token that lives is handed out again. `expires_in`: as a number, as text, or not at all.
    """

    client_id: str
    client_secret: str
    grants: Collection[str] = ("client_credentials",)
    passwords: Mapping[str, str] = field(default_factory=dict)
    credentials: Collection[Credentials] = EVERY_WAY
    client_needed: bool = True
    parameters_in_query: bool = True
    methods: Collection[str] = ("POST",)
    scopes: Collection[str] = ()
    scope: Literal["optional", "required", "refused"] = "optional"
    granted: Collection[str] | None = None
    life: float = 3600
    same_again: bool = False
    expires_in: Literal["number", "text", "none"] = "number"
    token_type: str = "Bearer"  # noqa: S105 - a word, no secret
    issued: dict[str, IssuedToken] = field(default_factory=dict)

    async def answer(self, request: Request) -> Response:
        """What the token endpoint says."""
        headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
        if request.method not in self.methods:
            return JSONResponse({"error": "invalid_request"}, 405, {**headers, "Allow": ", ".join(self.methods)})
        try:
            token = self._grant(request, await request.body())
        except TokenRefused as refused:
            body = {"error": refused.error} | ({"error_description": refused.description} if refused.description else {})
            if refused.status == 401:
                headers["WWW-Authenticate"] = 'Basic realm="tokens"'
            return JSONResponse(body, refused.status, headers)
        left = int(token.seconds_left + 0.5)
        told: dict[str, object] = {"access_token": token.text, "token_type": self.token_type}
        if self.expires_in != "none":
            told["expires_in"] = left if self.expires_in == "number" else str(left)
        if token.scopes:
            told["scope"] = " ".join(sorted(token.scopes))
        return JSONResponse(told, 200, headers)

    def token(self, authorization: str) -> IssuedToken | None:
        """The living token in an `Authorization` header."""
        token = self.known(authorization)
        return token if token is not None and token.seconds_left > 0 else None

    def known(self, authorization: str) -> IssuedToken | None:
        """The token in an `Authorization` header, dead or alive."""
        scheme, _, text = authorization.partition(" ")
        return self.issued.get(text.strip()) if scheme.lower() == "bearer" else None

    def end(self, token: IssuedToken) -> None:
        """A token dies before its time."""
        self.issued[token.text] = IssuedToken(token.text, 0.0, token.scopes, token.client)

    # Granting

    def _grant(self, request: Request, body: bytes) -> IssuedToken:
        kind = request.headers.get("content-type", FORM).partition(";")[0].strip().lower()
        if body and kind != FORM:
            raise TokenRefused("invalid_request", "The body must be a form.")
        form = _once(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        query = _once(parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True))
        asked = {**query, **form} if self.parameters_in_query or request.method == "GET" else form
        if not asked.get("grant_type"):
            raise TokenRefused("invalid_request", "grant_type is missing.")
        if asked["grant_type"] not in self.grants:
            raise TokenRefused("unsupported_grant_type")
        client = self._client(request.headers.get("authorization", ""), form, query)
        if asked["grant_type"] == "password":
            self._check_password(asked)
        elif client is None:
            raise TokenRefused("invalid_client", status=401)
        return self._issue(client or asked.get("username", ""), self._scopes(asked.get("scope", "")))

    def _client(self, authorization: str, form: Mapping[str, str], query: Mapping[str, str]) -> str | None:
        """Who asks. Whoever names a client must be it; only where none is needed may it stay unnamed."""
        given = list(self._given(authorization, form, query))
        if not given and not self.client_needed:
            return None
        if not given or not all(_same(pair, (self.client_id, self.client_secret)) for pair in given):
            raise TokenRefused("invalid_client", status=401)
        return self.client_id

    def _given(self, authorization: str, form: Mapping[str, str], query: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        scheme, _, code = authorization.partition(" ")
        if scheme.lower() == "basic" and "basic" in self.credentials:
            pair = basic(code)
            if pair != ("", ""):
                # RFC 6749 wants both form-encoded, most clients send them as they are.
                decoded = (unquote_plus(pair[0]), unquote_plus(pair[1]))
                yield pair if _same(pair, (self.client_id, self.client_secret)) else decoded
        for way, place in (("body", form), ("query", query)):
            if way in self.credentials and "client_id" in place:
                yield place["client_id"], place.get("client_secret", "")

    def _check_password(self, asked: Mapping[str, str]) -> None:
        known = self.passwords or {self.client_id: self.client_secret}
        user = asked.get("username", "")
        if user not in known or not _same((user, asked.get("password", "")), (user, known[user])):
            raise TokenRefused("invalid_grant")

    def _scopes(self, text: str) -> frozenset[str]:
        asked = frozenset(text.split())
        if (self.scope == "required" and not asked) or (self.scope == "refused" and asked):
            raise TokenRefused("invalid_scope", f"A scope is {self.scope}.")
        if not self.scopes:
            return asked
        if asked - frozenset(self.scopes):
            raise TokenRefused("invalid_scope", "There is no such scope.")
        allowed = frozenset(self.scopes if self.granted is None else self.granted)
        if asked and not asked & allowed:
            raise TokenRefused("invalid_scope", "This client may not have it.")
        return (asked or frozenset(self.scopes)) & allowed

    def _issue(self, client: str, scopes: frozenset[str]) -> IssuedToken:
        if self.same_again:
            for token in self.issued.values():
                if token.seconds_left > 0 and (token.scopes, token.client) == (scopes, client):
                    return token
        token = IssuedToken(str(uuid4()), time.monotonic() + self.life, scopes, client)
        self.issued[token.text] = token
        return token


def basic(code: str) -> tuple[str, str]:
    """Id and secret in Basic credentials; two blanks where there are none to be read."""
    try:
        user, _, secret = base64.b64decode(code.strip(), validate=True).decode("utf-8", "replace").partition(":")
    except binascii.Error:
        return "", ""
    return user, secret


def _once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    if len(pairs) != len({name for name, _ in pairs}):
        raise TokenRefused("invalid_request", "A parameter is there twice.")
    return dict(pairs)


def _same(given: tuple[str, str], expected: tuple[str, str]) -> bool:
    return all(hmac.compare_digest(one.encode(), other.encode()) for one, other in zip(given, expected, strict=True))
