"""Giving a token back (RFC 7009), pure: what is sent, and what the answer means."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from authlib.oauth2.rfc7009 import prepare_revoke_token_request  # type: ignore[import-untyped]
from pydantic import SecretStr

from sis_connect.errors import ConfigurationError, NotOffered, SISError
from sis_connect.oauth.answers import error_code, oauth_error
from sis_connect.oauth.client import OAuthClient
from sis_connect.oauth.requests import TokenRequest, authenticated, sendable
from sis_connect.transport.addresses import origin_of, safe_base
from sis_connect.transport.answers import ErrorReader, Response, fault

#: What a token is, told to a server that would otherwise have to look everywhere.
Hint = Literal["access_token", "refresh_token"]

#: Some servers name a token that is dead already, where the standard has them say that all is well: it is what we wanted.
_GONE = ("invalid_token", "invalid_grant")


def revocation_request(client: OAuthClient, token: SecretStr, hint: Hint, url: str, secret: SecretStr | None) -> TokenRequest:
    """The request that ends a token. It carries secrets, so it goes nowhere but to the server that tokens come from (P8)."""
    safe_base(url, "revocation URL")
    here, there = origin_of(client.token_url), origin_of(url)
    if there != here:
        raise ConfigurationError(
            f"The revocation URL is at {there.host}:{there.port}, tokens come from {here.host}:{here.port}. Nothing was sent.",
            remedy="Give a revocation_url on the server of the token URL.",
        )

    def build() -> TokenRequest:
        body, _ = prepare_revoke_token_request(token.get_secret_value(), hint)
        return authenticated(client, url.strip(), body, secret)

    return sendable(build)


def check_revoked(response: Response, *, url: str, now: datetime) -> None:
    """Raise what stands against the token being gone. A server need not have known it."""
    if response.status == 200 and not response.body.strip():
        return  # whatever kind of nothing it says it is
    if response.status == 400 and error_code(response.body) in _GONE:
        return
    refused = fault(response, base_url=url, now=now, read_error=_read_error(origin_of(url).host))
    if refused is not None:
        raise refused


def _read_error(host: str) -> ErrorReader:
    common_reader = oauth_error(host)

    def read(status: int, headers: Mapping[str, str], body: bytes) -> SISError | None:
        if status < 500 and error_code(body) == "unsupported_token_type":
            return NotOffered(
                f"{host} does not take back tokens of this kind.",
                remedy="It ends by itself; to end it sooner, have the district's administrator disable the connection.",
            )
        return common_reader(status, headers, body)

    return read
