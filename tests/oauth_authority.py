"""Authlib's server side put together as one authority: PKCE with S256 only, rotation, reuse detection, revocation, ID tokens.

None of its protocol is ours. What it lacks by design is storage, which here is memory, and a web framework; see `oauth_server`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
    AuthorizationServer,
    InvalidRequestError,
    grants,
)
from authlib.oauth2.rfc6750 import BearerTokenGenerator  # type: ignore[import-untyped]
from authlib.oauth2.rfc7009 import RevocationEndpoint  # type: ignore[import-untyped]
from authlib.oauth2.rfc7636 import CodeChallenge  # type: ignore[import-untyped]
from authlib.oauth2.rfc9207 import IssuerParameter  # type: ignore[import-untyped]
from authlib.oidc.core import OpenIDCode  # type: ignore[import-untyped]
from joserfc.jwk import ECKey

from oauth_records import METHODS, Asked, Client, Code, Reply, Token

_CODE_SECONDS = 60


class Authority(AuthorizationServer):  # type: ignore[misc]
    """The authority. `reuses` counts spent refresh tokens and codes that came again; each kills its whole family."""

    def __init__(self, issuer: str) -> None:
        super().__init__()
        self.issuer = issuer
        self.lifetime: int | None = 3600
        self.rotates = True
        self.refresh_tokens = True
        self.now: Callable[[], float] = time.time
        self.id_token_claims: dict[str, Any] = {}
        self.users: dict[str, str] = {}
        self.clients: dict[str, Client] = {}
        self.codes: dict[str, Code] = {}
        self.tokens: list[Token] = []
        self.reuses = 0
        self.key = ECKey.generate_key("P-256")
        self.register_token_generator("default", self._generate)
        self.register_grant(_CodeGrant, [_Challenge(required=True), _IdToken(self)])
        for grant in (_RefreshGrant, _ClientCredentialsGrant, _PasswordGrant):
            self.register_grant(grant)
        self.register_endpoint(_Revocation)
        self.register_extension(lambda _: _Issuer(issuer)(self))

    # -- what happens to tokens ----------------------------------------------------------------------------------------

    def kill(self, family: str) -> None:
        for token in self.tokens:
            if token.family == family:
                token.revoked = True

    def accepts(self, access_token: str) -> bool:
        return any(
            token.access_token == access_token
            and not token.revoked
            and (token.expires_at is None or self.now() < token.expires_at)
            for token in self.tokens
        )

    def with_refresh_token(self, refresh_token: str) -> Token | None:
        return next((token for token in self.tokens if token.refresh_token == refresh_token), None)

    # -- what Authlib asks for -----------------------------------------------------------------------------------------

    def _generate(self, **asked: Any) -> dict[str, Any]:
        wants_refresh = asked["include_refresh_token"] and self.refresh_tokens
        make = BearerTokenGenerator(
            lambda **_: f"access-{secrets.token_urlsafe(24)}",
            (lambda **_: f"refresh-{secrets.token_urlsafe(24)}") if wants_refresh else None,
            lambda client, grant_type: self.lifetime,
        )
        answer: dict[str, Any] = make(**asked)
        return answer

    def query_client(self, client_id: str) -> Client | None:
        return self.clients.get(client_id)

    def save_token(self, token: dict[str, Any], request: Asked) -> None:
        before: Token | None = request.refresh_token
        code: Code | None = request.authorization_code
        source = before or code
        self.tokens.append(
            Token(
                client_id=request.client.client_id,
                access_token=token["access_token"],
                refresh_token=token.get("refresh_token"),
                scope=token.get("scope", ""),
                expires_at=self.now() + self.lifetime if self.lifetime is not None else None,
                family=source.family if source else secrets.token_hex(8),
            )
        )

    def create_oauth2_request(self, request: Asked) -> Asked:
        return request

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Reply:
        return Reply(status, body, dict(headers))

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""


class _CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def save_authorization_code(self, code: str, request: Asked) -> None:
        data = request.payload.data
        self.server.codes[code] = Code(
            code=code,
            client_id=request.client.client_id,
            redirect_uri=request.payload.redirect_uri,
            scope=request.scope or "",
            nonce=data.get("nonce"),
            code_challenge=data["code_challenge"],
            code_challenge_method=data["code_challenge_method"],
            issued_at=self.server.now(),
            family=secrets.token_hex(8),
        )

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        found: Code | None = self.server.codes.get(code)
        if found is None or found.client_id != client.client_id:
            return None
        if found.used:
            self.server.reuses += 1
            self.server.kill(found.family)
            return None
        return found if self.server.now() < found.issued_at + _CODE_SECONDS else None

    def delete_authorization_code(self, authorization_code: Code) -> None:
        authorization_code.used = True

    def authenticate_user(self, authorization_code: Code) -> str:
        return "an administrator"


class _Challenge(CodeChallenge):  # type: ignore[misc]
    """PKCE for every client, and never `plain`."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        if not grant.request.payload.data.get("code_challenge") or not grant.request.payload.data.get("code_challenge_method"):
            raise InvalidRequestError("PKCE with S256 is required.")
        super().validate_code_challenge(grant, redirect_uri)


class _IdToken(OpenIDCode):  # type: ignore[misc]
    def __init__(self, authority: Authority) -> None:
        super().__init__(require_nonce=True)
        self._authority = authority

    def resolve_client_private_key(self, client: Client) -> ECKey:
        return self._authority.key

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        now = int(self._authority.now())
        return {"iss": self._authority.issuer, "aud": [client.client_id], "iat": now, "exp": now + 600}

    def generate_user_info(self, user: str, scope: str) -> dict[str, Any]:
        return {"sub": "7", **self._authority.id_token_claims}

    def exists_nonce(self, nonce: str, request: Asked) -> bool:
        return any(code.nonce == nonce for code in self._authority.codes.values())


class _RefreshGrant(grants.RefreshTokenGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    @property
    def INCLUDE_NEW_REFRESH_TOKEN(self) -> bool:  # noqa: N802 - Authlib's name
        return bool(self.server.rotates)

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        token: Token | None = self.server.with_refresh_token(refresh_token)
        if token is not None and token.spent:
            self.server.reuses += 1
            self.server.kill(token.family)
        return None if token is None or token.revoked else token

    def authenticate_user(self, refresh_token: Token) -> str:
        return "an administrator"

    def revoke_old_credential(self, refresh_token: Token) -> None:
        refresh_token.spent = bool(self.server.rotates)


class _ClientCredentialsGrant(grants.ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS[:2]


class _PasswordGrant(grants.ResourceOwnerPasswordCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def authenticate_user(self, username: str, password: str) -> str | None:
        return username if self.server.users.get(username) == password else None


class _Revocation(RevocationEndpoint):  # type: ignore[misc]
    CLIENT_AUTH_METHODS = METHODS

    def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
        # A hint is only a hint: where it is wrong, all kinds are looked through (RFC 7009, section 2.1).
        return next((one for one in self.server.tokens if token_string in (one.access_token, one.refresh_token)), None)

    def revoke_token(self, token: Token, request: Asked) -> None:
        if request.form["token"] == token.refresh_token:
            self.server.kill(token.family)
        token.revoked = True


class _Issuer(IssuerParameter):  # type: ignore[misc]
    def __init__(self, issuer: str) -> None:
        self._issuer = issuer

    def get_issuer(self) -> str:
        return self._issuer
