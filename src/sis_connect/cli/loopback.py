"""A port of this machine that waits for one redirect: the browser comes back to it with what the sign-in server said.

Anything on this machine, and any web page in the browser, can send requests to it. So it takes one redirect only, whose `state`
is the one that was sent along, and whose `Host` is the address that was listened on: a name of somebody else that points here
(DNS rebinding) is another host.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from hmac import compare_digest
from urllib.parse import parse_qs, urlsplit

from sis_connect.errors import ConfigurationError

HOST = "127.0.0.1"
PATH = "/callback"
#: A request line with a code in it, and the headers of a browser.
_MAX_BYTES = 32 * 2**10
#: A browser may open connections in advance and say nothing.
_PATIENCE = 30.0
_LAST_WORDS = 5.0
#: Nothing is loaded, run or kept, and the next page does not learn this address.
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Connection": "close",
}
_GRANTED = "Access has been given. You can close this window and go back to the terminal."
_NOT_GRANTED = "No access was given. The terminal says why."


def redirect_uri(port: int) -> str:
    """The redirect URI that stands for a port of this machine. An address, no name: what `localhost` means can be changed."""
    return f"http://{HOST}:{port}{PATH}"


@dataclass(frozen=True, slots=True)
class Page:
    """What the browser is shown."""

    status: int
    text: str


class Loopback:
    """A port that is listened on. `redirect` waits for the one redirect, `tell` says what its page is to show."""

    def __init__(self, port: int, on_stray: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        self.port = port
        self._on_stray = on_stray
        self._strays: set[str] = set()
        self._state: str | None = None
        self._redirect: asyncio.Future[str] = loop.create_future()
        self._granted: asyncio.Future[bool] = loop.create_future()
        self._silent: set[asyncio.Task[None]] = set()
        self._answered: set[asyncio.Task[None]] = set()

    @property
    def redirect_uri(self) -> str:
        """Where the browser is to come back to."""
        return redirect_uri(self.port)

    @property
    def came(self) -> bool:
        """Whether the browser has come back."""
        return self._redirect.done()

    async def redirect(self, state: str) -> str:
        """Wait for the redirect that carries this `state`, and return its whole address."""
        self._state = state
        return await self._redirect

    def tell(self, granted: bool) -> None:
        """Say what came of it, so that the browser can show it."""
        if not self._granted.done():
            self._granted.set_result(granted)

    async def finish(self) -> None:
        """Let the page be sent that is still to be shown."""
        self.tell(False)
        for talk in self._silent:
            talk.cancel()
        if self._answered:
            await asyncio.wait(self._answered, timeout=_LAST_WORDS)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        try:
            with _among(self._silent):
                async with asyncio.timeout(_PATIENCE):
                    head = await reader.readuntil(b"\r\n\r\n")
            with _among(self._answered):
                writer.write(_answer(await self._page(head)))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, TimeoutError):
            pass  # it had nothing to say, or too much
        finally:
            writer.close()

    async def _page(self, head: bytes) -> Page:
        method, target, headers = _request(head)
        refused = refusal(method, target, headers, port=self.port, state=self._state)
        if refused is not None:
            # Each kind once: whoever can send one can send thousands.
            if urlsplit(target).path == PATH and refused.text not in self._strays:
                self._strays.add(refused.text)
                self._on_stray(refused.text)
            return refused
        address = f"http://{HOST}:{self.port}{target}"
        if not self._redirect.done():
            self._redirect.set_result(address)
        elif self._redirect.cancelled() or self._redirect.result() != address:
            return Page(409, "Another answer has come already. The terminal says what came of it.")
        return Page(200, _GRANTED) if await self._granted else Page(400, _NOT_GRANTED)


@contextmanager
def _among(tasks: set[asyncio.Task[None]]) -> Iterator[None]:
    """Count the running task among these while it lasts."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine runs in one
    tasks.add(task)
    try:
        yield
    finally:
        tasks.discard(task)


def refusal(method: str, target: str, headers: Mapping[str, str], *, port: int, state: str | None) -> Page | None:
    """Why a request is not the redirect that is waited for; `None` if it is."""
    if headers.get("host") not in (f"{HOST}:{port}", HOST if port == 80 else None):
        return Page(421, "A request came under another name than the address that is listened on. It was ignored.")
    if urlsplit(target).path != PATH:
        return Page(404, "There is nothing here.")
    if method != "GET":
        return Page(405, "A request came that is no redirect of a browser. It was ignored.")
    states = parse_qs(urlsplit(target).query).get("state", [])
    if state is None or len(states) != 1 or not compare_digest(states[0].encode(), state.encode()):
        return Page(400, "A redirect came that does not belong to this authorization (its state is another). It was ignored.")
    return None


def _request(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, _, rest = first.partition(" ")
    target = rest.partition(" ")[0]
    headers: dict[str, str] = {}
    for name, _, value in (line.partition(":") for line in lines if line):
        # Said twice, it is neither of the two.
        key = name.strip().lower()
        headers[key] = value.strip() if key not in headers else ""
    return method, target if _is_path(target) else "/", headers


def _is_path(target: str) -> bool:
    try:
        return target.startswith("/") and bool(urlsplit(target))
    except ValueError:  # such as the half of an IPv6 address
        return False


def _answer(page: Page) -> bytes:
    body = f"<!doctype html><title>sis-connect</title><p>{page.text}</p>\n".encode()
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**_HEADERS, "Content-Length": str(len(body))}.items())
    return f"HTTP/1.1 {page.status} {'OK' if page.status == 200 else 'Refused'}\r\n{lines}\r\n".encode() + body


@asynccontextmanager
async def listening(port: int, on_stray: Callable[[str], None]) -> AsyncIterator[Loopback]:
    """Listen on a port of this machine, 0 for any free one. `on_stray` is told of redirects that are not ours, each kind once."""
    loopback: Loopback | None = None

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if loopback is not None:
            await loopback.talk(reader, writer)

    try:
        server = await asyncio.start_server(talk, HOST, port, limit=_MAX_BYTES)
    except OSError as error:
        raise ConfigurationError(
            f"Port {port} of this machine cannot be used ({error.strerror}).",
            remedy="End what uses it, choose another with --port that the SIS has registered too, or use --paste.",
        ) from error
    loopback = Loopback(server.sockets[0].getsockname()[1], on_stray)
    try:
        yield loopback
    finally:
        server.close()
        await loopback.finish()
