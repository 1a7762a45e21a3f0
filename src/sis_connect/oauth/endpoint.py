"""Asking a token URL: the wire around the pure flows of this package."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from pydantic import SecretStr

from sis_connect.clock import Clock
from sis_connect.errors import RequestTimedOut, SISError
from sis_connect.oauth.answers import ClientRefused, read_id_token, read_token
from sis_connect.oauth.client import OAuthClient
from sis_connect.oauth.grants import Form
from sis_connect.oauth.requests import TokenRequest, token_request
from sis_connect.oauth.revocation import Hint, check_revoked, revocation_request
from sis_connect.tokens.token import StoredToken
from sis_connect.transport.addresses import origin_of
from sis_connect.transport.answers import Response
from sis_connect.transport.http import Call, Request, Wire
from sis_connect.transport.rate_limit import Limiter
from sis_connect.transport.redact import path_template
from sis_connect.transport.retry import Budget, retrying

_log = logging.getLogger("sis_connect.oauth")

#: No token is larger.
_MAX_BYTES = 64 * 2**10
#: A revocation that nobody repeats would leave a token alive.
_REVOKING = 3
_Value = TypeVar("_Value")


class Exchanged(NamedTuple):
    """What a code was exchanged for. The ID token, where one came, is not checked yet."""

    token: StoredToken
    id_token: SecretStr | None


class TokenEndpoint:
    """Fetches tokens, and gives them back. It has a client of its own, so that secrets and data never share a connection.

    `timeout` is how many seconds an answer may take to begin, or to go on. It waits for the limiter like everybody else. A
    token is handed over as soon as it is read, since a refresh token that is not yet written down is lost with the process;
    connection and slot are given back behind its back. `aclose` waits for that.
    """

    def __init__(
        self,
        client: OAuthClient,
        *,
        limiter: Limiter,
        clock: Clock,
        timeout: float = 30,
        on_call: Callable[[Call], None] | None = None,
    ) -> None:
        self.client = client
        self._limiter = limiter
        self._clock = clock
        self._timeout = timeout
        self._on_call = on_call
        #: The secrets in the order in which they are tried: the one that worked last comes first.
        self._secrets: list[SecretStr | None] = list(client.secrets) or [None]
        self._warned = False
        self._endings: set[asyncio.Task[None]] = set()

    async def fetch(self, form: Form, former: StoredToken | None = None) -> StoredToken:
        """Ask for a token. One attempt with each secret: whoever needs the token tries again."""
        return (await self._exchange(form, former)).token

    async def exchange(self, form: Form) -> Exchanged:
        """Exchange a code for the first token, and the ID token that may come with it."""
        return await self._exchange(form, None)

    async def revoke(self, token: SecretStr, hint: Hint, url: str) -> None:
        """Give a token back at `url`, so that it opens nothing any more. A server that is not well is asked again."""

        async def attempt() -> None:
            await self._with_each_secret(revoking)

        async def revoking(secret: SecretStr | None) -> None:
            request = revocation_request(self.client, token, hint, url, secret)
            await self._send(request, lambda answer: check_revoked(answer, url=url, now=self._clock.now()))

        until = self._clock.monotonic() + _REVOKING * 2 * self._timeout
        await retrying(attempt, attempts=_REVOKING, seconds_left=lambda: until - self._clock.monotonic(), clock=self._clock)

    async def aclose(self) -> None:
        """Wait until all connections are closed."""
        if self._endings:
            await asyncio.wait(self._endings)

    async def _exchange(self, form: Form, former: StoredToken | None) -> Exchanged:
        def read(answer: Response) -> Exchanged:
            grant_type = str(form["grant_type"])
            token = read_token(answer, url=self.client.token_url, now=self._clock.now(), grant_type=grant_type, former=former)
            return Exchanged(token, read_id_token(answer))

        async def asking(secret: SecretStr | None) -> Exchanged:
            return await self._send(token_request(self.client, form, secret), read)

        return await self._with_each_secret(asking)

    async def _with_each_secret(self, ask: Callable[[SecretStr | None], Awaitable[_Value]]) -> _Value:
        """Ask with one secret, and where that is refused with the other: a district may have changed it, or not yet."""
        refused: ClientRefused | None = None
        for secret in list(self._secrets):
            try:
                answer = await ask(secret)
            except ClientRefused as error:
                refused = refused or error
                continue
            if refused is not None:
                self._prefer(secret)
            return answer
        assert refused is not None  # noqa: S101 - there is always a secret to try, if only None
        raise refused

    def _prefer(self, secret: SecretStr | None) -> None:
        self._secrets.sort(key=lambda one: one is not secret)
        if secret is not self.client.secrets[0] and not self._warned:
            self._warned = True
            host = origin_of(self.client.token_url).host
            _log.warning("%s refuses the newest client secret and takes the former one: have the newest activated.", host)

    async def _send(self, prepared: TokenRequest, read: Callable[[Response], _Value]) -> _Value:
        """What `read` makes of the answer, at once. What is left to do then goes on without us."""
        outcome: asyncio.Future[_Value] = asyncio.get_running_loop().create_future()
        sending = asyncio.create_task(self._talk(prepared, partial(_deliver, outcome, read)))
        self._endings.add(sending)
        sending.add_done_callback(partial(self._ended, outcome))
        try:
            return await outcome
        except asyncio.CancelledError:
            sending.cancel()
            raise

    def _ended(self, outcome: asyncio.Future[Any], sending: asyncio.Task[None]) -> None:
        self._endings.discard(sending)
        error = asyncio.CancelledError() if sending.cancelled() else sending.exception()
        if outcome.done():
            if error is not None and not isinstance(error, asyncio.CancelledError) and error is not _error_of(outcome):
                _log.warning("An answer came, and what follows it failed (%s).", type(error).__name__)
        elif error is not None:
            outcome.set_exception(error)

    async def _talk(self, prepared: TokenRequest, deliver: Callable[[Response], None]) -> None:
        request = Request(
            method=prepared.method,
            template=path_template(prepared.url),
            url=prepared.url,
            headers=prepared.headers,
            content=prepared.body,
        )
        wire = Wire(
            self.client.token_url,
            limiter=self._limiter,
            clock=self._clock,
            timeout=self._timeout,
            pool=1,
            max_bytes=_MAX_BYTES,
            on_call=self._on_call,
            urgent=True,
        )
        try:
            async with asyncio.timeout(2 * self._timeout) as deadline:
                await wire.send(request, deliver, Budget(deadline).paused)
        except TimeoutError:
            raise RequestTimedOut(f"{wire.origin.host} did not answer a request for a token in time.") from None
        finally:
            await wire.aclose()


def _deliver(outcome: asyncio.Future[_Value], read: Callable[[Response], _Value], answer: Response) -> None:
    try:
        value = read(answer)
    except SISError as error:
        if not outcome.done():
            outcome.set_exception(error)
        raise
    if not outcome.done():
        outcome.set_result(value)


def _error_of(outcome: asyncio.Future[Any]) -> BaseException | None:
    return None if outcome.cancelled() else outcome.exception()
