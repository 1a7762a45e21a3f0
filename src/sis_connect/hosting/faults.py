"""What a stranger's code raises: what of it passes, and what is told of the rest. Never its words (promise P7)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

#: What ends more than the work that it is raised in: Ctrl-C, and a generator or coroutine that nobody wants any more.
ENDINGS: tuple[type[BaseException], ...] = (KeyboardInterrupt, GeneratorExit)
_OURS = "sis_connect"


def passes(error: BaseException) -> bool:
    """Whether an error is nobody's fault but says that all is to stop: an ending, or somebody has cancelled this task."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(ENDINGS) is not None
    return isinstance(error, ENDINGS) or (isinstance(error, asyncio.CancelledError) and _is_cancelled())


def _is_cancelled() -> bool:
    """Whether somebody asked for this task to end. A plugin may also stumble over a cancelled task of its own."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False  # no loop runs here, so nothing of it can have been cancelled
    return task is None or task.cancelling() > 0


def raise_alone(error: BaseException) -> NoReturn:
    """Raise an error in place of another, which leaves no trace: a log that shows the whole chain would show its words."""
    try:
        raise error from None
    finally:
        error.__context__ = None


def described(error: BaseException, package: str | None = None) -> str:
    """What is told of an error: its class, and the place in `package` (or in whoever's code was called) that it comes from."""
    leaf = next(leaves(error))
    # A limit of time that has run out says in its cause where it was waited.
    place = next((it for each in (leaf, error, leaf.__cause__) if each is not None and (it := _place(each, package))), None)
    return f"({type(leaf).__name__})" + (f", in {place}" if place else "")


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group of errors, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def _place(error: BaseException, package: str | None) -> str | None:
    place, step = None, error.__traceback__
    while step is not None:
        module = module_of(step.tb_frame)
        top = module.partition(".")[0]
        if package is None and top not in ("", _OURS) and top not in sys.stdlib_module_names:
            package = top  # whom we called; what it called in its turn may be anybody's
        if top and top == package:
            place = f"{module}:{step.tb_frame.f_code.co_name}"
        step = step.tb_next
    return place


def module_of(frame: FrameType) -> str:
    """The module whose code a frame is in; its name is for that module to say, so it may be anything."""
    name = frame.f_globals.get("__name__")
    return name if isinstance(name, str) else ""
