"""What is done about the tokens of many integrations: looking at them, renewing, revoking, tidying up, and changing the key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NoReturn

from pydantic import SecretStr
from sqlalchemy import Row, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect import audit
from sis_connect.clock import Clock
from sis_connect.errors import ConfigurationError, NotOffered, SISError, StorageError
from sis_connect.oauth.answers import ClientRefused
from sis_connect.oauth.revocation import Hint
from sis_connect.oauth.wiring import SIGNED, grant_name, has_token
from sis_connect.service.integrations import Integrations
from sis_connect.service.token_access import TokenAccess, TokenAccessor
from sis_connect.settings import GrantName
from sis_connect.store.sql import Store
from sis_connect.store.tables import integration as table
from sis_connect.store.tables import oauth_token, pending_authorization
from sis_connect.store.token_register import SQLTokenRegister
from sis_connect.tokens.fleet import TokenResult, for_each
from sis_connect.tokens.keeper import DueToken, TokenKeeper, Turn
from sis_connect.tokens.schedule import same_secret
from sis_connect.tokens.token import StoredToken

#: So long a former client secret is kept where nothing shows whether the newest one is accepted.
FORMER_SECRET_KEPT = timedelta(days=30)


class TokenOperations:
    """Each takes one name, or all integrations without one."""

    def __init__(self, store: Store, integrations: Integrations, clock: Clock, accessor: TokenAccessor) -> None:
        self._store, self._integrations, self._clock, self._accessor = store, integrations, clock, accessor

    # -- renewing ------------------------------------------------------------------------------------------------------

    async def renew(self, name: str | None, *, actor: str) -> list[TokenResult]:
        """A new token for each, now."""

        async def renew(row: Row[Any]) -> TokenResult:
            return await self._renew(row, actor)

        return await for_each(await self._integrations.rows(name), renew, name=_name, action="renew")

    async def _renew(self, row: Row[Any], actor: str) -> TokenResult:
        info, config = await self._integrations.opened(row)
        if not has_token(info, config):
            return _tokenless(row.name, grant_name(info, config))
        async with self._accessor.open(row, config=config, actor=actor) as access:
            before = (await access.store.load()).token
            token = await access.tokens.renew()
        same = before is not None and same_secret(before, token)
        return TokenResult(
            integration=row.name,
            action="renew",
            outcome="same" if same else "renewed",
            message="The SIS handed out the same token again." if same else "There is a new token.",
            detail={"expires_at": token.expires_at.isoformat() if token.expires_at else None},
        )

    async def keep(self, *, rate: float, actor: str) -> NoReturn:
        """Keep grants alive that nobody uses, until cancelled."""

        async def renew(due: DueToken, turn: Turn) -> None:
            row = await self._integrations.row(due.integration)
            async with self._accessor.open(row, actor=actor) as access:
                await access.tokens.renew(since=due.renewed_at, turn=turn)

        register = SQLTokenRegister(self._store, self._clock)
        await TokenKeeper(register, renew, clock=self._clock, rate=rate).run()

    # -- revoking ------------------------------------------------------------------------------------------------------

    async def revoke(self, name: str | None, *, actor: str) -> list[TokenResult]:
        """Give the tokens back to the SIS where it takes them, and forget them here in any case."""

        async def revoke(row: Row[Any]) -> TokenResult:
            return await self._revoke(row, actor)

        return await for_each(await self._integrations.rows(name), revoke, name=_name, action="revoke")

    async def _revoke(self, row: Row[Any], actor: str) -> TokenResult:
        async with self._store.read() as connection:
            mine = oauth_token.c.integration_id == row.id
            sealed = await connection.scalar(select(oauth_token.c.sealed).where(mine))
        if sealed is None:
            return _revoked(row.name, "nothing", None)
        readable = True
        try:
            async with self._accessor.open(row, actor=actor) as access, access.store.claim() as claim:
                token = claim.state.token
                at_sis, error = await _given_back(access, token) if token else ("nothing", None)
                await access.store.forget(claim)
        except (ConfigurationError, StorageError) as unreadable:
            # Settings, secret or token cannot be read: what is left to do is to forget it.
            readable, at_sis, error = False, "failed", unreadable
        async with self._store.write() as connection:
            if not readable:
                emptied = dict.fromkeys(("sealed", "obtained_at", "expires_at", "due_at", "scope", "next_try_at", "last_error"))
                unread = mine & (oauth_token.c.sealed == sealed)
                await connection.execute(update(oauth_token).where(unread).values(state="revoked", failures=0, **emptied))
            await self._note(connection, "token.revocation", row.name, actor, at_sis=at_sis, here="forgotten")
        return _revoked(row.name, at_sis, error)

    # -- tidying up ----------------------------------------------------------------------------------------------------

    async def cleanup(self, name: str | None, *, actor: str) -> list[TokenResult]:
        """Drop what is of no use any more: authorizations never finished, what removed integrations left, former secrets."""

        async def tidy(row: Row[Any]) -> TokenResult:
            return await self._cleanup(row, actor)

        rows = [*await self._integrations.rows(name), *(await self._removed() if name is None else [])]
        return await for_each(rows, tidy, name=_name, action="cleanup")

    async def _removed(self) -> Sequence[Row[Any]]:
        """Removed integrations that something of theirs outlived."""
        left = select(oauth_token.c.integration_id).union(select(pending_authorization.c.integration_id))
        async with self._store.read() as connection:
            query = select(table).where(table.c.removed_at.is_not(None), table.c.id.in_(left)).order_by(table.c.name)
            return (await connection.execute(query)).all()

    async def _cleanup(self, row: Row[Any], actor: str) -> TokenResult:
        verdict, error = await self._former_secret(row, actor)
        now = self._clock.now()
        async with self._store.write() as connection:
            pending = delete(pending_authorization).where(pending_authorization.c.integration_id == row.id)
            if row.removed_at is None:
                pending = pending.where(pending_authorization.c.expires_at <= now.isoformat())
            dropped = {"pending": (await connection.execute(pending)).rowcount, "tokens": 0, "former_secrets": 0}
            if row.removed_at is not None:
                left = delete(oauth_token).where(oauth_token.c.integration_id == row.id)
                dropped["tokens"] = (await connection.execute(left)).rowcount
            if verdict in ("accepted", "too old"):
                mine = (table.c.id == row.id) & (table.c.former_secret == row.former_secret)
                gone = update(table).where(mine).values(former_secret=None, former_secret_at=None)
                dropped["former_secrets"] = (await connection.execute(gone)).rowcount
            if any(dropped.values()):
                await self._note(connection, "token.cleanup", row.name, actor, **dropped)
        return TokenResult(
            integration=row.name,
            action="cleanup",
            outcome="dropped" if any(dropped.values()) else "kept" if verdict in ("refused", "unknown") else "nothing",
            message=_said(dropped, verdict),
            detail={"dropped": dropped, "former_secret": verdict},
            error=error,
        )

    async def _former_secret(self, row: Row[Any], actor: str) -> tuple[str, SISError | None]:
        """Whether the former secret is needed still: the newest one is tried alone, by renewing the token with it."""
        if row.former_secret is None:
            return "none", None
        try:
            config = await self._integrations.config(row)
            alone = config.model_copy(update={"former_client_secret": None})
            async with self._accessor.open(row, config=alone, actor=actor, trial=True) as access:
                await access.tokens.renew()
        except ClientRefused as error:
            return "refused", error
        except SISError:
            since = row.former_secret_at
            old = since is not None and self._clock.now() - datetime.fromisoformat(since) >= FORMER_SECRET_KEPT
            return ("too old" if old else "unknown"), None
        return "accepted", None

    async def _note(self, connection: AsyncConnection, action: str, name: str, actor: str, **detail: object) -> None:
        await audit.record(connection, at=self._clock.now(), actor=actor, action=action, integration=name, detail=detail)


_REVOCATION = {
    "revoked": "Revoked at the SIS, and forgotten here.",
    "no address": "Forgotten here. The SIS names no address where tokens are revoked: there it lives until it expires.",
    "failed": "Forgotten here, but not revoked at the SIS:",
    "nothing": "There is no token.",
}
_FORMER = {
    "accepted": "The newest client secret is accepted, so the former one is dropped.",
    "too old": f"The former client secret is dropped: it was replaced more than {FORMER_SECRET_KEPT.days} days ago.",
    "unknown": "The former client secret is kept: whether the newest one is accepted could not be tried.",
    "refused": "The former client secret is kept: the SIS does not accept the newest one.",
}


def _name(row: Row[Any]) -> str:
    return str(row.name)


def _tokenless(name: str, grant: GrantName) -> TokenResult:
    why = "each request is signed with the client secret" if grant in SIGNED else "nothing is sent but the request"
    return TokenResult(
        integration=name,
        action="renew",
        outcome="nothing",
        message=f"There is no token: the grant is {grant}, so {why}.",
        detail={"expires_at": None},
    )


def _revoked(name: str, at_sis: str, error: SISError | None) -> TokenResult:
    return TokenResult(
        integration=name,
        action="revoke",
        outcome={"revoked": "revoked", "nothing": "nothing"}.get(at_sis, "forgotten"),
        message=_REVOCATION[at_sis] + (f" {error}" if error else ""),
        detail={"at_sis": at_sis, "here": "nothing" if at_sis == "nothing" else "forgotten"},
        error=error.within(integration=name) if error else None,
    )


def _said(dropped: dict[str, int], verdict: str) -> str:
    parts = [f"{count} {what} dropped." for what, count in (
        ("unfinished authorization" + "s" * (dropped["pending"] != 1), dropped["pending"]),
        ("token of the removed integration", dropped["tokens"]),
    ) if count]  # fmt: skip
    return " ".join([*parts, *([_FORMER[verdict]] if verdict in _FORMER else [])]) or "There is nothing to drop."


async def _given_back(access: TokenAccess, token: StoredToken) -> tuple[str, SISError | None]:
    """Revoke at the SIS: the refresh token first, since whoever has it has everything."""
    if access.revocation_url is None:
        return "no address", None
    error: SISError | None = None
    if token.refresh_token is not None:
        error = await _give_back(access, token.refresh_token, "refresh_token", access.revocation_url)
    refused = await _give_back(access, token.access_token, "access_token", access.revocation_url)
    if refused is not None and not (isinstance(refused, NotOffered) and token.refresh_token is not None):
        # A server that takes back refresh tokens only ends the access token with it, or lets it run out (RFC 7009, 2.1).
        error = error or refused
    return ("failed" if error else "revoked"), error


async def _give_back(access: TokenAccess, token: SecretStr, hint: Hint, url: str) -> SISError | None:
    try:
        await access.tokens.endpoint.revoke(token, hint, url)
    except SISError as error:
        return error
    return None
