"""Asking the token URL for a token: the wire around the pure flow of `oauth.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sis_connect.clock import Clock
from sis_connect.errors import RequestTimedOut
from sis_connect.tokens.token import StoredToken
from sis_connect.transport.answers import Response
from sis_connect.transport.http import Call, Request, Wire
from sis_connect.transport.oauth import ClientCredentials, read_token, token_request
from sis_connect.transport.rate_limit import Limiter
from sis_connect.transport.redact import path_template
from sis_connect.transport.retry import Budget

#: No token is larger.
_MAX_BYTES = 64 * 2**10


class TokenEndpoint:
    """Fetches tokens for a `TokenManager`. It has a client of its own, so that secrets and data never share a connection."""

    def __init__(
        self,
        credentials: ClientCredentials,
        *,
        limiter: Limiter,
        clock: Clock,
        timeout: float = 30,
        on_call: Callable[[Call], None] | None = None,
    ) -> None:
        self._credentials = credentials
        self._limiter = limiter
        self._clock = clock
        self._timeout = timeout
        self._on_call = on_call

    async def __call__(self) -> StoredToken:
        """Ask the token URL for a token. One attempt: whoever needs the token tries again."""
        prepared = token_request(self._credentials)
        request = Request(
            method="POST",
            template=path_template(prepared.url),
            url=prepared.url,
            headers=prepared.headers,
            content=prepared.body,
        )
        wire = Wire(
            prepared.url,
            limiter=self._limiter,
            clock=self._clock,
            timeout=self._timeout,
            pool=1,
            max_bytes=_MAX_BYTES,
            on_call=self._on_call,
        )
        try:
            async with asyncio.timeout(2 * self._timeout) as deadline:
                return await wire.send(request, self._read, Budget(deadline).paused)
        except TimeoutError:
            raise RequestTimedOut(f"{wire.origin.host} did not hand out a token in time.") from None
        finally:
            await wire.aclose()

    def _read(self, response: Response) -> StoredToken:
        return read_token(response, credentials=self._credentials, now=self._clock.now())
