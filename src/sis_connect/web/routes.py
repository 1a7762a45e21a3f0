"""The routes of the web application: a thin shell, which neither knows secrets nor reads what was sent."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sis_connect.service import Receipt, SISService
from sis_connect.web.follower import Follower

_log = logging.getLogger("sis_connect.web")
#: How long a body may take to arrive, in seconds.
_PATIENCE = 10.0
_SECRET_IN_PATH = re.compile(r"(/hooks/[^/\s?]+/)[^\s?\"]+")

Endpoint = Callable[[Request], Awaitable[Response]]


class SecretPaths(logging.Filter):
    """Takes the secret out of the paths that a server's access log shows (promise P7)."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_redacted(value) if isinstance(value, str) else value for value in record.args)
        if isinstance(record.msg, str):
            record.msg = _redacted(record.msg)
        return True


def _redacted(text: str) -> str:
    return _SECRET_IN_PATH.sub(r"\1[redacted]", text)


def build(service: SISService, *, follow: bool, longest_body: int) -> Starlette:
    """The application; see `sis_connect.web.application`."""
    access_log = logging.getLogger("uvicorn.access")
    if not any(isinstance(known, SecretPaths) for known in access_log.filters):
        access_log.addFilter(SecretPaths())
    follower = Follower(service) if follow else None

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if follower is not None:
            await follower.follow_all()
        yield
        if follower is not None:
            await follower.aclose()

    async def by_path(request: Request) -> Response:
        receipt = await _receipt(service, request, longest_body, request.path_params["secret"])
        return _answered(receipt, follower, request.path_params["name"], refused=404)

    async def by_signature(request: Request) -> Response:
        receipt = await _receipt(service, request, longest_body, None)
        return _answered(receipt, follower, request.path_params["name"], refused=401)

    async def health(request: Request) -> Response:
        """How many integrations are how; none of them by name."""
        states = Counter(integration.status for integration in await service.integrations())
        ill = states.keys() - {"active", "held"}
        return JSONResponse({"status": "degraded" if ill else "ok", "integrations": dict(sorted(states.items()))})

    app = Starlette(
        routes=[
            Route("/hooks/{name}/{secret:path}", _without_detail(by_path), methods=["POST"]),
            Route("/hooks/{name}", _without_detail(by_signature), methods=["POST"]),
            Route("/health", _without_detail(health), methods=["GET"]),
        ],
        lifespan=lifespan,
    )
    app.state.follower = follower
    return app


async def _receipt(service: SISService, request: Request, longest: int, secret: str | None) -> Receipt | Response:
    try:
        async with asyncio.timeout(_PATIENCE):
            body = await _body(request, longest)
    except (TimeoutError, ClientDisconnect):
        return Response(status_code=408)
    if body is None:
        return Response(status_code=413)
    return await service.receive(request.path_params["name"], body, headers=request.headers, secret=secret)


async def _body(request: Request, longest: int) -> bytes | None:
    """The body, or None where it is too long: then it is not read to its end."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > longest:
            return None
    return bytes(body)


def _answered(receipt: Receipt | Response, follower: Follower | None, name: str, *, refused: int) -> Response:
    """The answer says no more than its status: neither who we know, nor what was wrong."""
    if isinstance(receipt, Response):
        return receipt
    if receipt.outcome == "kept" and follower is not None:
        follower.nudge(name)
    status = {"kept": 200, "repeated": 200, "nothing": 202, "unreadable": 400, "refused": refused}[receipt.outcome]
    return Response(status_code=status)


def _without_detail(endpoint: Endpoint) -> Endpoint:
    """Whatever goes wrong here, the sender hears that they may try again, and the log which sort of thing it was."""

    async def answer(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except Exception as error:  # noqa: BLE001 - what a library says about its trouble may quote what was sent
            _log.error("A request could not be answered (%s).", type(error).__name__)
            response = Response(status_code=503)
        name = request.path_params.get("name", "")
        _log.info("%s %s %d", request.method, "/hooks" if name else "/health", response.status_code)
        return response

    return answer
