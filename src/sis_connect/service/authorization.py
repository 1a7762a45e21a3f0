"""Having a person give access, in two halves: an address to send them to, and the redirect that they come back with.

What is remembered in between lies sealed in the store for ten minutes, is bound to the session of whoever began, and is taken out
before the code is used: a redirect works once, whatever becomes of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from typing import Any

from sqlalchemy import Row, update

from sis_connect import audit
from sis_connect.clock import Clock
from sis_connect.discovery import Registry, refined
from sis_connect.errors import ConfigurationError, ConflictError, SISError
from sis_connect.oauth.authorization import AuthorizationFailed, begin, read_redirect, state_in
from sis_connect.oauth.endpoint import TokenEndpoint
from sis_connect.oauth.grants import authorization_code
from sis_connect.oauth.id_token import check_id_token
from sis_connect.oauth.metadata import ServerMetadata
from sis_connect.oauth.sign_in import sign_in_server
from sis_connect.oauth.wiring import grant_name, oauth_client
from sis_connect.service.integrations import Integrations
from sis_connect.service.token_access import TokenAccessor
from sis_connect.settings import SISProviderConfig
from sis_connect.store import pending as pending_store
from sis_connect.store.sql import Store
from sis_connect.store.tables import integration as table
from sis_connect.tokens.token import StoredToken

_log = logging.getLogger(__name__)


class Authorizations:
    """The authorizations of one database."""

    def __init__(self, store: Store, integrations: Integrations, registry: Registry, clock: Clock, access: TokenAccessor) -> None:
        self._store, self._integrations, self._registry = store, integrations, registry
        self._clock, self._access = clock, access
        self._under_way: set[asyncio.Task[str]] = set()

    async def aclose(self) -> None:
        """Wait for what is under way, so that no token is lost."""
        while self._under_way:
            await asyncio.wait(set(self._under_way))

    async def begin(self, name: str, *, redirect_uri: str, session: str, actor: str) -> str:
        """The address to send a person to."""
        if not session:
            raise ConfigurationError(
                "An authorization must be bound to the session of whoever begins it.",
                remedy="Pass a value that only this user's session has, such as a random one kept in it.",
            )
        row = await self._integrations.row(name)
        config = _as_set(row, await self._integrations.config(row))
        info = refined(self._registry.info(row.provider), config)
        if grant_name(info, config) != "authorization_code":
            raise ConfigurationError(
                f"{name} gets access without a person: its grant is {grant_name(info, config)}.",
                remedy="Nothing needs to be authorized. Where people give access, set `grant` to authorization_code.",
            )
        client = oauth_client(info, config)
        server = await sign_in_server(info, config, limiter=self._access.limiter(info, config), clock=self._clock)
        pending = begin(
            server,
            client_id=client.client_id,
            redirect_uri=redirect_uri,
            scope=client.scope,
            now=self._clock.now(),
        )
        vault = await self._integrations.vault()
        async with self._store.write() as connection:
            await pending_store.keep(
                connection, pending, vault, integration_id=row.id, session=session, settings=_digest(row.settings)
            )
            await audit.record(connection, at=pending.created_at, actor=actor, action="authorization.begun", integration=name)
        return pending.url

    async def complete(self, redirect_url: str, *, session: str, actor: str) -> str:
        """Take what a person came back with, and keep the token that it brings. Returns the name of the integration.

        A code is used up by the first request, so this goes on to its end even where the caller is cancelled.
        """
        work = asyncio.create_task(self._to_the_end(redirect_url, session, actor))
        self._under_way.add(work)
        work.add_done_callback(self._ended)
        return await asyncio.shield(work)

    def _ended(self, work: asyncio.Task[str]) -> None:
        self._under_way.discard(work)
        if not work.cancelled():
            work.exception()  # looked at here, in case the caller was cancelled

    async def _to_the_end(self, redirect_url: str, session: str, actor: str) -> str:
        async with self._store.write() as connection:
            taken = await pending_store.take(connection, state_in(redirect_url), session)
        if taken is None:
            raise AuthorizationFailed(
                "No authorization waits for this redirect: it was used already, has run out, or was begun elsewhere."
            )
        name = await self._integrations.name_of(taken.integration_id)
        try:
            await self._complete(name, taken, redirect_url, actor)
        except SISError as error:
            async with self._store.write() as connection:
                detail = {"error": type(error).__name__}
                await audit.record(
                    connection, at=self._clock.now(), actor=actor, action="authorization.failed", integration=name, detail=detail
                )
            error.within(integration=name)
            raise
        return name

    async def _complete(self, name: str, taken: pending_store.Taken, redirect_url: str, actor: str) -> None:
        if not taken.same_session:
            raise AuthorizationFailed("This authorization was begun by another session than the one that finishes it.")
        row = await self._integrations.row(name)
        pending, settings = taken.opened(await self._integrations.vault())
        if settings != _digest(row.settings):
            raise _changed(name)
        code = read_redirect(redirect_url, pending, now=self._clock.now())
        # The code goes to the server that was asked, whatever else is known by now.
        config = (await self._integrations.config(row)).model_copy(update={"token_url": pending.server.token_url})
        async with self._access.open(row, config=config, actor=actor) as access:
            endpoint = access.tokens.endpoint
            token, id_token = await endpoint.exchange(authorization_code(code, pending.redirect_uri, pending.verifier))
            try:
                if pending.nonce is not None:
                    check_id_token(
                        id_token,
                        issuer=pending.server.issuer,
                        client_id=endpoint.client.client_id,
                        nonce=pending.nonce,
                        now=self._clock.now(),
                    )
                await self._note(row, pending.server)
                try:
                    await access.tokens.adopt(token)
                except ConflictError:
                    raise _changed(name) from None
            except SISError:
                await _give_back(endpoint, token, pending.server.revocation_url)
                raise
        if token.refresh_token is None:
            _log.warning(
                "The SIS of %s gave no refresh token: access ends with this one. Some give it for the scope offline_access.", name
            )

    async def _note(self, row: Row[Any], server: ServerMetadata) -> None:
        """Remember what the server said of itself, so that refreshing and revoking go the same way."""
        found = {"token_url": server.token_url, "revocation_url": server.revocation_url} if server.described else {}
        told = json.loads(row.settings)
        kept = json.dumps({name: url for name, url in found.items() if url is not None and told.get(name) is None})
        as_they_were = (table.c.id == row.id, table.c.settings == row.settings, table.c.removed_at.is_(None))
        async with self._store.write() as connection:
            noted = await connection.execute(update(table).where(*as_they_were).values(discovered=kept))
            if not noted.rowcount:
                raise _changed(row.name)
            # It failed for want of this. What else is the matter with it, the next sync will tell.
            failed = update(table).where(table.c.id == row.id, table.c.status == "auth_failed")
            await connection.execute(failed.values(status="active"))


async def _give_back(endpoint: TokenEndpoint, token: StoredToken, url: str | None) -> None:
    """End a grant that is not kept: nobody would know that it lives."""
    if url is None:
        return
    try:
        if token.refresh_token is not None:
            await endpoint.revoke(token.refresh_token, "refresh_token", url)
        else:
            await endpoint.revoke(token.access_token, "access_token", url)
    except SISError as error:
        _log.warning("A token that was not kept could not be given back to the SIS either: %s", error.message)


def _changed(name: str) -> AuthorizationFailed:
    return AuthorizationFailed(f"The settings of {name} were changed while access was being given.")


def _digest(settings: str) -> str:
    return hashlib.sha256(settings.encode()).hexdigest()


def _as_set(row: Row[Any], config: SISProviderConfig) -> SISProviderConfig:
    """The settings without what an earlier authorization found out: the server may say otherwise by now."""
    found = json.loads(row.discovered or "{}")
    return config.model_copy(update={name: None for name, value in found.items() if getattr(config, name) == value})
