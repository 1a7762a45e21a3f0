"""A token server in memory: each refresh token is good for once, and one that comes again ends the grant for good."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from manual_clock import ManualClock
from sis_connect.errors import SISError
from sis_connect.tokens.token import AccessToken, GrantBroken, RefreshToken, StoredToken


class RotatingGrant:
    """Hands out numbered tokens for numbered refresh tokens, and counts how often it was asked.

    While `gate` is shut it rotates at once and answers later, as a slow server does. `trouble` is raised instead of an answer.
    Within `grace` seconds the refresh token before is taken too.
    """

    def __init__(self, clock: ManualClock, *, seconds: float = 3600, grace: float = 0) -> None:
        self.clock, self.seconds, self.grace = clock, seconds, grace
        self.asked = 0
        self.reuses = 0
        self.number = 1
        self.rotated_at = clock.now()
        self.dead = False
        self.trouble: SISError | None = None
        self.gate, self.rotated = asyncio.Event(), asyncio.Event()
        self.gate.set()

    def token(self) -> StoredToken:
        """What is valid now."""
        now = self.clock.now()
        return StoredToken(
            access_token=AccessToken(f"access-{self.number}"),
            refresh_token=RefreshToken(f"refresh-{self.number}"),
            obtained_at=now,
            expires_at=now + timedelta(seconds=self.seconds),
            scope=("roster",),
        )

    async def __call__(self, former: StoredToken | None) -> StoredToken:
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        if former is None or former.refresh_token is None:
            raise GrantBroken("Nobody has consented yet.")
        shown = int(former.refresh_token.get_secret_value().removeprefix("refresh-"))
        late = self.clock.now() - self.rotated_at > timedelta(seconds=self.grace)
        if shown != self.number and (shown != self.number - 1 or late or not self.grace):
            self.reuses, self.dead = self.reuses + 1, True
        if self.dead:
            raise GrantBroken("The SIS does not accept the grant any more.")
        if shown == self.number:
            self.number, self.rotated_at = self.number + 1, self.clock.now()
            self.rotated.set()
        answer = self.token()
        await self.gate.wait()
        await asyncio.sleep(0)
        return answer
