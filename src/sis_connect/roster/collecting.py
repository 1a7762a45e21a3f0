"""Python's garbage collector, slowed down while a run holds many short-lived objects: it costs a third of a first sync otherwise.

Nothing stays uncollected: what a run makes holds no cycles, and is freed as soon as nobody refers to it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: How many more objects than were freed it takes until the collector looks at the youngest, and its rounds at the older ones.
_SELDOM = (50_000, 20, 20)


@dataclass(slots=True)
class _Pace:
    """How many runs are under way in this process, the thresholds from before the first of them, and those it set."""

    running: int = 0
    usual: tuple[int, int, int] = (0, 0, 0)
    slow: tuple[int, int, int] = (0, 0, 0)


_pace = _Pace()


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Collect seldom until the last of the runs under way has ended. A host that has set a slower pace, or none, keeps it."""
    if _pace.running == 0:
        _pace.usual = gc.get_threshold()
        if 0 < _pace.usual[0] < _SELDOM[0]:
            gc.set_threshold(*_SELDOM)
        _pace.slow = gc.get_threshold()  # which need not be what was set: later versions of Python ignore the last one
    _pace.running += 1
    try:
        yield
    finally:
        _pace.running -= 1
        if _pace.running == 0 and gc.get_threshold() == _pace.slow:
            gc.set_threshold(*_pace.usual)
