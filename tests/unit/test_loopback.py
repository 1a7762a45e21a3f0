"""The port that waits for one redirect: anybody on this machine may talk to it, and only the redirect is heard."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from sis_connect.cli.loopback import PATH, Loopback, listening, redirect_uri
from sis_connect.errors import ConfigurationError

STATE = "the-state-that-was-sent"
GOOD = f"{PATH}?code=the-code&state={STATE}"


@dataclass
class Waiting:
    """A loopback port whose redirect is waited for, and the complaints about others."""

    loopback: Loopback
    strays: list[str]
    redirect: asyncio.Task[str] = field(init=False)

    async def ask(self, target: str = GOOD, *, method: str = "GET", host: str | None = None, more: str = "") -> bytes:
        """Send one request and read the whole answer."""
        host = f"127.0.0.1:{self.loopback.port}" if host is None else host
        return await self.say(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode())

    async def say(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.loopback.port)
        writer.write(request)
        if not request.endswith(b"\r\n\r\n"):
            writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer


@asynccontextmanager
async def waiting() -> AsyncIterator[Waiting]:
    strays: list[str] = []
    async with listening(0, strays.append) as loopback:
        it = Waiting(loopback, strays)
        it.redirect = asyncio.create_task(loopback.redirect(STATE))
        await asyncio.sleep(0)  # it has begun to wait
        yield it
        it.redirect.cancel()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def test_the_redirect_is_heard_and_the_browser_learns_what_came_of_it() -> None:
    async with waiting() as it:
        asking = asyncio.create_task(it.ask())
        assert await it.redirect == f"http://127.0.0.1:{it.loopback.port}{GOOD}"
        assert not asking.done()
        it.loopback.tell(True)
        answer = await asking
    assert status(answer) == 200
    assert b"Access has been given" in answer
    head = answer.partition(b"\r\n\r\n")[0].lower()
    for line in (b"referrer-policy: no-referrer", b"cache-control: no-store", b"default-src 'none'", b"connection: close"):
        assert line in head
    assert b"the-code" not in answer


async def test_where_nothing_came_of_it_the_browser_learns_that() -> None:
    async with waiting() as it:
        asking = asyncio.create_task(it.ask())
        await it.redirect
    answer = await asking
    assert status(answer) == 400
    assert b"No access was given" in answer


@pytest.mark.parametrize(
    "target", ["/favicon.ico", "/", "/callback/", "/callbackx", "//callback", "http://127.0.0.1/callback", "*", ""]
)
async def test_stray_requests_to_other_paths_are_not_heard(target: str) -> None:
    async with waiting() as it:
        assert status(await it.ask(target)) == 404
        assert not it.redirect.done()
        assert it.strays == []


@pytest.mark.parametrize(
    "host", ["evil.example.org", "localhost:{port}", "127.0.0.1", "127.0.0.1:1", "evil.example.org:{port}", ""]
)
async def test_a_name_that_was_made_to_point_here_is_not_heard(host: str) -> None:
    async with waiting() as it:
        assert status(await it.ask(host=host.format(port=it.loopback.port))) == 421
        assert not it.redirect.done()
        assert "another name" in it.strays[0]


async def test_two_hosts_in_one_request_are_none() -> None:
    async with waiting() as it:
        assert status(await it.ask(more=f"Host: 127.0.0.1:{it.loopback.port}\r\n")) == 421
        assert not it.redirect.done()


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "PUT"])
async def test_only_a_browser_that_is_sent_here_is_heard(method: str) -> None:
    async with waiting() as it:
        assert status(await it.ask(method=method)) == 405
        assert not it.redirect.done()


@pytest.mark.parametrize(
    "query", ["", "?", "?code=x", "?code=x&state=", "?code=x&state=another", f"?state={STATE}&state=another", "?code=x&state=%FF"]
)
async def test_a_tampered_state_is_not_heard_and_the_operator_is_told(query: str) -> None:
    async with waiting() as it:
        assert status(await it.ask(PATH + query)) == 400
        assert not it.redirect.done()
        assert ["its state is another" in stray for stray in it.strays] == [True]
        asking = asyncio.create_task(it.ask())
        await it.redirect  # the real one is still waited for
        it.loopback.tell(True)
        assert status(await asking) == 200


async def test_a_redirect_that_comes_before_anybody_waits_is_not_heard() -> None:
    strays: list[str] = []
    async with listening(0, strays.append) as loopback:
        assert status(await Waiting(loopback, strays).ask()) == 400
    assert len(strays) == 1


async def test_the_first_redirect_counts_and_the_same_one_again_shows_the_same_page() -> None:
    async with waiting() as it:
        first = asyncio.create_task(it.ask())
        await it.redirect
        again = asyncio.create_task(it.ask())
        other = await it.ask(f"{PATH}?code=another&state={STATE}")
        assert status(other) == 409
        it.loopback.tell(True)
        assert [status(answer) for answer in await asyncio.gather(first, again)] == [200, 200]
        assert "the-code" in await it.redirect


@pytest.mark.parametrize("said", [b"", b"\x00\xff\x16\x03\x01\r\n\r\n", b"GET", b"\r\n\r\n", b"GET /callback\r\n\r\n"])
async def test_what_is_no_request_at_all_harms_nobody(said: bytes) -> None:
    async with waiting() as it:
        await it.say(said)
        asking = asyncio.create_task(it.ask())
        await it.redirect
        it.loopback.tell(True)
        assert status(await asking) == 200


@pytest.mark.parametrize("target", ["//[::1", "//[::1/callback", "//[not-an-address]/callback"])
async def test_a_target_that_is_no_address_is_answered_like_any_other(target: str, caplog: pytest.LogCaptureFixture) -> None:
    async with waiting() as it:
        assert status(await it.ask(target)) == 404
    assert caplog.text == ""


async def test_a_flood_of_stray_redirects_is_told_of_once() -> None:
    async with waiting() as it:
        for number in range(20):
            assert status(await it.ask(f"{PATH}?code=x&state={number}")) == 400
            assert status(await it.ask(host="evil.example.org")) == 421
        assert ["its state is another" in stray for stray in it.strays] == [True, False]


async def test_a_request_without_end_is_cut_off() -> None:
    async with waiting() as it:
        with suppress(ConnectionResetError):  # there was more in the line that nobody read
            assert await it.ask(more=f"X: {'x' * 2**17}\r\n") == b""
        assert not it.redirect.done()


async def test_a_connection_that_says_nothing_is_ended_with_the_rest() -> None:
    async with waiting() as it:
        reader, writer = await asyncio.open_connection("127.0.0.1", it.loopback.port)
        asking = asyncio.create_task(it.ask())
        await it.redirect
        it.loopback.tell(True)
        assert status(await asking) == 200
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()


async def test_a_port_that_is_taken_is_named_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"Port {port} .* cannot be used.*--port"):
            async with listening(port, lambda _: None):
                pass


async def test_only_this_machine_is_listened_to() -> None:
    async with listening(0, lambda _: None) as loopback:
        assert loopback.redirect_uri == redirect_uri(loopback.port) == f"http://127.0.0.1:{loopback.port}/callback"
        with socket.socket(socket.AF_INET) as other, pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.2", loopback.port))
