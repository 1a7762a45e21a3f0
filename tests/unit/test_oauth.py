"""Client credentials as a pure flow: the request that is sent, and what its answer means."""

from __future__ import annotations

import base64
import json
import pickle
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from sis_connect.errors import (
    AuthenticationError,
    ConfigurationError,
    NetworkError,
    RateLimited,
    SISError,
    UnexpectedResponse,
)
from sis_connect.tokens.token import StoredToken
from sis_connect.transport.answers import Response
from sis_connect.transport.oauth import DEFAULT_LIFETIME, ClientCredentials, read_token, token_request

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
CREDENTIALS = ClientCredentials(
    token_url="https://sis.example.org/oauth/access_token", client_id="district", client_secret=SecretStr("hush-hush")
)


def read(document: object, *, status: int = 200, **headers: str) -> StoredToken:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    headers = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return read_token(Response(status, headers, body), credentials=CREDENTIALS, now=NOW)


def test_the_request_has_the_secret_in_its_header_and_the_grant_in_a_form() -> None:
    request = token_request(CREDENTIALS)
    assert request.url == CREDENTIALS.token_url
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"district:hush-hush"
    assert request.headers["Content-Type"].startswith("application/x-www-form-urlencoded")
    assert request.body == b"grant_type=client_credentials"


def test_p7_the_request_shows_no_secret() -> None:
    assert "hush" not in repr(CREDENTIALS)
    request = token_request(CREDENTIALS)
    assert "Authorization" not in repr(request)
    assert repr(request) == f"TokenRequest(url={CREDENTIALS.token_url!r})"


@pytest.mark.parametrize("url", ["http://sis.example.org/token", "sis.example.org/token", "https://u:p@sis.example.org/token"])
def test_p8_secrets_go_to_a_safe_address_only(url: str) -> None:
    with pytest.raises(ConfigurationError, match="token URL"):
        token_request(ClientCredentials(token_url=url, client_id="x", client_secret=SecretStr("hush-hush")))


def test_a_secret_that_cannot_be_sent_is_not_quoted() -> None:
    with pytest.raises(AuthenticationError) as caught:
        token_request(
            ClientCredentials(token_url=CREDENTIALS.token_url, client_id="x", client_secret=SecretStr("hush\N{SNOWMAN}"))
        )
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("seconds", [2504956, "2504956", 2504956.0, "2504956.0"])
@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_a_token_is_read_whether_its_life_is_a_number_or_text(seconds: object, kind: str) -> None:
    token = read({"access_token": "abc", "token_type": kind, "expires_in": seconds})
    assert token.access_token.get_secret_value() == "abc"
    assert token.expires_at == NOW + timedelta(seconds=2504956)
    assert token.lifetime == timedelta(seconds=2504956)


def test_a_token_without_a_life_is_taken_for_an_hour() -> None:
    assert read({"access_token": "abc"}).expires_at == NOW + DEFAULT_LIFETIME


def test_a_life_beyond_reason_does_not_overflow() -> None:
    expires_at = read({"access_token": "abc", "expires_in": 1e300}).expires_at
    assert expires_at is not None
    assert expires_at.year < 2040


@pytest.mark.parametrize("seconds", [0, -5, "0"])
def test_a_token_that_is_dead_on_arrival_is_worth_another_attempt(seconds: object) -> None:
    with pytest.raises(UnexpectedResponse, match="expired") as caught:
        read({"access_token": "abc", "expires_in": seconds})
    assert caught.value.retryable


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"message": "welcome"},
        {"access_token": ""},
        {"access_token": None},
        {"access_token": 5},
        {"access_token": "hush", "expires_in": "soon"},
        {"access_token": "hush", "expires_in": "nan"},
        {"access_token": "hush\n", "expires_in": 5},
        {"access_token": "hush me", "expires_in": 5},
        {"access_token": "hush\u00e9", "expires_in": 5},
        {"access_token": "hush", "token_type": "mac"},
        {"access_token": ["hush"]},
        ["hush"],
        b'{"access_token": "hush',
        b"hush",
        b"",
    ],
    ids=str,
)
def test_p7_what_is_no_token_never_becomes_one_and_is_not_quoted(document: object) -> None:
    with pytest.raises(UnexpectedResponse) as caught:
        read(document)
    assert "hush" not in str(caught.value)
    assert "hush" not in repr(caught.value.__cause__)


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "invalid_client", "secret is wrong"),
        (400, "invalid_client", "secret is wrong"),
        (400, "unsupported_grant_type", "does not hand out tokens"),
        (403, "access_denied", "denies access"),
        (401, "something_else", "does not accept"),
    ],
)
def test_refusals_say_what_is_wrong(status: int, code: str, words: str) -> None:
    with pytest.raises(AuthenticationError, match=words) as caught:
        read({"error": code, "error_description": "hush-hush"}, status=status)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": 5}', b"[" * 30_000])
def test_a_refusal_may_have_any_body(body: bytes) -> None:
    with pytest.raises(AuthenticationError):
        read(body, status=401)


@pytest.mark.parametrize(
    ("status", "kind"), [(429, RateLimited), (500, NetworkError), (503, NetworkError), (302, UnexpectedResponse)]
)
def test_other_failures_are_the_common_ones(status: int, kind: type[SISError]) -> None:
    with pytest.raises(kind) as caught:
        read(b"<html>", status=status, retry_after="7", location="https://elsewhere.example.org/x")
    if status in (429, 503):
        assert caught.value.retry_after == 7


def test_a_web_page_with_status_200_is_named() -> None:
    with pytest.raises(UnexpectedResponse, match="web page"):
        read(b"<html>down</html>", content_type="text/html; charset=utf-8")


def test_p7_a_token_is_neither_shown_nor_pickled() -> None:
    token = read({"access_token": "hush-hush", "expires_in": 100})
    assert "hush" not in repr(token) + str(token) + repr(token.access_token) + str(token.access_token)
    for thing in (token, token.access_token):
        with pytest.raises(TypeError):
            pickle.dumps(thing)
