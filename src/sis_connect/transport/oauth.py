"""OAuth 2.0 client credentials as a pure flow: what to send to the token URL, and what its answer means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from authlib.oauth2.auth import ClientAuth  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749.parameters import prepare_token_request  # type: ignore[import-untyped]
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from sis_connect.errors import AuthenticationError, SISError, UnexpectedResponse
from sis_connect.tokens.token import AccessToken, StoredToken
from sis_connect.transport.addresses import origin_of, safe_base
from sis_connect.transport.answers import ErrorReader, Response, as_json, fault

#: Where a server does not say how long a token lives, it is taken for this long: short enough to notice, long enough to work.
DEFAULT_LIFETIME = timedelta(hours=1)
#: No answer makes us believe in a longer life than this.
_LONGEST_LIFETIME = timedelta(days=3660).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials:
    """Who we are at the token URL."""

    token_url: str
    client_id: str
    client_secret: SecretStr
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request to the token URL. It holds the secret, so its repr shows neither headers nor body."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def token_request(credentials: ClientCredentials) -> TokenRequest:
    """The request for a token: client id and secret in the header (Basic), the grant in a form."""
    url = safe_base(credentials.token_url, "token URL")
    body = prepare_token_request("client_credentials", scope=credentials.scope)
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}
    client = ClientAuth(credentials.client_id, credentials.client_secret.get_secret_value())
    try:
        url, headers, body = client.prepare("POST", url, headers, body)
    except UnicodeEncodeError:
        raise AuthenticationError("The client id or secret holds characters that no SIS hands out.") from None
    return TokenRequest(url, headers, body.encode())


def _seconds(value: object) -> object:
    return float(value) if isinstance(value, str) else value


class _Answer(BaseModel):
    """What a token URL answers with. Some servers send numbers as text."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, allow_inf_nan=False)

    access_token: Annotated[SecretStr, Field(min_length=1)]
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme
    expires_in: Annotated[float | None, BeforeValidator(_seconds)] = None


def read_token(response: Response, *, credentials: ClientCredentials, now: datetime) -> StoredToken:
    """The token in an answer. Raises a named error for anything that is not one."""
    host = origin_of(credentials.token_url).host
    refused = fault(response, base_url=credentials.token_url, now=now, read_error=_oauth_error(host))
    if refused is not None:
        raise refused
    body = as_json(response, base_url=credentials.token_url).body
    try:
        answer = _Answer.model_validate_json(body)
    except ValidationError as error:
        faults = ", ".join(str(fault["loc"][0]) if fault["loc"] else "its form" for fault in error.errors(include_input=False))
        raise UnexpectedResponse(f"{host} answered the request for a token with something else (wrong: {faults}).") from None
    _check(answer, host)
    seconds = DEFAULT_LIFETIME.total_seconds() if answer.expires_in is None else min(answer.expires_in, _LONGEST_LIFETIME)
    return StoredToken(
        access_token=AccessToken(answer.access_token.get_secret_value()),
        obtained_at=now,
        expires_at=now + timedelta(seconds=seconds),
    )


def _check(answer: _Answer, host: str) -> None:
    token = answer.access_token.get_secret_value()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise UnexpectedResponse(f"{host} handed out a token with characters that cannot be sent in a header.")
    if answer.token_type.strip().lower() != "bearer":
        raise UnexpectedResponse(f"{host} hands out tokens of another type than Bearer, which is not supported.")
    if answer.expires_in is not None and answer.expires_in <= 0:
        # A server that hands out one token until its end may do so in its last second; the next one is fresh.
        raise UnexpectedResponse(f"{host} handed out a token that has already expired.", retryable=True)


#: What the error codes of RFC 6749 (section 5.2) mean to an operator.
_REFUSALS = {
    "invalid_client": "does not know this client id, or the secret is wrong",
    "unauthorized_client": "does not let this client fetch tokens by itself",
    "unsupported_grant_type": "does not hand out tokens for client id and secret",
    "invalid_grant": "does not accept these credentials any more",
    "invalid_scope": "does not grant the scope that is asked for",
    "invalid_request": "does not understand the request for a token",
    "access_denied": "denies access to this client",
}


def _oauth_error(host: str) -> ErrorReader:
    def read(status: int, headers: Mapping[str, str], body: bytes) -> SISError | None:
        if status not in (400, 401, 403):
            return None
        reason = _REFUSALS.get(_error_code(body), "does not accept this client id and secret")
        return AuthenticationError(f"{host} {reason} (status {status}).")

    return read


class _Refusal(msgspec.Struct):
    error: str = ""


def _error_code(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Refusal).error
    except (msgspec.DecodeError, RecursionError):
        return ""
