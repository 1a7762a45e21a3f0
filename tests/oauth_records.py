"""What an authority keeps: its clients, codes and tokens, in memory; and requests and answers without a web framework."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]
    AuthorizationCodeMixin,
    ClientMixin,
    OAuth2Payload,
    OAuth2Request,
    TokenMixin,
)

GRANTS = ("authorization_code", "refresh_token", "client_credentials", "password")
METHODS = ["client_secret_basic", "client_secret_post", "none"]


@dataclass
class Client(ClientMixin):  # type: ignore[misc]
    """Who may ask. `secrets` are all valid at once; without any it is a public client. `methods` are how it may prove itself."""

    client_id: str
    secrets: list[str]
    redirect_uris: list[str]
    methods: list[str] = field(default_factory=lambda: list(METHODS))
    grants: tuple[str, ...] = GRANTS
    id_token_signed_response_alg: str = "ES256"

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Exactly as registered; only the port of a loopback address is free (RFC 8252, section 7.3)."""
        asked = urlsplit(redirect_uri)
        if asked.scheme == "http" and asked.hostname == "127.0.0.1":
            redirect_uri = asked._replace(netloc="127.0.0.1").geturl()
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        return any(secrets.compare_digest(client_secret, own) for own in self.secrets)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in self.methods and (method == "none") == (not self.secrets)

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.grants


@dataclass
class Code(AuthorizationCodeMixin):  # type: ignore[misc]
    """An authorization code."""

    code: str
    client_id: str
    redirect_uri: str
    scope: str
    nonce: str | None
    code_challenge: str
    code_challenge_method: str
    issued_at: float
    family: str
    used: bool = False

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(self.issued_at)

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


@dataclass
class Token(TokenMixin):  # type: ignore[misc]
    """An access token with the refresh token that came with it. A `family` is all that comes from one consent."""

    client_id: str
    access_token: str
    refresh_token: str | None
    scope: str
    expires_at: float | None
    family: str
    spent: bool = False
    revoked: bool = False

    def check_client(self, client: Client) -> bool:
        return self.client_id == client.client_id

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Reply:
    """An answer, whatever the web framework. `location` may be changed, which is how the issuer gets into it."""

    status: int
    body: Any
    headers: dict[str, str]

    @property
    def location(self) -> str | None:
        return self.headers.get("Location")

    @location.setter
    def location(self, value: str) -> None:
        self.headers["Location"] = value


class _Payload(OAuth2Payload):  # type: ignore[misc]
    def __init__(self, values: Mapping[str, list[str]]) -> None:
        self._values = values

    @property
    def data(self) -> dict[str, str]:
        return {name: values[0] for name, values in self._values.items()}

    @property
    def datalist(self) -> Mapping[str, list[str]]:
        return self._values


class Asked(OAuth2Request):  # type: ignore[misc]
    """A request as Authlib wants it: `query` and `fields` (of a form) with all their values."""

    def __init__(
        self, method: str, uri: str, headers: Mapping[str, str], query: Mapping[str, list[str]], fields: Mapping[str, list[str]]
    ) -> None:
        super().__init__(method, uri, headers=headers)
        self.payload = _Payload({**query, **fields})
        self._fields = {name: values[0] for name, values in fields.items()}
        self._query = {name: values[0] for name, values in query.items()}

    @property
    def args(self) -> dict[str, str]:
        return self._query

    @property
    def form(self) -> dict[str, str]:
        return self._fields
