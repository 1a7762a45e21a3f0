"""What is sent to a token URL, pure: one request from a client, a form and a secret."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from authlib.common.urls import add_params_to_uri  # type: ignore[import-untyped]
from authlib.oauth2.auth import ClientAuth  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749.parameters import prepare_token_request  # type: ignore[import-untyped]
from pydantic import SecretStr

from sis_connect.errors import AuthenticationError, ConfigurationError
from sis_connect.oauth.client import OAuthClient
from sis_connect.oauth.grants import Form
from sis_connect.transport.addresses import safe_base

_FORM = "application/x-www-form-urlencoded;charset=UTF-8"
_Prepared = tuple[str, dict[str, str], str]
_Encode = Callable[[Any, str, str, dict[str, str], str], _Prepared]


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request to a token URL. It holds the secret, maybe in its query, so its repr shows none of that."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)


def token_request(client: OAuthClient, form: Form, secret: SecretStr | None) -> TokenRequest:
    """The request for a token. The address is used as it was given, with its last slash, for some servers insist on theirs."""
    safe_base(client.token_url, "token URL")
    if client.method == "GET" and client.authentication == "body":
        raise ConfigurationError(
            "A GET to the token URL has no body that client id and secret could go into.",
            remedy="Set client_authentication to basic or query.",
        )
    return sendable(lambda: _token_request(client, form, secret))


def sendable(build: Callable[[], TokenRequest]) -> TokenRequest:
    """The request that `build` makes. What cannot be sent is an error without the frames in which secrets stand open."""
    with suppress(UnicodeEncodeError):
        return build()
    raise AuthenticationError("The client id or secret holds characters that no SIS hands out.")


def _token_request(client: OAuthClient, form: Form, secret: SecretStr | None) -> TokenRequest:
    grant = prepare_token_request(**{name: _plain(value, secret) for name, value in form.items()})
    if client.method == "POST":
        return authenticated(client, client.token_url.strip(), grant, secret)
    url = f"{client.token_url.strip()}?{grant}"
    return authenticated(client, url, "" if client.method == "POST_QUERY" else None, secret)


def authenticated(client: OAuthClient, url: str, body: str | None, secret: SecretStr | None) -> TokenRequest:
    """A request that says who asks. Without a body it is a GET. Make it within `sendable`."""
    method = "GET" if body is None else "POST"
    headers = {"Accept": "application/json", **client.headers} | ({} if body is None else {"Content-Type": _FORM})
    if client.parameters:
        url = add_params_to_uri(url, client.parameters)
    # Without an id there is nothing to say: the grant itself, such as a user's password, says who asks.
    if client.client_id:
        prepared = ClientAuth(client.client_id, _plain(secret, None), _METHODS[client.authentication])
        url, headers, body = prepared.prepare(method, url, headers, body)
    return TokenRequest(method, url, headers, None if body is None else body.encode())


def _plain(value: str | SecretStr | None, secret: SecretStr | None) -> str:
    value = secret if value is None else value
    return value.get_secret_value() if isinstance(value, SecretStr) else value or ""


def _basic_form_encoded(
    client: Any, _method: str, url: str, headers: dict[str, str], body: str
) -> tuple[str, dict[str, str], str]:
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    return url, {**headers, "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}, body


def _in_query(client: Any, _method: str, url: str, headers: dict[str, str], body: str) -> _Prepared:
    named = {"client_id": client.client_id, "client_secret": client.client_secret}
    return add_params_to_uri(url, named), headers, body


#: How Authlib calls the ways that it knows, and those that it does not.
_METHODS: Mapping[str, str | _Encode] = {
    "basic": "client_secret_basic",
    "basic_form_encoded": _basic_form_encoded,
    "body": "client_secret_post",
    "query": _in_query,
    "none": "none",
}
