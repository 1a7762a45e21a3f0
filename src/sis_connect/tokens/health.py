"""How the token of an integration is doing. Pure: from what is stored, never from the token itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

#: `none`: no token yet, the next use fetches one, or a person has to agree first. `active` serves; `expired` is replaced on the
#: next use. `failing`: a renewal failed and is tried again. `broken`: only a person can help. `revoked`: we gave it back.
#: `unreadable`: settings or secrets cannot be read, mostly since their key is missing. `tokenless`: its grant needs no token.
Condition = Literal["none", "active", "expired", "failing", "broken", "revoked", "unreadable", "tokenless"]
#: Whether the key that seals now sealed everything, or a former one some of it, or one that is missing.
KeyState = Literal["current", "former", "missing"]

#: What somebody should look at.
TROUBLE: frozenset[Condition] = frozenset({"failing", "broken", "unreadable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenHealth:
    """The token of one integration, and what it was sealed with. Times are UTC, ISO 8601.

    `missing_scopes` were asked for and not granted; none are missing where the server did not say what it granted.
    `key_ids` are the keys that sealed its token and secrets, `key` whether these are still the right ones. `former_secret` tells
    that two client secrets are live.
    """

    integration: str
    provider: str
    grant: str | None
    state: Condition
    expires_at: str | None = None
    renewed_at: str | None = None
    due_at: str | None = None
    failures: int = 0
    next_try_at: str | None = None
    last_error: str | None = None
    scopes: tuple[str, ...] = ()
    missing_scopes: tuple[str, ...] = ()
    former_secret: bool = False
    key_ids: tuple[str, ...] = ()
    key: KeyState | None = None

    @property
    def ok(self) -> bool:
        """Whether nobody has to look at it."""
        return self.state not in TROUBLE

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**asdict(self), **{name: list(getattr(self, name)) for name in ("scopes", "missing_scopes", "key_ids")}}


def condition(state: str | None, *, has_token: bool, expires_at: datetime | None, now: datetime) -> Condition:
    """How a stored token is, by what was last noted of it."""
    if state == "failing":
        return "failing"
    if state == "broken":
        return "broken"
    if state == "revoked":
        return "revoked"
    if not has_token:
        return "none"
    return "expired" if expires_at is not None and expires_at <= now else "active"


def missing_scopes(asked: str | None, granted: Sequence[str]) -> tuple[str, ...]:
    """What was asked for and not granted. A server that is silent granted what was asked (RFC 6749, 5.1)."""
    return tuple(scope for scope in (asked or "").split() if scope not in granted) if granted else ()


def key_state(key_ids: Iterable[str], known: Sequence[str]) -> KeyState | None:
    """Whether the keys that sealed something are those of the ring, the first of which seals. `None` where nothing is sealed."""
    found = set(key_ids)
    if not found:
        return None
    if not found <= set(known):
        return "missing"
    return "current" if found == {known[0]} else "former"
