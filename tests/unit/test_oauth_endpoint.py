"""The token endpoint: one attempt, two secrets, nothing between the answer and whoever keeps the token."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import respx
from pydantic import SecretStr

from manual_clock import ManualClock
from sis_connect.errors import (
    AuthenticationError,
    ConfigurationError,
    NetworkError,
    NotOffered,
    RateLimited,
    RequestTimedOut,
    SISError,
    UnexpectedResponse,
)
from sis_connect.oauth.answers import ClientRefused
from sis_connect.oauth.client import OAuthClient
from sis_connect.oauth.endpoint import TokenEndpoint
from sis_connect.oauth.grants import (
    authorization_code,
    client_credentials,
    client_credentials_grant,
    password_grant,
    refresh,
    refresh_grant,
)
from sis_connect.tokens.token import AccessToken, GrantBroken, RefreshToken, StoredToken
from sis_connect.transport.http import Call
from sis_connect.transport.rate_limit import Full, Limiter, Taken, unlimited

URL = "https://sis.example.org/oauth/token"
REVOKE = "https://sis.example.org/oauth/revoke"
NEW, FORMER = SecretStr("hush-new"), SecretStr("hush-former")
TOKEN = {"access_token": "hush-token", "token_type": "Bearer", "expires_in": 3600}
FORM = client_credentials()


@pytest.fixture
def server() -> Iterator[respx.MockRouter]:
    with respx.mock(assert_all_called=False) as router:
        yield router


def endpoint(**settings: Any) -> TokenEndpoint:
    own: dict[str, Any] = {"limiter": unlimited(), "clock": ManualClock()}
    own |= {name: settings.pop(name) for name in ("limiter", "clock", "on_call", "timeout") if name in settings}
    return TokenEndpoint(OAuthClient(**{"token_url": URL, "client_id": "district", "secrets": (NEW,), **settings}), **own)


def takes(*secrets: SecretStr, answer: dict[str, object] | None = None) -> Any:
    """A server that knows these secrets only. Which ones those are may change while it runs."""
    known = {httpx.BasicAuth("district", secret.get_secret_value())._auth_header for secret in secrets}

    def respond(request: httpx.Request) -> httpx.Response:
        if request.headers["authorization"] not in known:
            return httpx.Response(401, json={"error": "invalid_client"})
        return httpx.Response(200, json=TOKEN if answer is None else answer)

    return respond


def secrets_sent(route: respx.Route) -> list[str]:
    names = {httpx.BasicAuth("district", one.get_secret_value())._auth_header: one for one in (NEW, FORMER)}
    return [names[call.request.headers["authorization"]].get_secret_value().removeprefix("hush-") for call in route.calls]


# -- one attempt -------------------------------------------------------------------------------------------------------


async def test_a_token_is_fetched_with_one_request(server: respx.MockRouter) -> None:
    route = server.post(URL).respond(json=TOKEN)
    calls: list[Call] = []
    clock = ManualClock()
    subject = endpoint(on_call=calls.append, clock=clock)
    token = await subject.fetch(FORM)
    assert token.access_token.get_secret_value() == "hush-token"
    assert token.obtained_at == clock.now()
    assert route.call_count == 1
    await subject.aclose()
    assert [(call.method, call.template, call.status) for call in calls] == [("POST", "/oauth/token", 200)]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.ConnectError("no"), NetworkError),
        (httpx.ReadTimeout("no"), RequestTimedOut),
        (httpx.RemoteProtocolError("cut off"), NetworkError),
        (httpx.Response(500), NetworkError),
        (httpx.Response(503, headers={"retry-after": "3"}), NetworkError),
        (httpx.Response(429), RateLimited),
        (httpx.Response(302, headers={"location": "https://elsewhere.example.org/"}), UnexpectedResponse),
        (httpx.Response(200, html="<p>down</p>"), UnexpectedResponse),
        (httpx.Response(200, json={"message": "welcome"}), UnexpectedResponse),
        (httpx.Response(200, json={**TOKEN, "scope": "x" * 70_000}), UnexpectedResponse),
        (httpx.Response(400, json={"error": "invalid_scope"}), AuthenticationError),
        (httpx.Response(400, json={"error": "invalid_grant"}), GrantBroken),
    ],
    ids=repr,
)
async def test_a_failure_is_named_and_not_repeated_since_the_server_may_have_acted_on_it(
    server: respx.MockRouter, answer: Any, kind: type[SISError]
) -> None:
    route = server.post(URL).mock(side_effect=[answer, httpx.Response(200, json=TOKEN)])
    subject = endpoint(secrets=(NEW, FORMER))
    with pytest.raises(kind):
        await subject.fetch(refresh(RefreshToken("hush")))
    await subject.aclose()
    assert route.call_count == 1


async def test_p8_a_redirect_takes_no_secret_along(server: respx.MockRouter) -> None:
    elsewhere = server.route(host="elsewhere.example.org").respond(json=TOKEN)
    for status in (301, 302, 303, 307, 308):
        for method in ("POST", "GET"):
            server.route(method=method, host="sis.example.org").respond(
                status, headers={"location": "https://elsewhere.example.org/oauth/token"}
            )
            with pytest.raises(UnexpectedResponse, match=r"elsewhere\.example\.org"):
                await endpoint(method=method).fetch(FORM)
    with pytest.raises(UnexpectedResponse, match="redirects are not followed"):
        await endpoint(method="GET").revoke(AccessToken("hush"), "access_token", REVOKE)
    assert not elsewhere.called


async def test_a_code_brings_the_first_token_and_the_id_token_beside_it(server: respx.MockRouter) -> None:
    server.post(URL).respond(json={**TOKEN, "refresh_token": "r", "id_token": "hush.id.token"})
    token, id_token = await endpoint().exchange(authorization_code("c", "http://127.0.0.1:7/", "v"))
    assert token.refresh_token is not None
    assert id_token is not None
    assert id_token.get_secret_value() == "hush.id.token"


@pytest.mark.parametrize("retry_after", ["30", "Sun, 22 Nov 2026 08:00:30 GMT"])
async def test_a_server_that_is_asked_too_often_says_when_to_come_back(server: respx.MockRouter, retry_after: str) -> None:
    server.post(URL).respond(429, headers={"retry-after": retry_after})
    with pytest.raises(RateLimited) as caught:
        await endpoint().fetch(FORM)
    assert caught.value.retry_after == 30


# -- two secrets -------------------------------------------------------------------------------------------------------


async def test_the_newest_secret_is_tried_first_and_the_former_where_it_is_refused(
    server: respx.MockRouter, caplog: pytest.LogCaptureFixture
) -> None:
    route = server.post(URL).mock(side_effect=takes(FORMER))
    subject = endpoint(secrets=(NEW, FORMER))
    for _ in range(3):
        await subject.fetch(FORM)
    assert secrets_sent(route) == ["new", "former", "former", "former"]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "refuses the newest client secret" in warnings[0]
    assert "hush" not in caplog.text


async def test_once_the_district_has_changed_over_the_newest_is_found_and_remembered(
    server: respx.MockRouter, caplog: pytest.LogCaptureFixture
) -> None:
    route = server.post(URL).mock(side_effect=takes(FORMER))
    subject = endpoint(secrets=(NEW, FORMER))
    await subject.fetch(FORM)
    route.mock(side_effect=takes(NEW))
    for _ in range(2):
        await subject.fetch(FORM)
    route.mock(side_effect=takes(FORMER))
    await subject.fetch(FORM)
    assert secrets_sent(route) == ["new", "former", "former", "new", "new", "new", "former"]
    assert caplog.text.count("refuses the newest") == 1


async def test_while_both_are_live_the_former_is_not_sent(server: respx.MockRouter, caplog: pytest.LogCaptureFixture) -> None:
    route = server.post(URL).mock(side_effect=takes(NEW, FORMER))
    await endpoint(secrets=(NEW, FORMER)).fetch(FORM)
    assert secrets_sent(route) == ["new"]
    assert caplog.text == ""


async def test_where_both_are_refused_each_is_tried_once(server: respx.MockRouter) -> None:
    route = server.post(URL).mock(side_effect=takes())
    with pytest.raises(ClientRefused, match="secret is wrong") as caught:
        await endpoint(secrets=(NEW, FORMER)).fetch(FORM)
    assert secrets_sent(route) == ["new", "former"]
    assert not caught.value.retryable


async def test_a_password_that_is_the_client_secret_changes_with_it(server: respx.MockRouter) -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        accepted = b"password=hush-former" in request.content
        return httpx.Response(200, json=TOKEN) if accepted else httpx.Response(400, json={"error": "invalid_grant"})

    route = server.post(URL).mock(side_effect=respond)
    await password_grant(endpoint(secrets=(NEW, FORMER)), "Key", None)(None)
    assert secrets_sent(route) == ["new", "former"]


# -- from token to token -----------------------------------------------------------------------------------------------

HELD = StoredToken(
    access_token=AccessToken("old"),
    obtained_at=ManualClock().now(),
    expires_at=None,
    refresh_token=RefreshToken("hush-1"),
    scope=("a",),
)


async def test_a_refresh_sends_the_former_refresh_token_and_keeps_it_where_no_other_comes(server: respx.MockRouter) -> None:
    route = server.post(URL).respond(json={**TOKEN, "refresh_token": "hush-2"})
    grant = refresh_grant(endpoint(scope="a b"))
    second = await grant(HELD)
    route.respond(json={**TOKEN, "refresh_token": ""})
    third = await grant(second)
    assert [call.request.content for call in route.calls] == [
        b"grant_type=refresh_token&refresh_token=hush-1",
        b"grant_type=refresh_token&refresh_token=hush-2",
    ]
    assert third.refresh_token is not None
    assert third.refresh_token.get_secret_value() == "hush-2"
    assert third.scope == ("a",)


@pytest.mark.parametrize(
    "former", [None, StoredToken(access_token=AccessToken("x"), obtained_at=HELD.obtained_at, expires_at=None)]
)
async def test_without_a_consent_there_is_nothing_to_refresh(server: respx.MockRouter, former: StoredToken | None) -> None:
    route = server.post(URL).respond(json=TOKEN)
    with pytest.raises(GrantBroken, match="Nobody has given access"):
        await refresh_grant(endpoint())(former)
    assert not route.called


async def test_other_grants_ask_anew_each_time_with_the_scope_of_the_client(server: respx.MockRouter) -> None:
    route = server.post(URL).respond(json=TOKEN)
    subject = endpoint(scope="a b")
    await client_credentials_grant(subject)(HELD)
    await password_grant(subject, "Key", SecretStr("pass"))(HELD)
    assert [call.request.content for call in route.calls] == [
        b"grant_type=client_credentials&scope=a+b",
        b"grant_type=password&username=Key&scope=a+b&password=pass",
    ]


# -- giving back -------------------------------------------------------------------------------------------------------


async def test_a_revocation_is_repeated_while_the_server_is_not_well(server: respx.MockRouter) -> None:
    clock = ManualClock()
    unwell = httpx.Response(503, headers={"retry-after": "20"})
    route = server.post(REVOKE).mock(side_effect=[unwell, httpx.ConnectError("no"), httpx.Response(200)])
    await endpoint(clock=clock).revoke(RefreshToken("hush"), "refresh_token", REVOKE)
    assert route.call_count == 3
    assert route.calls.last.request.content == b"token=hush&token_type_hint=refresh_token"
    assert clock.slept[0] == 20


async def test_a_revocation_that_fails_for_good_is_told(server: respx.MockRouter) -> None:
    route = server.post(REVOKE).respond(503)
    with pytest.raises(NetworkError):
        await endpoint().revoke(RefreshToken("hush"), "refresh_token", REVOKE)
    assert route.call_count == 3
    route.respond(400, json={"error": "unsupported_token_type"})
    with pytest.raises(NotOffered):
        await endpoint().revoke(AccessToken("hush"), "access_token", REVOKE)
    assert route.call_count == 4


async def test_a_revocation_finds_the_secret_that_is_valid(server: respx.MockRouter) -> None:
    route = server.post(REVOKE).mock(side_effect=takes(FORMER, answer={}))
    await endpoint(secrets=(NEW, FORMER)).revoke(AccessToken("hush"), "access_token", REVOKE)
    assert secrets_sent(route) == ["new", "former"]


async def test_p8_a_token_is_not_given_back_elsewhere(server: respx.MockRouter) -> None:
    elsewhere = server.route(host="elsewhere.example.org").respond(200)
    with pytest.raises(ConfigurationError, match="Nothing was sent"):
        await endpoint().revoke(AccessToken("hush"), "access_token", "https://elsewhere.example.org/revoke")
    assert not elsewhere.called


# -- between the answer and whoever keeps the token --------------------------------------------------------------------


class SlowLog:
    """A window log that takes its time over giving back, as a database may that others are busy with."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.given_back = 0
        self.error: SISError | None = None

    async def take(self, key: str, limit: int, hold: float) -> Taken | Full:
        return Taken(0, hold, limit - 1)

    async def give_back(self, key: str, taken: Taken, rest: float) -> None:
        await self.may_end.wait()
        self.given_back += 1
        if self.error is not None:
            raise self.error

    def now(self) -> float:
        return 0.0


@asynccontextmanager
async def slow_endpoint() -> AsyncIterator[tuple[TokenEndpoint, SlowLog]]:
    log = SlowLog()
    subject = endpoint(limiter=Limiter(5, 60, log=log, smooth=False))
    yield subject, log
    log.may_end.set()
    await subject.aclose()
    assert log.given_back == 1


async def test_a_token_is_handed_over_before_the_slot_is_given_back(server: respx.MockRouter) -> None:
    server.post(URL).respond(json=TOKEN)
    async with slow_endpoint() as (subject, log):
        assert (await subject.fetch(FORM)).access_token.get_secret_value() == "hush-token"
        assert log.given_back == 0


async def test_a_refresh_token_to_be_salvaged_is_handed_over_as_early(server: respx.MockRouter) -> None:
    server.post(URL).respond(json={**TOKEN, "expires_in": 0, "refresh_token": "hush-2"})
    async with slow_endpoint() as (subject, log):
        with pytest.raises(UnexpectedResponse, match="expired"):
            await subject.fetch(refresh(RefreshToken("hush-1")), HELD)
        assert log.given_back == 0


async def test_what_fails_after_the_token_was_handed_over_takes_nothing_back(
    server: respx.MockRouter, caplog: pytest.LogCaptureFixture
) -> None:
    server.post(URL).respond(json=TOKEN)
    async with slow_endpoint() as (subject, log):
        log.error = SISError("hush, the database is gone")
        await subject.fetch(FORM)
    assert "what follows it failed (SISError)" in caplog.text
    assert "hush" not in caplog.text


async def test_whoever_is_cancelled_leaves_no_request_behind(server: respx.MockRouter) -> None:
    asked, before = asyncio.Event(), asyncio.all_tasks()

    async def never(_request: httpx.Request) -> httpx.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    server.post(URL).mock(side_effect=never)
    subject = endpoint(timeout=3600)
    waiting = asyncio.create_task(subject.fetch(FORM))
    await asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await subject.aclose()
    assert asyncio.all_tasks() == before
