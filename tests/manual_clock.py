"""A clock that stands still until it is told to move; sleeping moves it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class ManualClock:
    """`slept` lists the pauses that were asked for."""

    def __init__(self, start: datetime = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)) -> None:
        self._now = start
        self._seconds = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._now + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._seconds += max(seconds, 0)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self._seconds += seconds

    def set_back(self, seconds: float) -> None:
        """The machine's wall clock is corrected; the monotonic one knows nothing of it."""
        self._now -= timedelta(seconds=seconds)
