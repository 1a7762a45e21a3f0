"""Tokens and keys of a service: how they are, and what a person does about them."""

from __future__ import annotations

from typing import NoReturn

from sis_connect.service.ground import Ground
from sis_connect.service.integrations import Integration, described
from sis_connect.service.key_rotation import KeyRotation, rotate_key
from sis_connect.service.token_overview import tokens_of
from sis_connect.tokens.fleet import TokenResult
from sis_connect.tokens.health import TokenHealth


class TokenCare(Ground):
    """Tokens, authorizations and keys."""

    async def tokens(self, name: str | None = None) -> list[TokenHealth]:
        """How the token of one integration is, or of all. Nothing is sent."""
        rows = await self._integrations.rows(name)
        return await tokens_of(self._store, self._integrations, rows, self._clock.now())

    async def authorization_url(self, name: str, *, redirect_uri: str, session: str, actor: str = "") -> str:
        """Where to send an administrator of the district to give access. It waits 10 minutes for their return.

        `redirect_uri` is the address of ours that the SIS has registered, to the letter. `session` is a value that only this
        user's session has: the same must be given when they come back.
        """
        return await self._authorizations.begin(name, redirect_uri=redirect_uri, session=session, actor=actor)

    async def complete_authorization(self, redirect_url: str, *, session: str, actor: str = "") -> Integration:
        """Take the whole address that the administrator came back to, and keep the token it brings. Each works once."""
        name = await self._authorizations.complete(redirect_url, session=session, actor=actor)
        return described(await self._integrations.row(name))

    async def renew_tokens(self, name: str | None = None, *, actor: str = "") -> list[TokenResult]:
        """A new token now, for one or all. What fails for one is its own result, here and below."""
        return await self._token_operations.renew(name, actor=actor)

    async def revoke_tokens(self, name: str | None = None, *, actor: str = "") -> list[TokenResult]:
        """Give tokens back to the SIS where it takes them back, and forget them here in any case."""
        return await self._token_operations.revoke(name, actor=actor)

    async def cleanup_tokens(self, name: str | None = None, *, actor: str = "") -> list[TokenResult]:
        """Drop what is of no use any more: authorizations never finished, what removed integrations left, former secrets."""
        return await self._token_operations.cleanup(name, actor=actor)

    async def keep_tokens(self, *, rate: float = 10.0, actor: str = "") -> NoReturn:
        """Keep grants alive that nobody uses, until cancelled: at most `rate` renewals a second. One process does it."""
        await self._token_operations.keep(rate=rate, actor=actor)

    async def rotate_key(self, *, new: bool = False, actor: str = "") -> KeyRotation:
        """Seal everything anew with the first key, while the work goes on; `new` puts a new key in front before.

        What was sealed with a former key opens all the time, as long as that key is still given.
        """
        return await rotate_key(self._store, self._integrations, self._clock, new=new, actor=actor)
