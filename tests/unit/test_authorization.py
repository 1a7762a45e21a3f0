"""What a person is sent to, and which redirects are taken for the answer."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

import pytest

from sis_connect.errors import ConfigurationError
from sis_connect.oauth.authorization import (
    PENDING_FOR,
    AccessDenied,
    AuthorizationFailed,
    PendingAuthorization,
    begin,
    read_redirect,
    state_in,
)
from sis_connect.oauth.metadata import ServerMetadata

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
ISSUER = "https://sis.example.org/oauth2/"
REDIRECT_URI = "https://app.example.org/sis/callback"


def server(**more: Any) -> ServerMetadata:
    known = {
        "authorize_url": "https://sis.example.org/oauth2/authorize",
        "token_url": "https://sis.example.org/oauth2/token",
        "issuer": ISSUER,
        "described": True,
        "s256": True,
        "names_itself": True,
    }
    return ServerMetadata(**{**known, **more})


def counting() -> Callable[[int], bytes]:
    """Random bytes that are not: all ones, then all twos."""
    calls = iter(range(1, 100))
    return lambda count: bytes([next(calls)]) * count


def begun(scope: str | None = "openid roster", redirect_uri: str = REDIRECT_URI, **known: Any) -> PendingAuthorization:
    return begin(server(**known), client_id="district", redirect_uri=redirect_uri, scope=scope, now=NOW, random=counting())


def asked(pending: PendingAuthorization) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(pending.url).query))


def redirect(pending: PendingAuthorization, base: str = REDIRECT_URI, **changes: str | None) -> str:
    """The redirect of an honest server, with changes; `None` leaves something out."""
    honest = {"code": "the-code", "state": pending.state.get_secret_value(), "iss": pending.server.issuer}
    return f"{base}?{urlencode({name: value for name, value in (honest | changes).items() if value is not None})}"


def read(pending: PendingAuthorization, came: str, at: datetime = NOW) -> str:
    return read_redirect(came, pending, now=at).get_secret_value()


# -- the address -------------------------------------------------------------------------------------------------------


def test_the_address_asks_for_a_code_and_holds_the_challenge_but_not_the_verifier() -> None:
    pending = begun()
    verifier = pending.verifier.get_secret_value()
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    assert asked(pending) == {
        "response_type": "code",
        "client_id": "district",
        "redirect_uri": REDIRECT_URI,
        "scope": "openid roster",
        "state": pending.state.get_secret_value(),
        "nonce": pending.nonce.get_secret_value() if pending.nonce else "",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    assert verifier not in pending.url
    assert len(verifier) == 43


def test_state_verifier_and_nonce_are_each_random_and_new_each_time() -> None:
    made = [begin(server(), client_id="x", redirect_uri=REDIRECT_URI, scope="openid", now=NOW) for _ in range(2)]
    values = [value.get_secret_value() for one in made for value in (one.state, one.verifier, one.nonce) if value]
    assert len(set(values)) == 6
    assert all(len(value) == 43 for value in values)


def test_without_openid_nobody_is_asked_who_signs_in() -> None:
    pending = begun(scope="roster")
    assert pending.nonce is None
    assert "nonce" not in asked(pending)
    assert "scope" not in asked(begun(scope=None))


def test_an_authorize_url_keeps_its_own_query_but_not_what_is_ours() -> None:
    found = asked(begun(authorize_url="https://sis.example.org/authorize?persona=staff&state=theirs&client_id=theirs"))
    assert found["persona"] == "staff"
    assert (found["client_id"], "theirs" in found.values()) == ("district", False)


def test_p7_what_is_pending_shows_nothing_of_its_secrets() -> None:
    pending = begun()
    shown = repr(pending)
    assert not any(secret.get_secret_value() in shown for secret in (pending.state, pending.verifier, pending.nonce) if secret)


@pytest.mark.parametrize(
    "uri", ["http://app.example.org/callback", "app.example.org", "https://app.example.org/#here", "myapp:/cb"]
)
def test_p8_codes_are_not_sent_where_others_could_read_them(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="redirect URI"):
        begun(redirect_uri=uri)


def test_a_downgraded_server_is_refused() -> None:
    with pytest.raises(AuthorizationFailed, match="does not offer PKCE with S256"):
        begun(s256=False)


def test_a_server_that_says_nothing_of_pkce_is_taken_only_where_a_nonce_binds_the_code() -> None:
    with pytest.raises(AuthorizationFailed, match="does not offer PKCE"):
        begun(scope="roster", s256=None)
    assert asked(begun(scope="openid", s256=None))["code_challenge_method"] == "S256"


def test_a_server_that_only_the_settings_describe_is_asked_with_s256_all_the_same() -> None:
    assert asked(begun(scope="roster", s256=None, described=False))["code_challenge_method"] == "S256"


# -- the redirect ------------------------------------------------------------------------------------------------------


def test_an_honest_redirect_brings_its_code() -> None:
    pending = begun()
    assert read(pending, redirect(pending)) == "the-code"
    assert read(pending, f"  {redirect(pending)}\n") == "the-code"
    assert read(pending, f"{redirect(pending)}#_=_") == "the-code"
    assert state_in(redirect(pending)) == pending.state.get_secret_value()


def test_the_query_alone_will_do_where_somebody_pastes_only_that() -> None:
    pending = begun()
    query = redirect(pending).partition("?")[2]
    assert read(pending, query) == read(pending, f"?{query}") == "the-code"


@pytest.mark.parametrize("state", ["", "another", None, "Ω"])
def test_a_tampered_state_is_refused(state: str | None) -> None:
    pending = begun()
    with pytest.raises(AuthorizationFailed, match="state is another"):
        read(pending, redirect(pending, state=state))


@pytest.mark.parametrize(
    "base",
    [
        "https://evil.example.org/sis/callback",
        "https://app.example.org/sis/callback/",
        "https://app.example.org/sis/other",
        "http://app.example.org/sis/callback",
        "https://app.example.org:444/sis/callback",
        "https://app.example.org@evil.example.org/sis/callback",
        "https://[app",
    ],
)
def test_a_redirect_to_another_address_is_refused(base: str) -> None:
    pending = begun()
    with pytest.raises(AuthorizationFailed, match=r"another address|not an address"):
        read(pending, redirect(pending, base))


def test_what_the_redirect_uri_itself_asks_must_come_back() -> None:
    pending = begun(redirect_uri=f"{REDIRECT_URI}?district=lincoln")
    assert read(pending, f"{redirect(pending)}&district=lincoln") == "the-code"
    with pytest.raises(AuthorizationFailed, match="another address"):
        read(pending, f"{redirect(pending)}&district=other")


def test_a_mixed_up_issuer_is_refused_even_with_an_error_in_it() -> None:
    pending = begun()
    for changes in (
        {"iss": "https://evil.example.org"},
        {"iss": ISSUER.rstrip("/")},
        {"iss": "https://evil.example.org", "error": "x"},
    ):
        with pytest.raises(AuthorizationFailed, match="iss is another"):
            read(pending, redirect(pending, **changes))


def test_a_server_that_always_names_itself_must_do_so_and_others_need_not() -> None:
    pending = begun()
    with pytest.raises(AuthorizationFailed, match="iss is missing"):
        read(pending, redirect(pending, iss=None))
    silent = begun(names_itself=False)
    assert read(silent, redirect(silent, iss=None)) == "the-code"


@pytest.mark.parametrize("issuer", ["https://evil.example.org", "https://sis.example.org:8443", "nonsense", "http://["])
def test_where_the_issuer_is_not_known_it_must_at_least_be_on_the_server_that_was_asked(issuer: str) -> None:
    pending = begun(issuer=None, described=False, names_itself=False)
    assert read(pending, redirect(pending, iss="https://sis.example.org/anything")) == "the-code"
    with pytest.raises(AuthorizationFailed, match="know nothing of"):
        read(pending, redirect(pending, iss=issuer))


def test_a_redirect_that_comes_after_ten_minutes_is_too_late() -> None:
    pending = begun()
    assert read(pending, redirect(pending), NOW + PENDING_FOR - timedelta(seconds=1)) == "the-code"
    with pytest.raises(AuthorizationFailed, match="too late"):
        read(pending, redirect(pending), NOW + PENDING_FOR)


def test_a_refusal_by_the_administrator_is_told_apart() -> None:
    pending = begun()
    with pytest.raises(AccessDenied, match=r"Access was not given at sis\.example\.org"):
        read(pending, redirect(pending, code=None, error="access_denied", error_description="Ada Vale said no"))


@pytest.mark.parametrize(
    ("code", "words"),
    [("invalid_scope", "does not grant the scope"), ("server_error", "has failed"), ("<script>", "for a reason of its own")],
)
def test_an_error_is_named_in_our_own_words_never_in_theirs(code: str, words: str) -> None:
    pending = begun()
    with pytest.raises(AuthorizationFailed, match=words) as raised:
        read(pending, redirect(pending, error=code, error_description="Ada Vale"))
    assert "Ada" not in str(raised.value)
    assert "script" not in str(raised.value)


def test_an_error_is_not_overruled_by_a_code_beside_it() -> None:
    pending = begun()
    with pytest.raises(AccessDenied):
        read(pending, redirect(pending, error="access_denied"))


@pytest.mark.parametrize("name", ["code", "state", "iss", "error"])
def test_a_redirect_that_says_the_same_thing_twice_is_refused(name: str) -> None:
    pending = begun()
    value = parse_qs(urlsplit(redirect(pending, error="x")).query)[name][0]
    with pytest.raises(AuthorizationFailed, match="twice"):
        read(pending, f"{redirect(pending, error='x' if name == 'error' else None)}&{name}={quote(value)}")


@pytest.mark.parametrize("code", [None, ""])
def test_a_redirect_without_a_code_is_refused(code: str | None) -> None:
    pending = begun()
    with pytest.raises(AuthorizationFailed, match="neither a code nor an error"):
        read(pending, redirect(pending, code=code))


def test_a_code_in_the_fragment_is_no_answer() -> None:
    pending = begun()
    with pytest.raises(AuthorizationFailed):
        read(pending, redirect(pending).replace("?", "#"))
