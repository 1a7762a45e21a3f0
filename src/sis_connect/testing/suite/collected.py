"""A suite as a class of tests: one test for each check, in whatever runs the author's tests. It needs nothing of that itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from difflib import get_close_matches
from typing import Any, ClassVar, Generic, TypeVar
from unittest import SkipTest

from sis_connect.testing.suite.check import Check, Failed, Outcome, perform

B = TypeVar("B")


class CollectedSuite(Generic[B]):
    """Inherit from it in a class of tests. `checks` says which there are, `bench` where each of them is run.

    `only` and `without` choose among the checks by name; what is left out belongs into the author's README, with the reason.
    """

    only: ClassVar[Sequence[str]] = ()
    without: ClassVar[Sequence[str]] = ()

    @classmethod
    def checks(cls) -> Sequence[Check[B]]:
        """All checks of the suite."""
        raise TypeError(f"{cls.__name__} does not say which checks there are.")

    @classmethod
    def bench(cls) -> AbstractAsyncContextManager[B]:
        """What a check is run on, and put back after it."""
        raise TypeError(f"{cls.__name__} does not say what the checks are run on.")

    @classmethod
    def chosen(cls) -> dict[str, Check[B]]:
        """The checks that are run, by name."""
        every = {check.name: check for check in cls.checks()}
        if unknown := sorted({*cls.only, *cls.without} - every.keys()):
            near = get_close_matches(unknown[0], every, n=1)
            remedy = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(every)}."
            raise ValueError(f"There is no check {unknown[0]!r}. {remedy}")
        return {name: check for name, check in every.items() if name in (cls.only or every) and name not in cls.without}

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """One test for each check."""
        if "check_name" in metafunc.fixturenames:
            metafunc.parametrize("check_name", list(self.chosen()))

    def test_conforms(self, check_name: str) -> None:
        """The check passes, or does not apply."""
        __tracebackhide__ = True
        outcome = asyncio.run(self._run(self.chosen()[check_name]))
        if outcome.state in ("not_applicable", "not_checked"):
            raise SkipTest(outcome.detail)
        if outcome.state == "failed":
            raise Failed(f"{outcome.title}\n{outcome.detail}") from None

    async def _run(self, check: Check[B]) -> Outcome:
        async with self.bench() as bench:
            return await self.perform(check, bench)

    @classmethod
    async def perform(cls, check: Check[B], bench: B) -> Outcome:
        """How a check ends."""
        return await perform(check, bench)
