"""An administrator who gives access, step by step, so that a test can come in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from oauth_server import OAuthServer
from sis_connect.service import SISService
from sis_connect.service.integrations import Integration
from token_office import TokenOffice, settings

REDIRECT_URI = "https://app.example.org/sis/callback"
SESSION = "the session of one administrator"


@asynccontextmanager
async def connected(office: TokenOffice, server: OAuthServer, **more: Any) -> AsyncIterator[SISService]:
    """A service with one integration that a person has to give access to; all that is known of its server is its issuer."""
    given = {"grant": "authorization_code", "scope": "openid roster", "issuer": server.issuer, "token_url": None, **more}
    async with office.open() as service:
        await service.create_integration("lincoln", settings(server, **given))
        yield service


async def begin(service: SISService, **more: str) -> str:
    return await service.authorization_url(
        "lincoln", **{"redirect_uri": REDIRECT_URI, "session": SESSION, "actor": "ada", **more}
    )


async def finish(service: SISService, redirect: str, session: str = SESSION) -> Integration:
    return await service.complete_authorization(redirect, session=session, actor="ada")


async def give_access(service: SISService, server: OAuthServer) -> Integration:
    return await finish(service, server.visit(await begin(service)))


def changed(redirect: str, **changes: str) -> str:
    parts = urlsplit(redirect)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | changes
    return parts._replace(query=urlencode(query)).geturl()
