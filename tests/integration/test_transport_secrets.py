"""The transport on real sockets: tokens, where secrets go, and what is shown of a call."""

from __future__ import annotations

import asyncio
import base64
import logging
import traceback
from dataclasses import replace
from typing import Any, Literal

import pytest
from pydantic import SecretStr

from manual_clock import ManualClock
from raw_server import Answer, Heard, RawServer, answer, json_answer, packed, reset, serving
from sis_connect.clock import SystemClock
from sis_connect.errors import (
    AuthenticationError,
    AuthorizationError,
    ConfigurationError,
    NetworkError,
    ProviderError,
    SISError,
    UnexpectedResponse,
)
from sis_connect.oauth.client import ClientAuthentication, OAuthClient
from sis_connect.oauth.endpoint import TokenEndpoint
from sis_connect.oauth.grants import client_credentials, client_credentials_grant, refresh
from sis_connect.tokens.token import RefreshToken
from sis_connect.tokens.token_manager import TokenManager
from sis_connect.transport.addresses import own_query
from sis_connect.transport.http import Call, Transport
from sis_connect.transport.rate_limit import unlimited
from talking_transport import PUPIL, SECRET, FixedToken, always, fails, in_turn, talking_to, transport

# --- tokens ------------------------------------------------------------------------------------------------------------------


class District:
    """A server that hands out tokens and demands the one that is valid now."""

    def __init__(self) -> None:
        self.valid = 0
        self.refusal = answer(b"", status=401, www_authenticate='Bearer error="invalid_token"')

    async def __call__(self, heard: Heard) -> Answer:
        if heard.path == "/oauth/token":
            await asyncio.sleep(0.01)
            self.valid += 1
            return json_answer({"access_token": f"token-{self.valid}", "token_type": "bearer", "expires_in": "3600"})
        return json_answer({}) if heard.headers.get("authorization") == f"Bearer token-{self.valid}" else self.refusal


def client(server: RawServer) -> OAuthClient:
    return OAuthClient(token_url=f"{server.url}/oauth/token", client_id="district", secrets=(SecretStr(SECRET),))


def manager(server: RawServer, **settings: Any) -> TokenManager:
    endpoint = TokenEndpoint(client(server), **{"limiter": unlimited(), "clock": SystemClock(), **settings})
    return TokenManager(client_credentials_grant(endpoint), clock=SystemClock())


async def test_fifty_callers_without_a_token_fetch_one() -> None:
    async with serving(District()) as server, transport(server, tokens=manager(server)) as subject:
        await asyncio.gather(*(subject.get_json("/x") for _ in range(50)))
        assert server.count("/oauth/token") == 1
        assert server.count("/x") == 50


async def test_twenty_refusals_at_once_bring_one_reauthentication() -> None:
    district = District()
    async with serving(district) as server, transport(server, tokens=manager(server), pool=20) as subject:
        await subject.get_json("/x")
        district.valid += 1  # the token dies
        district.valid += 1
        await asyncio.gather(*(subject.get_json("/x") for _ in range(20)))
        assert server.count("/oauth/token") == 2


async def test_a_dead_token_is_replaced_for_a_request_that_may_not_be_repeated_too() -> None:
    district = District()
    async with serving(district) as server, transport(server, tokens=manager(server), max_attempts=1) as subject:
        await subject.get_json("/x")
        district.valid += 5
        await subject.request("POST", "/x", json={}, repeatable=False)
        assert server.count("/x") == 3


async def test_a_refusal_that_stays_ends_after_one_reauthentication() -> None:
    district = District()

    async def closed(heard: Heard) -> Answer:
        return await district(heard) if heard.path == "/oauth/token" else district.refusal

    async with serving(closed) as server, transport(server, tokens=manager(server)) as subject:
        with pytest.raises(AuthenticationError):
            await subject.get_json("/x")
        assert [heard.path for heard in server.heard] == ["/oauth/token", "/x", "/oauth/token", "/x"]


async def test_attempts_of_all_reasons_together_are_three() -> None:
    replies = in_turn(answer(status=503), answer(status=401), answer(status=503), json_answer({}))
    async with talking_to(replies, clock=ManualClock()) as (subject, server):
        with pytest.raises(NetworkError):
            await subject.get_json("/x")
        assert len(server.heard) == 3


async def test_a_401_that_means_a_missing_permission_does_not_reauthenticate() -> None:
    def read_error(status: int, _headers: object, body: bytes) -> SISError | None:
        if status == 401 and b"missing required" in body:
            return AuthorizationError("The plugin lacks access to this interface.")
        return None

    tokens = FixedToken()
    reply = json_answer({"errorMessage": {"message": "missing required permission"}}, status=401)
    async with talking_to(always(reply), tokens=tokens, read_error=read_error) as (subject, server):
        with pytest.raises(AuthorizationError):
            await subject.get_json("/x")
        assert len(server.heard) == 1
        assert tokens.rejections == 0


async def test_a_plugin_that_stumbles_over_an_error_answer_hides_nothing_and_leaks_nothing() -> None:
    def read_error(_status: int, _headers: object, body: bytes) -> SISError | None:
        raise KeyError(body.decode())

    error = await fails(answer(PUPIL.encode(), status=400), ProviderError, read_error=read_error)
    assert "400" in error.message
    assert PUPIL not in "".join(traceback.format_exception(error))


async def test_a_token_url_that_is_down_for_a_moment_is_tried_again() -> None:
    district, broken = District(), 2

    async def handler(heard: Heard) -> Answer:
        nonlocal broken
        if heard.path == "/oauth/token" and broken:
            broken -= 1
            return answer(status=503)
        return await district(heard)

    async with serving(handler) as server, transport(server, tokens=manager(server), clock=ManualClock()) as subject:
        await subject.get_json("/x")
        assert server.count("/oauth/token") == 3


async def test_a_wrong_secret_is_named_and_not_tried_again() -> None:
    refusal = json_answer({"error": "invalid_client"}, status=401)
    async with serving(always(refusal)) as server, transport(server, tokens=manager(server)) as subject:
        with pytest.raises(AuthenticationError, match="secret is wrong"):
            await subject.get_json("/x")
        assert len(server.heard) == 1


# --- P8: where secrets go ----------------------------------------------------------------------------------------------------


async def test_p8_a_redirect_is_not_followed_and_only_its_host_is_named() -> None:
    async with serving(always(json_answer({}))) as elsewhere:
        location = f"{elsewhere.url.replace('127.0.0.1', 'localhost')}/steal?pupil={PUPIL}"
        for status in (301, 302, 303, 307, 308):
            error = await fails(answer(status=status, location=location), UnexpectedResponse)
            assert "localhost" in error.message
            assert PUPIL not in str(error)
        assert elsewhere.heard == []


async def test_p8_a_redirect_of_the_token_url_does_not_take_the_secret_along() -> None:
    async with serving(always(json_answer({"access_token": "x"}))) as elsewhere:
        async with serving(always(answer(status=307, location=f"{elsewhere.url}/oauth/token"))) as server:
            with pytest.raises(UnexpectedResponse, match="redirects are not followed"):
                await TokenEndpoint(client(server), limiter=unlimited(), clock=SystemClock()).fetch(client_credentials())
        assert elsewhere.heard == []


async def test_p8_secret_and_token_go_to_their_own_origins_only() -> None:
    async with serving(District()) as authority, serving(always(json_answer({}))) as server:
        async with transport(server, tokens=manager(authority)) as subject:
            await subject.get_json("/x")
        assert [heard.path for heard in authority.heard] == ["/oauth/token"]
        assert authority.heard[0].headers["authorization"].startswith("Basic ")
        assert authority.heard[0].form == {"grant_type": "client_credentials"}
        assert [heard.headers["authorization"] for heard in server.heard] == ["Bearer token-1"]


@pytest.mark.parametrize("form", ["{}/x", "//{host}/x", "{}@sis.example.org/x"])
async def test_p8_an_address_of_another_origin_is_refused(form: str) -> None:
    async with serving(always(json_answer({}))) as elsewhere, talking_to(always(json_answer({}))) as (subject, server):
        path = form.format(elsewhere.url, host=elsewhere.url.removeprefix("http://"))
        with pytest.raises(SISError):
            await subject.get_json(path)
        assert elsewhere.heard == []
        assert server.heard == []


async def test_an_absolute_address_of_our_own_origin_is_fine() -> None:
    async with talking_to(always(json_answer({}))) as (subject, server):
        await subject.get_json(f"{server.url}/ws/v1/x?page=2#part")
        assert server.heard[0].target == "/ws/v1/x?page=2"


@pytest.mark.parametrize(
    "base_url", ["http://sis.example.org", "sis.example.org", "ftp://127.0.0.1", "https://u:p@sis.example.org"]
)
def test_p8_plain_http_is_for_this_machine_only(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="base URL"):
        Transport(base_url=base_url, tokens=FixedToken(), limiter=unlimited(), clock=SystemClock())


async def test_p8_plain_http_does_not_leave_the_machine_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(always(answer(status=500))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        async with talking_to(always(json_answer({}))) as (subject, server):
            await subject.get_json("/x")
            assert len(server.heard) == 1
        assert proxy.heard == []


def test_p8_of_a_link_elsewhere_nothing_is_used() -> None:
    base = "https://sis.example.org/ims"
    assert own_query(base, "https://sis.example.org/other?offset=2&limit=1") == "offset=2&limit=1"
    assert own_query(base, "https://sis.example.org:443/other?offset=2") == "offset=2"
    assert own_query(base, "?offset=2") == "offset=2"
    assert own_query(base, "/x?offset=2") == "offset=2"
    for link in (
        "https://elsewhere.example.org/x?offset=2",
        "http://sis.example.org/x?offset=2",
        "https://sis.example.org:8443/x?offset=2",
        "//elsewhere.example.org/x?offset=2",
        "https://sis.example.org@elsewhere.example.org/x?offset=2",
        "https://[broken/x?offset=2",
    ):
        with pytest.raises(UnexpectedResponse):
            own_query(base, link)


async def test_cookies_of_a_server_are_not_kept() -> None:
    async with talking_to(always(json_answer({}, set_cookie="session=1; Path=/"))) as (subject, server):
        await subject.get_json("/x")
        await subject.get_json("/x")
        assert "cookie" not in server.heard[1].headers


# --- P7: what is shown -------------------------------------------------------------------------------------------------------


async def test_p7_neither_logs_nor_errors_nor_calls_show_a_secret_or_a_pupil(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    calls: list[Call] = []
    replies: list[Answer] = [
        json_answer({"name": PUPIL}),
        json_answer({"name": PUPIL}, status=400),
        json_answer({"name": PUPIL}, status=500),
        answer(PUPIL.encode(), content_type=f"text/{PUPIL}"[:9]),
        answer(f'{{"name": "{PUPIL}'.encode()),
        reset,
    ]
    shown = ""
    for reply in replies:
        async with talking_to(always(reply), on_call=calls.append, clock=ManualClock()) as (subject, _):
            try:
                response = await subject.get_json(f"/ws/v1/student/{PUPIL}", params={"q": PUPIL})
                shown += repr(response)
            except SISError as error:
                shown += "".join(traceback.format_exception(error)) + repr(error) + str(error.as_dict())
    async with talking_to(always(json_answer({})), tokens=FixedToken("hush\nsplit"), on_call=calls.append) as (subject, _):
        with pytest.raises(ConfigurationError) as caught:
            await subject.get_json("/x")
        shown += "".join(traceback.format_exception(caught.value))
    async with serving(always(json_answer({"error": "invalid_client"}, status=401))) as server:
        endpoint = TokenEndpoint(client(server), limiter=unlimited(), clock=SystemClock(), on_call=calls.append)
        with pytest.raises(AuthenticationError) as refused:
            await endpoint.fetch(client_credentials())
        shown += "".join(traceback.format_exception(refused.value))
        await endpoint.aclose()
    shown += caplog.text + repr(calls)
    assert "hush" not in shown
    assert PUPIL not in shown
    assert {call.template for call in calls} == {"/ws/v1/student/{}", "/x", "/oauth/token"}


async def broken_off(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")


@pytest.mark.parametrize("authentication", ["basic", "body", "query"])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_p7_no_frame_behind_a_failed_request_for_a_token_shows_a_secret(
    method: Literal["POST", "GET"], authentication: ClientAuthentication
) -> None:
    """A report of a crash may show the local variables of each frame, those of the HTTP library too."""
    if (method, authentication) == ("GET", "body"):
        return
    replies: list[Answer] = [answer(b"<html>", status=500), answer(b"nonsense"), answer(status=401), reset, broken_off]
    shown, basic = "", base64.b64encode(f"district:{SECRET}".encode()).decode()

    async def ask(server: RawServer) -> None:
        nonlocal shown
        settings = replace(client(server), method=method, authentication=authentication)
        endpoint = TokenEndpoint(settings, limiter=unlimited(), clock=SystemClock(), timeout=5)
        with pytest.raises(SISError) as caught:
            await endpoint.fetch(refresh(RefreshToken("hush-refresh")))
        own = caught.value.__traceback__
        assert own is not None
        report = traceback.TracebackException(type(caught.value), caught.value, own.tb_next, capture_locals=True)
        shown += "".join(report.format())
        await endpoint.aclose()

    for reply in replies:
        async with serving(always(reply)) as server:
            await ask(server)
    await ask(server)  # nobody listens there any more
    for secret in (SECRET, basic, "hush-refresh"):
        assert secret not in shown


async def test_each_attempt_is_recorded_by_its_template() -> None:
    calls: list[Call] = []
    replies = in_turn(answer(status=503), packed(b'{"a": 1}'), reset)
    async with talking_to(replies, on_call=calls.append, clock=ManualClock()) as (subject, _):
        await subject.get_json("/ws/v1/school/42", template="/ws/v1/school/{id}")
        with pytest.raises(NetworkError):
            await subject.request("GET", "/ws/v1/time", repeatable=False)
    assert [(call.template, call.status, call.error, call.bytes) for call in calls] == [
        ("/ws/v1/school/{id}", 503, "NetworkError", 2),
        ("/ws/v1/school/{id}", 200, None, 8),
        ("/ws/v1/time", None, "NetworkError", 0),
    ]
    assert all(call.method == "GET" for call in calls)


def test_the_http_librarys_own_log_which_shows_queries_is_quiet() -> None:
    assert logging.getLogger("httpx").level == logging.WARNING
    assert logging.getLogger("httpcore").level == logging.WARNING
