"""The transport on real sockets: what goes out, what may come back, and what it is called."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import ssl
import subprocess
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from manual_clock import ManualClock
from raw_server import Answer, Heard, RawServer, answer, json_answer, packed, reset, serving
from sis_connect.clock import SystemClock
from sis_connect.errors import (
    AuthenticationError,
    AuthorizationError,
    CircuitOpen,
    ConfigurationError,
    NetworkError,
    NotOffered,
    ProviderError,
    RateLimited,
    RequestTimedOut,
    SISError,
    UnexpectedResponse,
)
from sis_connect.tokens.token_manager import AccessToken, TokenManager
from sis_connect.transport.addresses import own_query
from sis_connect.transport.http import Call, Transport
from sis_connect.transport.oauth import ClientCredentials
from sis_connect.transport.rate_limit import Limiter, unlimited
from sis_connect.transport.token_endpoint import TokenEndpoint

SECRET = "hush-secret-value"
PUPIL = "Riley.Stone"


class FixedToken:
    """Hands out one token for ever; counts refusals."""

    def __init__(self, token: str = "hush-token-value") -> None:  # noqa: S107 - no real one
        self.value = token
        self.rejections = 0

    async def token(self, rejected: SecretStr | None = None) -> SecretStr:
        self.rejections += rejected is not None
        return AccessToken(self.value)


def transport(server: RawServer, **settings: Any) -> Transport:
    defaults: dict[str, Any] = {"tokens": FixedToken(), "limiter": unlimited(), "clock": SystemClock(), "timeout": 5}
    return Transport(**{"base_url": server.url, **defaults, **settings})


def always(reply: Answer) -> Callable[[Heard], Awaitable[Answer]]:
    async def handler(_heard: Heard) -> Answer:
        return reply

    return handler


def in_turn(*replies: Answer) -> Callable[[Heard], Awaitable[Answer]]:
    """Each reply once, the last one for ever."""
    left = list(replies)

    async def handler(_heard: Heard) -> Answer:
        return left.pop(0) if len(left) > 1 else left[0]

    return handler


@asynccontextmanager
async def talking_to(
    handler: Callable[[Heard], Awaitable[Answer]], **settings: Any
) -> AsyncIterator[tuple[Transport, RawServer]]:
    async with serving(handler) as server, transport(server, **settings) as subject:
        yield subject, server


async def fails(reply: Answer, kind: type[SISError], **settings: Any) -> SISError:
    """The error for one kind of answer, tried without pauses."""
    async with talking_to(always(reply), **{"clock": ManualClock(), **settings}) as (subject, _):
        with pytest.raises(kind) as caught:
            await subject.get_json("/ws/v1/student")
    return caught.value


async def test_a_request_carries_token_parameters_and_a_wish_for_json() -> None:
    async with talking_to(always(json_answer({"a": 1}, x_total_count="7"))) as (subject, server):
        response = await subject.get_json("/ws/v1/school", params={"page": "1", "q": "term.start_year==2026;x=lt=5 & ü"})
        assert json.loads(response.body) == {"a": 1}
        assert response.headers["x-total-count"] == "7"
        heard = server.heard[0]
        assert heard.target == "/ws/v1/school?page=1&q=term.start_year%3D%3D2026%3Bx%3Dlt%3D5%20%26%20%C3%BC"
        assert heard.headers["authorization"] == "Bearer hush-token-value"
        assert heard.headers["accept"] == "application/json"
        await subject.request("GET", "/open", authenticate=False)
        assert "authorization" not in server.heard[1].headers


async def test_the_base_url_may_have_a_path() -> None:
    async with serving(always(json_answer({}))) as server, transport(server, base_url=f"{server.url}/district/") as subject:
        await subject.get_json("/ws/v1/school?x=1", params={"page": "2"})
        assert server.heard[0].target == "/district/ws/v1/school?x=1&page=2"


async def test_one_client_keeps_its_connections() -> None:
    async with talking_to(always(json_answer({})), pool=2) as (subject, server):
        await asyncio.gather(*(subject.get_json("/x") for _ in range(20)))
        assert len(server.heard) == 20
        assert server.connections == 2


# --- what may come back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ProviderError),
        (403, AuthorizationError),
        (404, NotOffered),
        (408, RequestTimedOut),
        (429, RateLimited),
        (500, NetworkError),
        (503, NetworkError),
        (302, UnexpectedResponse),
        (304, UnexpectedResponse),
    ],
)
async def test_each_status_has_its_error(status: int, kind: type[SISError]) -> None:
    error = await fails(answer(b"", status=status), kind)
    assert type(error) is kind
    assert "127.0.0.1" in error.message
    assert error.remedy


async def test_a_web_page_with_status_200_is_named() -> None:
    error = await fails(answer(b"<html>unavailable</html>", content_type="text/html"), UnexpectedResponse)
    assert "web page" in error.message


@pytest.mark.parametrize("content_type", ["text/xml", "text/plain", "", "application/octet-stream"])
async def test_another_content_type_than_json_is_named(content_type: str) -> None:
    error = await fails(answer(b"{}", content_type=content_type), UnexpectedResponse)
    assert "instead of JSON" in error.message


@pytest.mark.parametrize("content_type", ["application/json;charset=UTF-8", "Application/JSON", "application/problem+json"])
async def test_json_is_json_however_it_is_spelt(content_type: str) -> None:
    async with talking_to(always(answer(b'\xef\xbb\xbf{"a": 1}', content_type=content_type))) as (subject, _):
        assert (await subject.get_json("/x")).body == b'{"a": 1}'


@pytest.mark.parametrize("body", [b'{"students": [{"id": 1}, {"i', b"", b'{"a": 1}{', b"[" * 100_000])
async def test_json_that_is_cut_off_or_none_is_named(body: bytes) -> None:
    error = await fails(answer(body), UnexpectedResponse)
    assert "JSON" in error.message


async def test_a_page_that_was_cut_off_once_is_asked_for_again() -> None:
    async with talking_to(in_turn(answer(b'{"a": [1,'), json_answer({"a": [1]})), clock=ManualClock()) as (subject, server):
        assert (await subject.get_json("/x")).body == b'{"a": [1]}'
        assert len(server.heard) == 2


async def test_an_answer_larger_than_allowed_is_not_read_to_its_end() -> None:
    error = await fails(answer(b"[" + b"1," * 2**20 + b"1]"), UnexpectedResponse, max_bytes=2**20)
    assert "more than 1 MiB" in error.message


async def test_an_answer_that_unpacks_beyond_measure_is_stopped() -> None:
    bomb = gzip.compress(bytes(200 * 2**20))
    assert len(bomb) < 2**18
    error = await fails(answer(bomb, content_encoding="gzip"), UnexpectedResponse, max_bytes=8 * 2**20)
    assert "more than 8 MiB" in error.message


async def test_packed_answers_are_unpacked_also_in_several_members() -> None:
    two_members = answer(gzip.compress(b'{"a":') + gzip.compress(b" 1}"), content_encoding="gzip")
    async with talking_to(in_turn(packed(b'{"a": 1}'), two_members)) as (subject, server):
        assert (await subject.get_json("/x")).body == b'{"a": 1}'
        assert (await subject.get_json("/x")).body == b'{"a": 1}'
        assert server.heard[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    "reply",
    [
        answer(gzip.compress(b'{"a": 1}')[:-9], content_encoding="gzip"),
        answer(b"not gzip", content_encoding="gzip"),
        answer(b"whatever", content_encoding="br"),
    ],
)
async def test_what_cannot_be_unpacked_is_named(reply: bytes) -> None:
    error = await fails(reply, UnexpectedResponse)
    assert "packed" in error.message


async def broken_off(writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"a": ')
    await writer.drain()
    await asyncio.sleep(0.01)


async def broken_off_by_reset(writer: asyncio.StreamWriter) -> None:
    await broken_off(writer)
    await reset(writer)


async def no_http_at_all(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH\r\n")
    await writer.drain()


@pytest.mark.parametrize("doing", [reset, broken_off, broken_off_by_reset, no_http_at_all])
async def test_a_connection_that_breaks_is_tried_three_times_and_named(doing: Answer) -> None:
    async with talking_to(always(doing), clock=ManualClock()) as (subject, server):
        with pytest.raises(NetworkError, match="broke off"):
            await subject.get_json("/x")
        assert len(server.heard) == 3


async def test_a_server_that_does_not_answer_is_named() -> None:
    async def silent(_heard: Heard) -> Answer:
        await asyncio.sleep(60)
        return b""

    async with talking_to(silent, timeout=0.1, max_attempts=1) as (subject, _):
        with pytest.raises(RequestTimedOut, match=r"within 0.1 seconds"):
            await subject.get_json("/x")


async def test_a_body_that_stops_coming_is_named() -> None:
    async def stalls(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{")
        await writer.drain()
        await asyncio.sleep(60)

    async with talking_to(always(stalls), timeout=0.1, max_attempts=1) as (subject, _):
        with pytest.raises(RequestTimedOut):
            await subject.get_json("/x")


async def test_the_budget_bounds_all_attempts_together() -> None:
    async def trickles(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with talking_to(always(trickles), budget=0.15) as (subject, _):
        with pytest.raises(RequestTimedOut, match="all attempts together"):
            await subject.get_json("/x")


async def test_waiting_for_the_limiter_is_not_charged_to_the_budget() -> None:
    limiter = Limiter(1, 0.2, timeout=1)
    async with talking_to(always(json_answer({})), budget=0.1, limiter=limiter) as (subject, server):
        await asyncio.gather(*(subject.get_json("/x") for _ in range(3)))
        assert len(server.heard) == 3


async def test_a_host_without_a_name_a_closed_port_and_a_wrong_certificate_are_told_apart(tmp_path: Path) -> None:
    async def error(base_url: str) -> NetworkError:
        async with Transport(base_url=base_url, tokens=None, limiter=unlimited(), clock=ManualClock(), timeout=5) as subject:
            with pytest.raises(NetworkError) as caught:
                await subject.get_json("/x")
        return caught.value

    unknown = await error("https://sis.example.org")
    assert unknown.message == "The host sis.example.org is not known (DNS)."

    closed = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = closed.sockets[0].getsockname()[1]
    closed.close()
    await closed.wait_closed()
    assert (await error(f"http://127.0.0.1:{port}")).message == f"127.0.0.1 refuses connections on port {port}."

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*_certificate(tmp_path))
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=context)
    untrusted = await error(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert "cannot be trusted (TLS" in untrusted.message
    assert not untrusted.retryable
    server.close()

    async def no_tls(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer())
        await writer.drain()
        writer.close()

    plain = await asyncio.start_server(no_tls, "127.0.0.1", 0)
    insecure = await error(f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}")
    assert "No secure connection" in insecure.message
    plain.close()


def _certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    subprocess.run(
        [*command, "-subj", "/CN=sis.example.org", "-out", certificate, "-keyout", key], check=True, capture_output=True
    )
    return certificate, key


# --- attempts ----------------------------------------------------------------------------------------------------------------


async def test_an_endpoint_that_may_not_be_repeated_is_asked_once() -> None:
    async with talking_to(always(answer(status=503)), clock=ManualClock()) as (subject, server):
        with pytest.raises(NetworkError):
            await subject.request("POST", "/x", json={"a": 1}, repeatable=False)
        assert len(server.heard) == 1
        with pytest.raises(NetworkError):
            await subject.request("POST", "/search", json={"a": 1})
        assert len(server.heard) == 4
        assert json.loads(server.heard[3].body) == {"a": 1}


async def test_retry_after_is_heeded_in_both_forms() -> None:
    clock = ManualClock()
    replies = in_turn(
        answer(status=429, retry_after="4"),
        answer(status=503, retry_after="Sun, 22 Nov 2026 08:01:00 GMT", date="Sun, 22 Nov 2026 08:00:51 GMT"),
        json_answer({}),
    )
    async with talking_to(replies, clock=clock) as (subject, _):
        await subject.get_json("/x")
    assert clock.slept == [4, 9]


async def test_a_retry_after_beyond_the_budget_ends_the_request() -> None:
    error = await fails(answer(status=429, retry_after="3600"), RateLimited, budget=10)
    assert error.retry_after == 3600


async def test_a_host_that_is_down_is_left_alone_and_found_again() -> None:
    clock = ManualClock()
    down = True

    async def handler(_heard: Heard) -> Answer:
        return answer(status=503) if down else json_answer({})

    async with talking_to(handler, clock=clock, max_attempts=1) as (subject, server):
        for _ in range(10):
            with pytest.raises(NetworkError, match="503"):
                await subject.get_json("/x")
        with pytest.raises(CircuitOpen, match="503"):
            await subject.get_json("/x")
        assert len(server.heard) == 10
        clock.advance(31)
        down = False
        await subject.get_json("/x")
        assert len(server.heard) == 11


async def test_a_5xx_counts_against_the_host_whatever_the_plugin_calls_it() -> None:
    def read_error(_status: int, _headers: object, _body: bytes) -> SISError:
        return ProviderError("The SIS reports an error of its own.")

    async with talking_to(always(answer(status=500)), clock=ManualClock(), read_error=read_error) as (subject, server):
        for _ in range(10):
            with pytest.raises(ProviderError, match="of its own"):
                await subject.get_json("/x")
        with pytest.raises(CircuitOpen):
            await subject.get_json("/x")
        assert len(server.heard) == 10


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


def credentials(server: RawServer) -> ClientCredentials:
    return ClientCredentials(token_url=f"{server.url}/oauth/token", client_id="district", client_secret=SecretStr(SECRET))


def manager(server: RawServer, **settings: Any) -> TokenManager:
    endpoint = TokenEndpoint(credentials(server), **{"limiter": unlimited(), "clock": SystemClock(), **settings})
    return TokenManager(endpoint, clock=SystemClock())


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
                await TokenEndpoint(credentials(server), limiter=unlimited(), clock=SystemClock())()
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
        with pytest.raises(AuthenticationError) as refused:
            await TokenEndpoint(credentials(server), limiter=unlimited(), clock=SystemClock(), on_call=calls.append)()
        shown += "".join(traceback.format_exception(refused.value))
    shown += caplog.text + repr(calls)
    assert "hush" not in shown
    assert PUPIL not in shown
    assert {call.template for call in calls} == {"/ws/v1/student/{}", "/x", "/oauth/token"}


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
