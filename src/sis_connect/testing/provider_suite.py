"""The conformance suite for providers, as a class that an author's tests inherit.

from sis_connect.testing import ProviderSuite

class TestConformance(ProviderSuite):
    provider = "harbor"
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

from sis_connect.provider import ProviderInfo
from sis_connect.testing.suite.bench import Bench
from sis_connect.testing.suite.check import Check, Outcome
from sis_connect.testing.suite.collected import CollectedSuite
from sis_connect.testing.suite.running import perform_on, provider_checks, subject_of


class ProviderSuite(CollectedSuite[Bench]):
    """What every provider must do, as far as it declares that it can: one test for each check.

    `provider` is the registered name, or a `ProviderInfo`. `settings` are the client's settings besides what the sandbox tells,
    `sandbox_settings` what `sis-connect sandbox` takes by `--set`, `students` the size of the synthetic district. `recorded` is a
    folder of recorded payloads, served in place of a sandbox. One sandbox serves all tests of the class.
    """

    provider: ClassVar[str | ProviderInfo] = ""
    settings: ClassVar[Mapping[str, Any]] = {}
    sandbox_settings: ClassVar[Mapping[str, str]] = {}
    students: ClassVar[int] = 60
    recorded: ClassVar[str | Path | None] = None
    _running: ClassVar[Bench | None] = None

    @classmethod
    def checks(cls) -> Sequence[Check[Bench]]:
        """All checks of the suite."""
        return provider_checks()

    @classmethod
    async def perform(cls, check: Check[Bench], bench: Bench) -> Outcome:
        """How a check ends; where nothing can be read at all, that is said once."""
        return await perform_on(bench, check)

    @classmethod
    def bench(cls) -> AbstractAsyncContextManager[Bench]:
        """The sandbox of this class, as it is on its first day."""
        return cls._at_the_bench()

    @classmethod
    @asynccontextmanager
    async def _at_the_bench(cls) -> AsyncIterator[Bench]:
        if cls._running is None:
            subject = subject_of(
                cls.provider,
                settings=cls.settings,
                sandbox_settings=cls.sandbox_settings,
                students=cls.students,
                recorded=None if cls.recorded is None else Path(cls.recorded),
            )
            cls._running = Bench(subject).__enter__()
        async with cls._running.check_under_way() as bench:
            yield bench

    @classmethod
    def teardown_class(cls) -> None:
        """Stop the sandbox."""
        if cls._running is not None:
            cls._running.__exit__()
            cls._running = None
