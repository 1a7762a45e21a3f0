"""The transport on real sockets: what goes out, what may come back, and what it is called."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import subprocess
from pathlib import Path

import pytest

from manual_clock import ManualClock
from raw_server import Answer, Heard, answer, json_answer, packed, reset, serving
from sis_connect.errors import (
    AuthorizationError,
    CircuitOpen,
    NetworkError,
    NotOffered,
    ProviderError,
    RateLimited,
    RequestTimedOut,
    SISError,
    UnexpectedResponse,
)
from sis_connect.transport.http import Transport
from sis_connect.transport.rate_limit import Limiter, unlimited
from talking_transport import always, fails, in_turn, talking_to, transport


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
    assert insecure.message.endswith("but not by TLS.")
    assert not insecure.retryable
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


async def test_p12_a_request_that_is_cancelled_at_any_moment_keeps_no_connection_from_others() -> None:
    async with talking_to(always(answer(b'{"some": "rows"}')), pool=1) as (subject, _):
        await subject.get_json("/students")
        for moment in range(60):
            reading = asyncio.create_task(subject.get_json("/students"))
            for _ in range(moment):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait({reading})
            async with asyncio.timeout(5):
                assert (await subject.get_json("/students")).body == b'{"some": "rows"}'
