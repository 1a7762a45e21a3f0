"""What a stranger's code raises: what of it passes, and what is told of the rest. Never its words (promise P7)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite
from types import FrameType
from typing import NoReturn, TypeVar, get_args

from sis_connect.errors import Category, Severity, SISError

_E = TypeVar("_E", bound=BaseException)

#: What ends more than the work that it is raised in: Ctrl-C.
ENDINGS: tuple[type[BaseException], ...] = (KeyboardInterrupt,)
_OURS = "sis_connect"
_SEVERITIES, _CATEGORIES = get_args(Severity), get_args(Category)


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


@contextmanager
def contained(fault: Callable[[BaseException], SISError]) -> Iterator[None]:
    """Around a stranger's code: an error of ours comes out alone, and any other one as the `fault` that it is.

    What is to be waited for belongs in a task of its own (see `apart`): all that is raised in here is taken for the stranger's.
    """
    try:
        yield
    except BaseException as error:
        ending = next((it for it in leaves(error) if isinstance(it, ENDINGS)), None)
        if ending is None and passes(error):
            raise
        raise_alone(ending or ours_in(error) or fault(error))


def ours_in(error: BaseException) -> SISError | None:
    """The error of ours in what a stranger's code has raised, where it is sound."""
    found = next((it for it in leaves(error) if isinstance(it, SISError)), None)
    return found if found is not None and is_sound(found) else None


def is_sound(error: SISError) -> bool:
    """Whether an error of ours, which a stranger has made, is what it should be: one that can be told, and stored."""
    try:
        words = (error.message, error.remedy, str(error), error.category, error.severity, *error.as_dict().values())
        places = (error.integration, error.operation, error.request_id)
        number = error.retry_after
        return (
            all(is_text(each) for each in (*words, *(each for each in places if each is not None)))
            and (error.category in _CATEGORIES and error.severity in _SEVERITIES and isinstance(error.retryable, bool))
            and (number is None or (isinstance(number, int | float) and isfinite(number)))
            and error.within() is error
        )
    except BaseException as problem:  # a property, or a class, of a stranger's
        if passes(problem):
            raise
        return False


def is_text(value: object) -> bool:
    """Whether this is text that can be written down: half a character cannot."""
    return isinstance(value, str) and (value.isascii() or not any("\ud800" <= each <= "\udfff" for each in value))


def raise_alone(error: BaseException) -> NoReturn:
    """Raise an error in place of another, which leaves no trace: a log that shows the whole chain would show its words."""
    try:
        raise bare(error) from None
    finally:
        error.__context__ = None


def bare(error: _E) -> _E:
    """The same error, without what it was raised from or was noted on it: that may be anything."""
    error.__cause__ = error.__context__ = None
    error.__dict__.pop("__notes__", None)
    return error


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
