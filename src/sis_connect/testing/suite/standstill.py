"""Does the event loop stand still? A thread looks, and says where.

Seconds on the wall prove nothing on a busy machine. So what counts is how often the thread came to look in the meantime: whoever
finds the loop at the same beat again and again had processor time to look, and the loop had it, too.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

#: How often the thread looks, in seconds, and how many looks at one beat are a standstill.
PAUSE, LOOKS = 0.02, 18
_LIBRARY = str(Path(asyncio.__file__).parent.parent)


class Standstill:
    """Looks after the loop that it is made in. `longest` is the longest standstill in looks, `where` the code it was found in."""

    def __init__(self) -> None:
        self.longest = 0
        self.where = ""
        self._beats = 0
        self._over = threading.Event()
        self._loop_thread = threading.get_ident()

    @property
    def found(self) -> bool:
        """Whether the loop stood still."""
        return self.longest >= LOOKS

    async def beat(self) -> None:
        """Show that the loop goes round."""
        while True:
            self._beats += 1
            await asyncio.sleep(PAUSE / 2)

    def look(self) -> None:
        """Look until it is over."""
        beat, looks = -1, 0
        while not self._over.wait(PAUSE):
            looks = looks + 1 if self._beats == beat else 0
            beat = self._beats
            if looks > self.longest:
                self.longest = looks
                if looks >= LOOKS // 2:
                    self.where = self._place()

    def end(self) -> None:
        """Look no more."""
        self._over.set()

    def _place(self) -> str:
        frame = sys._current_frames().get(self._loop_thread)
        found = traceback.extract_stack(frame) if frame else []
        theirs = [each for each in found if not each.filename.startswith(_LIBRARY) or "site-packages" in each.filename]
        return f"{Path(theirs[-1].filename).name}, line {theirs[-1].lineno}" if theirs else "the event loop itself"


@asynccontextmanager
async def watched() -> AsyncIterator[Standstill]:
    """Watch the running loop for as long as the block lasts."""
    standstill = Standstill()
    thread = threading.Thread(target=standstill.look, name="standstill", daemon=True)
    beating = asyncio.create_task(standstill.beat())
    thread.start()
    try:
        yield standstill
    finally:
        standstill.end()
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        thread.join()


@asynccontextmanager
async def no_blocking_sleep() -> AsyncIterator[list[str]]:
    """The places where `time.sleep` is called in the thread of the loop: a short one stops everybody, too."""
    places: list[str] = []
    thread, sleep = threading.get_ident(), time.sleep

    def told(seconds: Any) -> None:
        if threading.get_ident() == thread:
            caller = traceback.extract_stack(limit=2)[0]
            places.append(f"{Path(caller.filename).name}, line {caller.lineno}")
        else:
            sleep(seconds)

    time.sleep = told
    try:
        yield places
    finally:
        time.sleep = sleep
