"""What all commands share: how one is run, what goes wrong, and what it leaves with.

Reports go to stdout; with `--json` that is exactly one JSON document, on failure too. Progress, notes and errors go to stderr.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from sis_connect.errors import ConflictError, SISError

if TYPE_CHECKING:
    from sis_connect.discovery import Registry
    from sis_connect.service import SISService

DONE, FAILED, USAGE, HELD, INCOMPLETE = range(5)

#: What a command prints with `--json` when it fails: from the error and the command's arguments.
Failure = Callable[[SISError, Mapping[str, Any]], dict[str, Any]]
Command = Callable[..., Awaitable[int | None] | int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """The options of `sis-connect` itself."""

    database: str | None = None
    key_file: Path | None = None
    config: Path = Path("sis-connect.toml")
    today: date | None = None
    quiet: bool = False
    verbose: bool = False

    def registry(self) -> Registry:
        """The plugins that may be used: what the environment says of them applies, and what the configuration file does."""
        from sis_connect.discovery import discover
        from sis_connect.settings import SISConfigManager

        return discover(policy=SISConfigManager().plugins(self.config))

    def service(self) -> AbstractAsyncContextManager[SISService]:
        """The service over the chosen database."""
        from sis_connect.hosting.policy import PluginPolicy
        from sis_connect.service import SISService
        from sis_connect.settings import SISConfigManager

        told = SISConfigManager().plugins(self.config) != PluginPolicy()
        registry = self.registry() if told else None
        return SISService.open(self.database, key_file=self.key_file, today=self.today, registry=registry)


def invocation_of(context: typer.Context) -> Invocation:
    """The options that this command was called under."""
    found = context.obj
    return found if isinstance(found, Invocation) else Invocation()


def actor() -> str:
    """Who acts: the name that this person is signed in under."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "command line"


def plain_failure(error: SISError, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """How a command without a fixed report says that it failed."""
    return {"error": error.as_dict()}


def list_failure(error: SISError, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """How a command that prints a list says that it failed."""
    return {"items": [], "error": error.as_dict()}


def command(app: typer.Typer, name: str, *, failure: Failure = plain_failure, **options: Any) -> Callable[[Command], Command]:
    """Register a function, `async` or not, as a command. It returns its exit code, or None for "done".

    The command line library does not await what it calls, so this is the only way in which our commands are registered.
    """

    def register(function: Command) -> Command:
        @functools.wraps(function)
        def run(**arguments: Any) -> None:
            raise typer.Exit(perform(function, arguments, failure))

        app.command(name, **options)(run)
        return function

    return register


#: Where the report goes while stdout is kept for it alone.
_report: TextIO | None = None


@contextmanager
def report_alone() -> Iterator[None]:
    """Stdout is for the report alone: what a plugin, or what it calls, prints meanwhile goes to stderr."""
    global _report  # noqa: PLW0603 - as much of the whole process as stdout is
    stdout, aside = sys.stdout, dict[int, int]()
    _report = stdout
    with suppress(OSError, ValueError, AttributeError):  # a stdout that is no file is kept for the report all the same
        stdout.flush()
        aside = {number: os.dup(number) for number in {1, stdout.fileno()}}
        _report = open(os.dup(stdout.fileno()), "w", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed below
        for number in aside:
            os.dup2(sys.stderr.fileno(), number)
    sys.stdout = sys.stderr
    try:
        yield
        _report.flush()
    finally:
        report, _report, sys.stdout = _report, None, stdout
        for number, saved in aside.items():
            os.dup2(saved, number)
            os.close(saved)
        if report is not stdout:
            with suppress(OSError):
                report.close()


def perform(function: Command, arguments: Mapping[str, Any], failure: Failure) -> int:
    """Run one command to its end and turn whatever happens into an exit code and a sentence."""
    with report_alone() if arguments.get("as_json") else nullcontext():
        return _perform(function, arguments, failure)


def _perform(function: Command, arguments: Mapping[str, Any], failure: Failure) -> int:
    verbose = invocation_of(arguments["context"]).verbose
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        outcome = function(**arguments)
        code = asyncio.run(_awaited(outcome)) if isinstance(outcome, Awaitable) else outcome
        (_report or sys.stdout).flush()
        return code or DONE
    except (typer.TyperException, typer.Exit, typer.Abort):
        raise
    except BrokenPipeError:
        # Whoever read our output has had enough; Python must not complain about it on the way out either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), (_report or sys.stdout).fileno())
        return FAILED
    except KeyboardInterrupt:
        error: SISError = ConflictError(
            "Stopped before the end, as asked.", remedy="Nothing is half done; give the command again to go on.", severity="low"
        )
    except BaseException as raised:  # noqa: BLE001 - the operator gets a sentence for everything; --verbose shows the rest
        error = explained(raised)
        if verbose:
            import traceback

            traceback.print_exception(raised)
    if arguments.get("as_json"):
        print_json(failure(error, arguments))
    note(f"Error: {error}")
    return FAILED


async def _awaited(outcome: Awaitable[int | None]) -> int | None:
    return await outcome


def explained(raised: BaseException) -> SISError:
    """The error of ours in what was raised, or one that says that this is a fault of ours."""
    for error in _leaves(raised):
        if isinstance(error, SISError):
            return error
    kind = type(next(_leaves(raised))).__name__
    return SISError(
        f"sis-connect itself has failed ({kind}).",
        remedy="Give the command again with --verbose before it, and report what it prints as a bug of sis-connect.",
        severity="critical",
    )


def _leaves(raised: BaseException) -> Iterator[BaseException]:
    if isinstance(raised, BaseExceptionGroup):
        for inner in raised.exceptions:
            yield from _leaves(inner)
    else:
        yield raised


def printable(text: str) -> str:
    """Text from elsewhere, made safe for a terminal: control characters could move the cursor or hide what follows."""
    return "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def say(text: str = "") -> None:
    """One line of the report, on stdout."""
    typer.echo(printable(text), file=_report)


def note(text: str) -> None:
    """One line that is not part of the report, on stderr."""
    typer.echo(printable(text), err=True)


def print_json(document: Mapping[str, Any]) -> None:
    """The report as one JSON document."""
    typer.echo(json.dumps(document, indent=2, default=str), file=_report)


def answer_list(items: list[dict[str, Any]], as_json: bool, text: str) -> None:
    """A list, as JSON or as text."""
    if as_json:
        print_json({"items": items})
    else:
        say(text)
