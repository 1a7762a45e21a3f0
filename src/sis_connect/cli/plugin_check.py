"""`plugin check`: whether a provider conforms, by the suite that its author's tests run."""

from __future__ import annotations

import gc
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sis_connect.cli.integrations import pairs
from sis_connect.cli.invocation import DONE, FAILED, USAGE, invocation_of, note, print_json, say
from sis_connect.cli.providers import AsJson
from sis_connect.errors import ConfigurationError

if TYPE_CHECKING:
    from sis_connect.testing.suite.check import Outcome

Pairs = list[str] | None


def check(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The provider; see `providers`.")],
    settings: Annotated[
        Pairs, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the client; may be given again.")
    ] = None,
    sandbox_settings: Annotated[
        Pairs, typer.Option("--sandbox-set", metavar="KEY=VALUE", help="A switch of its sandbox; may be given again.")
    ] = None,
    recorded: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Serve these recorded payloads in place of its sandbox.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="CHECK", help="Run this check only; may be given again.")] = None,
    students: Annotated[int, typer.Option(min=1, metavar="N", help="How many students the synthetic district has.")] = 60,
    as_json: AsJson = False,
    badge: Annotated[bool, typer.Option("--badge", help="Print only the line for the README of a plugin.")] = False,
) -> int:
    """Check a provider against the contract, over its own sandbox.

    Each check says what holds when it passes; one that fails says what is wrong, and how to mend it. Checks of what a provider
    does not declare do not apply; where nothing can be read at all, the others are not checked. Leaves with 0 where all passed,
    1 where something failed, 2 where nothing could be checked.
    """
    from sis_connect.testing.suite.running import chosen_checks, run_suite, subject_of

    def tell(outcome: Outcome) -> None:
        if not as_json and not badge and outcome.state != "not_checked":  # what failed instead is said once
            say(outcome.line())

    invocation = invocation_of(context)
    try:
        if badge and only:
            raise ConfigurationError("A badge is for the whole suite.", remedy="Leave out --only.")
        with _quiet(invocation.verbose):
            subject = subject_of(
                name,
                registry=invocation.registry(),
                settings=pairs(settings),
                sandbox_settings=pairs(sandbox_settings),
                students=students,
                recorded=recorded,
            )
            report = run_suite(subject, chosen_checks(only or ()), tell)
    except ConfigurationError as error:
        if as_json:
            print_json({"error": error.as_dict()})
        note(f"Error: {error}")
        return USAGE
    if as_json:
        print_json(report.as_dict())
    elif badge:
        say(report.badge())
    else:
        say(f"\n{report.summary()}")
    failed = report.of("failed")
    if failed:
        note(f"Failed: {', '.join(outcome.name for outcome in failed)}.")
    return DONE if report.passed else FAILED


@contextmanager
def _quiet(verbose: bool) -> Iterator[None]:
    """Things go wrong on purpose: what is logged, warned or complained of meanwhile, here and in the sandbox, is in the way."""
    if verbose:
        yield
        return
    disabled, complaint = logging.root.manager.disable, sys.unraisablehook
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda complaint: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
            gc.collect()  # what complains when it is forgotten does so now
    finally:
        logging.disable(disabled)
        sys.unraisablehook = complaint
