"""The sandbox as identity provider: PowerSchool's OpenID Connect, by which somebody signs in and comes back with a code.

Nobody is asked: whoever opens the address has signed in and agreed. Settings, for what is not known of a real server:
`redirect_uri` (the one registered with the plugin), `consent` (`gives` or `denies`), `pkce` (`unnamed`: not in the discovery
document and not looked at; `s256`: named and demanded; `plain`: only that is named), `renewal` (whether a refresh token comes:
`none`, `kept` or `rotated`), `sign_in_life` (seconds), `sign_in_expiry` (`expires_in` as `text` or `number`, or `absent`),
`sign_in_opens` (`v1` or `nothing`), `failure_status` (of a code that is not exchanged), `named_issuer` (in the document: `same`
as in ID tokens, or `unslashed`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

DISCOVERY_PATH = "/oauth2/.well-known/openid-configuration"
#: The next two are ours: clients learn them from the document.
AUTHORIZE_PATH = "/oauth2/authorize"
EXCHANGE_PATH = "/oauth2/token"

SETTINGS: Mapping[str, str] = {
    "redirect_uri": "http://127.0.0.1:8914/callback",
    "consent": "gives",
    "pkce": "unnamed",
    "renewal": "none",
    "sign_in_life": "3600",
    "sign_in_expiry": "text",
    "sign_in_opens": "v1",
    "failure_status": "400",
    "named_issuer": "same",
}
CHOICES: Mapping[str, tuple[str, ...]] = {
    "consent": ("gives", "denies"),
    "pkce": ("unnamed", "s256", "plain"),
    "renewal": ("none", "kept", "rotated"),
    "sign_in_expiry": ("text", "number", "absent"),
    "sign_in_opens": ("v1", "nothing"),
    "failure_status": ("200", "400", "401"),
    "named_issuer": ("same", "unslashed"),
}
_METHODS = {"s256": ["S256"], "plain": ["plain"]}
_PERSONAS = ("staff", "teacher", "parent", "student")
_CODE_LIVES = 600


class _Failure(Exception):  # noqa: N818 - the server's answer, not our error
    """An OAuth error, with what it says to a person."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error, self.description = error, description


@dataclass(frozen=True, slots=True)
class _Consent:
    """What somebody agreed to."""

    persona: str
    nonce: str | None
    challenge: str | None
    at: float


class SignIn:
    """The addresses below `/oauth2`, and the tokens that they handed out. `settings` may change while it runs."""

    def __init__(self, settings: Mapping[str, str], client_id: str, client_secret: str) -> None:
        self._settings, self._client_id, self._client_secret = settings, client_id, client_secret
        self._codes: dict[str, _Consent] = {}
        #: Until when each token lives.
        self._tokens: dict[str, float] = {}
        self._refresh_tokens: dict[str, _Consent] = {}

    async def answer(self, request: Request) -> Response | None:
        """The answer to what is asked of the identity provider, None for every other address."""
        path = request.scope["path"].rstrip("/")
        if path == DISCOVERY_PATH and request.method == "GET":
            return JSONResponse(self._document(_base(request)))
        if path == AUTHORIZE_PATH and request.method == "GET":
            return self._authorize(dict(parse_qsl(request.url.query, keep_blank_values=True)))
        if path == EXCHANGE_PATH and request.method == "POST":
            form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
            return self._exchange(form, _base(request))
        return Response(status_code=405) if path in (DISCOVERY_PATH, AUTHORIZE_PATH, EXCHANGE_PATH) else None

    def opens(self, token: str) -> bool:
        """Whether this is a token of somebody who has signed in, and may be used for the API."""
        return time.time() < self._tokens.get(token, 0.0) and self._settings["sign_in_opens"] == "v1"

    def forget(self, token: str) -> None:
        """End a token before its time."""
        self._tokens.pop(token, None)

    def _document(self, base: str) -> dict[str, Any]:
        methods = _METHODS.get(self._settings["pkce"])
        return {
            "issuer": f"{base}/oauth2/" if self._settings["named_issuer"] == "same" else f"{base}/oauth2",
            "authorization_endpoint": base + AUTHORIZE_PATH,
            "token_endpoint": base + EXCHANGE_PATH,
            "scopes_supported": ["openid", "email", "profile"],
            "response_types_supported": ["code"],
            **({"code_challenge_methods_supported": methods} if methods else {}),
        }

    # A person agrees

    def _authorize(self, asked: Mapping[str, str]) -> Response:
        # Whoever cannot be told from a stranger is not sent anywhere.
        if asked.get("client_id") != self._client_id:
            return PlainTextResponse("This application is not known.", 400)
        redirect_uri = self._settings["redirect_uri"]
        if asked.get("redirect_uri") != redirect_uri:
            return PlainTextResponse("The redirect address is not the one that is registered.", 400)
        try:
            answer = {"code": self._code(asked)}
        except _Failure as failure:
            answer = {"error": failure.error, "error_description": failure.description}
        state = {"state": asked["state"]} if "state" in asked else {}
        separator = "&" if "?" in redirect_uri else "?"
        return RedirectResponse(f"{redirect_uri}{separator}{urlencode({**answer, **state})}", 302)

    def _code(self, asked: Mapping[str, str]) -> str:
        if asked.get("response_type") != "code":
            raise _Failure("unsupported_response_type", "Only codes are handed out.")
        if "openid" not in asked.get("scope", "").split():
            raise _Failure("invalid_scope", "The scope must contain openid.")
        persona = asked.get("_persona", "staff")
        if persona not in _PERSONAS:
            raise _Failure("invalid_request", "There is no such persona.")
        challenge = asked.get("code_challenge") if self._settings["pkce"] == "s256" else None
        if self._settings["pkce"] == "s256" and not (challenge and asked.get("code_challenge_method") == "S256"):
            raise _Failure("invalid_request", "A code challenge with S256 is needed.")
        if self._settings["consent"] == "denies":
            raise _Failure("access_denied", "Access was not given.")
        code = secrets.token_urlsafe(24)
        self._codes[code] = _Consent(persona, asked.get("nonce"), challenge, time.time())
        return code

    # A code becomes a token

    def _exchange(self, form: Mapping[str, str], base: str) -> Response:
        try:
            return JSONResponse(self._token(self._consent(form), base), headers={"Cache-Control": "no-store"})
        except _Failure as failure:
            told = {"error": failure.error, "error_description": failure.description}
            return JSONResponse(told, int(self._settings["failure_status"]))

    def _consent(self, form: Mapping[str, str]) -> _Consent:
        """What a request for a token stands on. Id and secret are looked for in the body only."""
        given = f"{form.get('client_id')}:{form.get('client_secret')}".encode()
        if not hmac.compare_digest(given, f"{self._client_id}:{self._client_secret}".encode()):
            raise _Failure("invalid_client", "Client authentication failed.")
        if form.get("grant_type") == "authorization_code":
            return self._of_code(form)
        if form.get("grant_type") == "refresh_token" and self._settings["renewal"] != "none":
            return self._of_refresh_token(form.get("refresh_token", ""))
        raise _Failure("unsupported_grant_type", "This grant type is not supported.")

    def _of_code(self, form: Mapping[str, str]) -> _Consent:
        consent = self._codes.pop(form.get("code", ""), None)
        if consent is None or time.time() >= consent.at + _CODE_LIVES:
            raise _Failure("invalid_grant", "The code is not known, was used or has expired.")
        if form.get("redirect_uri") != self._settings["redirect_uri"]:
            raise _Failure("invalid_grant", "The redirect address is another one.")
        if consent.challenge is not None:
            proof = _base64url(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
            if not hmac.compare_digest(proof, consent.challenge):
                raise _Failure("invalid_grant", "The code verifier is not the right one.")
        return consent

    def _of_refresh_token(self, token: str) -> _Consent:
        take = self._refresh_tokens.pop if self._settings["renewal"] == "rotated" else self._refresh_tokens.get
        consent = take(token, None)
        if consent is None:
            raise _Failure("invalid_grant", "The refresh token is not known or was used.")
        return consent

    def _token(self, consent: _Consent, base: str) -> dict[str, Any]:
        token, life = str(uuid4()), int(float(self._settings["sign_in_life"]))
        self._tokens[token] = time.time() + life
        told: Mapping[str, dict[str, object]] = {
            "text": {"expires_in": str(life)},
            "number": {"expires_in": life},
            "absent": {},
        }
        expiry = told[self._settings["sign_in_expiry"]]
        answer = {"access_token": token, "token_type": "Bearer", **expiry, "id_token": self._id_token(consent, base, life)}
        return answer if self._settings["renewal"] == "none" else {**answer, "refresh_token": self._refresh_token(consent)}

    def _refresh_token(self, consent: _Consent) -> str:
        token = secrets.token_urlsafe(32)
        self._refresh_tokens[token] = consent
        return token

    def _id_token(self, consent: _Consent, base: str, life: int) -> str:
        """Signed with the client's secret: how a real server signs is not known, and its keys are not ours to have."""
        head, body = ({"alg": "HS256", "typ": "JWT"}, _claims(consent, base, self._client_id, life))
        signed = ".".join(_base64url(msgspec.json.encode(part)) for part in (head, body))
        return f"{signed}.{_base64url(hmac.digest(self._client_secret.encode(), signed.encode(), 'sha256'))}"


def _claims(consent: _Consent, base: str, client_id: str, life: int) -> dict[str, Any]:
    """Who signed in, as the server says it: always the same person, whatever their persona."""
    now, uri = int(time.time()), f"{base}/uri/{consent.persona}/4711"
    return {
        "iss": f"{base}/oauth2/",
        "sub": uri,
        "aud": [client_id],
        "exp": now + life,
        "iat": now,
        "auth_time": int(consent.at),
        **({} if consent.nonce is None else {"nonce": consent.nonce}),
        "jti": str(uuid4()),
        "kid": "JWT Signing (Internal)",
        "persona": consent.persona,
        "email": "ada.example@example.org",
        "email_verified": False,
        "given_name": "Ada",
        "family_name": "Example",
        "preferred_username": "ada.example",
        "ps_dcid": 4711,
        "ps_uri": uri,
        "ps_account_token": base64.b64encode(hashlib.md5(uri.encode(), usedforsecurity=False).digest()).decode(),
        "oid2": f"{base}/oid/admin/ada.example",
    }


def _base(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
