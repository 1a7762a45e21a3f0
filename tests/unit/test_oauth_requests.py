"""What is sent to a token URL: every grant, in every way that a SIS wants to hear it."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlsplit

import pytest
from pydantic import SecretStr

from sis_connect.errors import AuthenticationError, ConfigurationError
from sis_connect.oauth.client import OAuthClient
from sis_connect.oauth.grants import Form, authorization_code, client_credentials, password, refresh
from sis_connect.oauth.requests import TokenRequest, token_request
from sis_connect.oauth.revocation import revocation_request
from sis_connect.tokens.token import RefreshToken

URL = "https://sis.example.org/oauth/access_token"
SECRET = SecretStr("hush-hush")
GRANT = client_credentials()


def client(**settings: Any) -> OAuthClient:
    return OAuthClient(**{"token_url": URL, "client_id": "district", "secrets": (SECRET,), **settings})


def request(form: Form = GRANT, secret: SecretStr | None = SECRET, **settings: Any) -> TokenRequest:
    return token_request(client(**settings), form, secret)


def form_of(prepared: TokenRequest) -> dict[str, str]:
    assert prepared.body is not None
    return dict(parse_qsl(prepared.body.decode(), keep_blank_values=True))


def query_of(prepared: TokenRequest) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(prepared.url).query, keep_blank_values=True))


def basic_of(prepared: TokenRequest) -> str:
    return base64.b64decode(prepared.headers["Authorization"].removeprefix("Basic ")).decode()


def test_by_default_the_secret_is_in_the_header_and_the_grant_in_a_form() -> None:
    prepared = request()
    assert (prepared.method, prepared.url) == ("POST", URL)
    assert basic_of(prepared) == "district:hush-hush"
    assert prepared.headers["Content-Type"].startswith("application/x-www-form-urlencoded")
    assert prepared.headers["Accept"] == "application/json"
    assert prepared.body == b"grant_type=client_credentials"


# -- the grants --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        (client_credentials(), {"grant_type": "client_credentials"}),
        (client_credentials("a b"), {"grant_type": "client_credentials", "scope": "a b"}),
        (refresh(RefreshToken("r+/=")), {"grant_type": "refresh_token", "refresh_token": "r+/="}),
        (refresh(RefreshToken("r"), "a"), {"grant_type": "refresh_token", "refresh_token": "r", "scope": "a"}),
        (
            password("Key", SecretStr("p&w=\N{SNOWMAN} +"), "a"),
            {"grant_type": "password", "username": "Key", "password": "p&w=\N{SNOWMAN} +", "scope": "a"},
        ),
        (password("Key", None), {"grant_type": "password", "username": "Key", "password": "hush-hush"}),
        (
            authorization_code("c", "http://127.0.0.1:7/callback", "v"),
            {
                "grant_type": "authorization_code",
                "code": "c",
                "redirect_uri": "http://127.0.0.1:7/callback",
                "code_verifier": "v",
            },
        ),
    ],
    ids=lambda value: value.get("grant_type") if isinstance(value, dict) else None,
)
def test_each_grant_sends_its_fields_and_no_others(form: Form, fields: dict[str, str]) -> None:
    assert form_of(request(form)) == fields


def test_p7_neither_a_form_nor_a_request_nor_a_client_shows_what_it_holds() -> None:
    forms = [refresh(RefreshToken("hush-1")), password("Key", SecretStr("hush-2")), authorization_code("hush-3", "x", "hush-4")]
    shown = [repr(form) for form in forms] + [repr(request(form, method="GET")) for form in forms]
    shown += [repr(request(authentication=where)) for where in ("basic", "body", "query")] + [repr(client())]
    assert "hush" not in "".join(shown)
    assert repr(request()) == "TokenRequest(method='POST')"


# -- where it goes -----------------------------------------------------------------------------------------------------


def test_a_token_by_get_has_its_grant_in_the_query_and_no_body() -> None:
    prepared = request(client_credentials("a b"), method="GET", authentication="basic_form_encoded")
    assert (prepared.method, prepared.body) == ("GET", None)
    assert query_of(prepared) == {"grant_type": "client_credentials", "scope": "a b"}
    assert basic_of(prepared) == "district:hush-hush"
    assert "Content-Type" not in prepared.headers


def test_grant_type_and_scope_can_go_into_the_query_of_a_post_with_an_empty_form() -> None:
    prepared = request(client_credentials("a"), method="POST_QUERY", parameters={"appName": "lincoln"})
    assert (prepared.method, prepared.body) == ("POST", b"")
    assert query_of(prepared) == {"appName": "lincoln", "grant_type": "client_credentials", "scope": "a"}
    assert prepared.headers["Content-Type"].startswith("application/x-www-form-urlencoded")
    assert basic_of(prepared) == "district:hush-hush"


def test_extra_parameters_go_into_the_query_of_every_request_and_extra_headers_into_its_head() -> None:
    extra: dict[str, Any] = {"parameters": {"appName": "Lincoln & Sons"}, "headers": {"Suppress-Development-Permissions": "true"}}
    prepared = request(**extra)
    assert prepared.url == f"{URL}?appName=Lincoln+%26+Sons"
    assert form_of(prepared) == {"grant_type": "client_credentials"}
    assert prepared.headers["Suppress-Development-Permissions"] == "true"
    revoking = revocation_request(client(**extra), SecretStr("t"), "access_token", f"{URL}/revoke", SECRET)
    assert revoking.url == f"{URL}/revoke?appName=Lincoln+%26+Sons"


@pytest.mark.parametrize("url", [f"{URL}/", URL, " https://sis.example.org/o/token/ "])
def test_an_address_is_used_to_the_letter_with_or_without_its_last_slash(url: str) -> None:
    assert request(token_url=url).url == url.strip()
    assert request(token_url=url, method="GET").url == f"{url.strip()}?grant_type=client_credentials"


@pytest.mark.parametrize("url", ["http://sis.example.org/token", "sis.example.org/token", "https://u:p@sis.example.org/token"])
def test_p8_secrets_go_to_a_safe_address_only(url: str) -> None:
    with pytest.raises(ConfigurationError, match="token URL"):
        request(token_url=url)
    with pytest.raises(ConfigurationError, match="revocation URL"):
        revocation_request(client(), SecretStr("t"), "access_token", url, SECRET)


# -- who asks ----------------------------------------------------------------------------------------------------------

AWKWARD = SecretStr("a+b:c/d e&f=\N{LATIN SMALL LETTER E WITH ACUTE}%")


def test_basic_sends_the_pair_as_it_is() -> None:
    header = request(secret=SecretStr("a+b:c/d%"), client_id="Key+").headers["Authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")) == b"Key+:a+b:c/d%"


def test_basic_form_encoded_encodes_each_part_first_as_the_standard_says() -> None:
    sent = basic_of(request(secret=AWKWARD, client_id="Key:1", authentication="basic_form_encoded"))
    assert sent == "Key%3A1:a%2Bb%3Ac%2Fd+e%26f%3D%C3%A9%25"
    identity, secret = sent.split(":")
    assert (unquote_plus(identity), unquote_plus(secret)) == ("Key:1", AWKWARD.get_secret_value())


def test_credentials_in_the_body_stand_beside_the_grant() -> None:
    prepared = request(secret=AWKWARD, authentication="body")
    assert form_of(prepared) == {
        "grant_type": "client_credentials",
        "client_id": "district",
        "client_secret": AWKWARD.get_secret_value(),
    }
    assert "Authorization" not in prepared.headers
    assert prepared.url == URL


@pytest.mark.parametrize("method", ["POST", "POST_QUERY", "GET"])
def test_credentials_in_the_query(method: str) -> None:
    prepared = request(secret=AWKWARD, authentication="query", method=method)
    assert query_of(prepared).items() >= {"client_id": "district", "client_secret": AWKWARD.get_secret_value()}.items()
    assert "Authorization" not in prepared.headers
    assert b"secret" not in (prepared.body or b"")


@pytest.mark.parametrize(("method", "where"), [("POST", form_of), ("GET", query_of)])
def test_a_public_client_says_its_id_alone(method: str, where: Any) -> None:
    prepared = request(authorization_code("c", "x:/y", "v"), None, authentication="none", secrets=(), method=method)
    assert where(prepared)["client_id"] == "district"
    assert "client_secret" not in where(prepared)
    assert "Authorization" not in prepared.headers


@pytest.mark.parametrize("authentication", ["basic", "body", "none"])
def test_a_user_without_a_client_is_known_by_the_grant_alone(authentication: str) -> None:
    prepared = request(password("Key", SECRET), None, client_id="", secrets=(), authentication=authentication)
    assert form_of(prepared) == {"grant_type": "password", "username": "Key", "password": "hush-hush"}
    assert "Authorization" not in prepared.headers


def test_key_and_secret_can_be_sent_as_user_and_as_client_at_once() -> None:
    prepared = request(password("Key", None), client_id="Key")
    assert basic_of(prepared) == "Key:hush-hush"
    assert form_of(prepared) == {"grant_type": "password", "username": "Key", "password": "hush-hush"}


def test_a_get_has_no_body_for_credentials() -> None:
    with pytest.raises(ConfigurationError, match="no body"):
        request(method="GET", authentication="body")


def test_a_secret_that_cannot_be_sent_is_not_quoted() -> None:
    with pytest.raises(AuthenticationError) as caught:
        request(secret=SecretStr("hush\N{SNOWMAN}"))
    assert "hush" not in str(caught.value)


# -- giving back -------------------------------------------------------------------------------------------------------


def test_a_revocation_names_the_token_and_what_it_is() -> None:
    prepared = revocation_request(client(), RefreshToken("r+1"), "refresh_token", "https://sis.example.org/oauth/revoke", SECRET)
    assert (prepared.method, prepared.url) == ("POST", "https://sis.example.org/oauth/revoke")
    assert form_of(prepared) == {"token": "r+1", "token_type_hint": "refresh_token"}
    assert basic_of(prepared) == "district:hush-hush"


def test_a_revocation_is_a_post_even_where_tokens_come_by_get() -> None:
    prepared = revocation_request(client(method="GET"), SecretStr("t"), "access_token", f"{URL}/revoke", SECRET)
    assert (prepared.method, form_of(prepared)["token"]) == ("POST", "t")
    assert parse_qs(urlsplit(prepared.url).query) == {}


@pytest.mark.parametrize(
    "url",
    ["https://elsewhere.example.org/revoke", "https://sis.example.org:8443/revoke", "https://sis.example.org.evil.example/"],
)
def test_p8_a_token_is_given_back_to_the_server_that_it_came_from_and_to_no_other(url: str) -> None:
    with pytest.raises(ConfigurationError, match="Nothing was sent"):
        revocation_request(client(), RefreshToken("hush"), "refresh_token", url, SECRET)


#: No header can hold the one, nothing at all the other.
@pytest.mark.parametrize(
    ("authentication", "strange"), [("basic", "\N{SNOWMAN}"), ("basic", "\ud800"), ("body", "\ud800"), ("query", "\ud800")]
)
@pytest.mark.parametrize("method", ["POST", "POST_QUERY", "GET"])
def test_p7_where_a_request_cannot_be_made_no_frame_shows_a_secret(method: str, authentication: str, strange: str) -> None:
    secret, token = SecretStr(SECRET.get_secret_value() + strange), RefreshToken("hush-refresh")
    prepared = client(method=method, authentication=authentication, secrets=(secret,))
    attempts: list[Callable[[], TokenRequest]] = [
        lambda: token_request(prepared, refresh(token), secret),
        lambda: revocation_request(prepared, token, "refresh_token", f"{URL}/revoke", secret),
    ]
    for attempt in attempts:
        with pytest.raises((AuthenticationError, ConfigurationError)) as caught:
            attempt()
        shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
        assert "hush" not in shown
