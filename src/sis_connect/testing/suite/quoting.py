"""May a report say whom it means? Over a synthetic district yes; over recorded payloads there may be people behind the ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sis_connect.testing.suite.check import listed

_synthetic: ContextVar[bool] = ContextVar("synthetic", default=False)


@contextmanager
def quoting(synthetic: bool) -> Iterator[None]:
    """Whether ids and values may be told in the block."""
    token = _synthetic.set(synthetic)
    try:
        yield
    finally:
        _synthetic.reset(token)


def such_as(ids: Iterable[Any]) -> str:
    """A few ids in brackets, after a blank; nothing where they may be somebody's."""
    return f" (such as {listed(ids)})" if _synthetic.get() else ""


def told(text: str, instead: str = "") -> str:
    """Text that names an id or a value; where that may be somebody's, what says as much without."""
    return text if _synthetic.get() else instead
