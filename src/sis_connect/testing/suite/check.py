"""What a suite is made of: checks as data, and how one of them ends. It knows nothing of what is checked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from sis_connect.testing.suite.own_tasks import contained_tasks
from sis_connect.testing.suite.stumbling import is_ours_to_end, stumbled, whose

B = TypeVar("B")
State = Literal["passed", "failed", "not_applicable", "not_checked"]

_MARKS: dict[State, str] = {"passed": "ok  ", "failed": "FAIL", "not_applicable": "n/a ", "not_checked": "--  "}
#: A check that takes longer than so many seconds waits for something that never comes.
PATIENCE = 120.0


class Failed(AssertionError):  # noqa: N818 - reads as what is the case
    """What is checked does not do what it promises. The message is one that its author can act on."""


class NotApplicable(Exception):  # noqa: N818 - reads as what is the case
    """It turned out that there is nothing to check; the message says why."""


def _always(bench: Any) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Check(Generic[B]):
    """One thing that must be so.

    `name` is how it is chosen, `title` one sentence that says what holds when it passes, and `promise` the number of the promise
    behind it, if it has one. `needs` says why it does not apply to what is on the bench, or None where it does. `run` raises
    `Failed` with a sentence that names what is wrong, and how to mend it; it may return one on how far it has looked. Where a
    `foundation` fails, the checks after it have nothing to stand on, and are not checked.
    """

    name: str
    title: str
    run: Callable[[B], Awaitable[str | None]]
    promise: str = ""
    needs: Callable[[B], str | None] = _always
    foundation: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one check ended. `detail` says why, where it did not pass, or how far it has looked; `seconds` is what it took."""

    name: str
    title: str
    promise: str
    state: State
    detail: str = ""
    seconds: float = 0.0

    def line(self) -> str:
        """For a person, with the detail below."""
        promise = f" [{self.promise}]" if self.promise else ""
        line = f"{_MARKS[self.state]}  {self.name:<30} {self.title}{promise}"
        return f"{line}\n      {self.detail}" if self.detail else line

    def as_dict(self) -> dict[str, str | float]:
        """Plain JSON."""
        return {
            "name": self.name,
            "title": self.title,
            "promise": self.promise,
            "outcome": self.state,
            "detail": self.detail,
            "seconds": round(self.seconds, 3),
        }


def failed(check: Check[Any], detail: str) -> Outcome:
    """How a check ended that was not even performed to its end."""
    return Outcome(name=check.name, title=check.title, promise=check.promise, state="failed", detail=detail)


def not_checked(check: Check[Any], foundation: str) -> Outcome:
    """How a check ends that has nothing to stand on."""
    detail = f"Not checked, because {foundation} failed."
    return Outcome(name=check.name, title=check.title, promise=check.promise, state="not_checked", detail=detail)


def either(*needs: Callable[[B], str | None]) -> Callable[[B], str | None]:
    """Several needs as one: the first reason that any of them has."""

    def first(bench: B) -> str | None:
        return next((reason for need in needs if (reason := need(bench))), None)

    return first


async def perform(check: Check[B], bench: B) -> Outcome:
    """Run one check to its end, whatever happens in it."""
    begun = time.monotonic()

    def ended(state: State, detail: str = "") -> Outcome:
        seconds = time.monotonic() - begun
        return Outcome(name=check.name, title=check.title, promise=check.promise, state=state, detail=detail, seconds=seconds)

    try:
        if reason := check.needs(bench):
            return ended("not_applicable", reason)
        with contained_tasks():
            async with asyncio.timeout(PATIENCE):
                seen = await check.run(bench)
    except Failed as failure:
        return ended("failed", str(failure))
    except NotApplicable as reason:
        return ended("not_applicable", str(reason))
    except TimeoutError:
        return ended("failed", f"It did not come to an end within {PATIENCE:.0f} seconds: something waits for ever.")
    except BaseException as error:
        if is_ours_to_end(error):
            raise
        return ended("failed", stumbled(error, whose(bench)))  # whatever a stranger's code raises is an outcome
    return ended("passed", seen or "")


def listed(names: Iterable[object], most: int = 3) -> str:
    """A few of many, for a sentence."""
    every = [str(name) for name in names]
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")
