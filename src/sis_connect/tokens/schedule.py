"""When to renew a token, and when to try again after that failed. Pure: the time and the chance are handed in."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta

from sis_connect.tokens.token import StoredToken

#: The first pause after a renewal in advance has failed, doubled with each further failure, and the longest one.
FIRST_PAUSE = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(minutes=15)
#: For how many seconds a failure that leaves callers without a token answers for the server, and how far clocks may differ.
_LONGEST_HOLD = 15.0
_SKEW = timedelta(seconds=10)
_ASKED = re.compile(r"Asked at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?\+00:00) to wait (\d+(?:\.\d+)?) seconds\.$")


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


def hold_for(failures: int, *, retryable: bool, asked: float) -> float:
    """For how many seconds callers who have no token are told of the failure before, instead of asking once more.

    What was refused will be refused again. What may pass is tried twice more at once, as often as one request is repeated, then
    after twice as long each time; a server that `asked` for more gets it, up to a limit.
    """
    pause = float(2 ** min(failures - 3, 16)) if failures > 2 else 0.0
    return min(max(pause, asked), _LONGEST_HOLD) if retryable else _LONGEST_HOLD


def asking_to_wait(message: str, now: datetime, seconds: float) -> str:
    """What is remembered of a server that asks us to slow down: other processes read it with `still_to_wait`."""
    return f"{message} Asked at {now.astimezone(UTC).isoformat()} to wait {seconds:g} seconds."


def still_to_wait(words: str | None, now: datetime) -> float:
    """How many seconds remain of what a server asked for. Words of a clock that has been set back since count for nothing."""
    found = _ASKED.search(words or "")
    if found is None:
        return 0.0
    try:
        gone = now - datetime.fromisoformat(found[1])
    except ValueError:
        return 0.0
    seconds = float(found[2])
    return 0.0 if gone < -_SKEW else min(max(seconds - gone.total_seconds(), 0.0), seconds)


def same_secret(one: StoredToken, other: StoredToken) -> bool:
    """Whether two answers brought the same access token."""
    return one.access_token.get_secret_value() == other.access_token.get_secret_value()
