"""Leaving a host alone that is down: closed, open, half-open, with exactly one probe.

Only what shows that the host is unwell counts: 5xx, timeouts, failed connections. A refusal (401, 404, 429) shows life.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from sis_connect.clock import Clock
from sis_connect.errors import CircuitOpen, NetworkError, SISError

State = Literal["closed", "open", "half_open"]


@dataclass(slots=True)
class Verdict:
    """What one call shows about the host. `failed` is set by the caller where the error itself does not say so."""

    failed: bool = False


@dataclass(slots=True)
class CircuitBreaker:
    """One per host. Opens after `threshold` failures in a row; after `rest` seconds one probe may try.

    `threshold` lies above the number of requests that are usually under way at once, so that one hiccup, which hits all of them,
    does not open it.
    """

    host: str
    clock: Clock
    threshold: int = 10
    rest: float = 30.0
    _failures: int = field(default=0, init=False)
    _opened_at: float | None = field(default=None, init=False)
    _probing: bool = field(default=False, init=False)
    _reason: str = field(default="", init=False)

    @property
    def state(self) -> State:
        """Where it stands now."""
        if self._opened_at is None:
            return "closed"
        return "open" if self._seconds_left(self._opened_at) > 0 else "half_open"

    @contextmanager
    def call(self) -> Iterator[Verdict]:
        """Around one call. Raises `CircuitOpen` instead of letting it through; judges it by how it ends."""
        probe = self._admit()
        opened_at = self._opened_at
        verdict = Verdict()
        try:
            yield verdict
        except BaseException as error:
            # Calls that began before the circuit opened (or closed again) say nothing about how the host is now.
            if self._opened_at == opened_at:
                self._judge(verdict, error)
            raise
        else:
            if self._opened_at == opened_at:
                self._judge(verdict, None)
        finally:
            if probe:
                self._probing = False

    def _admit(self) -> bool:
        """Whether this call is the probe; raises where it may not be made."""
        if self._opened_at is None:
            return False
        left = self._seconds_left(self._opened_at)
        if left > 0 or self._probing:
            raise CircuitOpen(
                f"{self.host} has failed {self._failures} times in a row and is left alone for a while."
                f"{' The last failure: ' + self._reason if self._reason else ''}",
                retry_after=max(left, 1.0),
            )
        self._probing = True
        return True

    def _judge(self, verdict: Verdict, error: BaseException | None) -> None:
        if verdict.failed or _shows_illness(error):
            self._failures += 1
            self._reason = error.message if isinstance(error, SISError) else ""
            if self._opened_at is not None or self._failures >= self.threshold:
                self._opened_at = self.clock.monotonic()
        elif error is None or _shows_life(error):
            self._failures = 0
            self._opened_at = None

    def _seconds_left(self, opened_at: float) -> float:
        return opened_at + self.rest - self.clock.monotonic()


def _shows_illness(error: BaseException | None) -> bool:
    return isinstance(error, NetworkError) and not isinstance(error, CircuitOpen)


def _shows_life(error: BaseException) -> bool:
    """An error that the host itself answered with. Cancellation, or our own store's trouble, shows nothing."""
    return isinstance(error, SISError) and error.category in ("authentication", "authorization", "rate_limit", "provider")
