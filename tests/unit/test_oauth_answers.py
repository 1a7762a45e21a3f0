"""What the answer of a token URL means: a token, or one clear error for each of the many things that it may be instead."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from manual_clock import ManualClock
from sis_connect.errors import (
    AuthenticationError,
    NetworkError,
    NotOffered,
    RateLimited,
    SISError,
    UnexpectedResponse,
)
from sis_connect.oauth.answers import DEFAULT_LIFETIME, ClientRefused, read_id_token, read_token
from sis_connect.oauth.revocation import check_revoked
from sis_connect.tokens.token import AccessToken, GrantBroken, RefreshToken, StoredToken, UnusableToken
from sis_connect.transport.answers import Response

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
URL = "https://sis.example.org/oauth/token"
HOUR = timedelta(hours=1)
FORMER = StoredToken(
    access_token=AccessToken("old"),
    obtained_at=NOW - HOUR,
    expires_at=NOW,
    refresh_token=RefreshToken("refresh-1"),
    scope=("a", "b"),
)


def response(document: object, *, status: int = 200, **headers: str) -> Response:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Response(
        status, {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}, body
    )


def read(document: object, *, status: int = 200, **headers: str) -> StoredToken:
    return read_token(response(document, status=status, **headers), url=URL, now=NOW)


def refreshed(document: object, *, status: int = 200, former: StoredToken | None = FORMER) -> StoredToken:
    return read_token(response(document, status=status), url=URL, now=NOW, grant_type="refresh_token", former=former)


def refresh_token_of(token: StoredToken) -> str | None:
    return token.refresh_token.get_secret_value() if token.refresh_token else None


# -- its life ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [2504956, "2504956", 2504956.0, "2504956.0", " 2504956 "])
@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_a_token_is_read_whether_its_life_is_a_number_or_text(seconds: object, kind: str) -> None:
    token = read({"access_token": "abc", "token_type": kind, "expires_in": seconds})
    assert token.access_token.get_secret_value() == "abc"
    assert token.expires_at == NOW + timedelta(seconds=2504956)
    assert token.lifetime == timedelta(seconds=2504956)


@pytest.mark.parametrize("document", [{}, {"expires_in": None}, {"expires_in": ""}, {"expires_in": " "}, {"token_type": None}])
def test_a_token_without_a_life_is_taken_for_an_hour(document: dict[str, object]) -> None:
    assert read({"access_token": "abc", **document}).expires_at == NOW + DEFAULT_LIFETIME


@pytest.mark.parametrize("seconds", [1e300, "1e300", 10**30, 9_999_999_999])
def test_a_life_beyond_reason_does_not_overflow(seconds: object) -> None:
    expires_at = read({"access_token": "abc", "expires_in": seconds}).expires_at
    assert expires_at is not None
    assert expires_at.year < 2040


@pytest.mark.parametrize("seconds", [0, -5, "0", "-3600", -0.5, "0.0", -1e300])
def test_a_token_that_is_dead_on_arrival_is_worth_another_attempt(seconds: object) -> None:
    with pytest.raises(UnusableToken, match="expired") as caught:
        read({"access_token": "abc", "expires_in": seconds})
    assert caught.value.retryable


@pytest.mark.parametrize("seconds", ["soon", "nan", "inf", "1h", True, [3600], {"seconds": 1}])
def test_a_life_that_is_no_number_is_named(seconds: object) -> None:
    with pytest.raises(UnusableToken, match=r"wrong: expires_in"):
        read({"access_token": "hush", "expires_in": seconds})


@pytest.mark.parametrize("off_by", [-HOUR, timedelta(), HOUR])
def test_a_life_is_counted_by_our_own_clock_whatever_the_servers_says(off_by: timedelta) -> None:
    document = {"access_token": "abc", "expires_in": 60, "expires_at": (NOW + off_by + HOUR).timestamp()}
    token = read(document, date=format_datetime(NOW + off_by, usegmt=True))
    assert token.expires_at == NOW + timedelta(seconds=60)


@pytest.mark.parametrize("ours_is_off_by", [-3600, 3600])
def test_a_clock_of_ours_that_is_wrong_makes_no_token_live_longer(ours_is_off_by: int) -> None:
    wrong = ManualClock(NOW + timedelta(seconds=ours_is_off_by))
    answer = response({"access_token": "abc", "expires_in": 60}, date=format_datetime(NOW, usegmt=True))
    token = read_token(answer, url=URL, now=wrong.now())
    wrong.advance(59)
    assert not token.expired(wrong.now())
    wrong.advance(1)
    assert token.expired(wrong.now())


# -- what is no token --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"message": "welcome"},
        {"access_token": ""},
        {"access_token": None},
        {"access_token": 5},
        {"access_token": "hush\n", "expires_in": 5},
        {"access_token": "hush me", "expires_in": 5},
        {"access_token": "hush\u00e9", "expires_in": 5},
        {"access_token": ["hush"]},
        {"access_token": "hush", "refresh_token": ["hush"]},
        {"access_token": "hush", "refresh_token": 7},
        ["hush"],
        "hush",
        b'{"access_token": "hush',
        b"hush",
        b"",
        b"[" * 30_000,
    ],
    ids=lambda document: repr(document)[:40],
)
def test_p7_what_is_no_token_never_becomes_one_and_is_not_quoted(document: object) -> None:
    with pytest.raises(UnexpectedResponse) as caught:
        read(document)
    assert "hush" not in str(caught.value)
    assert "hush" not in repr(caught.value.__cause__) + repr(caught.value.__context__)


@pytest.mark.parametrize("kind", ["mac", "DPoP", "N_A", 7, "bearer token"])
def test_a_token_of_another_type_is_not_taken_for_one(kind: object) -> None:
    with pytest.raises(UnusableToken, match=r"another type than Bearer|wrong: token_type"):
        read({"access_token": "hush", "token_type": kind, "expires_in": 60})


def test_a_web_page_with_status_200_is_named() -> None:
    with pytest.raises(UnexpectedResponse, match="web page"):
        read(b"<html>down</html>", content_type="text/html; charset=utf-8")
    with pytest.raises(UnexpectedResponse, match="instead of JSON"):
        read(b"<html>down</html>", content_type="text/plain")


def test_an_answer_that_was_cut_off_is_worth_another_attempt() -> None:
    with pytest.raises(UnexpectedResponse, match="cut off") as caught:
        read(b'{"access_token": "hush", "expires_in": 36')
    assert caught.value.retryable


def test_p7_a_token_is_neither_shown_nor_pickled() -> None:
    token = refreshed({"access_token": "hush-1", "refresh_token": "hush-2", "expires_in": 100})
    assert "hush" not in repr(token) + str(token) + repr(token.access_token) + str(token.refresh_token)
    for thing in (token, token.access_token, token.refresh_token):
        with pytest.raises(TypeError):
            pickle.dumps(thing)


# -- refresh tokens and scopes -----------------------------------------------------------------------------------------


def test_a_new_refresh_token_takes_the_place_of_the_former() -> None:
    assert refresh_token_of(refreshed({"access_token": "abc", "refresh_token": "refresh-2"})) == "refresh-2"


@pytest.mark.parametrize("document", [{}, {"refresh_token": ""}, {"refresh_token": "  "}, {"refresh_token": None}])
def test_without_a_new_refresh_token_the_former_one_stays(document: dict[str, object]) -> None:
    assert refresh_token_of(refreshed({"access_token": "abc", **document})) == "refresh-1"
    assert refresh_token_of(refreshed({"access_token": "abc", **document}, former=None)) is None


@pytest.mark.parametrize("grant_type", ["client_credentials", "password"])
def test_a_refresh_token_that_nobody_would_use_is_not_kept(grant_type: str) -> None:
    answer = response({"access_token": "abc", "refresh_token": "refresh-2"})
    assert read_token(answer, url=URL, now=NOW, grant_type=grant_type, former=FORMER).refresh_token is None


@pytest.mark.parametrize(
    "document",
    [
        {"access_token": "abc", "expires_in": 0},
        {"access_token": "abc", "expires_in": "soon"},
        {"access_token": "abc", "token_type": "mac"},
        {"access_token": ""},
        {},
    ],
)
def test_a_rotated_refresh_token_is_salvaged_from_an_answer_that_is_no_use_otherwise(document: dict[str, object]) -> None:
    with pytest.raises(UnusableToken) as caught:
        refreshed({**document, "refresh_token": "refresh-2"})
    salvaged = caught.value.salvaged
    assert salvaged is not None
    assert refresh_token_of(salvaged) == "refresh-2"
    assert (salvaged.access_token, salvaged.expires_at, salvaged.scope) == (FORMER.access_token, NOW, ("a", "b"))
    assert "refresh-2" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("document", [{}, {"refresh_token": ""}, {"refresh_token": 7}])
def test_where_no_new_refresh_token_came_there_is_nothing_to_salvage(document: dict[str, object]) -> None:
    with pytest.raises(UnusableToken) as caught:
        refreshed(document)
    assert caught.value.salvaged is None


@pytest.mark.parametrize(
    ("scope", "names"),
    [("a b", ("a", "b")), (["a", "b"], ("a", "b")), ("", ()), (None, ()), (7, ()), ([7, "a"], ("a",))],
)
def test_scopes_are_read_as_far_as_they_can_be(scope: object, names: tuple[str, ...]) -> None:
    assert read({"access_token": "abc", "scope": scope}).scope == names


def test_scopes_that_a_refresh_does_not_name_are_as_before() -> None:
    assert refreshed({"access_token": "abc"}).scope == ("a", "b")
    assert refreshed({"access_token": "abc", "scope": "a"}).scope == ("a",)


def test_an_id_token_is_handed_on_and_not_shown() -> None:
    found = read_id_token(response({"access_token": "abc", "id_token": "hush.hush.hush"}))
    assert found is not None
    assert (found.get_secret_value(), "hush" in repr(found)) == ("hush.hush.hush", False)
    for document in ({}, {"id_token": None}, {"id_token": 5}, {"id_token": ""}):
        assert read_id_token(response(document)) is None


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "invalid_client", "secret is wrong"),
        (400, "invalid_client", "secret is wrong"),
        (400, "unsupported_grant_type", "does not hand out tokens"),
        (400, "unauthorized_client", "does not let this client"),
        (400, "invalid_scope", "does not grant the scope"),
        (400, "invalid_request", "does not understand"),
        (403, "access_denied", "denies access"),
        (401, "something_else", "does not accept"),
        (200, "invalid_client", "secret is wrong"),
    ],
)
def test_refusals_say_what_is_wrong(status: int, code: str, words: str) -> None:
    with pytest.raises(AuthenticationError, match=words) as caught:
        read({"error": code, "error_description": "hush-hush"}, status=status)
    assert "hush" not in str(caught.value)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("status", "code"), [(401, "invalid_client"), (400, "invalid_client"), (401, "unauthorized_client"), (401, "Unauthorized")]
)
def test_a_client_that_is_refused_is_told_apart_since_another_secret_may_be_right(status: int, code: str) -> None:
    with pytest.raises(ClientRefused):
        read({"error": code}, status=status)


@pytest.mark.parametrize("code", ["invalid_scope", "invalid_request", "unsupported_grant_type"])
def test_what_no_other_secret_would_change_is_not_the_clients_fault(code: str) -> None:
    with pytest.raises(AuthenticationError) as caught:
        read({"error": code}, status=400)
    assert not isinstance(caught.value, (ClientRefused, GrantBroken))


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refused_refresh_token_breaks_the_grant_and_says_that_a_person_must_help(status: int) -> None:
    with pytest.raises(GrantBroken, match="sis-connect authorize"):
        refreshed({"error": "invalid_grant"}, status=status)


def test_a_byte_order_mark_hides_nothing() -> None:
    mark = b"\xef\xbb\xbf"
    assert read(mark + b'{"access_token": "abc"}').access_token.get_secret_value() == "abc"
    with pytest.raises(AuthenticationError, match="does not grant the scope"):
        read(mark + b'{"error": "invalid_scope"}', status=400)


def test_only_what_a_person_consented_to_can_break() -> None:
    for grant_type in ("client_credentials", "password"):
        with pytest.raises(ClientRefused):
            read_token(response({"error": "invalid_grant"}, status=400), url=URL, now=NOW, grant_type=grant_type)
    for document in ({}, {"error": "invalid_request"}, b"<html>"):
        with pytest.raises(AuthenticationError) as caught:
            refreshed(document, status=400)
        assert not isinstance(caught.value, GrantBroken)


@pytest.mark.parametrize("code", ["temporarily_unavailable", "server_error"])
def test_a_server_that_is_not_well_says_so_and_breaks_nothing(code: str) -> None:
    with pytest.raises(NetworkError) as caught:
        refreshed({"error": code}, status=400)
    assert caught.value.retryable


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": 5}', b"[" * 30_000])
def test_a_refusal_may_have_any_body(body: bytes) -> None:
    with pytest.raises(ClientRefused):
        read(body, status=401)


@pytest.mark.parametrize(
    ("status", "kind"), [(429, RateLimited), (500, NetworkError), (503, NetworkError), (302, UnexpectedResponse)]
)
def test_other_failures_are_the_usual_ones(status: int, kind: type[SISError]) -> None:
    with pytest.raises(kind) as caught:
        read(b"<html>", status=status, retry_after="7", location="https://elsewhere.example.org/x")
    if status in (429, 503):
        assert caught.value.retry_after == 7


@pytest.mark.parametrize("off_by", [-HOUR, timedelta(), HOUR])
def test_a_date_to_come_back_at_is_read_by_the_servers_own_clock(off_by: timedelta) -> None:
    theirs = NOW + off_by
    with pytest.raises(RateLimited) as caught:
        read(
            b"{}",
            status=429,
            retry_after=format_datetime(theirs + timedelta(seconds=90), usegmt=True),
            date=format_datetime(theirs, usegmt=True),
        )
    assert caught.value.retry_after == 90


# -- giving back -------------------------------------------------------------------------------------------------------


def revoked(document: object, *, status: int = 200, **headers: str) -> None:
    check_revoked(response(document, status=status, **headers), url=URL, now=NOW)


@pytest.mark.parametrize(
    "answer",
    [
        response(b"", content_type="text/html"),
        response({}),
        response(b"", status=204),
        response(b"OK", content_type="text/plain"),
        response({"error": "invalid_token"}, status=400),
        response({"error": "invalid_grant"}, status=400),
    ],
)
def test_a_token_is_gone_whether_the_server_knew_it_or_not(answer: Response) -> None:
    check_revoked(answer, url=URL, now=NOW)


@pytest.mark.parametrize(
    ("status", "document", "kind", "words"),
    [
        (400, {"error": "unsupported_token_type"}, NotOffered, "does not take back"),
        (503, {"error": "unsupported_token_type"}, NetworkError, "503"),
        (401, {"error": "invalid_client"}, ClientRefused, "secret is wrong"),
        (400, {"error": "invalid_request"}, AuthenticationError, "does not understand"),
        (404, {}, NotOffered, "404"),
        (503, {}, NetworkError, "503"),
        (429, {}, RateLimited, "more requests"),
        (302, {}, UnexpectedResponse, "redirects are not followed"),
    ],
)
def test_a_token_that_lives_on_is_an_error(status: int, document: object, kind: type[SISError], words: str) -> None:
    with pytest.raises(kind, match=words):
        revoked(document, status=status)


def test_a_page_that_a_server_shows_while_it_is_down_revokes_nothing() -> None:
    with pytest.raises(UnexpectedResponse, match="web page"):
        revoked(b"<html>down</html>", content_type="text/html")
