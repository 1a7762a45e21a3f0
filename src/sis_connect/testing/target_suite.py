"""The conformance suite for targets, as a class that the tests of an app inherit.

from sis_connect.testing import TargetSuite

class TestOurModels(TargetSuite):
    def target(self, folder):
        engine = create_engine(f"sqlite:///{folder / 'app.db'}")
        Base.metadata.create_all(engine)
        return SQLAlchemyTarget(sessionmaker(engine), MODELS)
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from sis_connect.testing.suite.check import Check, perform
from sis_connect.testing.suite.collected import CollectedSuite
from sis_connect.testing.suite.report import SuiteReport
from sis_connect.testing.targets import accidents, edits, records
from sis_connect.testing.targets.bench import TargetBench, open_bench
from sis_connect.testing.targets.declaring import Declared

__all__ = ["TargetSuite", "check_target", "target_checks"]


def target_checks() -> Sequence[Check[TargetBench]]:
    """All checks, in the order in which they are read best."""
    return (*records.CHECKS, *edits.CHECKS, *accidents.CHECKS)


class TargetSuite(Declared, CollectedSuite[TargetBench]):
    """What every target must do: one test for each check, each over an app of its own."""

    @classmethod
    def checks(cls) -> Sequence[Check[TargetBench]]:
        """All checks of the suite."""
        return target_checks()

    @classmethod
    def bench(cls) -> AbstractAsyncContextManager[TargetBench]:
        """A new app and a new store."""
        return open_bench(cls())


async def check_target(suite: type[TargetSuite]) -> SuiteReport:
    """Run all checks of a suite that says how its target is made."""
    outcomes = []
    for check in suite.chosen().values():
        async with suite.bench() as bench:
            outcomes.append(await perform(check, bench))
    return SuiteReport(provider=suite.__name__, outcomes=outcomes, suite="TargetSuite")
