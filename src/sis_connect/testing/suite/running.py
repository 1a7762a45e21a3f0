"""Running all checks of a provider, one after the other, over one sandbox."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from sis_connect.discovery import Registry, discover
from sis_connect.errors import ConfigurationError
from sis_connect.provider import ProviderInfo
from sis_connect.testing.suite.bench import Bench, Subject
from sis_connect.testing.suite.check import Check, Outcome, failed, not_checked, perform
from sis_connect.testing.suite.report import SuiteReport
from sis_connect.testing.suite.stumbling import leaves, stumbled, whose

#: Where the checks are, in the order in which they are run: what everything else stands on comes first.
MODULES: tuple[str, ...] = (
    "declaration",
    "identity",
    "completeness",
    "paging",
    "values",
    "narrow",
    "declared",
    "invalid_rows",
    "wire",
    "manners",
    "resuming",
    "privacy",
    "syncing",
)


@cache
def provider_checks() -> tuple[Check[Bench], ...]:
    """All checks of the suite, in order."""
    modules = [import_module(f"sis_connect.testing.suite.{name}") for name in MODULES]
    return tuple(check for module in modules for check in module.CHECKS)


def chosen_checks(only: Collection[str] = ()) -> tuple[Check[Bench], ...]:
    """The checks of these names, or all. Raises `ConfigurationError` for a name that there is not."""
    every = provider_checks()
    if unknown := sorted(set(only) - {check.name for check in every}):
        near = get_close_matches(unknown[0], [check.name for check in every], n=1)
        remedy = f"Did you mean {near[0]}?" if near else "Run the suite once without choosing, to see what they are called."
        raise ConfigurationError(f"There is no check {unknown[0]!r}.", remedy=remedy)
    return tuple(check for check in every if not only or check.name in only)


def subject_of(provider: str | ProviderInfo, *, registry: Registry | None = None, **more: Any) -> Subject:
    """What is to be checked: a registered provider by its name, or one that is at hand. `more` as in `Subject`."""
    if isinstance(provider, ProviderInfo):
        return Subject(info=provider, **more)
    registry = registry or discover()
    info = registry.info(provider)
    found = registry.installed[provider]
    return Subject(info=info, distribution=found.distribution, version=found.version, **more)


async def check_provider(
    provider: str | ProviderInfo,
    *,
    settings: Mapping[str, Any] | None = None,
    sandbox_settings: Mapping[str, str] | None = None,
    students: int = 60,
    recorded: str | Path | None = None,
    only: Collection[str] = (),
    registry: Registry | None = None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> SuiteReport:
    """Run the suite on a provider, by name or as it is registered, over its own sandbox or over a folder of recorded payloads.

    `settings` are the client's besides what the sandbox tells, `sandbox_settings` those of the sandbox, `only` names of checks.
    `on_outcome` is called after each check. Raises `ConfigurationError` where the suite cannot even begin.
    """
    subject = subject_of(
        provider,
        registry=registry,
        settings=dict(settings or {}),
        sandbox_settings=dict(sandbox_settings or {}),
        students=students,
        recorded=None if recorded is None else Path(recorded),
    )
    outcomes: list[Outcome] = []

    def tell(outcome: Outcome) -> None:
        outcomes.append(outcome)
        on_outcome(outcome)

    await _perform_all(subject, chosen_checks(only), tell)
    return report_on(subject, outcomes)


def run_suite(
    subject: Subject, checks: Sequence[Check[Bench]], on_outcome: Callable[[Outcome], None] = lambda outcome: None
) -> SuiteReport:
    """The same in a loop of its own, which a plugin may take down: a task that it began and that raises `SystemExit` does.

    Then the check under way has failed, and the others are run in another loop.
    """
    outcomes: list[Outcome] = []

    def tell(outcome: Outcome) -> None:
        outcomes.append(outcome)
        on_outcome(outcome)

    while len(outcomes) < len(checks):
        taken_down = False
        try:
            asyncio.run(_perform_all(subject, checks[len(outcomes) :], tell))
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:
            if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves(error)):
                raise KeyboardInterrupt from error
            taken_down, broken = True, checks[len(outcomes)]
            tell(failed(broken, stumbled(error, whose(subject))))
            for check in checks[len(outcomes) :] if broken.foundation else ():
                tell(not_checked(check, broken.name))
        if taken_down:
            _forget()
    return report_on(subject, outcomes)


def _forget() -> None:
    """What is left of a loop that was taken down complains when it is collected: at once, and to nobody."""
    complaint = sys.unraisablehook
    sys.unraisablehook = lambda complaint: None
    try:
        gc.collect()
    finally:
        sys.unraisablehook = complaint


async def _perform_all(subject: Subject, checks: Sequence[Check[Bench]], on_outcome: Callable[[Outcome], None]) -> None:
    with Bench(subject) as bench:
        for check in checks:
            async with bench.check_under_way():
                outcome = await perform_on(bench, check)
            on_outcome(outcome)


async def perform_on(bench: Bench, check: Check[Bench]) -> Outcome:
    """Run a check, unless one before it has shown that there is nothing to check."""
    if bench.broken is not None:
        return not_checked(check, bench.broken)
    outcome = await perform(check, bench)
    if check.foundation and outcome.state == "failed":
        bench.broken = check.name
    return outcome


def report_on(subject: Subject, outcomes: Sequence[Outcome]) -> SuiteReport:
    """What was found out about a subject."""
    return SuiteReport(
        provider=subject.info.name,
        distribution=subject.distribution,
        version=subject.version,
        contract=subject.info.contract,
        outcomes=tuple(outcomes),
        over="sandbox" if subject.recorded is None else "recorded",
        students=subject.students if subject.recorded is None else None,
        settings=tuple(sorted(subject.settings)),
        sandbox_settings=tuple(sorted(subject.sandbox_settings)),
    )
