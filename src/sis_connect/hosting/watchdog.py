"""Noticing that the event loop stands still, and whose code it is that keeps it.

Whatever waits in the loop's own thread (a blocking request, `time.sleep`, a long computation) stops every other integration of
the process. Nobody can prevent that in one process; a thread beside it can see it, and say where it happens.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from sis_connect.hosting.apart import left_behind
from sis_connect.hosting.faults import module_of

_log = logging.getLogger(__name__)

#: The loop may stand still for so many seconds before it is noticed. It takes a second look before it blames anybody.
PATIENCE = 2.0


@dataclass(frozen=True, slots=True)
class Standstill:
    """The loop stood still for `seconds` in a function of a plugin, `module:name`."""

    distribution: str
    function: str
    seconds: float


def culprit(frame: FrameType | None, packages: Mapping[str, str]) -> tuple[str, str] | None:
    """Whose code a thread is in: the distribution of the innermost plugin on its stack, and its function; None where it is no
    plugin's. `packages` are the plugins' distributions by what their modules are named under.
    """
    while frame is not None:
        module = module_of(frame)
        distribution = packages.get(module.partition(".")[0])
        if distribution is not None:
            return distribution, f"{module}:{frame.f_code.co_name}"
        frame = frame.f_back
    return None


class Watchdog:
    """Watches the loop of this thread for as long as its `with` lasts. `found` is what it noticed."""

    def __init__(self, packages: Mapping[str, str], *, patience: float = PATIENCE) -> None:
        self._packages, self._patience = packages, patience
        self._tick = patience / 4
        self._stop = threading.Event()
        self._suspect: tuple[str, str] | None = None
        self._blamed: tuple[str, str] | None = None
        self.found: list[Standstill] = []
        self._left: list[str] = []

    def __enter__(self) -> Watchdog:
        self._loop = asyncio.get_running_loop()
        self._noted_before = left_behind.get()
        left_behind.set(self._left)
        self._ident = threading.get_ident()
        self._beat_at = time.monotonic()
        self._later = self._loop.call_later(self._tick, self._beat)
        self._thread = threading.Thread(target=self._watch, name="sis-connect watchdog", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        left_behind.set(self._noted_before)
        self._note()
        self._stop.set()
        self._later.cancel()
        self._thread.join(1.0)  # it wakes at once, unless a log keeps it waiting

    def warnings(self) -> list[dict[str, Any]]:
        """What a report says of it: each function once, with the longest time, and what was left behind."""
        self._note()
        longest: dict[tuple[str, str], float] = {}
        for it in self.found:
            key = it.distribution, it.function
            longest[key] = max(it.seconds, longest.get(key, 0.0))
        left = [{"warning": "left_behind", "message": message} for message in self._left]
        self.found.clear()
        self._left.clear()
        return left + [
            {
                "warning": "loop_blocked",
                "message": f"{distribution} kept all else in this process waiting for {seconds:.1f} seconds, in {function}.",
                "distribution": distribution,
                "function": function,
                "seconds": round(seconds, 1),
            }
            for (distribution, function), seconds in longest.items()
        ]

    def _beat(self) -> None:
        self._note()
        self._beat_at = time.monotonic()
        self._later = self._loop.call_later(self._tick, self._beat)

    def _note(self) -> None:
        """The loop goes on. For how long it stood still is known only now."""
        blamed, self._blamed, self._suspect = self._blamed, None, None
        if blamed is not None:
            self.found.append(Standstill(*blamed, time.monotonic() - self._beat_at))

    def _watch(self) -> None:
        while not self._stop.wait(self._tick):
            if time.monotonic() - self._beat_at < self._patience or self._blamed is not None:
                continue
            seen = culprit(sys._current_frames().get(self._ident), self._packages)
            if seen is None or self._suspect is None or seen[0] != self._suspect[0]:
                self._suspect = seen
                continue
            self._blamed = seen
            _log.warning("%s has kept the event loop waiting for %.1f seconds, in %s.", seen[0], self._patience, seen[1])
