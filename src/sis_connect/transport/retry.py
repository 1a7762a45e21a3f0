"""Trying again: at most so often, with full jitter, when the server asks for it, and within one budget of time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, stop_any, wait_random_exponential
from tenacity.stop import stop_base

from sis_connect.clock import Clock
from sis_connect.errors import AuthenticationError, CircuitOpen, SISError
from sis_connect.transport.signer import Signature

T = TypeVar("T")

#: Full jitter: after attempt n a random time of up to 2^(n-1) seconds.
_JITTER = wait_random_exponential(multiplier=1, max=30)
#: Who asks us to wait for longer than a day is asked again after a day.
_LONGEST_WAIT = 86400.0


@dataclass(frozen=True, slots=True)
class Budget:
    """The time that one request may take, with all its attempts and the pauses between them."""

    deadline: asyncio.Timeout

    def seconds_left(self) -> float:
        """What remains."""
        when = self.deadline.when()
        return float("inf") if when is None else when - asyncio.get_running_loop().time()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The budget stands still: a queue of our own, such as the limiter's, is no fault of the server."""
        left = self.seconds_left()
        self.deadline.reschedule(None)
        try:
            yield
        finally:
            if left != float("inf"):
                self.deadline.reschedule(asyncio.get_running_loop().time() + left)


def worth_repeating(error: BaseException) -> bool:
    """Whether waiting a little can help. An open circuit stays open for longer than that."""
    return isinstance(error, SISError) and error.retryable and not isinstance(error, CircuitOpen)


@dataclass(slots=True)
class Tries:
    """How often one request was tried, and whether a refused signature, such as a dead token, is the reason to try again.

    That is no fault of the request: it is sent once more with another one, even where it may not be repeated otherwise.
    """

    at_most: int
    count: int = 0
    rejected: Signature | None = None
    renewing: bool = False

    @property
    def limit(self) -> int:
        """Attempts in all, whatever their reason."""
        return max(self.at_most, 2)

    def begin(self) -> None:
        """Another attempt begins."""
        self.count += 1
        self.renewing = False

    def refused(self, signature: Signature, error: AuthenticationError) -> None:
        """It was refused: the first time, another one is tried at once."""
        if self.rejected is None:
            self.rejected, self.renewing = signature, True
            error.retryable, error.retry_after = True, 0.0

    def worth_repeating(self, error: BaseException) -> bool:
        """Whether this error is a reason to try again."""
        return self.renewing or (self.count < self.at_most and worth_repeating(error))


async def retrying(
    attempt: Callable[[], Awaitable[T]],
    *,
    attempts: int,
    seconds_left: Callable[[], float],
    clock: Clock,
    repeat: Callable[[BaseException], bool] = worth_repeating,
) -> T:
    """Call `attempt` until it succeeds, fails for good, was tried `attempts` times, or the next pause would outlast the budget.

    Raises the last error. `seconds_left` tells what remains of the budget, `repeat` which errors are worth another attempt.
    """
    loop = AsyncRetrying(
        sleep=clock.sleep,
        retry=retry_if_exception(repeat),
        wait=_pause,
        stop=stop_any(stop_after_attempt(attempts), _OutOfTime(seconds_left)),
        reraise=True,
    )
    return await loop(attempt)


class _OutOfTime(stop_base):
    """Gives up at once where the pause before the next attempt would outlast the budget."""

    def __init__(self, seconds_left: Callable[[], float]) -> None:
        self._seconds_left = seconds_left

    def __call__(self, retry_state: RetryCallState) -> bool:
        return retry_state.upcoming_sleep >= self._seconds_left()


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, SISError) else None
    return asked if asked is not None else _JITTER(state)


def parse_retry_after(value: str | None, *, now: datetime, date: str | None = None) -> float | None:
    """Seconds to wait by a `Retry-After` header, a number or a date: at most a day. `None` where it says nothing usable.

    A date is compared with the server's own `Date` header where there is one, so that its clock may differ from ours.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return min(float(value), _LONGEST_WAIT)
    until = _http_date(value)
    if until is None:
        return None
    reference = _http_date(date) if date else None
    return min(max(0.0, (until - (reference or now)).total_seconds()), _LONGEST_WAIT)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
