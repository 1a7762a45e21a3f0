"""When to renew a token, and when to try again after that failed. Pure: the time and the chance are handed in."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from sis_connect.tokens.token import StoredToken

#: The first pause after a renewal in advance has failed, doubled with each further failure, and the longest one.
FIRST_PAUSE = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(minutes=15)


def share_of(name: str) -> float:
    """A number from 0 to 1 that is always the same for one name and differs from that of others."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48


def due_at(
    token: StoredToken, former: StoredToken | None, *, renews_early: bool, renew_before: timedelta, jitter: float
) -> datetime | None:
    """When to renew a token; `None` where that is when it is refused.

    That is while `renew_before` or a quarter of its life is left, whichever is less. `jitter`, from 0 to 1, makes it up to as
    much earlier, so that many tokens that were fetched together are not renewed together. A server that hands out the same token
    again is next asked when it has ended.
    """
    due = token.due_at(renews_early=renews_early, renew_before=renew_before)
    if due is None or token.expires_at is None:
        return None
    if former is not None and same_secret(token, former):
        return token.expires_at
    return due - (token.expires_at - due) * min(max(jitter, 0.0), 1.0)


def pause_after(failures: int, chance: float) -> timedelta:
    """How long to wait after so many failures in a row: twice as long each time, by a chance from 0 to 1 up to half less."""
    longest = min(FIRST_PAUSE * float(2 ** min(failures - 1, 16)), LONGEST_PAUSE)
    return longest * (1 - chance / 2)


def same_secret(one: StoredToken, other: StoredToken) -> bool:
    """Whether two answers brought the same access token."""
    return one.access_token.get_secret_value() == other.access_token.get_secret_value()
