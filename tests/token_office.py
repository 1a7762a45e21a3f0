"""An office with integrations of an OAuth server, for tests of what happens to their tokens and secrets."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from oauth_server import OAuthServer
from sis_connect.capabilities import Capabilities
from sis_connect.clock import Clock
from sis_connect.discovery import Registry
from sis_connect.provider import CONTRACT, ProviderInfo
from sis_connect.service import SISService
from sis_connect.settings import SISProviderConfig, validated
from sis_connect.tokens.token import AccessToken, RefreshToken, StoredToken

INFO = ProviderInfo(
    name="small",
    label="Small SIS",
    provider="small_sis:SmallProvider",
    contract=CONTRACT,
    capabilities=Capabilities(),
    auth_grants=("client_credentials", "authorization_code", "password"),
)


def registry(*infos: ProviderInfo) -> Registry:
    found = Registry()
    for info in infos or (INFO,):
        found.add(info, distribution="a test", version="1")
    return found


def settings(server: OAuthServer, **more: Any) -> SISProviderConfig:
    """How to reach an OAuth server as its first client."""
    given = {
        "provider": "small",
        "base_url": server.origin,
        "token_url": server.token_url,
        "client_id": server.client_id,
        "client_secret": server.client_secret,
        "rate_limit": "off",
    }
    return validated({**given, **more}, origin="a test")


def by_a_person(server: OAuthServer, **more: Any) -> SISProviderConfig:
    """The same where a person has to agree."""
    where = {"authorize_url": server.authorize_url, "revocation_url": server.revocation_url}
    return settings(server, **{"grant": "authorization_code", "scope": "roster", **where, **more})


@dataclass
class TokenOffice:
    """A database in a folder of its own, with its key beside it unless `opening` says otherwise."""

    folder: Path
    clock: Clock | None = None
    registry: Registry = field(default_factory=registry)
    opening: dict[str, Any] = field(default_factory=dict)

    @property
    def database(self) -> Path:
        return self.folder / "roster.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.database}"

    @property
    def key_file(self) -> Path:
        return self.folder / "sis-connect.key"

    def open(self, **options: Any) -> AbstractAsyncContextManager[SISService]:
        return SISService.open(self.url, clock=self.clock, registry=self.registry, **{**self.opening, **options})

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Look into the database by hand, or change something there."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def stored_bytes(self) -> bytes:
        """Everything that the database keeps on disk, with its write-ahead log and journal."""
        return b"".join(path.read_bytes() for path in sorted(self.folder.glob(f"{self.database.name}*")))

    def audited(self) -> list[tuple[Any, ...]]:
        """Who did what to whom."""
        return self.query("SELECT action, integration, actor FROM sis_audit ORDER BY id")


def consented(server: OAuthServer, **life: Any) -> StoredToken:
    """A token as a person's consent brings it."""
    return token_of(server.consented(), **life)


def token_of(answer: Mapping[str, Any], *, lives: float = 3600, at: datetime | None = None) -> StoredToken:
    at = at or datetime.now(UTC)
    return StoredToken(
        access_token=AccessToken(answer["access_token"]),
        refresh_token=RefreshToken(answer["refresh_token"]) if "refresh_token" in answer else None,
        obtained_at=at,
        expires_at=at + timedelta(seconds=lives),
        scope=tuple(str(answer.get("scope", "")).split()),
    )


async def agree(service: SISService, name: str, token: StoredToken) -> None:
    """Keep what a consent brought, without the way through a browser."""
    async with service._tokens.open(await service._integrations.row(name)) as access:
        await access.tokens.adopt(token)


async def kept(service: SISService, name: str) -> StoredToken | None:
    """The token that is stored."""
    async with service._tokens.open(await service._integrations.row(name)) as access:
        return (await access.store.load()).token
