"""What a sandbox counts: every request, and a limit that is never forgiving."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

#: Without a limit, `max_in_window` is measured in this many seconds.
DEFAULT_WINDOW = 60.0


@dataclass(slots=True)
class Traffic:
    """A strict sliding window: at any instant, at most `limit` accepted requests in the last `window` seconds.

    `busiest` is the highest number of requests, refused ones included, that any window has seen.
    """

    limit: int | None = None
    window: float = DEFAULT_WINDOW
    requests: int = 0
    rejected: int = 0
    busiest: int = 0
    by_path: Counter[str] = field(default_factory=Counter)
    _arrived: deque[float] = field(default_factory=deque)
    _accepted: deque[float] = field(default_factory=deque)

    def arrive(self, path: str, now: float) -> float | None:
        """Count a request at `now` (monotonic seconds). None when it may pass, else the seconds until one may."""
        self.requests += 1
        self.by_path[path] += 1
        self._forget(self._arrived, now)
        self._arrived.append(now)
        self.busiest = max(self.busiest, len(self._arrived))
        if self.limit is None:
            return None
        self._forget(self._accepted, now)
        if len(self._accepted) >= self.limit:
            self.rejected += 1
            return self._accepted[0] + self.window - now
        self._accepted.append(now)
        return None

    def _forget(self, times: deque[float], now: float) -> None:
        while times and times[0] <= now - self.window:
            times.popleft()

    def stats(self) -> dict[str, object]:
        return {
            "requests": self.requests,
            "by_path": dict(self.by_path),
            "rejected": self.rejected,
            "max_in_window": self.busiest,
        }
