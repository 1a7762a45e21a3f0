"""Opening the token of one integration out of the store: who renews it, where it is kept, and closing both again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from sis_connect.clock import Clock
from sis_connect.connection import OnCall, limiter_for
from sis_connect.discovery import Registry, refined
from sis_connect.errors import SISError
from sis_connect.events import EventName, Listener
from sis_connect.oauth.answers import ClientRefused
from sis_connect.oauth.wiring import (
    WITHOUT_TOKEN,
    Tokens,
    grant_name,
    has_token,
    no_token,
    revocation_url,
    token_parameters,
    token_source,
    token_url,
)
from sis_connect.provider import ProviderInfo
from sis_connect.service.integrations import Integrations
from sis_connect.settings import SISProviderConfig
from sis_connect.store.sql import Store
from sis_connect.store.token_store import SQLTokenStore
from sis_connect.store.window_log import SQLWindowLog
from sis_connect.token_client import Client
from sis_connect.tokens.token_state import Claim
from sis_connect.transport.rate_limit import Limiter


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAccess:
    """The token of one integration. `revocation_url` is where it is given back, if the SIS takes tokens back."""

    tokens: Tokens
    store: SQLTokenStore
    info: ProviderInfo
    config: SISProviderConfig
    revocation_url: str | None


class _OnTrial(SQLTokenStore):
    """Where only some of the secrets are tried: that these are refused says nothing about the token."""

    async def failed(self, error: SISError, claim: Claim, *, next_try_at: datetime) -> Sequence[EventName]:
        return () if isinstance(error, ClientRefused) else await super().failed(error, claim, next_try_at=next_try_at)


class TokenAccessor:
    """Opens the tokens of the integrations of one database."""

    def __init__(
        self, store: Store, integrations: Integrations, registry: Registry, clock: Clock, on_event: Listener | None = None
    ) -> None:
        self._store, self._integrations, self._registry = store, integrations, registry
        self._clock, self._on_event = clock, on_event

    def limiter(self, info: ProviderInfo, config: SISProviderConfig) -> Limiter:
        """The rate limit that all processes share which talk to the same SIS as the same client."""
        return limiter_for(info, config, clock=self._clock, log=SQLWindowLog(self._store, self._clock))

    @asynccontextmanager
    async def source(
        self, row: Row[Any], info: ProviderInfo, config: SISProviderConfig, *, limiter: Limiter, on_call: OnCall
    ) -> AsyncIterator[Tokens | None]:
        """Where the tokens of an integration come from; `None` for one that has none."""
        if not has_token(info, config):
            yield None
            return
        async with self.open(row, config=config, limiter=limiter, on_call=on_call) as access:
            yield access.tokens

    @asynccontextmanager
    async def open(
        self,
        row: Row[Any],
        *,
        config: SISProviderConfig | None = None,
        limiter: Limiter | None = None,
        on_call: OnCall | None = None,
        actor: str = "",
        trial: bool = False,
    ) -> AsyncIterator[TokenAccess]:
        """Open the token of an integration. In the end, what is under way is waited for, so that nothing is lost.

        On `trial` a refusal of the client in `config` is not noted: others have another one, and it may serve.
        """
        if config is None:
            info, config = await self._integrations.opened(row)
        else:
            info = refined(self._registry.info(row.provider), config)
        grant = grant_name(info, config)
        if grant in WITHOUT_TOKEN:
            raise no_token(row.name, grant)
        kept = (_OnTrial if trial else SQLTokenStore)(
            self._store,
            await self._integrations.vault(),
            self._clock,
            integration_id=row.id,
            integration=row.name,
            client=Client.of(
                row.settings,
                config,
                token_url=token_url(info, config),
                token_parameters=token_parameters(info, config),
                grant=grant,
            ),
            grant_type=grant,
            actor=actor,
        )
        tokens = token_source(
            info,
            config,
            limiter=limiter or self.limiter(info, config),
            clock=self._clock,
            on_call=on_call,
            store=kept,
            integration=row.name,
            on_event=self._on_event,
        )
        async with aclosing(tokens):
            yield TokenAccess(tokens=tokens, store=kept, info=info, config=config, revocation_url=revocation_url(info, config))
