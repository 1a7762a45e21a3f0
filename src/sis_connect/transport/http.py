"""The HTTP client: the only file that knows which library is used. Layers: retry( breaker( auth( limiter( http )))).

`Wire` sends one request to one origin and reads its answer; the limiter sits there, so that every request takes a slot, re-sent
and token requests too. `Transport` puts token, breaker and retry around it. What goes wrong leaves as an error of `errors.py`.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import lru_cache, partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import BinaryIO, TypeVar

import httpx

from sis_connect.clock import Clock
from sis_connect.errors import (
    AuthenticationError,
    ConfigurationError,
    NetworkError,
    RequestTimedOut,
    StorageError,
    UnexpectedResponse,
)
from sis_connect.tokens.token_manager import TokenSource
from sis_connect.transport.addresses import Origin, address, origin_of, safe_base
from sis_connect.transport.admission import Pause, admitted
from sis_connect.transport.answers import ErrorReader, Response, as_json, fault
from sis_connect.transport.bodies import BodyFile, BodyReader
from sis_connect.transport.calls import Call, CallInProgress, Request
from sis_connect.transport.certificates import named_certificates
from sis_connect.transport.circuit_breaker import CircuitBreaker, Verdict
from sis_connect.transport.closing import chunks, to_the_end
from sis_connect.transport.network_errors import connect_error, forget_frames
from sis_connect.transport.rate_limit import Limiter
from sis_connect.transport.redact import path_template
from sis_connect.transport.retry import Budget, Tries, retrying
from sis_connect.transport.signer import BearerSigner, Signer

__all__ = ["Call", "ErrorReader", "Request", "Response", "Transport", "Wire"]

_log = logging.getLogger("sis_connect.transport")
# The library logs whole URLs, and a query may hold a name.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

#: The largest answer, unpacked; the largest download, which may take so many times as long; how much is read of an error answer.
MAX_BYTES = 64 * 2**20
_MAX_DOWNLOAD_BYTES = 4 * 2**30
_DOWNLOAD_BUDGETS = 10
_ERROR_BYTES = 64 * 2**10
_CONNECT_SECONDS = 10.0
#: Idle connections are closed before common servers close theirs (5 s), so that no request runs into a closing one.
_IDLE_SECONDS = 3.0
_Value = TypeVar("_Value")


class Wire:
    """One pooled client for one origin. Every request takes a slot; none follows a redirect, none carries a cookie.

    `urgent` is for small answers that must be read before anything else is done, such as giving back the slot.
    """

    def __init__(
        self,
        base_url: str,
        *,
        limiter: Limiter,
        clock: Clock,
        timeout: float,
        pool: int,
        max_bytes: int,
        on_call: Callable[[Call], None] | None,
        urgent: bool = False,
    ) -> None:
        self._urgent = urgent
        self.origin = origin_of(base_url)
        self._limiter = limiter
        self._clock = clock
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._on_call = on_call
        self._connections = asyncio.Semaphore(pool)
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            verify=_trusted(*named_certificates()),
            timeout=httpx.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS), pool=None),
            limits=httpx.Limits(max_connections=pool, max_keepalive_connections=pool, keepalive_expiry=_IDLE_SECONDS),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "sis-connect"},
            # Plain HTTP is for this machine only, so it must not leave it through a proxy either.
            trust_env=self.origin.scheme == "https",
        )

    async def send(self, request: Request, judge: Callable[[Response], _Value], pause: Pause = nullcontext) -> _Value:
        """Send once; return what `judge` makes of the answer, or raise what it raises. `pause` surrounds waiting in a queue."""
        if origin_of(request.url) != self.origin:
            raise ConfigurationError("A request was about to leave for another server; it was not sent.")
        async with admitted(self._connections, self._limiter, request.limiter, pause) as answered:
            with self._recorded(request) as record, self._translated():
                async with self._answer(request) as answer:
                    record.status = answer.status_code
                    if not self._urgent:
                        await answered()  # the headers are here: its rest begins, while the body may take its time
                    return judge(await self._read(answer, request.into, record))

    async def aclose(self) -> None:
        await self._client.aclose()

    @asynccontextmanager
    async def _answer(self, request: Request) -> AsyncIterator[httpx.Response]:
        async with asyncio.timeout(self._timeout):
            answer = await self._client.send(self._prepared(request), stream=True)
        try:
            yield answer
        finally:
            await to_the_end(answer.aclose())

    def _prepared(self, request: Request) -> httpx.Request:
        # Never a local variable of what errors pass through: its repr shows the whole address, whose query may hold a secret.
        prepared = self._client.build_request(
            request.method, request.url, headers=request.headers, content=request.content, json=request.json
        )
        if request.signature is not None:
            prepared.headers.update(request.signature.headers(request.method, str(prepared.url)))
        return prepared

    async def _read(self, answer: httpx.Response, into: BodyFile | None, record: CallInProgress) -> Response:
        headers = dict(answer.headers.items())
        if not answer.is_success:
            reader = BodyReader(self.origin.host, _ERROR_BYTES)
        else:
            reader = BodyReader(self.origin.host, into.limit if into else self._max_bytes, into)
        try:
            reader.unpack(headers.get("content-encoding"))
            async for raw in chunks(answer.stream):
                reader.feed(raw)
                record.bytes = reader.size
            body = reader.body()
        except (httpx.HTTPError, UnexpectedResponse):
            if answer.is_success:
                raise
            body = reader.so_far()  # the status has said what matters; an error answer that breaks off changes nothing
        return Response(answer.status_code, headers, body)

    @contextmanager
    def _recorded(self, request: Request) -> Iterator[CallInProgress]:
        record, error_name, started = CallInProgress(), None, self._clock.monotonic()
        try:
            yield record
        except BaseException as error:
            error_name = type(error).__name__
            raise
        finally:
            milliseconds = (self._clock.monotonic() - started) * 1000
            _log.debug("%s %s: %s, %.0f ms", request.method, request.template, error_name or record.status, milliseconds)
            if self._on_call is not None:
                self._on_call(
                    Call(
                        template=request.template,
                        method=request.method,
                        status=record.status,
                        milliseconds=milliseconds,
                        bytes=record.bytes,
                        error=error_name,
                    )
                )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL, UnicodeError) as error:
            forget_frames(error)
            # The library quotes the offending header or address, which may be the token: its words stay here.
            raise ConfigurationError(
                "A request could not be built: an address or header holds characters that may not be sent."
            ) from None
        except (httpx.HTTPError, TimeoutError) as error:
            forget_frames(error)
            raise _network_error(error, self.origin, self._timeout) from error


@lru_cache(maxsize=4)
def _trusted(*certificates: tuple[str, int, int]) -> ssl.SSLContext:
    """Whom this machine trusts: read once for all clients, for it takes longer than many a request, until it is renewed."""
    return httpx.create_ssl_context()


def _network_error(error: BaseException, origin: Origin, timeout: float) -> NetworkError:
    """Why nothing came back, told apart so that an operator knows where to look."""
    host = origin.host
    match error:
        case httpx.ConnectTimeout():
            return RequestTimedOut(f"{host} did not accept a connection within {min(timeout, _CONNECT_SECONDS):g} seconds.")
        case httpx.TimeoutException() | TimeoutError():
            return RequestTimedOut(f"{host} did not answer within {timeout:g} seconds.")
        case httpx.ProxyError():
            return NetworkError(
                f"The proxy on the way to {host} refused the connection.", remedy="Check this machine's proxy settings."
            )
        case httpx.ConnectError():
            return connect_error(error, origin)
        case _:
            return NetworkError(f"{host} broke off in the middle of an answer.")


class Transport:
    """The way to one SIS. `async with` it, or call `aclose`.

    Requests are ours by the access tokens of `tokens` or by the signatures of `signer`; without both they are anybody's.

    `timeout` is how many seconds an answer may take to begin, or to go on; `budget` how many one request may take with all its
    attempts, queueing for the limiter not counted. `pool` connections are kept. Answers grow to `max_bytes` at most. `on_call`
    hears of every request that was sent.
    """

    def __init__(
        self,
        *,
        base_url: str,
        tokens: TokenSource | None,
        limiter: Limiter,
        clock: Clock,
        signer: Signer | None = None,
        read_error: ErrorReader | None = None,
        timeout: float = 30,
        budget: float = 300,
        max_attempts: int = 3,
        pool: int = 8,
        max_bytes: int = MAX_BYTES,
        on_call: Callable[[Call], None] | None = None,
    ) -> None:
        self.base_url = safe_base(base_url, "base URL")
        #: How many requests are being made now, those that queue for the limiter included.
        self.under_way = 0
        self._signer = signer if tokens is None else BearerSigner(tokens)
        self._limiter = limiter
        self._clock = clock
        self._read_error = read_error
        self._budget = budget
        self._max_attempts = max_attempts
        self._wire = Wire(
            self.base_url, limiter=limiter, clock=clock, timeout=timeout, pool=pool, max_bytes=max_bytes, on_call=on_call
        )
        self._breaker = CircuitBreaker(self._wire.origin.host, clock)

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._wire.aclose()

    def limit_besides(self, name: str, limit: int, window: float) -> Limiter:
        """A limit for some of the requests, besides that of all: see `request`."""
        return self._limiter.besides(name, limit, window)

    @property
    def window_left(self) -> int | None:
        """Requests left in the limiter's window now; `None` without a limit."""
        return self._limiter.window_left

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object | None = None,
        headers: Mapping[str, str] | None = None,
        template: str | None = None,
        repeatable: bool = True,
        authenticate: bool = True,
        expect_json: bool = False,
        limiter: Limiter | None = None,
    ) -> Response:
        """Send a request and return its 2xx answer; everything else is a named error.

        `path` lies below the base URL. `template` is the path with its ids left out, for logs; give it wherever the path has any.
        Only a `repeatable` request is sent again after a failure. `expect_json` demands a complete JSON text. `limiter` is a
        limit that it counts towards besides that of all requests.
        """
        request = Request(
            method=method,
            template=template or path_template(path),
            url=address(self.base_url, path, params),
            headers=dict(headers or {}),
            json=json,
            limiter=limiter,
        )
        signer = self._signer if authenticate else None
        tries = Tries(at_most=self._max_attempts if repeatable else 1)
        return await self._within(self._budget, partial(self._attempt, request, signer, expect_json, tries), tries)

    async def get_json(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        template: str | None = None,
        authenticate: bool = True,
        limiter: Limiter | None = None,
    ) -> Response:
        """GET a complete JSON text. The body is not parsed into objects."""
        return await self.request(
            "GET", path, params=params, template=template, authenticate=authenticate, expect_json=True, limiter=limiter
        )

    async def download(
        self,
        path: str,
        into: BinaryIO,
        *,
        params: Mapping[str, str] | None = None,
        template: str | None = None,
        max_bytes: int | None = None,
    ) -> Response:
        """GET a body of any size, up to `max_bytes`, into an open file; what is returned has the status and the headers.

        It is written from where the file stands. What an attempt leaves that breaks off is cut off again.
        """
        body = BodyFile(into, max_bytes or _MAX_DOWNLOAD_BYTES)
        request = Request(
            method="GET",
            template=template or path_template(path),
            url=address(self.base_url, path, params),
            headers={"Accept": "*/*"},
            into=body,
        )
        tries = Tries(at_most=self._max_attempts)

        async def attempt(budget: Budget) -> Response:
            body.clear()
            return await self._attempt(request, self._signer, False, tries, budget)

        try:
            return await self._within(_DOWNLOAD_BUDGETS * self._budget, attempt, tries)
        except BaseException:
            with suppress(StorageError):
                body.clear()
            raise

    async def _within(self, seconds: float, attempt: Callable[[Budget], Awaitable[Response]], tries: Tries) -> Response:
        """Try until it works or is not worth another try, in so many seconds."""
        self.under_way += 1
        try:
            async with asyncio.timeout(seconds) as deadline:
                budget = Budget(deadline)
                return await retrying(
                    partial(attempt, budget),
                    attempts=tries.limit,
                    seconds_left=budget.seconds_left,
                    clock=self._clock,
                    repeat=tries.worth_repeating,
                )
        except TimeoutError:
            raise RequestTimedOut(
                f"{self._wire.origin.host} gave no complete answer within {seconds:g} seconds, all attempts together."
            ) from None
        finally:
            self.under_way -= 1

    async def _attempt(
        self, request: Request, signer: Signer | None, expect_json: bool, tries: Tries, budget: Budget
    ) -> Response:
        tries.begin()
        with self._breaker.call() as verdict:
            judge = partial(self._judge, verdict, expect_json)
            if signer is None:
                return await self._wire.send(request, judge, budget.paused)
            with budget.paused():  # it may queue for the limiter too, and has a limit of time of its own
                signature = await signer.signature(tries.rejected)
            try:
                answer = await self._wire.send(replace(request, signature=signature), judge, budget.paused)
            except AuthenticationError as error:
                if signer.has_another(signature):
                    tries.refused(signature, error)
                raise
            signer.accepted(signature)
            return answer

    def _judge(self, verdict: Verdict, expect_json: bool, response: Response) -> Response:
        verdict.failed = response.status >= 500
        presented = self._signer.presented if self._signer else None
        error = fault(response, base_url=self.base_url, now=self._clock.now(), read_error=self._read_error, presented=presented)
        if error is not None:
            raise error
        return as_json(response, base_url=self.base_url) if expect_json else response
