"""What a sign-in server says of itself, and what its ID tokens say: believed only as far as it is checked."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from sis_connect.errors import ConfigurationError, UnexpectedResponse
from sis_connect.oauth.id_token import WrongIdToken, check_id_token
from sis_connect.oauth.metadata import ServerMetadata, document_urls, issuer_of, read_metadata

ISSUER = "https://sis.example.org/oauth2/"
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
NONCE = SecretStr("the-nonce-that-was-sent")


def document(**changes: object) -> bytes:
    honest: dict[str, object] = {
        "issuer": ISSUER,
        "authorization_endpoint": "https://sis.example.org/oauth2/authorize?persona=staff",
        "token_endpoint": "https://sis.example.org/oauth2/token",
        "revocation_endpoint": "https://sis.example.org/oauth2/revoke",
        "scopes_supported": ["openid", "roster"],
        "code_challenge_methods_supported": ["plain", "S256"],
    }
    return json.dumps({name: value for name, value in (honest | changes).items() if value is not None}).encode()


def read(**changes: object) -> ServerMetadata:
    return read_metadata(document(**changes), issuer=ISSUER)


def test_an_honest_document_is_read() -> None:
    assert read() == ServerMetadata(
        issuer=ISSUER,
        authorize_url="https://sis.example.org/oauth2/authorize?persona=staff",
        token_url="https://sis.example.org/oauth2/token",
        revocation_url="https://sis.example.org/oauth2/revoke",
        scopes=("openid", "roster"),
        described=True,
        s256=True,
    )


def test_the_document_is_looked_for_where_oauth_and_where_openid_have_it() -> None:
    assert document_urls("https://sis.example.org") == (
        "https://sis.example.org/.well-known/oauth-authorization-server",
        "https://sis.example.org/.well-known/openid-configuration",
    )
    assert document_urls(ISSUER) == (
        "https://sis.example.org/.well-known/oauth-authorization-server/oauth2",
        "https://sis.example.org/oauth2/.well-known/openid-configuration",
    )
    assert [issuer_of(url) for url in document_urls(ISSUER)] == ["https://sis.example.org/oauth2"] * 2
    with pytest.raises(ConfigurationError, match="/somewhere"):
        issuer_of("https://sis.example.org/somewhere")


@pytest.mark.parametrize("issuer", ["https://evil.example.org/oauth2/", "https://sis.example.org/", "", 7, None])
def test_the_document_of_another_issuer_is_refused(issuer: object) -> None:
    with pytest.raises(UnexpectedResponse, match=r"another issuer|wrong: issuer"):
        read(issuer=issuer)


def test_a_last_slash_is_all_that_an_issuer_may_differ_in_and_then_its_own_word_counts() -> None:
    assert read_metadata(document(), issuer=ISSUER.rstrip("/")).issuer == ISSUER


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "revocation_endpoint"])
@pytest.mark.parametrize(
    "url",
    [
        "http://sis.example.org/oauth2/token",
        "http://127.0.0.1:8000/token",
        "ftp://sis.example.org/",
        "/oauth2/token",
        "https://user:secret@sis.example.org/",
        "https://sis.example.org/token#here",
        "https://sis.example.org:port/",
        "javascript:alert(1)",
    ],
)
def test_p8_an_endpoint_that_secrets_or_people_must_not_go_to_is_refused(name: str, url: str) -> None:
    with pytest.raises(UnexpectedResponse, match=name):
        read(**{name: url})


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint"])
def test_a_document_without_its_endpoints_is_named_as_such(name: str) -> None:
    with pytest.raises(UnexpectedResponse, match=f"wrong: {name}"):
        read(**{name: None})


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"<html>", b'"x"', b"{"])
def test_something_else_than_a_document_is_named_as_such(body: bytes) -> None:
    with pytest.raises(UnexpectedResponse, match="in a way that is wrong"):
        read_metadata(body, issuer=ISSUER)


@pytest.mark.parametrize(
    ("methods", "s256"), [(["S256"], True), (["plain"], False), ([], False), (None, None), ("S256", None), ([7, None], False)]
)
def test_pkce_is_as_the_document_says(methods: object, s256: bool | None) -> None:
    assert read(code_challenge_methods_supported=methods).s256 is s256


# -- ID tokens ---------------------------------------------------------------------------------------------------------


def id_token(**changes: object) -> SecretStr:
    honest: dict[str, Any] = {"iss": ISSUER, "aud": ["district"], "exp": NOW.timestamp() + 600, "nonce": NONCE.get_secret_value()}
    claims = {name: value for name, value in (honest | changes).items() if value is not None}
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256"}, claims)]
    return SecretStr(".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "signature"]))


def check(token: SecretStr | None, now: datetime = NOW, issuer: str | None = ISSUER) -> None:
    check_id_token(token, issuer=issuer, client_id="district", nonce=NONCE, now=now)


def test_an_honest_id_token_passes() -> None:
    check(id_token())
    check(id_token(aud="district"))
    check(id_token(aud=["district", "other"], azp="district"))
    check(id_token(iss="https://anybody.example.org"), issuer=None)
    check(id_token(), NOW + timedelta(minutes=11))  # clocks differ a little


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iss": "https://evil.example.org/"}, "another issuer"),
        ({"iss": ISSUER.rstrip("/")}, "another issuer"),
        ({"aud": ["other"]}, "another application"),
        ({"aud": "other"}, "another application"),
        ({"aud": []}, "another application"),
        ({"aud": ["district", "other"]}, "several applications"),
        ({"azp": "other"}, "several applications"),
        ({"nonce": "another"}, "nonce is not ours"),
        ({"nonce": None}, "nonce is not ours"),
        ({"exp": NOW.timestamp() - 3600}, "has expired"),
        ({"exp": 1e300}, "cannot be read"),
        ({"exp": None}, "cannot be read"),
        ({"iss": None}, "cannot be read"),
        ({"aud": 7}, "cannot be read"),
    ],
)
def test_an_id_token_of_another_sign_in_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(WrongIdToken, match=words):
        check(id_token(**changes))


def test_a_clock_that_is_an_hour_ahead_is_named_as_a_cause() -> None:
    with pytest.raises(WrongIdToken, match="this machine's clock"):
        check(id_token(), NOW + timedelta(hours=1))


def test_a_missing_id_token_is_refused_where_one_was_asked_for() -> None:
    with pytest.raises(WrongIdToken, match="sent no ID token"):
        check(None)


@pytest.mark.parametrize("text", ["", "x", "a.b", "a.b.c", "a.!!.c", "a.bnVsbA.c", "a.W10.c", "ä.ä.ä", "a.b.c.d"])
def test_p7_something_else_than_an_id_token_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(WrongIdToken, match="cannot be read"):
        check(SecretStr(text))
