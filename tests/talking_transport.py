"""A transport and a server to talk to, for tests on real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from manual_clock import ManualClock
from raw_server import Answer, Heard, RawServer, serving
from sis_connect.clock import SystemClock
from sis_connect.errors import (
    SISError,
)
from sis_connect.tokens.token import AccessToken
from sis_connect.transport.http import Transport
from sis_connect.transport.rate_limit import unlimited

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
