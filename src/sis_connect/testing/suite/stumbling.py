"""What a plugin's code raised that it should not have: told by class and place, never in its own words.

Words may be about pupils (promise P7): a `KeyError` quotes a row. Errors of ours are made to be shown, and keep theirs.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from types import FrameType

from sis_connect.errors import SISError
from sis_connect.testing.suite.own_tasks import LeftInTask

#: Modules that no author of a plugin has written.
_NOT_THEIRS = frozenset((*sys.stdlib_module_names, "sis_connect"))


def is_ours_to_end(error: BaseException) -> bool:
    """Whether whoever runs the suite wants it to end: only then may an error leave a check."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(KeyboardInterrupt) is not None
    return isinstance(error, KeyboardInterrupt | GeneratorExit)


def whose(thing: object) -> str:
    """Who is to blame, by the label of what is checked: a bench or a provider."""
    label = getattr(getattr(thing, "info", None), "label", None)
    return f"The plugin of {label}" if isinstance(label, str) and label else "What is checked"


def stumbled(error: BaseException, who: str) -> str:
    """What was raised, where, and what to do about it, in a sentence that begins with who."""
    leaf = next(leaves(error))
    if isinstance(leaf, SISError) and leaf.message.startswith(who):
        return leaf.message  # as it was contained: that says all, and the remedy is for others than the author
    if isinstance(leaf, SISError):
        return f"{who} raised what nobody expected{place(leaf)}: {leaf}"
    kind = f"{type(leaf).__name__}{place(leaf)}"
    if isinstance(leaf, SystemExit):
        return (
            f"{who} tried to end the whole program ({kind}): every other district would end with it. Never call sys.exit(); "
            "raise one of sis_connect.errors."
        )
    if isinstance(leaf, asyncio.CancelledError):
        return (
            f"{who} was cancelled by nobody but itself ({kind}): the engine could take that for its own wish. Catch "
            "asyncio.CancelledError where you wait for a task that you have cancelled."
        )
    if not isinstance(leaf, Exception):
        return (
            f"{who} raised {kind}, which is no Exception, so that whoever catches those misses it. Raise one of "
            "sis_connect.errors, and derive classes of your own from Exception."
        )
    return f"{who} raised what nobody expected: {kind}."


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group, or the one that is none."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    elif isinstance(error, LeftInTask):
        yield error.error
    else:
        yield error


def place(error: BaseException) -> str:
    """Where it comes from, if possible in the author's code: module, function, line."""
    frames = list(_frames(error))
    theirs = [found for found in frames if _module(found[0]).partition(".")[0] not in _NOT_THEIRS]
    for frame, line in (theirs or frames)[-1:]:
        return f", in {_module(frame)}:{frame.f_code.co_qualname}, line {line}"
    return ""


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "?"))


def _frames(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    step = error.__traceback__
    while step is not None:
        yield step.tb_frame, step.tb_lineno
        step = step.tb_next
