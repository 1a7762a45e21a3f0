"""Authorizations that were begun and not finished: sealed, bound to a session, taken once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from hmac import compare_digest

import msgspec
from pydantic import SecretStr
from sqlalchemy import delete, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from sis_connect.oauth.authorization import PENDING_FOR, PendingAuthorization
from sis_connect.oauth.metadata import ServerMetadata
from sis_connect.store.moments import to_text
from sis_connect.store.sealed import PENDING
from sis_connect.store.tables import pending_authorization as table
from sis_connect.tokens.vault import Vault


class _Content(msgspec.Struct):
    """What is sealed. `settings` is a digest of the integration's settings at that time."""

    url: str
    state: str
    verifier: str
    nonce: str | None
    redirect_uri: str
    server: ServerMetadata
    created_at: datetime
    settings: str

    def __repr__(self) -> str:
        return "_Content()"


@dataclass(frozen=True, slots=True)
class Taken:
    """What was pending, as it lay in the store. `same_session` is whether the session that takes it is the one that began it."""

    integration_id: int
    same_session: bool
    sealed: bytes = field(repr=False)

    def opened(self, vault: Vault) -> tuple[PendingAuthorization, str]:
        """What was pending, and the digest of the settings that it was begun with."""
        place = {"integration": str(self.integration_id), "field": PENDING.field}
        content = msgspec.json.decode(vault.open(self.sealed, **place), type=_Content)
        pending = PendingAuthorization(
            url=content.url,
            state=SecretStr(content.state),
            verifier=SecretStr(content.verifier),
            nonce=SecretStr(content.nonce) if content.nonce is not None else None,
            redirect_uri=content.redirect_uri,
            server=content.server,
            created_at=content.created_at,
        )
        return pending, content.settings


async def keep(
    connection: AsyncConnection,
    pending: PendingAuthorization,
    vault: Vault,
    *,
    integration_id: int,
    session: str,
    settings: str,
) -> None:
    """Remember what was begun. What nobody finished in time is swept out on the way."""
    state = pending.state.get_secret_value()
    content = _Content(
        url=pending.url,
        state=state,
        verifier=pending.verifier.get_secret_value(),
        nonce=pending.nonce.get_secret_value() if pending.nonce is not None else None,
        redirect_uri=pending.redirect_uri,
        server=pending.server,
        created_at=pending.created_at,
        settings=settings,
    )
    await connection.execute(delete(table).where(table.c.expires_at <= to_text(pending.created_at)))
    await connection.execute(
        insert(table).values(
            state_digest=_digest(state),
            integration_id=integration_id,
            sealed=vault.seal(msgspec.json.encode(content), integration=str(integration_id), field=PENDING.field),
            session_digest=_session_digest(state, session),
            created_at=to_text(pending.created_at),
            expires_at=to_text(pending.created_at + PENDING_FOR),
        )
    )


async def take(connection: AsyncConnection, state: str, session: str) -> Taken | None:
    """What waits for this state; `None` if nothing does. It is gone with this: a second redirect finds nothing."""
    gone = delete(table).where(table.c.state_digest == _digest(state))
    row = (await connection.execute(gone.returning(table.c.integration_id, table.c.sealed, table.c.session_digest))).one_or_none()
    if row is None:
        return None
    return Taken(row.integration_id, compare_digest(row.session_digest, _session_digest(state, session)), row.sealed)


def _digest(state: str) -> str:
    return hashlib.sha256(b"sis-connect state\0" + state.encode()).hexdigest()


def _session_digest(state: str, session: str) -> str:
    """With the state in it, so that whoever reads the table can neither guess a session nor see that two rows share one."""
    return hashlib.sha256(b"\0".join((b"sis-connect session", state.encode(), session.encode()))).hexdigest()
