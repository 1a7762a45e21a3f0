"""A clock on which waiting takes no time: it runs as the machine's does, and each pause puts it forward."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta


class QuickClock:
    """`slept` lists the pauses that were asked for, in seconds."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._ahead = 0.0

    def now(self) -> datetime:
        """This instant, in UTC, later by all pauses."""
        return datetime.now(UTC) + timedelta(seconds=self._ahead)

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic() + self._ahead

    def put_forward(self, by: timedelta) -> None:
        """Let so much time pass."""
        self._ahead += by.total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Wait, at no cost."""
        self.slept.append(seconds)
        self._ahead += max(seconds, 0.0)
        await asyncio.sleep(0)
