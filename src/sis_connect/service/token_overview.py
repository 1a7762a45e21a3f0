"""How the tokens of many integrations are: read from what is stored, and one that cannot be read hides no other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from sis_connect.errors import SISError
from sis_connect.oauth.wiring import WITHOUT_TOKEN, grant_name, has_token
from sis_connect.service.integrations import Integrations
from sis_connect.service.sealed_settings import SEALED_SETTINGS
from sis_connect.store.sealed import TOKEN
from sis_connect.store.sql import Store
from sis_connect.store.tables import oauth_token
from sis_connect.tokens.health import TokenHealth, condition, key_state, missing_scopes
from sis_connect.tokens.vault import key_id_of


async def tokens_of(store: Store, integrations: Integrations, rows: Sequence[Row[Any]], now: datetime) -> list[TokenHealth]:
    """How the token of each integration is. Takes the rows of `Integrations`."""
    async with store.read() as connection:
        tokens = {token.integration_id: token for token in await connection.execute(select(oauth_token))}
    return [await _token_of(integrations, row, tokens.get(row.id), now) for row in rows]


async def _token_of(integrations: Integrations, row: Row[Any], token: Row[Any] | None, now: datetime) -> TokenHealth:
    asked: Mapping[str, Any] = json.loads(row.settings)
    sealed = [getattr(row, column.column.name) for column in SEALED_SETTINGS.values()] + [token.sealed if token else None]
    key_ids = tuple(dict.fromkeys(key_id_of(value) or "damaged" for value in sealed if value is not None))
    scopes = tuple((token.scope or "").split()) if token else ()
    try:
        info, config = await integrations.opened(row)
        grant: str | None = grant_name(info, config)
        if not has_token(info, config):
            token, scopes = None, ()
        asked = {"scope": config.scope}
        if token is not None and token.sealed is not None:
            (await integrations.vault()).open(token.sealed, integration=str(row.id), field=TOKEN.field)
        problem: SISError | None = None
    except SISError as error:
        problem, grant = error, asked.get("grant") or (token.grant_type if token else None)
    return TokenHealth(
        integration=row.name,
        provider=row.provider,
        grant=grant,
        state="unreadable" if problem else "tokenless" if grant in WITHOUT_TOKEN else _condition(token, now),
        expires_at=token.expires_at if token else None,
        renewed_at=token.renewed_at if token else None,
        due_at=token.due_at if token else None,
        failures=token.failures if token else 0,
        next_try_at=token.next_try_at if token else None,
        last_error=problem.message if problem else token.last_error if token else None,
        scopes=scopes,
        missing_scopes=missing_scopes(asked.get("scope"), scopes),
        former_secret=row.former_secret is not None,
        key_ids=key_ids,
        key=key_state(key_ids, await _known_keys(integrations)) if key_ids else None,
    )


def _condition(token: Row[Any] | None, now: datetime) -> Any:
    if token is None:
        return "none"
    expires_at = datetime.fromisoformat(token.expires_at) if token.expires_at else None
    return condition(token.state, has_token=token.sealed is not None, expires_at=expires_at, now=now)


async def _known_keys(integrations: Integrations) -> Sequence[str]:
    try:
        return (await integrations.vault()).key_ids
    except SISError:
        return ()
