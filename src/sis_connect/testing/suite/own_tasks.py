"""The tasks that a plugin begins: one that raises `SystemExit` would take the whole loop down, past whoever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any


class LeftInTask(BaseException):
    """A task tried to end the program; `error` says where."""

    def __init__(self, error: SystemExit) -> None:
        super().__init__()
        self.error = error


class _Contained(Coroutine[Any, Any, Any]):
    """A coroutine that raises `LeftInTask` in the place of `SystemExit`."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def send(self, value: Any) -> Any:
        """Go on."""
        with _kept():
            return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """Go on with an error."""
        with _kept():
            return self._coroutine.throw(*error)

    def close(self) -> None:
        """End it."""
        with _kept():
            self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()


@contextmanager
def _kept() -> Iterator[None]:
    try:
        yield
    except SystemExit as error:
        raise LeftInTask(error) from error


@contextmanager
def contained_tasks() -> Iterator[None]:
    """Tasks that are begun in the block leave the loop standing."""
    loop = asyncio.get_running_loop()
    former = loop.get_task_factory()

    def begin(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> Any:
        return asyncio.Task(_Contained(coroutine) if asyncio.iscoroutine(coroutine) else coroutine, loop=loop, **more)

    loop.set_task_factory(begin)
    try:
        yield
    finally:
        loop.set_task_factory(former)
