"""The token that callers of this process get, and how long it serves by two clocks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr

from sis_connect.clock import Clock
from sis_connect.tokens.token import StoredToken


@dataclass(frozen=True, slots=True)
class _Life:
    """A token whose life is counted by both clocks, whichever ends it first.

    A wall clock that is set back must not prolong it, nor a monotonic one that stood still while the machine slept.
    """

    token: StoredToken
    due_at: datetime | None
    due: float
    ends: float


class TokenInUse:
    """What this process knows of a token without looking into the store."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._life: _Life | None = None
        self._resting_until: datetime | None = None

    def take(self, token: StoredToken, due_at: datetime | None) -> None:
        """Use a token from now on."""
        now, monotonic = self._clock.now(), self._clock.monotonic()

        def left(moment: datetime | None) -> float:
            # Where the wall clock was set back since, the life seems longer than it ever was.
            return float("inf") if moment is None else min(moment - now, moment - token.obtained_at).total_seconds()

        self._life = _Life(token, due_at, monotonic + left(due_at), monotonic + left(token.expires_at))
        self._resting_until = None

    def learn(self, token: StoredToken, due_at: datetime | None) -> None:
        """Use what the store knows, unless it is older than what we have."""
        life = self._life
        if life is None or (token != life.token and (self._is_over(life) or token.obtained_at >= life.token.obtained_at)):
            self.take(token, due_at)

    def rest(self, until: datetime) -> None:
        """Do not call it due until then: there is no use in asking for another one before."""
        self._resting_until = until

    @property
    def token(self) -> StoredToken | None:
        """What we have, good or not."""
        return None if self._life is None else self._life.token

    @property
    def alive(self) -> StoredToken | None:
        """What we have, if it has not ended."""
        return None if self._life is None or self._is_over(self._life) else self._life.token

    def serving(self, rejected: SecretStr | None) -> StoredToken | None:
        """What we have, if nothing speaks for another one: neither its age, nor the server that refused it."""
        if self._life is None or self._is_over(self._life):
            return None
        token, now = self._life.token, self._clock.now()
        if rejected is not None:
            return None if token.access_token.get_secret_value() == rejected.get_secret_value() else token
        resting = self._resting_until is not None and now < self._resting_until
        due = self._clock.monotonic() >= self._life.due or (self._life.due_at is not None and now >= self._life.due_at)
        return token if resting or not due else None

    def _is_over(self, life: _Life) -> bool:
        return self._clock.monotonic() >= life.ends or life.token.expired(self._clock.now())
