"""What is asked for once in the life of an object, however many want to know."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Memory:
    """What was found out, and the lock of those who are about to."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    found: list[Any] = field(default_factory=list, repr=False)


class Remembering(Protocol):
    """An object with a place for what it finds out. Its copies share it."""

    remembered: dict[str, Memory]


S = TypeVar("S", bound=Remembering)


def once(ask: Callable[[S], Awaitable[T]]) -> Callable[[S], Coroutine[Any, Any, T]]:
    """An async method whose answer is remembered. Callers at the same time wait for one answer; an error is not remembered."""

    @wraps(ask)
    async def remembered(self: S) -> T:
        memory = self.remembered.setdefault(ask.__qualname__, Memory())
        async with memory.lock:
            if not memory.found:
                memory.found.append(await ask(self))
            answer: T = memory.found[0]
            return answer

    return remembered
